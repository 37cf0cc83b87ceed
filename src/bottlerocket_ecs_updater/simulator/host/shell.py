"""The shell that Run Command's scripts are run by."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .spec import ScriptResult

if TYPE_CHECKING:
    from collections.abc import Callable


class Script:
    """A script that runs on a host. It ends once: by itself, by `kill`, or when the host goes down."""

    def __init__(self, finished: Callable[[ScriptResult], None]) -> None:
        self._finished: Callable[[ScriptResult], None] | None = finished

    def kill(self, exit_code: int = 137) -> None:
        """End it as SIGKILL does, with what it has printed so far. What it set off on the host goes on."""
        self._end(ScriptResult(exit_code))

    def _end(self, result: ScriptResult) -> None:
        finished, self._finished = self._finished, None
        if finished is not None:
            finished(result)
