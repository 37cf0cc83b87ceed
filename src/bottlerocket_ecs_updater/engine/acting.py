"""Act: each command once, in batches, marks before deeds. What fails for one instance costs no other its turn."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from bottlerocket_ecs_updater.core.claim import ATTRIBUTE, Claim, ClaimPhase
from bottlerocket_ecs_updater.core.command import (
    Apply,
    CallSuccessor,
    Cancel,
    Check,
    Command,
    Conclude,
    Drain,
    Mark,
    Note,
    Quarantine,
    Reboot,
    Return,
    RunAfterReboot,
    RunBeforeDrain,
    StopTasks,
    Unmark,
)
from bottlerocket_ecs_updater.core.errors import Interrupted, LeaseLost, UpdaterError, UsageError
from bottlerocket_ecs_updater.core.event import (
    ActUnclear,
    Claimed,
    CommandSent,
    Drained,
    InstanceFailed,
    InstanceHeld,
    InstanceQuarantined,
    InstanceUpdated,
    Returned,
    SuccessorCalled,
)
from bottlerocket_ecs_updater.core.fleet import (
    End,
    Flight,
    Instance,
    Kind,
    Outcome,
    Quarantined,
    Slot,
    Status,
    Trail,
    Updated,
    UpToDate,
)
from bottlerocket_ecs_updater.core.ids import ContainerInstanceArn, InstanceId
from bottlerocket_ecs_updater.core.ledger import (
    with_begun,
    with_claim,
    with_duration,
    with_rest,
    with_update,
    without_claim,
)
from bottlerocket_ecs_updater.core.observe import (
    see_drain_sent,
    see_marked,
    see_maybe_sent,
    see_refused,
    see_return_sent,
    see_sent,
    see_successor_called,
)
from bottlerocket_ecs_updater.core.own import nobody_could_be_called
from bottlerocket_ecs_updater.core.reasons import Failed, Hold, Reason, hold
from bottlerocket_ecs_updater.core.settling import deficits
from bottlerocket_ecs_updater.core.version import Version
from bottlerocket_ecs_updater.engine.knowledge import Knowledge
from bottlerocket_ecs_updater.engine.ledger import LedgerKeeping
from bottlerocket_ecs_updater.engine.ports import (
    Clock,
    Cluster,
    Done,
    Gone,
    Hosts,
    Later,
    Recorder,
    Refused,
    Result,
    Successors,
    Unclear,
)

PROBE = "bottlerocket-ecs-updater.probe"
"""An attribute that is written and dropped at once, to prove that claims can be."""

ORDER: tuple[type[Command], ...] = (
    Conclude,
    Note,
    Cancel,
    Return,
    Unmark,
    Quarantine,
    Mark,
    Drain,
    StopTasks,
    Reboot,
    RunAfterReboot,
    RunBeforeDrain,
    Check,
    Apply,
    CallSuccessor,
)
"""What is ours is finished before anything begins."""

SENT_FOR: Mapping[type[Command], Kind] = {
    Check: Kind.CHECK,
    Apply: Kind.APPLY,
    Reboot: Kind.REBOOT,
    RunBeforeDrain: Kind.BEFORE_DRAIN,
    RunAfterReboot: Kind.AFTER_REBOOT,
}


HOOKS = (Kind.BEFORE_DRAIN, Kind.AFTER_REBOOT)
"""Documents of the operator's, where the settings name them."""


class Acting:
    """Performs decisions. One instance of this class serves one run."""

    def __init__(
        self,
        knowledge: Knowledge,
        cluster: Cluster,
        hosts: Hosts,
        ledger: LedgerKeeping,
        clock: Clock,
        recorder: Recorder,
        successors: Successors | None = None,
    ) -> None:
        self._known = knowledge
        self._cluster = cluster
        self._hosts = hosts
        self._ledger = ledger
        self._clock = clock
        self._recorder = recorder
        self._successors = successors
        self._may_claim = False
        self._hooks_proven = False
        self.faltered = False
        """Whether anything of the last `perform` has to be asked for again."""

    def perform(self, queues: Iterable[Sequence[Command]]) -> bool:
        """Do what was decided, each instance's commands in their order; True when anything was done.

        Raises Denied and LeaseLost; every other trouble is an instance's own, and is seen at the next look.
        """
        waiting = [list(queue) for queue in queues if queue]
        acted = bool(waiting)
        self.faltered = False
        while waiting:
            kind = next(t for t in ORDER if any(isinstance(queue[0], t) for queue in waiting))
            batch = [queue[0] for queue in waiting if isinstance(queue[0], kind)]
            failed = self._perform_batch(batch)
            self.faltered = self.faltered or bool(failed)
            for queue in waiting:
                if isinstance(queue[0], kind):
                    if queue[0].instance in failed:
                        queue.clear()
                    else:
                        queue.pop(0)
            waiting = [queue for queue in waiting if queue]
        self._ledger.flush()
        return acted

    def _perform_batch(self, batch: Sequence[Command]) -> set[InstanceId]:
        """Perform commands of one type; gives the instances for which what follows must be left out."""
        match batch[0]:
            case Conclude():
                return self._conclude([c for c in batch if isinstance(c, Conclude)])
            case Note():
                return self._note([c for c in batch if isinstance(c, Note)])
            case Cancel():
                return self._cancel([c for c in batch if isinstance(c, Cancel)])
            case Return():
                return self._return([c for c in batch if isinstance(c, Return)])
            case Unmark():
                return self._unmark([c for c in batch if isinstance(c, Unmark)])
            case Quarantine():
                return self._quarantine([c for c in batch if isinstance(c, Quarantine)])
            case Mark():
                return self._mark([c for c in batch if isinstance(c, Mark)])
            case Drain():
                return self._drain([c for c in batch if isinstance(c, Drain)])
            case StopTasks():
                self._cluster.stop_tasks([task for c in batch if isinstance(c, StopTasks) for task in c.tasks])
                return set()
            case Check() | Apply() | Reboot() | RunBeforeDrain() | RunAfterReboot():
                return self._send(SENT_FOR[type(batch[0])], [c.instance for c in batch])
            case CallSuccessor():
                return self._call_successor([c for c in batch if isinstance(c, CallSuccessor)])

    # What is only remembered

    def _conclude(self, batch: Sequence[Conclude]) -> set[InstanceId]:
        for command in batch:
            self._settle_outcome(command.instance, command.outcome)
        return set()

    def _settle_outcome(self, id_: InstanceId, outcome: Outcome) -> None:
        instance = self._known.instance(id_)
        self._known.learn(replace(instance, trail=replace(instance.trail, outcome=outcome)))
        now = self._clock.now()
        match outcome:
            case Updated(source=source, target=target):
                self._recorder.record(InstanceUpdated(now, id_, source, target, outcome.downgrade))
            case Failed():
                self._recorder.record(InstanceFailed(now, id_, outcome))
            case Quarantined(why=why):
                self._recorder.record(InstanceQuarantined(now, id_, why))
            case Hold():
                self._recorder.record(InstanceHeld(now, id_, outcome))
            case UpToDate():
                pass

    def _note(self, batch: Sequence[Note]) -> set[InstanceId]:
        for command in batch:
            self._known.learn(replace(self._known.instance(command.instance), rest=command.rest))
            self._ledger.change(partial(with_rest, instance=command.instance, rest=command.rest))
        self._known.suspects = self._ledger.value.suspects
        return set()

    # The claim

    def _mark(self, batch: Sequence[Mark]) -> set[InstanceId]:
        """The store first, then the instance: whichever of the two survives, the duty to restore is written."""
        if any(self._known.instance(command.instance).claim is None for command in batch):
            self._prove_hooks()
        self._write_claims({command.instance: command.claim for command in batch})
        values = {}
        for command in batch:
            arn = self._known.arn_of(command.instance)
            if arn is not None:
                values[arn] = command.claim.encode()
        results = self._by_instance(self._cluster.put_attribute(ATTRIBUTE, values))
        return {command.instance for command in batch if not self._marked(command, results.get(command.instance))}

    def _write_claims(self, claims: Mapping[InstanceId, Claim]) -> None:
        """Make sure that the store has the claims. Raises what the store raises: then nothing else may follow."""
        for id_, claim in claims.items():
            arn = self._known.arn_of(id_)
            if arn is not None:
                self._ledger.change(partial(with_claim, instance=id_, claim=claim, arn=arn))
                self._note_progress(self._known.instance(id_), claim)
        self._ledger.flush()

    def _note_progress(self, instance: Instance, claim: Claim) -> None:
        """What the rules of later passes and runs ask: what was begun, and how long its parts took."""
        now, trail, applied = self._known.at, instance.trail, instance.applied
        if instance.claim is None:
            took = applied.ended_at - applied.sent_at if applied is not None and applied.end is End.SUCCESS else None
            self._ledger.change(partial(with_begun, at=now))
            self._ledger.change(partial(with_duration, stage=took))
        elif claim.phase is ClaimPhase.REBOOTING and trail.reboot_sent_at is None and trail.drain_sent_at is not None:
            self._ledger.change(partial(with_duration, drain=now - trail.drain_sent_at))

    def _marked(self, command: Mark, result: Result | None) -> bool:
        now = self._clock.now()
        match result:
            case Done():
                instance = self._known.instance(command.instance)
                if instance.claim is None:
                    claim = command.claim
                    downgrade = claim.target < claim.source
                    self._recorder.record(Claimed(now, instance.id, claim.source, claim.target, downgrade))
                if command.claim.phase is ClaimPhase.REBOOTING and instance.trail.reboot_sent_at is None:
                    self._known.learn_drain(instance)
                self._known.learn(see_marked(instance, command.claim, now))
                return True
            case Refused(why=why) | Gone(why=why) if self._known.instance(command.instance).claim is None:
                reason = Reason.GONE if isinstance(result, Gone) else Reason.NO_ROOM_FOR_CLAIM
                self._settle_outcome(command.instance, hold(reason, why=why))
                self._ledger.change(partial(without_claim, instance=command.instance))
            case Unclear(why=why):
                self._unclear(command.instance, "the claim", why)
            case Refused() | Gone() | Later() | None:
                pass
        return False

    def _unmark(self, batch: Sequence[Unmark]) -> set[InstanceId]:
        """The instance first, then the store: a claim is forgotten only when no copy of it is left to find."""
        arns = [arn for command in batch if (arn := self._written_on(command.instance)) is not None]
        results = self._by_instance(self._cluster.delete_attribute(ATTRIBUTE, arns)) if arns else {}
        dropped = []
        for command in batch:
            written = self._written_on(command.instance) is not None
            result = results.get(command.instance, Later("no answer")) if written else Done()
            match result:
                case Done() | Gone() | Refused():
                    dropped.append(command)
                case Later():
                    pass
                case Unclear(why=why):
                    self._unclear(command.instance, "dropping the claim", why)
        self._drop_leftovers({command.instance for command in dropped})
        for command in dropped:
            self._ledger.change(partial(without_claim, instance=command.instance))
            if isinstance(command.verdict, Updated):
                self._note_update(command.instance, command.verdict.target)
            self._unmarked(command)
        return {command.instance for command in batch} - {command.instance for command in dropped}

    def _drop_leftovers(self, ids: Collection[InstanceId]) -> None:
        """A registration that a lost checkpoint left behind carries the claim still: a later run would take it up."""
        ours = {id_ for id_ in ids if not self._known.instance(id_).trail.overwritten_looks}
        current = {self._known.arn_of(id_) for id_ in ours}
        left = [arn for arn, id_ in self._known.arns.items() if id_ in ours and arn not in current]
        if left:
            self._cluster.delete_attribute(ATTRIBUTE, left)

    def _note_update(self, id_: InstanceId, version: Version) -> None:
        trail = self._known.instance(id_).trail
        self._ledger.change(partial(with_update, instance=id_, version=version, at=self._known.at))
        if trail.reboot_sent_at is not None and trail.proof_at is not None:
            self._ledger.change(partial(with_duration, reboot=trail.proof_at - trail.reboot_sent_at))

    def _written_on(self, id_: InstanceId) -> ContainerInstanceArn | None:
        """Where our claim is to be dropped; nowhere where it is gone, or where another run wrote over it."""
        instance = self._known.instance(id_)
        if not instance.registered or instance.trail.overwritten_looks:
            return None
        return self._known.arn_of(id_)

    def _unmarked(self, command: Unmark) -> None:
        now = self._clock.now()
        instance = self._known.instance(command.instance)
        trail = instance.trail
        if command.took_slot:
            before = self._known.deficits_at_start if trail.deficits_before is None else trail.deficits_before
            self._known.slots += (Slot(instance.id, instance.zone, now, before),)
            out = now - trail.drain_sent_at if trail.drain_sent_at is not None else None
            self._recorder.record(Returned(now, instance.id, out))
        kept = replace(trail, unmarked=True) if command.verdict is not None else Trail(unmarked=True)
        claimless = replace(instance, claim=None, claim_on_instance=False, reboot_flight=None, trail=kept)
        self._known.learn(claimless)
        if command.verdict is not None:
            self._settle_outcome(command.instance, command.verdict)

    def _quarantine(self, batch: Sequence[Quarantine]) -> set[InstanceId]:
        self._write_claims({command.instance: command.claim for command in batch})
        values = {}
        for command in batch:
            arn = self._written_on(command.instance)
            if arn is not None:
                values[arn] = command.claim.encode()
        results = self._by_instance(self._cluster.put_attribute(ATTRIBUTE, values)) if values else {}
        later = set()
        for command in batch:
            if isinstance(results.get(command.instance), Later | Unclear):
                later.add(command.instance)
                continue
            self._known.learn(replace(self._known.instance(command.instance), claim=command.claim))
            self._settle_outcome(command.instance, Quarantined(command.why))
        return later

    # The state in ECS

    def _drain(self, batch: Sequence[Drain]) -> set[InstanceId]:
        before = deficits(self._known.services)
        results = self._set_status([command.instance for command in batch], Status.DRAINING)
        now = self._clock.now()
        failed = set()
        for id_, result in results.items():
            match result:
                case Done():
                    drained = see_drain_sent(self._known.instance(id_), now, before, confirmed=True)
                    self._known.learn(drained)
                    self._recorder.record(Drained(now, id_, sum(drained.trail.moving.values())))
                case Unclear(why=why):
                    self._known.learn(see_drain_sent(self._known.instance(id_), now, before, confirmed=False))
                    self._unclear(id_, "DRAINING", why)
                case Gone() | Refused() | Later():
                    failed.add(id_)
        return failed

    def _return(self, batch: Sequence[Return]) -> set[InstanceId]:
        verdicts = {command.instance: command.verdict for command in batch}
        results = self._set_status(list(verdicts), Status.ACTIVE)
        now = self._clock.now()
        failed = set()
        for id_, result in results.items():
            if isinstance(result, Done | Unclear):
                confirmed = isinstance(result, Done)
                self._known.learn(see_return_sent(self._known.instance(id_), now, verdicts[id_], confirmed=confirmed))
            else:
                failed.add(id_)
            if isinstance(result, Unclear):
                self._unclear(id_, "ACTIVE", result.why)
        return failed

    def _set_status(self, ids: Sequence[InstanceId], status: Status) -> Mapping[InstanceId, Result]:
        arns = [arn for id_ in ids if (arn := self._known.arn_of(id_)) is not None]
        answered = self._by_instance(self._cluster.set_status(arns, status)) if arns else {}
        return {id_: answered.get(id_, Gone("it is not registered")) for id_ in ids}

    def _by_instance(self, results: Mapping[ContainerInstanceArn, Result]) -> dict[InstanceId, Result]:
        return {self._known.arns[arn]: result for arn, result in results.items() if arn in self._known.arns}

    def _unclear(self, id_: InstanceId, act: str, why: str) -> None:
        self._recorder.record(ActUnclear(self._clock.now(), id_, act, why))

    # Commands to hosts

    def _prove_claims(self, id_: InstanceId) -> None:
        """Write and drop an attribute before anything is begun. Raises Denied where that is not permitted.

        Without claims nobody could finish what a killed run began, so a run that may not write them does not start.
        """
        arn = self._known.arn_of(id_)
        if arn is None or self._may_claim:
            return
        written = self._cluster.put_attribute(PROBE, {arn: self._known.run}).get(arn)
        dropped = self._cluster.delete_attribute(PROBE, [arn]).get(arn)
        self._may_claim = isinstance(written, Done) and isinstance(dropped, Done)

    def _prove_hooks(self) -> None:
        """See that the operator's documents are there before the first host waits for one of them, out of service."""
        if not self._hooks_proven:
            for kind in HOOKS:
                self._hosts.prove_document(kind)
            self._hooks_proven = True

    def _send(self, kind: Kind, ids: Sequence[InstanceId]) -> set[InstanceId]:
        if kind is Kind.APPLY:
            self._prove_claims(ids[0])
        if kind is Kind.BEFORE_DRAIN:
            self._prove_hooks()
        now = self._clock.now()
        sent = self._hosts.send(kind, ids)
        for id_, command in sent.commands.items():
            self._known.learn(see_sent(self._known.instance(id_), Flight(kind, command, now)))
            self._recorder.record(CommandSent(now, id_, kind, command))
        for id_, why in sent.unclear.items():
            self._unclear(id_, kind.value, why)
            if kind is not Kind.CHECK:
                self._known.learn(see_maybe_sent(self._known.instance(id_), kind, now))
        for id_, why in sent.refused.items():
            self._known.learn(see_refused(self._known.instance(id_), kind, why, now))
        return set(sent.later) | set(sent.unclear) | set(sent.refused)

    # Another run

    def _call_successor(self, batch: Sequence[CallSuccessor]) -> set[InstanceId]:
        """Ask once; where that fails, the instance is a later run's."""
        for command in batch:
            try:
                if self._successors is None:
                    raise UsageError("this run does not know how")
                self._successors.call()
            except (LeaseLost, Interrupted):
                raise
            except UpdaterError as error:
                self._settle_outcome(command.instance, nobody_could_be_called(error))
            else:
                now = self._clock.now()
                self._known.learn(see_successor_called(self._known.instance(command.instance), now))
                self._recorder.record(SuccessorCalled(now, command.instance))
        return set()

    def _cancel(self, batch: Sequence[Cancel]) -> set[InstanceId]:
        for command in batch:
            flight = self._known.instance(command.instance).reboot_flight
            if flight is not None and flight.command:
                self._hosts.cancel(flight.command, [command.instance])
        return set()
