"""A state store in memory."""

from __future__ import annotations

import threading
from collections.abc import Iterable

from bottlerocket_ecs_updater.engine.ports import ABSENT, Conflict, Stored
from bottlerocket_ecs_updater.errors import Unreachable


class MemoryStore:
    """A thread-safe `Store` in memory."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._objects: dict[str, Stored] = {}
        self._writes = 0

    def get(self, key: str) -> Stored | None:
        with self._lock:
            return self._objects.get(key)

    def put(self, key: str, data: bytes, expect: str | None) -> str:
        with self._lock:
            self._expect(key, expect)
            self._writes += 1
            stored = Stored(data, str(self._writes))
            self._objects[key] = stored
            return stored.tag

    def delete(self, key: str, expect: str | None) -> None:
        with self._lock:
            self._expect(key, expect)
            self._objects.pop(key, None)

    def keys(self, prefix: str, after: str = "") -> Iterable[str]:
        with self._lock:
            return sorted(key for key in self._objects if key.startswith(prefix) and key > after)

    def _expect(self, key: str, expect: str | None) -> None:
        stored = self._objects.get(key)
        if expect is not None and expect != (stored.tag if stored is not None else ABSENT):
            raise Conflict(key)


class LossyStore(MemoryStore):
    """A store that counts writes, and can lose their requests and their replies."""

    def __init__(self) -> None:
        super().__init__()
        self.writes = 0
        self.lose: list[str] = []
        """What is lost of the next writes: "request", "reply", or nothing."""

    def put(self, key: str, data: bytes, expect: str | None) -> str:
        self.writes += 1
        lost = self.lose.pop(0) if self.lose else ""
        if lost == "request":
            raise Unreachable("the request was lost")
        tag = super().put(key, data, expect)
        if lost == "reply":
            raise Unreachable("the reply was lost")
        return tag
