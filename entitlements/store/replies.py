"""The scripts of this room, and what servers reply."""

from importlib.resources import files


def script(name: str) -> str:
    """Return the text of a script."""
    return files("entitlements.store").joinpath(f"{name}.lua").read_text()


def text(raw: object) -> str:
    """Return a reply as text, whichever way the client decodes replies."""
    return raw.decode() if isinstance(raw, bytes) else str(raw)
