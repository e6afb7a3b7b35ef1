"""How cold records are written: nothing is lost by it, and little is written twice."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct
from msgspec.structs import replace

from entitlements.compact import compacted
from entitlements.errors import StoreError
from entitlements.fold import fold
from entitlements.model import READ, Fact, Snapshot, State, SubscriptionRecord
from entitlements.policy import BUILT_IN
from entitlements.store import cold
from tests.support.histories import MONTH, START, Life, created, lives, snapshot, updated


@given(lives(), st.integers(START, START + 12 * MONTH), st.booleans())
def test_what_is_written_is_read_back(life: Life, before: int, read: bool) -> None:  # noqa: FBT001  drawn
    """Facts, state and base, whatever the life was like."""
    reads = [Fact("read_1", READ, START + 3, life.end)] if read else []
    arrived = [replace(f, received_ms=f.created * 1000) for f in (*life.facts, *reads)]
    record = SubscriptionRecord(*fold(arrived, BUILT_IN))
    record = compacted(record, before, BUILT_IN)

    assert cold.decode(cold.encode(record)) == record


def test_a_state_is_written_once() -> None:
    """Ten changes there and back are two states."""
    on, off = snapshot(), snapshot("unpaid")
    pairs = [(on, off), (off, on)] * 5
    facts = [updated(START + n, *pair, f"evt_{n}") for n, pair in enumerate(pairs)]
    record = SubscriptionRecord(*fold([created(START - 1, on), *facts], BUILT_IN))

    written = cold.encode(record)

    assert written.count(b'"status"') == len({on, off})
    assert written.count(b'"price_pro"') == 1


def test_a_pause_that_is_absent_is_not_one_that_is_null() -> None:
    """Old API versions say nothing of it, which is another thing."""
    absent = Snapshot(status="active")
    null = Snapshot(status="active", pause_collection=None)
    record = SubscriptionRecord(*fold([created(START, absent), created(START + 1, null)], BUILT_IN))

    assert cold.decode(cold.encode(record)).facts == record.facts


def test_nothing_is_an_empty_record() -> None:
    """A subscription of which nothing is held."""
    assert cold.decode(None) == SubscriptionRecord() == cold.decode(cold.encode(cold.NOTHING))


@pytest.mark.parametrize(
    ("form", "model"),
    [(cold._State, State), (cold._Snapshot, Snapshot)],  # noqa: SLF001  the forms themselves
)
def test_every_field_is_written(form: type[Struct], model: type[Struct]) -> None:
    """A form names them all again, for the sake of the one that points elsewhere."""
    assert form.__struct_fields__ == model.__struct_fields__


@pytest.mark.parametrize("raw", [b"", b"{}", b'{"v":2}', b'{"v":1,"facts":[["evt"]]}', b"[]"])
def test_another_form_is_refused(raw: bytes) -> None:
    """It is not taken for an empty record, and says what to do."""
    with pytest.raises(StoreError, match="use that one"):
        cold.decode(raw)
