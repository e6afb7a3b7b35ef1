"""Ids that look like Stripe's. Randomness is an argument: a seeded one makes the same ids again."""

from collections.abc import Callable
from random import Random
from string import ascii_letters, digits

Ids = Callable[[str], str]
"""Makes a new id from its prefix: `ids("sub")` is `sub_…`."""

_LONG = frozenset({"sub", "price", "evt", "in"})


def random_ids(rng: Random) -> Ids:
    """Return a maker of ids, such as `sub_1…` with 24 signs after the prefix, or `cus_…` with 14."""

    def make(prefix: str) -> str:
        lead, length = ("1", 23) if prefix in _LONG else ("", 14)
        return f"{prefix}_{lead}{''.join(rng.choices(ascii_letters + digits, k=length))}"

    return make
