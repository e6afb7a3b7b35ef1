"""The embedded store's place on the disk: private files, locks, and a socket whose name fits."""

import contextlib
import fcntl
import hashlib
import os
import stat
import tempfile
from pathlib import Path
from typing import TextIO

from entitlements.errors import StoreNotStarted

ELSEWHERE = "set ENTITLEMENTS_DATA_DIR to another directory"
"""What to do where a directory cannot be had."""

_SOCKET = "valkey.sock"
_SOCKET_PATH_BYTES = 103  # <sys/un.h>: 104 on macOS, 108 on Linux, with the NUL at the end


def open_private(path: Path) -> TextIO:
    """Open a file to read and append; a new one is made for its owner's eyes only."""
    return open(
        path, "a+", errors="replace", opener=lambda name, flags: os.open(name, flags, 0o600)
    )


def take(lock: TextIO) -> bool:
    """Take a lock, if nobody has it; it goes when the file is closed."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def note(file: TextIO, text: str) -> None:
    """Write anew what a file says."""
    file.truncate(0)
    file.write(text)
    file.flush()


def noted(file: TextIO) -> str:
    """Return what a file says."""
    file.seek(0)
    return file.read()


def socket_path(home: Path) -> Path:
    """Return where to listen: in the directory, or when its name is too long in a shelter."""
    return (home if _fits(home / _SOCKET) else _shelter(home)) / _SOCKET


def _shelter(home: Path) -> Path:
    """Make or find a directory under the temporary one that is ours alone, with a short name."""
    digest = hashlib.sha256(os.fsencode(home)).hexdigest()[:16]
    shelter = Path(tempfile.gettempdir()) / f"entitlements-{os.geteuid()}-{digest}"
    if not _fits(shelter / _SOCKET):
        raise StoreNotStarted(
            f"The names of {home} and {shelter} are both too long for a socket "
            f"({_SOCKET_PATH_BYTES} bytes): set ENTITLEMENTS_DATA_DIR or TMPDIR to a shorter one."
        )
    with contextlib.suppress(FileExistsError):
        shelter.mkdir(mode=0o700)
    if not _ours_alone(shelter.lstat()):
        raise StoreNotStarted(
            f"{shelter} is not private to this user, so another could answer for the store: "
            "remove it, or set ENTITLEMENTS_DATA_DIR to a directory with a shorter name."
        )
    return shelter


def _ours_alone(found: os.stat_result) -> bool:
    ours = found.st_uid == os.geteuid() and stat.S_ISDIR(found.st_mode)
    return ours and not found.st_mode & (stat.S_IRWXG | stat.S_IRWXO)


def _fits(path: Path) -> bool:
    return len(os.fsencode(path)) <= _SOCKET_PATH_BYTES


def tidy(path: Path, home: Path) -> None:
    """Remove a socket, and the shelter it was in."""
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)
        if path.parent != home:
            path.parent.rmdir()
