"""Makes every AWS request: rate limit, lease check, call, error translation. Read-only calls are retried."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime, timedelta
from typing import Any, ParamSpec, TypeVar

from bottlerocket_ecs_updater.aws.transport.batches import pages
from bottlerocket_ecs_updater.aws.transport.operation import Operation
from bottlerocket_ecs_updater.aws.transport.pace import CallPace, Calls
from bottlerocket_ecs_updater.aws.transport.translate import NeverSent, Overlapped, translated
from bottlerocket_ecs_updater.engine.ports import Clock
from bottlerocket_ecs_updater.engine.waits import Waits
from bottlerocket_ecs_updater.errors import Throttled, Unreachable

P = ParamSpec("P")
R = TypeVar("R")

LOOK_ATTEMPTS = 4
"""Enough for a transient fault. In an outage the engine waits and starts its look over."""

ACT_ATTEMPTS = 3
"""Attempts for an act that was throttled, or overlapped another write. It took no effect, so a retry is safe."""

FIRST_PAUSE = timedelta(milliseconds=500)
"""Doubles with every attempt: 3.5 s in total."""


SHOWN_AFTER = timedelta(seconds=5)
"""A look without an answer for this long is shown as a wait. Most faults pass sooner."""


def without_limit(acting: bool) -> AbstractContextManager[None]:  # noqa: FBT001, ARG001 - the form of a limit
    """Set no time limit: for calls that take no time."""
    return nullcontext()


def no_hook(acting: bool) -> None:  # noqa: FBT001 - the engine's hook takes nothing else
    """Do nothing before a call."""


class Api:
    """Carries requests to AWS.

    Looks are retried here rather than by botocore, whose backoff cannot be interrupted by a signal or run in virtual
    time, and whose retries would bypass the rate limit and the lease. Acts are retried only if AWS rejected them
    without effect. After an act without a reply, the caller looks before it repeats the act.
    """

    def __init__(
        self,
        clock: Clock,
        pace: CallPace,
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
        """Called right before each request, with whether it acts. If it raises, nothing is sent.

        If the hook itself gets no answer, the request raises `NeverSent`.
        """

    def now(self) -> datetime:
        """The time on our own clock."""
        return self._clock.now()

    def look(self, operation: Operation, about: str, method: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Make a read-only call. Retries if AWS does not answer or throttles."""
        pause, began, shown = FIRST_PAUSE, self._clock.now(), False
        for _ in range(LOOK_ATTEMPTS - 1):
            try:
                return self._call(False, operation, about, method, *args, **kwargs)
            except (Throttled, Unreachable) as error:
                if not shown and self._clock.now() - began >= SHOWN_AFTER:
                    self._waits.begin(f"AWS to answer: {error}", began, None)
                    shown = True
                if not self._clock.sleep(pause):
                    raise
                pause *= 2
        return self._call(False, operation, about, method, *args, **kwargs)

    def look_at_pages(
        self,
        operation: Operation,
        about: str,
        method: Callable[..., R],
        request: Mapping[str, Any],
        next_page: str = "nextToken",
    ) -> Iterator[R]:
        """Make a read-only call for each page of a list. `next_page` is the key of its token."""

        def ask(token: str | None) -> Any:
            return self.look(operation, about, method, **({**request, next_page: token} if token else request))

        return pages(ask, lambda reply: reply.get(next_page))

    def act(self, operation: Operation, about: str, method: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Make a call that changes something, so that it takes effect at most once."""
        for _ in range(ACT_ATTEMPTS - 1):
            try:
                return self._call(True, operation, about, method, *args, **kwargs)
            except Throttled:
                if not self._clock.sleep(FIRST_PAUSE):
                    raise
        return self._call(True, operation, about, method, *args, **kwargs)

    def _call(
        self,
        acting: bool,  # noqa: FBT001 - passed on to the hook
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
            # The cause is another write, not the rate of calls.
            raise
        except Throttled:
            self._calls.note_throttled()
            self._pace.slow_down(operation.bucket)
            raise

    def _make_ready(self, acting: bool, operation: Operation) -> None:  # noqa: FBT001 - passed on to the hook
        """Call the hook. If it gets no answer, the request was never sent."""
        try:
            self.before_call(acting)
        except (Throttled, Unreachable) as error:
            raise NeverSent(f"{operation.title} was not sent: {error}") from error
