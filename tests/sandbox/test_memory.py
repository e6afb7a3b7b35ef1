"""What is remembered between two commands."""

from pathlib import Path

import pytest

from entitlements.errors import EntitlementsError
from entitlements.sandbox import memory
from entitlements.sandbox.memory import Held
from entitlements.sandbox.shapes import Terms, new


def held(number: int, customer: str = "cus_1", account: str | None = None) -> Held:
    """Return the subscription of one number."""
    terms = Terms(customer, "prod_1", "price_1")
    return Held(new(terms, f"sub_{number}", f"si_{number}", 1_800_000_000, 1_802_678_400), account)


def test_the_most_recent_one_that_fits_is_recalled(tmp_path: Path) -> None:
    """Without a wish it is the last one; a name, a customer or an account choose among them."""
    for one in (held(1), held(2, customer="cus_2"), held(3, account="acct_1"), held(1)):
        memory.save(tmp_path, one)
    found = memory.load(tmp_path)
    assert memory.recall(found) == held(1)
    assert memory.recall(found, id="sub_2", customer=None) == held(2, customer="cus_2")
    assert memory.recall(found, customer="cus_1", account="acct_1") == held(3, account="acct_1")
    assert memory.recall(found, customer="cus_9") is None


def test_the_file_is_its_owners_alone(tmp_path: Path) -> None:
    """Neither the file nor the directory made for it can be read by others."""
    home = tmp_path / "made"
    memory.save(home, held(1))
    assert [oct(p.stat().st_mode & 0o777) for p in (home, *home.iterdir())] == ["0o700", "0o600"]


def test_the_oldest_are_forgotten(tmp_path: Path) -> None:
    """The file does not grow without end."""
    for number in range(memory.ROOM + 1):
        memory.save(tmp_path, held(number))
    assert list(memory.load(tmp_path)) == [f"sub_{n}" for n in range(1, memory.ROOM + 1)]


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    """The sentence says which file to remove."""
    (tmp_path / memory.FILE).write_text("{")
    with pytest.raises(EntitlementsError, match=r"trigger\.json"):
        memory.load(tmp_path)
