"""Waiting: for the next look, for AWS to answer again, and for a lease that lapsed. Every wait ends at a signal.

Two outages are sat out, each for as long as a drain may last. While AWS does not answer, looks are tried again, further
and further apart. While the state store takes no renewal of the lease, nothing is done at all, and the lease is asked
for every few seconds; it is lost at once where another run has taken it. Claims carry what is open, whatever happens.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from bottlerocket_ecs_updater.core.model.event import LookPostponed
from bottlerocket_ecs_updater.core.model.time_text import duration_text, has_passed
from bottlerocket_ecs_updater.core.rules.policy import Policy
from bottlerocket_ecs_updater.engine.ports import Clock, Lease, Recorder
from bottlerocket_ecs_updater.errors import LeaseLapsed, LeaseLost, Throttled, Unreachable, UpdaterError


class DrainDeadlines:
    """The waits of one run. `told_to_stop` says whether a signal came."""

    def __init__(
        self,
        clock: Clock,
        lease: Lease,
        policy: Policy,
        recorder: Recorder,
        wake: timedelta,
        told_to_stop: Callable[[], bool],
    ) -> None:
        self._clock = clock
        self._lease = lease
        self._policy = policy
        self._recorder = recorder
        self._wake = wake
        self._told_to_stop = told_to_stop
        self._outage_since: datetime | None = None
        self._outages = 0

    def answered(self) -> None:
        """AWS answers: what comes is another outage."""
        self._outage_since, self._outages = None, 0

    def wait_out(self, problem: UpdaterError) -> None:
        """AWS does not answer: wait, longer each time. Raises the problem when it has lasted too long."""
        now = self._clock.now()
        self._outage_since = self._outage_since or now
        if has_passed(self._outage_since, self._policy.drain_timeout, now):
            raise problem
        wait = self._policy.outage_wait(self._outages)
        self._outages += 1
        until = self._outage_since + self._policy.drain_timeout
        self._recorder.record(LookPostponed(now, str(problem), wait, self._outage_since, until))
        self.sleep_until(now + wait)

    def regain(self, lapse: LeaseLapsed) -> None:
        """Do nothing until the lease is this run's again. Raises LeaseLost when it is gone, or lapsed for too long."""
        began = self._clock.now()
        self._recorder.record(LookPostponed(began, str(lapse), lapse.again, began, began + self._policy.drain_timeout))
        while not self._told_to_stop():
            try:
                return self._lease.regain()
            except LeaseLapsed as still:
                if has_passed(began, self._policy.drain_timeout, self._clock.now()):
                    raise LeaseLost(f"{still}; it was tried for {duration_text(self._policy.drain_timeout)}") from still
                self._clock.sleep(still.again)
        return None

    def insist(self, call: Callable[[], object]) -> None:
        """Call the state store until it answers, as long as an outage may last. Raises what it raises in the end.

        A run that was told to stop calls it once.
        """
        self.answered()
        while True:
            try:
                call()
            except LeaseLapsed as lapse:
                self.regain(lapse)
            except (Throttled, Unreachable) as problem:
                self.wait_out(problem)
            else:
                return
            if self._told_to_stop():
                return

    def sleep_until(self, when: datetime) -> None:
        """Sleep in spans short enough to renew the lease, and to notice a signal."""
        left = when - self._clock.now()
        while not self._told_to_stop() and left > timedelta(0):
            span = min(left, self._wake, self._keep_lease() or left)
            if not self._clock.sleep(span):
                return
            # A clock that is set back meanwhile does not make it sleep again for so long.
            left = min(left - span, when - self._clock.now())

    def _keep_lease(self) -> timedelta | None:
        try:
            return self._lease.keep()
        except LeaseLapsed as lapse:
            # Nothing is done in a sleep. The next look hears of it, and begins with everything.
            return lapse.again
