"""Notices what stops a run from acting: denied calls, calls that AWS does not accept, and facts that never arrive."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from bottlerocket_ecs_updater.core.decision.decide import Decision
from bottlerocket_ecs_updater.core.model.ids import InstanceId
from bottlerocket_ecs_updater.core.model.reasons import Reason, hold
from bottlerocket_ecs_updater.core.model.run_command import DocumentKind
from bottlerocket_ecs_updater.core.model.time_text import duration_text, has_passed
from bottlerocket_ecs_updater.core.rules.policy import Policy
from bottlerocket_ecs_updater.engine.act.executor import Executor
from bottlerocket_ecs_updater.engine.ports import Clock
from bottlerocket_ecs_updater.engine.run_state import RunState


class Obstacles:
    """Decides when to stop waiting for a call that AWS does not accept, or for a fact that it does not return."""

    def __init__(self, known: RunState, executor: Executor, clock: Clock, policy: Policy) -> None:
        self._known = known
        self._executor = executor
        self._clock = clock
        self._policy = policy
        self._stuck: dict[InstanceId, tuple[datetime, int]] = {}
        """By instance: since when, and in how many passes, the run only wanted to look at it again at once."""

    def notice_denials(self) -> None:
        """After an act that AWS denied, start no more updates. Raises the denial if no update is in progress.

        Claimed instances are finished without the call: they are verified if possible, the others are returned to
        service, and the run ends with the error.
        """
        known, denied = self._known, self._executor.denied
        if denied is not None:
            if not known.in_progress:
                raise denied
            known.block_denied(denied)
        self._block_stalled()
        # If AWS denies reboots or checks for all hosts so far, drain no more hosts.
        for kind in (DocumentKind.REBOOT, DocumentKind.CHECK):
            known.block(self._denied_for_all(kind))

    def _block_stalled(self) -> None:
        """Treat a call that AWS has neither accepted nor denied for `stall_timeout` as denied."""
        known, now, limit = self._known, self._clock.now(), self._policy.stall_timeout
        since = {id_: known.instance(id_).progress.stalled_since for id_ in sorted(self._executor.stalled)}
        over = [id_ for id_, at in since.items() if at is not None and has_passed(at, limit, now)]
        if known.fleet.blocked or not over:
            return
        why = f"AWS did not accept any call for {', '.join(over)} within {duration_text(limit)}"
        known.fleet = replace(known.fleet, blocked=why)
        for id_ in over:
            # The next step for the instance gets its own time limit.
            instance = known.instance(id_)
            known.learn(replace(instance, progress=replace(instance.progress, stalled_since=None)))

    def notice_missing_facts(self, decision: Decision) -> None:
        """Hold instances for this run if looks never return all the facts that a drain needs."""
        now, limit = self._known.fleet.at, self._policy.answer_timeout
        wanted = [id_ for id_, step in decision.steps.items() if step.look_at == now and not step.commands]
        unclaimed = [id_ for id_ in wanted if self._known.instance(id_).claim is None]
        before = {id_: self._stuck.get(id_, (now, 0)) for id_ in unclaimed}
        self._stuck = {id_: (since, looks + 1) for id_, (since, looks) in before.items()}
        # In a large cluster, a look takes most of a minute, so the time alone does not show that a fact never arrives.
        enough = limit / self._policy.poll_interval
        often = {id_: since for id_, (since, looks) in self._stuck.items() if looks >= enough}
        for id_ in [id_ for id_, since in often.items() if has_passed(since, limit, now)]:
            self._executor.outcomes.settle(id_, hold(Reason.FACTS_MISSING, limit=duration_text(limit)))

    def denial(self) -> str:
        """The error to end the run with: a denied call, or a document that is denied for all hosts; empty if none."""
        known = self._known
        return known.fleet.blocked or next(filter(None, map(self._denied_for_all, DocumentKind)), "")

    def _denied_for_all(self, kind: DocumentKind) -> str:
        return self._known.documents.for_all(kind, self._known.instances.values())
