"""The policy file, off the disk."""

from pathlib import Path

from entitlements.errors import PolicyError
from entitlements.policy import BUILT_IN, Policy
from entitlements.policy_file import parse


def load(path: Path | None) -> Policy:
    """Return the policy of a file, or the built-in one without a file. Raises PolicyError."""
    if path is None:
        return BUILT_IN
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise PolicyError(
            f"{path} cannot be read ({error}). Name a policy file that can, or none."
        ) from error
    return parse(text, str(path))
