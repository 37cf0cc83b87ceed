"""A state store in a local folder, with durable conditional writes that are safe between processes.

Objects are plain files named by key, so that people can read them. Writers lock `.lock`; readers need no lock, because
files are replaced atomically. A tag is a hash of the content plus the number of replacements of that key, which is kept
in `.counts`: if content changes back to an earlier value, it still has a new tag. The count is written before the
content: if a writer dies in between, another writer gets a needless Conflict, but never misses a change.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

from bottlerocket_ecs_updater.engine.ports import ABSENT, Conflict, Stored
from bottlerocket_ecs_updater.errors import Denied, Unreachable, UsageError

_LOCK = ".lock"
_COUNTS = ".counts"
COUNT_MAX_DIGITS = 40
NEVER_COUNTED = 10**30
"""More than any real count. If a count cannot be read, counting continues above this number."""

LOCK_SECONDS = 5
"""Limit for the wait for the lock. A writer normally holds it for milliseconds; one that holds it longer hangs."""

LOCK_TRIED_EVERY = 0.02

_NEW = ".new"
"""The file being written. Only the lock holder uses it, so one name is enough."""


_NEVER = frozenset(
    {
        errno.ENOTDIR,
        errno.EEXIST,
        errno.EISDIR,
        errno.ELOOP,
        errno.ENAMETOOLONG,
        errno.EROFS,
        errno.EINVAL,
        errno.ENODEV,
        errno.ENXIO,
    }
)
"""Faults of the path itself, which a retry does not fix. A full or slow disk may recover."""


class FolderStore:
    """A `Store` in a local folder, which the first write creates.

    Raises Denied if permissions are missing, UsageError if no folder can exist at that path, and Unreachable for every
    other disk fault.
    """

    def __init__(self, path: Path) -> None:
        self._root = path

    def check_writable(self) -> None:
        """Check that the folder can be created and written. Raises Denied and UsageError if not."""
        with _faults("write", self._root):
            try:
                _make_folder(self._root)
            except FileNotFoundError as error:
                # Nothing was removed: this is how some file systems report that they do not allow new folders.
                raise OSError(errno.EROFS, error.strerror, str(self._root)) from error
            with (self._root / _LOCK).open("a"):
                pass

    def get(self, key: str) -> Stored | None:
        path = self._path(key)
        with _faults("read", path):
            # Read the count first: read last, it could be newer than the content.
            count = self._count(key)
            data = _read(path)
        return Stored(data, _tag(count, data)) if data is not None else None

    def put(self, key: str, data: bytes, expect: str | None) -> str:
        path = self._path(key)
        with _faults("write", path), self._locked():
            before = self._expected(key, expect)
            count = self._count(key)
            if before is not None:
                count += 1
                self._write(self._root / _COUNTS / key, str(count).encode())
            self._write(path, data)
        return _tag(count, data)

    def delete(self, key: str, expect: str | None) -> None:
        path = self._path(key)
        with _faults("delete", path):
            if expect is None and not path.exists():
                return
            with self._locked():
                if self._expected(key, expect) is not None:
                    self._write(self._root / _COUNTS / key, str(self._count(key) + 1).encode())
                    path.unlink()
                    _sync_folder(path.parent)

    def keys(self, prefix: str, after: str = "") -> Iterable[str]:
        start = self._root / prefix.rpartition("/")[0]
        with _faults("list", start):
            found = [path.relative_to(self._root).as_posix() for path in start.rglob("*") if path.is_file()]
        listed = (key for key in found if key.startswith(prefix) and not any(map(_hidden, key.split("/"))))
        return sorted(key for key in listed if key > after)

    def _path(self, key: str) -> Path:
        parts = key.split("/")
        if any(not part or _hidden(part) or "\0" in part or "\\" in part for part in parts):
            raise ValueError(f"not a key: {key!r}")
        return self._root / PurePosixPath(*parts)

    def _count(self, key: str) -> int:
        """How often the object was replaced. For an unreadable count, a number that no object ever had."""
        written = _read(self._root / _COUNTS / key)
        if written is None:
            return 0
        if len(written) <= COUNT_MAX_DIGITS and written.isdigit():
            return int(written)
        return NEVER_COUNTED + int.from_bytes(hashlib.sha256(written).digest()[:8], "big")

    def _expected(self, key: str, expect: str | None) -> bytes | None:
        """The content before a write. Raises Conflict if it is not what the writer expects."""
        data = _read(self._path(key))
        tag = ABSENT if data is None else _tag(self._count(key), data)
        if expect is not None and tag != expect:
            raise Conflict(key)
        return data

    def _write(self, path: Path, data: bytes) -> None:
        _make_folder(path.parent)
        new = self._root / _NEW
        with new.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
        _sync_folder(path.parent)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        _make_folder(self._root)
        # Each open file holds its own lock, so threads of one process exclude each other too.
        # Closing the file releases the lock, also when the process dies.
        with (self._root / _LOCK).open("a") as file:
            _take_lock(file)
            yield


def _take_lock(file: IO[str]) -> None:
    """Wait a few seconds for the lock: a process that is suspended while it holds the lock never releases it."""
    ends = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() >= ends:
                raise OSError(f"another process has held its lock for {LOCK_SECONDS} s") from error
            time.sleep(LOCK_TRIED_EVERY)  # noqa: TID251 - a file lock does not use simulated time


@contextmanager
def _faults(doing: str, path: Path) -> Iterator[None]:
    try:
        yield
    except PermissionError as error:
        raise Denied(
            f"the state store's folder refuses to {doing} {path}: {error.strerror or error}", doing, str(path)
        ) from error
    except OSError as error:
        what = f"the state store's folder cannot {doing} {path}: {_why(error)}"
        if error.errno in _NEVER:
            raise UsageError(f"{what}; choose another --state") from error
        raise Unreachable(what) from error


def _why(error: OSError) -> str:
    """The reason, with the file that it is about: the path of an object, or of one of the store's own files."""
    about = Path(error.filename) if isinstance(error.filename, str) else None
    if about is None:
        return error.strerror or str(error)
    if error.errno in (errno.ENOTDIR, errno.EEXIST):
        blocking = next((one for one in (about, *about.parents) if one.exists() and not one.is_dir()), about)
        return f"{blocking} is not a folder"
    return f"{error.strerror}: {about}"


def _hidden(part: str) -> bool:
    """Whether it is an internal file of the store, or a file such as .DS_Store."""
    return part.startswith(".")


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _tag(count: int, data: bytes) -> str:
    return f"{count}-{hashlib.sha256(data).hexdigest()}"


def _make_folder(path: Path) -> None:
    if path.is_dir():
        return
    _make_folder(path.parent)
    path.mkdir(exist_ok=True)
    _sync_folder(path.parent)


def _sync_folder(path: Path) -> None:
    """Sync a folder, so that new and renamed files survive a power failure, as `fsync` does for content."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
