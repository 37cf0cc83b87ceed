"""Decides when the next look is due, and what it reads."""

from __future__ import annotations

from datetime import datetime, timedelta

from bottlerocket_ecs_updater.core.decision.decide import Decision
from bottlerocket_ecs_updater.core.decision.polling import (
    apart,
    is_prompt,
    quiet_time,
    services_apart,
    shared_look,
)
from bottlerocket_ecs_updater.core.model.ids import InstanceId
from bottlerocket_ecs_updater.core.model.time_text import has_passed
from bottlerocket_ecs_updater.core.rules.policy import Policy
from bottlerocket_ecs_updater.engine.look.schedule import GATHER_SHARE, LookSchedule
from bottlerocket_ecs_updater.engine.look.wants import Wants
from bottlerocket_ecs_updater.engine.run_state import RunState

BASELINE_LOOKS, BASELINE_SPACING = 5, timedelta(seconds=15)
"""Looks at services before the first drain, and the time between them. They show which services flap by themselves."""


class NextLook:
    """Plans looks: those that decisions ask for, shared by instances if many updates are in progress."""

    def __init__(self, known: RunState, policy: Policy) -> None:
        self._known = known
        self._policy = policy
        self._schedule = LookSchedule(policy.poll_interval)

    def at(self, decision: Decision, looked: Wants) -> datetime:
        """When to look next, after a decision that followed the look `looked`."""
        self._schedule_looks(decision, looked)
        return self._align(self._schedule.next(decision.look_at) or self._known.now)

    def wants(self, decision: Decision, now: datetime) -> Wants:
        """What a look that is taken now reads."""
        steps, due = decision.steps.items(), self._schedule.due(now)
        results_only = {id_ for id_ in due if id_ in decision.steps and decision.steps[id_].wants_answer_only}
        return Wants(
            full=decision.wants_full_look,
            listing=decision.wants_listing,
            services=self._schedule.services_due(now) or self._baseline_due(now),
            due=due - results_only,
            results_only=results_only,
            tasks=[id_ for id_, step in steps if step.wants_tasks],
            groups=[id_ for id_, step in steps if step.wants_group],
            reboot_ends=[id_ for id_, step in steps if step.wants_reboot_end and id_ in due],
        )

    def _schedule_looks(self, decision: Decision, looked: Wants) -> None:
        ours = [id_ for id_, instance in self._known.instances.items() if instance.claim is not None]
        kept = ours if looked.full or looked.listing else [*looked.due, *looked.results_only]
        self._schedule.take(decision, ours, kept, self._known.now)
        services = self._known.fleet.services
        were_looked_at = services is not None and services.at == self._known.now
        self._schedule.take_services(self._services_at(decision), kept=were_looked_at)

    def _services_at(self, decision: Decision) -> datetime | None:
        """When to look at the services next.

        With many updates in progress, one look covers several instances that settle (see `services_apart`).
        """
        policy, at = self._policy, decision.services_at
        if at is None or decision.wants_full_look:
            return at
        spacing = services_apart(policy.poll_interval, self._together_at_most, policy.settle)
        return shared_look(at, self._known.fleet.started_at, spacing)

    def _baseline_due(self, now: datetime) -> bool:
        """Whether to look at services again before the first drain, to see how stable they are."""
        known = self._known
        seen = known.fleet.services
        few = not known.drained and known.baseline.looks < BASELINE_LOOKS and bool(known.instances)
        return few and seen is not None and has_passed(seen.at, BASELINE_SPACING, now)

    def _align(self, again: datetime) -> datetime:
        """When to take the next look. With many updates in progress, instances share looks and calls.

        Results that arrive within seconds are read sooner than the rest, by looks that are shared as well.
        """
        policy, began = self._policy, self._known.fleet.started_at
        spacing = self._batch_interval
        prompt = self._schedule.earliest(self._is_prompt)
        shared = shared_look(again, began, spacing)
        if prompt is None:
            return shared
        return min(shared, max(again, shared_look(prompt - policy.poll_interval / GATHER_SHARE, began, spacing)))

    def _is_prompt(self, id_: InstanceId) -> bool:
        instance, fleet = self._known.instance(id_), self._known.fleet
        drain = instance.progress.drain
        learned = fleet.durations.drain_of(instance) if drain is not None else None
        if drain is None or learned is None:
            return is_prompt(instance)
        return is_prompt(instance, emptied=drain.at + quiet_time(learned, self._policy.poll_interval) <= fleet.at)

    @property
    def _batch_interval(self) -> timedelta:
        """How far apart shared looks are."""
        return apart(self._policy.poll_interval, self._together_at_most)

    @property
    def _together_at_most(self) -> int:
        """How many instances may be out of service at once."""
        return self._policy.max_unavailable.of(len(self._known.instances))
