"""The one way a request takes: its turn, the lease's word, the call, its error in our terms; a look is repeated."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime, timedelta
from typing import ParamSpec, TypeVar

from bottlerocket_ecs_updater.aws.transport.operation import Operation
from bottlerocket_ecs_updater.aws.transport.pace import Calls, Pace
from bottlerocket_ecs_updater.aws.transport.translate import NeverSent, Overlapped, translated
from bottlerocket_ecs_updater.engine.ports import Clock
from bottlerocket_ecs_updater.engine.waits import Waits
from bottlerocket_ecs_updater.errors import Throttled, Unreachable

P = ParamSpec("P")
R = TypeVar("R")

LOOK_ATTEMPTS = 4
"""Enough for a passing fault; an outage is the engine's to sit out, with a look from the start."""

ACT_ATTEMPTS = 3
"""Of an act that AWS refused for its rate, or for another write: it took no effect, so it may be sent again at once."""

FIRST_PAUSE = timedelta(milliseconds=500)
"""Doubled for every further attempt: 3.5 s in all."""


TOLD_AFTER = timedelta(seconds=5)
"""A look that has had no answer for so long is told as a wait; most faults are over before."""


def without_limit(acting: bool) -> AbstractContextManager[None]:  # noqa: FBT001, ARG001 - the form of a limit
    """Stand where calls take no time."""
    return nullcontext()


def no_hook(acting: bool) -> None:  # noqa: FBT001 - the engine's hook takes nothing else
    """Stand where nobody wants to know of calls."""


class Api:
    """Carries requests to AWS.

    Looks are repeated here rather than by botocore, whose pauses can neither be cut short by a signal nor run in
    virtual time, and whose repeats would pass the pace and the lease by. Acts are repeated only where AWS refused them
    without an effect: whoever gets no reply looks before repeating.
    """

    def __init__(
        self,
        clock: Clock,
        pace: Pace,
        calls: Calls,
        before_call: Callable[[bool], None] = no_hook,
        within: Callable[[bool], AbstractContextManager[None]] = without_limit,
        waits: Waits | None = None,
    ) -> None:
        self._within = within
        self._waits = waits or Waits()
        self._clock = clock
        self._pace = pace
        self._calls = calls
        self.before_call = before_call
        """Called right before each request, with whether it acts; what it raises is raised, and nothing is sent.

        Where it gets no answer itself, the request was `NeverSent`.
        """

    def now(self) -> datetime:
        """Our own time."""
        return self._clock.now()

    def look(self, operation: Operation, about: str, method: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Ask something, several times where AWS does not answer or throttles."""
        pause, began, told = FIRST_PAUSE, self._clock.now(), False
        for _ in range(LOOK_ATTEMPTS - 1):
            try:
                return self._call(False, operation, about, method, *args, **kwargs)
            except (Throttled, Unreachable) as error:
                if not told and self._clock.now() - began >= TOLD_AFTER:
                    self._waits.begin(f"AWS, which does not answer: {error}", began, None)
                    told = True
                if not self._clock.sleep(pause):
                    raise
                pause *= 2
        return self._call(False, operation, about, method, *args, **kwargs)

    def act(self, operation: Operation, about: str, method: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Ask for a change, so that it happens once at most."""
        for _ in range(ACT_ATTEMPTS - 1):
            try:
                return self._call(True, operation, about, method, *args, **kwargs)
            except Throttled:
                if not self._clock.sleep(FIRST_PAUSE):
                    raise
        return self._call(True, operation, about, method, *args, **kwargs)

    def _call(
        self,
        acting: bool,  # noqa: FBT001 - handed on to the hook
        operation: Operation,
        about: str,
        method: Callable[P, R],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        self._pace.wait(operation.bucket)
        self._make_ready(acting, operation)
        self._calls.note(operation)
        try:
            with translated(operation, about), self._within(acting):
                return method(*args, **kwargs)
        except Overlapped:
            # Nobody asked too often.
            raise
        except Throttled:
            self._calls.note_throttled()
            self._pace.slow_down(operation.bucket)
            raise

    def _make_ready(self, acting: bool, operation: Operation) -> None:  # noqa: FBT001 - handed on to the hook
        """Let the hook have its word. What it could not get done says nothing of the call: that was never sent."""
        try:
            self.before_call(acting)
        except (Throttled, Unreachable) as error:
            raise NeverSent(f"{operation.title} was not sent: {error}") from error
