"""Waits: for the next look, for an AWS outage to end, and for a lapsed lease. A signal ends every wait.

A run waits for two kinds of outage, each for up to the drain timeout. If AWS does not answer, looks are retried with
backoff. If the state store does not renew the lease, the run stops acting and retries every few seconds; it loses the
lease at once if another run has taken it. Whatever happens, claims record the updates in progress.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from bottlerocket_ecs_updater.core.model.event import LookPostponed
from bottlerocket_ecs_updater.core.model.time_text import duration_text, has_passed
from bottlerocket_ecs_updater.core.rules.policy import Policy
from bottlerocket_ecs_updater.engine.run_ports import Ports
from bottlerocket_ecs_updater.errors import LeaseLapsed, LeaseLost, Throttled, Unreachable, UpdaterError


class OutageWaits:
    """The waits of one run. `stop_requested` returns whether a signal came."""

    def __init__(self, ports: Ports, policy: Policy, wake: timedelta, stop_requested: Callable[[], bool]) -> None:
        self._clock = ports.clock
        self._lease = ports.lease
        self._recorder = ports.recorder
        self._policy = policy
        self._wake = wake
        self._stop_requested = stop_requested
        self._outage_since: datetime | None = None
        self._outages = 0

    def answered(self) -> None:
        """Note that AWS answers: the next failure starts a new outage."""
        self._outage_since, self._outages = None, 0

    def wait_out(self, problem: UpdaterError) -> None:
        """Wait because AWS does not answer, longer each time. Raises the problem after the drain timeout."""
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
        """Wait until this run holds the lease again. Raises LeaseLost if another run took it or time runs out."""
        began = self._clock.now()
        self._recorder.record(LookPostponed(began, str(lapse), lapse.again, began, began + self._policy.drain_timeout))
        while not self._stop_requested():
            try:
                return self._lease.regain()
            except LeaseLapsed as still:
                if has_passed(began, self._policy.drain_timeout, self._clock.now()):
                    raise LeaseLost(f"{still}; it was tried for {duration_text(self._policy.drain_timeout)}") from still
                self._clock.sleep(still.again)
        return None

    def retry(self, call: Callable[[], object]) -> None:
        """Call the state store until it answers, for at most the drain timeout. Then raises its error.

        If the run is stopping, calls it only once.
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
            if self._stop_requested():
                return

    def sleep_until(self, when: datetime) -> None:
        """Sleep in steps that are short enough to renew the lease and to notice a signal."""
        left = when - self._clock.now()
        while not self._stop_requested() and left > timedelta(0):
            span = min(left, self._wake, self._keep_lease() or left)
            if not self._clock.sleep(span):
                return
            # If the clock was set back in the meantime, do not sleep longer for it.
            left = min(left - span, when - self._clock.now())

    def _keep_lease(self) -> timedelta | None:
        try:
            return self._lease.keep()
        except LeaseLapsed as lapse:
            # A sleep does not act. The next look raises the lapse, and everything is looked at again.
            return lapse.again
