"""The tree of what goes wrong is drawn as it is."""

import re

from entitlements import errors
from entitlements.errors import EntitlementsError


def drawn() -> dict[str, str]:
    """Return each error of the drawing, with the one that it hangs from."""
    found, line_of = dict[str, str](), dict[int, str]()
    for line in (errors.__doc__ or "").splitlines():
        if branch := re.match(r"([│ ]*(?:[├└]── )?)([A-Z]\w+)(?= {2,}|$)", line):
            depth, name = len(branch[1]) // 4, branch[2]
            line_of[depth] = name
            found[name] = line_of[depth - 1] if depth else "Exception"
    return found


def test_every_error_hangs_where_it_is_drawn() -> None:
    """None is left out, and none is there that is gone."""
    raised = [e for e in vars(errors).values() if isinstance(e, type)]
    assert all(issubclass(error, EntitlementsError) for error in raised)
    assert drawn() == {error.__name__: error.__mro__[1].__name__ for error in raised}
