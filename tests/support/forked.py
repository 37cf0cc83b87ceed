"""Starts the program, and awscli, without importing them anew each time.

Most of what a short process computes is its imports, and the tests start hundreds of processes. Here one process per
worker has imported the modules, and each start is a fork of it. The arguments, environment, folder, streams and signals
are those of a process that was started from a shell, and so is its parent. What differs is only that the modules are
loaded: `tests/cli/test_process.py` starts the program in the usual way, and so do the wheel and the image.
"""

from __future__ import annotations

import atexit
import ctypes
import inspect
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, AnyStr

import pytest
from tests.support.forker import LENGTH_BYTES, MODULES, read

ROOT = Path(__file__).parents[2]

SUBREAPER = 36
"""PR_SET_CHILD_SUBREAPER of prctl(2): orphans get this process as their parent."""

_popen = subprocess.Popen


@pytest.fixture(autouse=True)
def quick_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fork the program and awscli wherever the test starts them. On other systems than Linux, start them as usual."""
    if sys.platform == "linux":
        monkeypatch.setattr(subprocess, "Popen", ForkedPopen)


class ForkedPopen(subprocess.Popen[AnyStr]):
    """A Popen that forks what it knows, and starts everything else as usual."""

    def _execute_child(self, *given: Any) -> None:
        asked = inspect.signature(_popen._execute_child).bind(self, *given).arguments  # type: ignore[attr-defined]
        words = _known(asked)
        if words is None:
            super()._execute_child(*given)  # type: ignore[misc]
            return
        streams = [asked["p2cread"], asked["c2pwrite"], asked["errwrite"]]
        streams = [own if stream == -1 else stream for own, stream in enumerate(streams)]
        request = {
            "words": words,
            "environment": dict(os.environ if asked["env"] is None else asked["env"]),
            "folder": os.fspath(asked["cwd"] or Path.cwd()),
            "session": bool(asked["start_new_session"]),
        }
        self.pid = _forker(words[0]).start(request, streams)
        self._child_created = True
        ends = ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")
        self._close_pipe_fds(*(asked[end] for end in ends))  # type: ignore[attr-defined]


def _known(asked: Mapping[str, Any]) -> list[str] | None:
    """The words after the interpreter's, the first of which says what to start; None if it has to start as usual."""
    unusual = ("preexec_fn", "shell", "executable", "pass_fds", "process_group")
    if isinstance(asked["args"], str) or any(asked.get(name) not in (None, False, (), -1) for name in unusual):
        return None
    words = [os.fspath(word) for word in asked["args"]]
    if _interpreter(asked["env"]) != _interpreter(None):
        return None
    if words[:2] == [sys.executable, "-m"]:
        words = words[2:]
    elif words[:1] == [sys.executable]:
        words = words[1:]
    return words if words and words[0] in MODULES else None


def _interpreter(environment: Mapping[str, str] | None) -> set[tuple[str, str]]:
    """The variables with which an interpreter imports other modules than this one."""
    found = os.environ if environment is None else environment
    return {(name, found[name]) for name in ("PYTHONPATH", "PYTHONHOME", "PYTHONWARNINGS") if name in found}


class _Forker:
    """The process that has imported the modules, seen from the one that starts others."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._socket, theirs = socket.socketpair()
        self._prctl = ctypes.CDLL(None).prctl
        with theirs:
            self._process = _popen(
                [sys.executable, "-m", "tests.support.forker", str(theirs.fileno())],
                cwd=ROOT,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
            )
        atexit.register(self.stop)

    def start(self, request: Mapping[str, Any], streams: Sequence[int]) -> int:
        """Start a process that is a child of this one. Returns its id."""
        body = json.dumps(request).encode()
        with self._lock:
            self._prctl(SUBREAPER, 1, 0, 0, 0)
            try:
                socket.send_fds(self._socket, [len(body).to_bytes(LENGTH_BYTES, "big")], list(streams))
                self._socket.sendall(body)
                return int.from_bytes(read(self._socket, LENGTH_BYTES), "big")
            finally:
                self._prctl(SUBREAPER, 0, 0, 0, 0)

    def stop(self) -> None:
        """End it. What it started lives on."""
        self._socket.close()
        self._process.wait()


@cache
def _forker(_program: str) -> _Forker:
    """One for each program: awscli changes the environment, and perhaps botocore, when it is imported."""
    return _Forker()
