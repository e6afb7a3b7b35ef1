"""Events that can be read only once, kept on the disk to be read again: in a file without a name."""

import tempfile
from collections.abc import Iterator

import msgspec

from entitlements.replay.offer import Load, of_body
from entitlements.store.packed import pack, unpack

_LENGTH = 8
"""Bytes."""

_Kept = tuple[str, float | None, list[str], list[bytes]]
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Kept).decode


class Spool:
    """Loads in their order."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115  it lives as long as this
        self.whole = False
        """Whether there is no more to be kept."""

    def kept(self, load: Load) -> Load:
        """Keep a load, and return it."""
        bodies = [pack(offer.read()) for offer in load.offers]
        raw = _encode((load.cursor, load.share, list(load.unreadable), bodies))
        self._file.write(len(raw).to_bytes(_LENGTH))
        self._file.write(raw)
        return load

    def close(self) -> None:
        """Forget everything."""
        self._file.close()

    def loads(self) -> Iterator[Load]:
        """Yield what was kept, from the beginning."""
        self._file.seek(0)
        while head := self._file.read(_LENGTH):
            at, share, unreadable, packed = _decode(self._file.read(int.from_bytes(head)))
            bodies = [unpack(body) for body in packed]
            yield Load([of_body(body) for body in bodies], at, share, unreadable)
