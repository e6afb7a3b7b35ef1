"""Ids that look like Stripe's."""

import re
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from entitlements.sandbox.ids import random_ids


@given(st.randoms(use_true_random=False))
def test_ids_have_stripes_form(rng: Random) -> None:
    """Objects that Stripe makes many of have the long form, the others the short one."""
    ids = random_ids(rng)
    assert re.fullmatch("sub_1[A-Za-z0-9]{23}", ids("sub"))
    assert re.fullmatch("cus_[A-Za-z0-9]{14}", ids("cus"))


@given(st.randoms(use_true_random=False))
def test_the_same_seed_makes_the_same_ids(rng: Random) -> None:
    """A run can be told again."""
    state = rng.getstate()
    first = random_ids(rng)("evt")
    rng.setstate(state)
    assert random_ids(rng)("evt") == first
