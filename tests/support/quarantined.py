"""Events that an older version left in the quarantine: this one understands what that one did not."""

from collections.abc import Mapping

from entitlements.sandbox.shapes import Body
from entitlements.store.entry import Entry
from entitlements.store.store import Store
from tests.support.bodies import encoded
from tests.support.histories import START

OLD_WHY = "items: an older version could not read this"


async def leave(
    store: Store, body: Body | bytes, event: str | None = None, *, at: int = START + 10
) -> str:
    """Quarantine an event as a version did that could not read it; return its id in the quarantine."""
    raw = body if isinstance(body, bytes) else encoded(body)
    said: Mapping[str, str] = {} if isinstance(body, bytes) else body
    name = event or said["id"]
    entry = Entry(
        event=name,
        type=said.get("type", "unknown"),
        outcome="quarantined",
        delivery=f"first_{name}",
        received_ms=at * 1000,
        body=raw,
        why=OLD_WHY,
    )
    assert await store.keep(entry) == ("quarantined", f"first_{name}")
    return name
