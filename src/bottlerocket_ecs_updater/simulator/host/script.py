"""Programs that take time on a host: generators that yield their waits, driven by the clock."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from bottlerocket_ecs_updater.simulator.host.spec import ScriptResult

if TYPE_CHECKING:
    from collections.abc import Callable

    from bottlerocket_ecs_updater.simulator.clock import Timer, WorldClock
    from bottlerocket_ecs_updater.simulator.faults import RebootEnding

Program = Generator[timedelta, None, int]
"""Yields its waits, returns its exit status."""

EXIT_KILLED, EXIT_TERMINATED = 137, 143


@dataclass(slots=True)
class Streams:
    """What a script has printed so far."""

    out: list[str] = field(default_factory=list)
    err: list[str] = field(default_factory=list)

    def print(self, text: str) -> None:
        """Print a line to stdout."""
        self.out.append(text + "\n")

    def print_error(self, text: str) -> None:
        """Print a line to stderr."""
        self.err.append(text + "\n")


class Script:
    """A script on a host. It ends once: by itself, killed, timed out, or interrupted by a shutdown."""

    def __init__(
        self,
        clock: WorldClock,
        lines: tuple[str, ...],
        program: Callable[[Streams], Program],
        timeout: timedelta,
        finished: Callable[[Script, ScriptResult], None],
    ) -> None:
        self.lines = lines
        self._clock = clock
        self._streams = Streams()
        self._program = program(self._streams)
        self._finished: Callable[[Script, ScriptResult], None] | None = finished
        self._next = clock.after(timedelta(), self._step)
        self._deadline: Timer = clock.after(timeout, self._time_out)

    @property
    def running(self) -> bool:
        """Whether it is still running."""
        return self._finished is not None

    def kill(self, exit_code: int = EXIT_KILLED) -> None:
        """End it like SIGKILL, with its output so far. Work that it started on the host continues."""
        self._end(self._result(exit_code))

    def cut(self, ending: RebootEnding) -> None:
        """End it because the host goes down; `ending` is how SSM will report it."""
        self._end(self._result(EXIT_TERMINATED, cut=ending))

    def _time_out(self) -> None:
        self._end(self._result(EXIT_KILLED, timed_out=True))

    def _step(self) -> None:
        try:
            wait = next(self._program)
        except StopIteration as end:
            self._end(self._result(end.value))
            return
        if self.running:
            self._next = self._clock.after(wait, self._step)

    def _result(self, exit_code: int, *, timed_out: bool = False, cut: RebootEnding | None = None) -> ScriptResult:
        return ScriptResult(exit_code, "".join(self._streams.out), "".join(self._streams.err), timed_out, cut)

    def _end(self, result: ScriptResult) -> None:
        finished, self._finished = self._finished, None
        self._next.cancel()
        self._deadline.cancel()
        if finished is not None:
            finished(self, result)
