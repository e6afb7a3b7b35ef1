"""What a check found: one line, with the remedy where there is something to mend."""

from typing import Literal

from msgspec import Struct

Level = Literal["OK", "WARN", "FAIL"]


class Finding(Struct, frozen=True, tag_field="object", tag="finding"):
    """One line of an examination."""

    check: str
    level: Level
    detail: str
    remedy: str | None = None

    def __str__(self) -> str:
        """Return it as a sentence."""
        return self.detail if self.remedy is None else f"{self.detail}: {self.remedy}"


def ok(check: str, detail: str) -> Finding:
    """Return that all is well."""
    return Finding(check, "OK", detail)


def warn(check: str, detail: str, remedy: str) -> Finding:
    """Return what should be seen to."""
    return Finding(check, "WARN", detail, remedy)


def fail(check: str, detail: str, remedy: str) -> Finding:
    """Return what is broken."""
    return Finding(check, "FAIL", detail, remedy)
