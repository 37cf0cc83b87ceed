"""Sets instances to DRAINING and back to ACTIVE in ECS."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bottlerocket_ecs_updater.core.decision.settling import lasting_deficits, running_now
from bottlerocket_ecs_updater.core.model.command import Drain, Return
from bottlerocket_ecs_updater.core.model.container_instance import Status
from bottlerocket_ecs_updater.core.model.event import Drained
from bottlerocket_ecs_updater.core.model.ids import InstanceId
from bottlerocket_ecs_updater.core.state.acts import see_drain_sent, see_return_sent
from bottlerocket_ecs_updater.core.state.ledger import with_survival
from bottlerocket_ecs_updater.engine.act.context import ActContext
from bottlerocket_ecs_updater.engine.ports import Cluster, Done, Gone, Later, Refused, Result, Unclear


class StatusActs:
    """Drains instances and returns them to service. Create one per run."""

    def __init__(self, context: ActContext, cluster: Cluster) -> None:
        self._known = context.known
        self._ledger = context.ledger
        self._clock = context.clock
        self._recorder = context.recorder
        self._outcomes = context.outcomes
        self._cluster = cluster

    def drain(self, batch: Sequence[Drain]) -> set[InstanceId]:
        """Drain instances. Returns those whose following commands must be skipped."""
        worst = self._known.baseline.worst
        lasting = lasting_deficits(self._known.fleet.services, self._known.returned, self._known.daemon_start)
        before = {arn: max(lasting.get(arn, 0), worst.get(arn, 0)) for arn in {*lasting, *worst}}
        had = running_now(self._known.fleet.services)
        self._known.drained = True
        for command in batch:
            self._known.stopped.pop(command.instance, None)
        results = self._set_status([command.instance for command in batch], Status.DRAINING)
        now = self._clock.now()
        failed = set()
        for id_, result in results.items():
            match result:
                case Done():
                    drained = see_drain_sent(self._known.instance(id_), now, before, had, confirmed=True)
                    self._known.learn(drained)
                    self._recorder.record(Drained(now, id_, sum(drained.progress.moving.values())))
                case Unclear(why=why):
                    self._known.learn(see_drain_sent(self._known.instance(id_), now, before, had, confirmed=False))
                    self._outcomes.unclear(id_, Status.DRAINING.value, why)
                case Gone() | Refused() | Later():
                    failed.add(id_)
        return failed

    def return_to_service(self, batch: Sequence[Return]) -> set[InstanceId]:
        """Set instances ACTIVE. Returns those whose following commands must be skipped."""
        steps = {command.instance: command.outcome for command in batch}
        if self._known.fleet.attributes_survive and not self._ledger.value.attributes_survive:
            # Save this before the first return: later runs need it to judge a lost claim.
            self._ledger.change(with_survival)
            self._ledger.flush()
        results = self._set_status(list(steps), Status.ACTIVE)
        now = self._clock.now()
        failed = set()
        for id_, result in results.items():
            if isinstance(result, Done | Unclear):
                confirmed = isinstance(result, Done)
                self._known.learn(see_return_sent(self._known.instance(id_), now, steps[id_], confirmed=confirmed))
            else:
                failed.add(id_)
            if isinstance(result, Unclear):
                self._outcomes.unclear(id_, Status.ACTIVE.value, result.why)
        return failed

    def _set_status(self, ids: Sequence[InstanceId], status: Status) -> Mapping[InstanceId, Result]:
        arns = [arn for id_ in ids if (arn := self._known.arn_of(id_)) is not None]
        answered = self._known.by_instance(self._cluster.set_status(arns, status)) if arns else {}
        return {id_: answered.get(id_, Gone("it is not registered")) for id_ in ids}
