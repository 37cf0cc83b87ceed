"""Delivers commands to hosts and results back, with everything that can go wrong in between."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, assert_never
from zlib import crc32

from bottlerocket_ecs_updater.simulator.faults import CheckStuckAfterBoot, RebootEnding, ReportedUndeliverable
from bottlerocket_ecs_updater.simulator.host import Power
from bottlerocket_ecs_updater.simulator.ssm.invocation import State

if TYPE_CHECKING:
    from datetime import datetime

    from bottlerocket_ecs_updater.simulator.clock import WorldClock
    from bottlerocket_ecs_updater.simulator.host import ScriptResult
    from bottlerocket_ecs_updater.simulator.ssm.inventory import ManagedInstance
    from bottlerocket_ecs_updater.simulator.ssm.invocation import Invocation
    from bottlerocket_ecs_updater.simulator.ssm.timing import SsmTiming

MAX_ATTEMPTS = 15
"""The agent's `CommandRetryLimit`: how often it runs a document that reboots keep interrupting."""
WORKER_TIMED_OUT = (
    "document process failed unexpectedly: document worker timed out , "
    "check [ssm-document-worker]/[ssm-session-worker] log for crash reason"
)


class Agent:
    """The agents of all hosts, as the service sees them."""

    def __init__(self, clock: WorldClock, timing: SsmTiming) -> None:
        self._clock = clock
        self._timing = timing

    def deliver(self, invocation: Invocation) -> None:
        """Deliver a command: soon if the agent is connected, otherwise when it reconnects in time."""
        self._clock.after(
            self._timing.delivery + self._timing.spread * _share(invocation.managed.host.instance_id),
            partial(invocation.managed.when_back, partial(self._take, invocation)),
        )

    def cancel(self, invocation: Invocation) -> None:
        """Cancel a command, if that is still possible."""
        now = self._clock.now()
        state = invocation.settled(now)
        if state.terminal:
            return
        if state in {State.PENDING, State.DELAYED}:
            invocation.end(State.CANCELLED, now)
            return
        invocation.state = State.CANCELLING
        if invocation.managed.connected and invocation.script:
            invocation.script.kill()

    def _take(self, invocation: Invocation) -> None:
        now = self._clock.now()
        if invocation.settled(now).terminal or now >= invocation.command.taken_until:
            return
        managed = invocation.managed
        invocation.state = State.IN_PROGRESS
        invocation.started = now
        if not self._sticks(managed):
            self._run(invocation)

    def _sticks(self, managed: ManagedInstance) -> bool:
        """Whether the agent, just started after a boot, accepts the command but never runs it."""
        since = self._clock.now() - managed.agent_start
        if managed.host.boots == 1:
            return False
        stuck = managed.host.active_faults.strike(CheckStuckAfterBoot, lambda fault: since <= fault.window)
        return stuck is not None

    def _run(self, invocation: Invocation) -> None:
        if invocation.settled(self._clock.now()).terminal:
            return
        if not invocation.managed.connected or invocation.managed.host.power is not Power.RUNNING:
            invocation.managed.when_back(partial(self._run_later, invocation))
            return
        invocation.attempt += 1
        plugin = invocation.command.plugin
        invocation.script = invocation.managed.host.execute(
            plugin.lines, partial(self._ended, invocation), plugin.timeout
        )

    def _run_later(self, invocation: Invocation) -> None:
        self._clock.after(self._timing.delivery, partial(self._run, invocation))

    def _ended(self, invocation: Invocation, result: ScriptResult) -> None:
        invocation.script = None
        match result.cut:
            case None | RebootEnding.KILLED | RebootEnding.SUCCESS:
                report = partial(self._report, invocation, result, self._clock.now())
                self._clock.after(self._timing.report, report)
            case RebootEnding.STUCK:
                pass  # it is never reported, and expires
            case RebootEnding.WORKER_TIMED_OUT:
                invocation.managed.when_back(partial(self._miss_worker, invocation))
            case RebootEnding.RUN_AGAIN:
                if invocation.attempt < MAX_ATTEMPTS:
                    invocation.managed.when_back(partial(self._run_later, invocation))
            case _:
                assert_never(result.cut)

    def _miss_worker(self, invocation: Invocation) -> None:
        self._clock.after(self._timing.worker_timed_out, partial(self._give_up_on_worker, invocation))

    def _give_up_on_worker(self, invocation: Invocation) -> None:
        now = self._clock.now()
        if not invocation.settled(now).terminal:
            invocation.end(State.FAILED, now, stderr=WORKER_TIMED_OUT)

    def _report(self, invocation: Invocation, result: ScriptResult, finished: datetime) -> None:
        invocation.managed.when_back(partial(self._record, invocation, result, finished))

    def _record(self, invocation: Invocation, result: ScriptResult, finished: datetime) -> None:
        now = self._clock.now()
        if invocation.settled(now).terminal:
            return
        document = invocation.command.document
        if invocation.managed.host.active_faults.strike(
            ReportedUndeliverable, lambda one: one.document in ("", document)
        ):
            invocation.end(State.UNDELIVERABLE, now)
            return
        code = 0 if result.cut is RebootEnding.SUCCESS else result.exit_code
        state, stderr = _result_of(invocation, result, code)
        invocation.end(state, finished, code, result.stdout, stderr)


def _result_of(invocation: Invocation, result: ScriptResult, code: int) -> tuple[State, str]:
    """The state that the agent reports, and stderr with what it adds."""
    if invocation.state is State.CANCELLING:
        return State.CANCELLED, result.stderr
    if result.timed_out:
        return State.EXECUTION_TIMED_OUT, result.stderr
    if code != 0:
        return State.FAILED, f"{result.stderr}\nfailed to run commands: exit status {code}"
    return State.SUCCESS, result.stderr


def _share(instance_id: str) -> float:
    """A number from 0 to 1 that is always the same for an instance."""
    return crc32(instance_id.encode()) / 0xFFFFFFFF
