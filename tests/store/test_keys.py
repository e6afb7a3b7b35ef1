"""The names of keys: one slot for each customer, and whose each record is."""

from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.crc import key_slot

from entitlements.model import Subject
from entitlements.store import keys

ids = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="/\x7f", min_codepoint=33),
    min_size=1,
    max_size=12,
)
"""What Stripe's ids, and any other that the wire lets pass, are made of."""

subjects = st.builds(Subject, ids | st.tuples(ids, ids).map("/".join), st.none() | ids)


@given(subjects)
def test_a_key_tells_whose_record_it_is(subject: Subject) -> None:
    """Of the platform itself or of a connected account, whatever the ids look like."""
    name = keys.customer(7, subject)

    assert keys.subject_of(name) == subject
    assert fnmatchcase(name, keys.CUSTOMERS)


@pytest.mark.parametrize("subject", [Subject("acct_1/cus_1"), Subject("cus_1", "acct_1")])
def test_a_slash_in_a_customer_names_no_account(subject: Subject) -> None:
    """The two have records of their own."""
    assert keys.subject_of(keys.customer(7, subject)) == subject


@given(subjects, ids, st.integers(0, keys.PARTITIONS - 1))
def test_one_customers_keys_are_in_one_slot(subject: Subject, name: str, p: int) -> None:
    """And none but the hot record is taken for one."""
    own = [keys.subscription(p, subject, "sub_1"), keys.event(p, "evt_1"), keys.shared(p, "log")]

    slots = {key_slot(key.encode()) for key in (keys.customer(p, subject), *own)}
    assert slots == {key_slot(f"{{{p}}}".encode())}
    assert not any(fnmatchcase(key, keys.CUSTOMERS) for key in own)
    assert keys.partition(name, keys.PARTITIONS) in range(keys.PARTITIONS)
