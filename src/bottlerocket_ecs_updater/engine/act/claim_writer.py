"""Writes and deletes claims in two places. A write goes to the store first, a delete to the instance first.

So if a run dies at any point, one copy still exists, and no claim is forgotten while a copy exists.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial

from bottlerocket_ecs_updater.core.decision.left_claim import drained_for_claim
from bottlerocket_ecs_updater.core.model.claim import CLAIM_ATTRIBUTE, FINISHED, Claim, ClaimPhase
from bottlerocket_ecs_updater.core.model.command import Mark, Quarantine, Unmark
from bottlerocket_ecs_updater.core.model.container_instance import Status
from bottlerocket_ecs_updater.core.model.event import Claimed, Returned
from bottlerocket_ecs_updater.core.model.ids import ContainerInstanceArn, InstanceId
from bottlerocket_ecs_updater.core.model.instance import Instance, SurveyedFacts
from bottlerocket_ecs_updater.core.model.outcome import Quarantined, Updated
from bottlerocket_ecs_updater.core.model.reasons import Hold, Reason, hold
from bottlerocket_ecs_updater.core.model.run_command import CommandStatus
from bottlerocket_ecs_updater.core.model.run_progress import RunProgress
from bottlerocket_ecs_updater.core.model.services import Slot
from bottlerocket_ecs_updater.core.model.version import Version
from bottlerocket_ecs_updater.core.state.acts import see_marked
from bottlerocket_ecs_updater.core.state.ledger import (
    with_claim,
    with_duration,
    with_left,
    with_start,
    with_troubled,
    with_update,
    without_blockers,
    without_claim,
)
from bottlerocket_ecs_updater.core.state.observe import health_before
from bottlerocket_ecs_updater.engine.act.context import ActContext
from bottlerocket_ecs_updater.engine.ports import Cluster, Done, Gone, Later, Refused, Result, Unclear
from bottlerocket_ecs_updater.errors import Denied, LeaseLost, UpdaterError

PROBE = "bottlerocket-ecs-updater.probe"
"""An attribute that is written and immediately deleted, to test the permissions for claims."""


class ClaimWriter:
    """Writes and deletes claims. Every method returns the instances whose following commands must be skipped."""

    def __init__(self, context: ActContext, cluster: Cluster) -> None:
        self._known = context.known
        self._ledger = context.ledger
        self._clock = context.clock
        self._recorder = context.recorder
        self._outcomes = context.outcomes
        self._cluster = cluster
        self._permitted = False

    def mark(self, batch: Sequence[Mark]) -> set[InstanceId]:
        """Write claims to the store, then to the instance. Either copy is enough to return the instance to service.

        Once this cluster has shown that attributes survive a reboot, the copy in the store is only a spare: it follows
        with the next write of the ledger (see `Executor.save`).
        """
        self._write_claims(
            {command.instance: command.claim for command in batch}, at_once=not self._known.fleet.attributes_survive
        )
        values = {}
        for command in batch:
            arn = self._known.arn_of(command.instance)
            if arn is not None:
                values[arn] = command.claim.encode()
        results = self._known.by_instance(self._cluster.put_attribute(CLAIM_ATTRIBUTE, values))
        return {command.instance for command in batch if not self._marked(command, results.get(command.instance))}

    def _write_claims(self, claims: Mapping[InstanceId, Claim], *, at_once: bool = True) -> None:
        """Write claims to the ledger, and save it. Raises what the store raises: then nothing else may follow.

        On failure it also undoes the change: otherwise a later run finds a claim on an instance that was never claimed.
        """
        before = self._ledger.value
        for id_, claim in claims.items():
            arn = self._known.arn_of(id_)
            if arn is not None:
                instance = self._known.instance(id_)
                self._note_progress(instance, claim.phase)
                health = health_before(instance)
                self._ledger.change(partial(with_claim, instance=id_, claim=claim, arn=arn, health_before=health))
        if not at_once:
            return
        try:
            self._ledger.flush()
        except (UpdaterError, LeaseLost):
            self._ledger.change(lambda _: before)
            raise

    def _note_progress(self, instance: Instance, phase: ClaimPhase) -> None:
        """Record what later passes and runs need: that the update started, and how long its parts took.

        It is recorded with the first attempt to write a claim, so it needs no separate write.
        """
        self._note_start(instance)
        progress, applied, claim = instance.progress, instance.applied, instance.claim
        written = self._ledger.value.claims.get(instance.id)
        if written is not None and written.claim.phase is phase:
            return
        if claim is None:
            took = (
                applied.ended_at - applied.sent_at
                if applied is not None and applied.end is CommandStatus.SUCCESS
                else None
            )
            self._ledger.change(partial(with_duration, stage=took))
        elif phase is ClaimPhase.REBOOTING and claim.phase is ClaimPhase.DRAINING and progress.drain is not None:
            self._ledger.change(partial(with_duration, drain=self._known.fleet.at - progress.drain.at))
            self._ledger.change(partial(without_blockers, names=progress.drain.names))

    def _note_start(self, instance: Instance) -> None:
        """Record that the instance was drained, by this run or an earlier one. Until then, its claim records it."""
        claim, started = instance.claim, self._ledger.value.started.get(instance.id)
        if claim is None or claim.phase is not ClaimPhase.DRAINING or not instance.progress.drain_seen:
            return
        if started is None or started < claim.since:
            self._ledger.change(partial(with_start, instance=instance.id, at=claim.since))

    def _marked(self, command: Mark, result: Result | None) -> bool:
        now = self._clock.now()
        instance = self._known.instance(command.instance)
        match result:
            case Done():
                if instance.claim is None:
                    claim = command.claim
                    downgrade = claim.target < claim.source
                    self._recorder.record(Claimed(now, instance.id, claim.source, claim.target, downgrade))
                if command.claim.phase is ClaimPhase.REBOOTING and instance.progress.reboot_sent_at is None:
                    self._known.learn_drain(instance)
                self._known.learn(see_marked(instance, command.claim, now))
                return True
            case Unclear(why=why):
                self._outcomes.unclear(command.instance, "the claim", why)
                if instance.claim is None:
                    # It may have our claim now, so count it against the limits until a look shows that it does not.
                    self._known.learn(see_marked(instance, command.claim, now, confirmed=False))
            case Refused(why=why) | Gone(why=why) if instance.claim is None:
                reason = Reason.GONE if isinstance(result, Gone) else Reason.NO_ROOM_FOR_CLAIM
                self._outcomes.settle(command.instance, hold(reason, why=why))
                self._withdraw(instance)
            case Refused() | Gone() | Later() | None:
                self._withdraw(instance)
        return False

    def _withdraw(self, instance: Instance) -> None:
        """The claim did not reach the instance, so restore the store's copy to what the instance has."""
        arn = self._known.arn_of(instance.id)
        if instance.claim is None:
            self._ledger.change(partial(without_claim, instance=instance.id))
        elif arn is not None:
            kept, health = instance.claim, health_before(instance)
            self._ledger.change(partial(with_claim, instance=instance.id, claim=kept, arn=arn, health_before=health))

    def unmark(self, batch: Sequence[Unmark]) -> set[InstanceId]:
        """Delete claims from the instance, then from the store.

        If AWS denies the deletion, overwrite the claim with one that says it is finished. Raises Denied in that case,
        after all claims are handled: without the permission, no more updates may start.
        """
        results, denied = self._drop([arn for one in batch if (arn := self._written_on(one.instance)) is not None])
        dropped = []
        for command in batch:
            arn = self._written_on(command.instance)
            match results.get(arn, Later("no answer")) if arn is not None else Done():
                case Done() | Gone() | Refused():
                    dropped.append(command)
                case Later():
                    pass
                case Unclear(why=why):
                    self._outcomes.unclear(command.instance, "removing the claim", why)
        if denied is None:
            self._drop_leftovers({command.instance for command in dropped})
        for command in dropped:
            self._note_start(self._known.instance(command.instance))
            self._note_left(command)
            self._ledger.change(partial(without_claim, instance=command.instance))
            if isinstance(command.outcome, Updated):
                self._note_update(command.instance, command.outcome.target)
            self._unmarked(command)
        if denied is not None:
            raise denied
        return {command.instance for command in batch} - {command.instance for command in dropped}

    def _note_left(self, command: Unmark) -> None:
        """Record the claim of an instance that stays DRAINING because of it, for the case that it does not leave."""
        instance = self._known.instance(command.instance)
        claim, registration = instance.claim, instance.registration
        leaves = isinstance(command.outcome, Hold) and command.outcome.reason is Reason.LEAVING_GROUP
        if claim is None or registration is None or registration.status is not Status.DRAINING or not leaves:
            return
        if drained_for_claim(instance, self._known.fleet.run):
            self._ledger.change(partial(with_left, instance=instance.id, claim=claim, arn=registration.arn))

    def _drop(
        self, written: Sequence[ContainerInstanceArn]
    ) -> tuple[Mapping[ContainerInstanceArn, Result], Denied | None]:
        """Delete the claims, or overwrite them if AWS denies it. Returns the results, and the denial."""
        if not written:
            return {}, None
        try:
            return self._cluster.delete_attribute(CLAIM_ATTRIBUTE, written), None
        except Denied as denied:
            return self._cluster.put_attribute(CLAIM_ATTRIBUTE, dict.fromkeys(written, FINISHED)), denied

    def _drop_leftovers(self, ids: Collection[InstanceId]) -> None:
        """Delete claims from old registrations that a lost checkpoint left behind, so that no later run adopts them."""
        ours = {id_ for id_ in ids if not self._known.instance(id_).progress.overwritten_looks}
        current = {self._known.arn_of(id_) for id_ in ours}
        left = [arn for arn, id_ in self._known.arns.items() if id_ in ours and arn not in current]
        if left:
            self._cluster.delete_attribute(CLAIM_ATTRIBUTE, left)

    def _note_update(self, id_: InstanceId, version: Version) -> None:
        """Record that a version works on the instance. Earlier failures with that version no longer hold it."""
        instance, progress = self._known.instance(id_), self._known.instance(id_).progress
        impaired = progress.was_impaired
        self._ledger.change(
            partial(with_update, instance=id_, version=version, at=self._took_tasks_at(id_), impaired_before=impaired)
        )
        baseline = self._known.baseline
        self._ledger.change(partial(with_troubled, version=version, services=baseline.flapping | baseline.losing))
        self._known.learn_ledger(self._ledger.value)
        if instance.backoff is not None and instance.backoff.version == version:
            self._known.learn(replace(instance, backoff=None))
        if progress.reboot_sent_at is not None and progress.new_boot is not None:
            self._ledger.change(partial(with_duration, reboot=progress.new_boot.asked_at - progress.reboot_sent_at))

    def _took_tasks_at(self, id_: InstanceId) -> datetime:
        """The earliest time at which ECS can have placed tasks on it on its new version: those tasks are evidence.

        Another run may have returned it, and died before it recorded that. It had no tasks when its reboot was claimed.
        """
        now, instance = self._known.fleet.at, self._known.instance(id_)
        claim, booted = instance.claim, instance.progress.new_boot
        if claim is not None and claim.run != self._known.fleet.run and claim.phase is ClaimPhase.REBOOTING:
            return min(claim.since, now)
        # Not when the return was answered: ECS may have placed a task by then.
        return min(booted.asked_at, now) if booted is not None else now

    def _written_on(self, id_: InstanceId) -> ContainerInstanceArn | None:
        """Where to delete our claim; None if the instance is gone, or another run overwrote the claim."""
        instance = self._known.instance(id_)
        if not instance.registered or instance.progress.overwritten_looks:
            return None
        return self._known.arn_of(id_)

    def _unmarked(self, command: Unmark) -> None:
        now = self._clock.now()
        instance = self._known.instance(command.instance)
        progress = instance.progress
        self._known.note_verification(instance)
        if command.took_slot:
            drain = progress.drain
            slot = Slot(instance.id, instance.zone, now, self._known.baseline.worst)
            if drain is not None:
                before, had = drain.deficits_before, drain.running_before
                slot = replace(slot, deficits_before=before, running_before=had, drained_at=drain.at)
            self._known.take_slot(slot)
            out = now - drain.at if drain is not None else None
            self._recorder.record(Returned(now, instance.id, out))
        kept = replace(progress, unmarked=True) if command.outcome is not None else RunProgress(unmarked=True)
        instance = replace(instance, around=_without_old_machine(instance.around))
        claimless = replace(instance, claim=None, claim_on_instance=False, reboots=(), progress=kept)
        self._known.learn(claimless)
        if command.outcome is not None:
            self._outcomes.settle(command.instance, command.outcome)

    def quarantine(self, batch: Sequence[Quarantine]) -> set[InstanceId]:
        self._write_claims({command.instance: command.claim for command in batch})
        values = {}
        for command in batch:
            arn = self._written_on(command.instance)
            if arn is not None:
                values[arn] = command.claim.encode()
        results = self._known.by_instance(self._cluster.put_attribute(CLAIM_ATTRIBUTE, values)) if values else {}
        later = set()
        for command in batch:
            result = results.get(command.instance)
            if isinstance(result, Later | Unclear):
                later.add(command.instance)
                continue
            instance, confirmed = self._known.instance(command.instance), isinstance(result, Done)
            self._known.learn(see_marked(instance, command.claim, self._clock.now(), confirmed=confirmed))
            self._outcomes.settle(command.instance, Quarantined(command.why))
        return later

    def check_permission(self, id_: InstanceId) -> None:
        """Write and delete a test attribute before the first update. Raises Denied without the permission.

        Without claims, no later run could finish what a killed run started, so no update starts without the permission.
        """
        arn = self._known.arn_of(id_)
        if arn is None or self._permitted:
            return
        written = self._cluster.put_attribute(PROBE, {arn: self._known.fleet.run}).get(arn)
        dropped = self._cluster.delete_attribute(PROBE, [arn]).get(arn)
        self._permitted = isinstance(written, Done) and isinstance(dropped, Done)


def _without_old_machine(around: SurveyedFacts | None) -> SurveyedFacts | None:
    """The survey, without EC2's answer from while it was claimed: the instance may have been started again since."""
    if around is None or around.machine is None or around.machine.terminated:
        return around
    return replace(around, machine=None)
