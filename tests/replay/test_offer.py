"""Which events are meant, and which are held already."""

import pytest

from entitlements.replay.offer import wanted
from entitlements.store.replays import Asked
from tests.support.bodies import encoded, event, subscription
from tests.support.histories import START

TOLD = encoded(event(subscription()))
OF_ACCOUNT = encoded(event(subscription(), account="acct_1"))
OTHER = encoded(event({"id": "in_1"}, "invoice.paid"))
ODD = b'{"object":"event","id":"evt_1","data":1}'


@pytest.mark.parametrize(
    ("asked", "meant"),
    [
        ({}, "told account other odd"),
        ({"event": "evt_1"}, "told account other odd"),
        ({"event": "evt_2"}, ""),
        ({"type": "invoice.paid"}, "other"),
        ({"type": "customer.*"}, "told account"),
        ({"type": "customer"}, ""),
        ({"since": START, "until": START + 1}, "told account other odd"),
        ({"since": START + 1}, "odd"),
        ({"until": START}, "odd"),
        ({"customer": "cus_1"}, "told account"),
        ({"customer": "cus_2"}, ""),
        ({"subscription": "sub_1"}, "told account"),
        ({"account": "acct_1"}, "account"),
    ],
)
def test_which_events_are_meant(asked: "dict[str, str | int]", meant: str) -> None:
    """What cannot be read is, unless it is asked for what only can be read."""
    search = Asked(source="file", **asked)  # type: ignore[arg-type]  # any of its fields
    events = {"told": TOLD, "account": OF_ACCOUNT, "other": OTHER, "odd": ODD}

    assert " ".join(name for name, read in events.items() if wanted(search, read)) == meant
