"""Executes commands, each once, in batches, and claims before acts. A failure affects only its own instance."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

from bottlerocket_ecs_updater.core.decision.unclaimed.own_host import nobody_could_be_called
from bottlerocket_ecs_updater.core.model.command import (
    Apply,
    CallSuccessor,
    Cancel,
    Check,
    Command,
    Conclude,
    Drain,
    Mark,
    Note,
    NoteBlockers,
    Quarantine,
    Reboot,
    Return,
    RunAfterReboot,
    RunBeforeDrain,
    StopTasks,
    Unmark,
)
from bottlerocket_ecs_updater.core.model.container_instance import Status
from bottlerocket_ecs_updater.core.model.event import SuccessorCalled
from bottlerocket_ecs_updater.core.model.ids import InstanceId
from bottlerocket_ecs_updater.core.model.reboots import BoundTo
from bottlerocket_ecs_updater.core.model.run_command import DocumentKind
from bottlerocket_ecs_updater.core.model.version import Version
from bottlerocket_ecs_updater.core.state.acts import see_successor_called
from bottlerocket_ecs_updater.core.state.ledger import cannot_wait, with_backoff, with_blocked
from bottlerocket_ecs_updater.engine.act.claim_writer import ClaimWriter
from bottlerocket_ecs_updater.engine.act.context import ActContext
from bottlerocket_ecs_updater.engine.act.host_commands import HostCommands
from bottlerocket_ecs_updater.engine.act.outcomes import Outcomes
from bottlerocket_ecs_updater.engine.act.status_acts import StatusActs
from bottlerocket_ecs_updater.engine.run_ports import Ports
from bottlerocket_ecs_updater.engine.run_state import RunState
from bottlerocket_ecs_updater.errors import (
    Denied,
    Interrupted,
    LeaseLapsed,
    LeaseLost,
    NotFound,
    Throttled,
    Unreachable,
    UpdaterError,
    UsageError,
)

ORDER: tuple[type[Command], ...] = (
    Conclude,
    Note,
    NoteBlockers,
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
"""Claimed instances are finished before new updates start."""

SENT_FOR: Mapping[type[Command], DocumentKind] = {
    Check: DocumentKind.CHECK,
    Apply: DocumentKind.APPLY,
    Reboot: DocumentKind.REBOOT,
    RunBeforeDrain: DocumentKind.BEFORE_DRAIN,
    RunAfterReboot: DocumentKind.AFTER_REBOOT,
}


NEVER_STALLED = (Conclude, Note, NoteBlockers, Cancel, StopTasks)
"""Commands that are only recorded, or tried once. They do not show whether AWS accepts acts on an instance."""

LEDGER_WAITS = timedelta(minutes=2)
"""How long ledger changes wait if nothing depends on them: a killed run loses at most these."""

LOOK_SERVES = timedelta(seconds=10)
"""How old the look may be on which a reboot is sent. A claim that was written first may have taken long."""


class Executor:
    """Executes decisions. Create one per run."""

    def __init__(self, known: RunState, ports: Ports) -> None:
        self._known = known
        self._cluster = ports.cluster
        self._ledger = ports.ledger
        self._clock = ports.clock
        self._recorder = ports.recorder
        self._successors = ports.successors
        self.outcomes = Outcomes(known, ports.clock, ports.recorder)
        context = ActContext(known, ports.ledger, ports.clock, ports.recorder, self.outcomes)
        self._claim_writer = ClaimWriter(context, ports.cluster)
        self._host_commands = HostCommands(context, ports.hosts)
        self._status_acts = StatusActs(context, ports.cluster)
        self.must_retry = False
        """Whether any command of the last `perform` has to be retried."""
        self.denied: UpdaterError | None = None
        """The first Denied or NotFound in the last `perform`."""
        self._unsaved_since: datetime | None = None
        """When the oldest unsaved change of the ledger was seen; None if all are saved."""
        self.ledger_unsaved = False
        """Whether the ledger could not be saved."""
        self.stalled: set[InstanceId] = set()
        """Instances with a command in the last `perform` that AWS did not accept, or may not have accepted."""

    def perform(self, queues: Iterable[Sequence[Command]]) -> bool:
        """Execute decisions, each instance's commands in order. Returns True if there was any command.

        A denial does not stop other commands; the first one is in `denied`. Raises LeaseLost, and what the store
        raises. Any other failure affects one instance, and the next look shows it.
        """
        waiting = [list(queue) for queue in queues if queue]
        acted = bool(waiting)
        self.must_retry = False
        self.denied = None
        self.stalled = set()
        while waiting:
            kind = next(t for t in ORDER if any(isinstance(queue[0], t) for queue in waiting))
            batch = [queue[0] for queue in waiting if isinstance(queue[0], kind)]
            failed = self._try_batch(batch)
            self.must_retry = self.must_retry or bool(failed)
            if kind not in NEVER_STALLED:
                self._note_stalled(batch, failed)
            for queue in waiting:
                if isinstance(queue[0], kind):
                    if queue[0].instance in failed:
                        queue.clear()
                    else:
                        queue.pop(0)
            waiting = [left for queue in waiting if (left := self._without_unseen(queue))]
        self.save(self._clock.now())
        return acted

    def save(self, by: datetime) -> None:
        """Write the ledger, unless it can wait until after `by`. If that fails, every later pass retries it.

        What must be in the store before an act is written before that act. What the next run could not find out is
        written at once (see `cannot_wait`). The rest waits for `LEDGER_WAITS`, so that one write serves many instances.
        """
        saved, value = self._ledger.saved, self._ledger.value
        if value is saved and not self.ledger_unsaved:
            self._unsaved_since = None
            return
        self._unsaved_since = self._unsaved_since or self._clock.now()
        at_once = cannot_wait(saved, value, attributes_survive=self._known.fleet.attributes_survive)
        if self.ledger_unsaved or at_once or by >= self._unsaved_since + LEDGER_WAITS:
            self._save()

    def _save(self) -> None:
        self.ledger_unsaved = True
        with suppress(Throttled, Unreachable, LeaseLapsed):
            self._ledger.flush()
            self.ledger_unsaved, self._unsaved_since = False, None

    def _without_unseen(self, queue: list[Command]) -> list[Command]:
        """Leave out what needs another look first, because something in between took long or has no reply.

        A claim is kept if the reply to the return was lost: first a look must show the instance ACTIVE. A reboot is not
        sent on an old look: the next pass looks again.
        """
        late = self._clock.now() > self._known.fleet.at + LOOK_SERVES
        return [
            one
            for one in queue
            if not (isinstance(one, Unmark) and self._return_unseen(one.instance))
            and not (isinstance(one, Reboot) and late)
        ]

    def _return_unseen(self, id_: InstanceId) -> bool:
        """Whether the instance may have been set ACTIVE, but ECS has neither confirmed nor shown it."""
        instance = self._known.instance(id_)
        registration, progress = instance.registration, instance.progress
        sent = progress.sent_return is not None and not progress.return_confirmed
        return sent and registration is not None and registration.status is not Status.ACTIVE

    def _try_batch(self, batch: Sequence[Command]) -> set[InstanceId]:
        try:
            return self._perform_batch(batch)
        except (Denied, NotFound) as problem:
            self.denied = self.denied or problem
            if isinstance(batch[0], Check):
                self._known.fleet = replace(self._known.fleet, hosts_denied=True)
            return {command.instance for command in batch}

    def _note_stalled(self, batch: Sequence[Command], failed: Collection[InstanceId]) -> None:
        now = self._clock.now()
        for command in batch:
            instance = self._known.instance(command.instance)
            if isinstance(command, Check) and (instance.check_denied or self._known.fleet.hosts_denied):
                continue  # the update continues without the check's answer
            progress = instance.progress
            stalled = instance.id in failed or (isinstance(command, Return) and not progress.return_confirmed)
            if isinstance(command, Reboot) and command.bound and self._known.fleet.plain_reboots:
                stalled = False  # it was not sent because the document takes no parameters
            since = (progress.stalled_since or now) if stalled else None
            if stalled:
                self.stalled.add(instance.id)
            if since != progress.stalled_since:
                self._known.learn(replace(instance, progress=replace(progress, stalled_since=since)))

    def _perform_batch(self, batch: Sequence[Command]) -> set[InstanceId]:
        """Execute commands of one type. Returns the instances whose following commands must be skipped."""
        match batch[0]:
            case Conclude():
                return self._conclude([c for c in batch if isinstance(c, Conclude)])
            case Note() | NoteBlockers():
                return self._record_notes([c for c in batch if isinstance(c, Note | NoteBlockers)])
            case Cancel():
                return self._host_commands.cancel([c for c in batch if isinstance(c, Cancel)])
            case Return():
                return self._status_acts.return_to_service([c for c in batch if isinstance(c, Return)])
            case Unmark():
                return self._claim_writer.unmark([c for c in batch if isinstance(c, Unmark)])
            case Quarantine():
                return self._claim_writer.quarantine([c for c in batch if isinstance(c, Quarantine)])
            case Mark():
                return self._mark([c for c in batch if isinstance(c, Mark)])
            case Drain():
                return self._status_acts.drain([c for c in batch if isinstance(c, Drain)])
            case StopTasks():
                self._cluster.stop_tasks([task for c in batch if isinstance(c, StopTasks) for task in c.tasks])
                return set()
            case Check() | Apply() | Reboot() | RunBeforeDrain() | RunAfterReboot():
                return self._send_each(SENT_FOR[type(batch[0])], batch)
            case CallSuccessor():
                return self._call_successor([c for c in batch if isinstance(c, CallSuccessor)])

    # Commands that are only recorded, and claims

    def _conclude(self, batch: Sequence[Conclude]) -> set[InstanceId]:
        for command in batch:
            self.outcomes.settle(command.instance, command.outcome)
        return set()

    def _record_notes(self, batch: Sequence[Note | NoteBlockers]) -> set[InstanceId]:
        for command in batch:
            match command:
                case Note(instance=id_, backoff=backoff):
                    self._known.learn(replace(self._known.instance(id_), backoff=backoff))
                    self._ledger.change(partial(with_backoff, instance=id_, backoff=backoff))
                case NoteBlockers():
                    now, began = self._clock.now(), self._known.fleet.started_at
                    self._ledger.change(partial(with_blocked, found=command, at=now, run_began=began))
        self._known.learn_ledger(self._ledger.value)
        # Before the claim is dropped in the same pass: a run that dies in between would forget why the update failed,
        # and the next run would reboot the instance for it again.
        self._save()
        return set()

    def _mark(self, batch: Sequence[Mark]) -> set[InstanceId]:
        if any(self._known.instance(command.instance).claim is None for command in batch):
            self._host_commands.check_hooks_exist()
        return self._claim_writer.mark(batch)

    def _send_each(self, kind: DocumentKind, batch: Sequence[Command]) -> set[InstanceId]:
        """Send a document; applies that replace the same version, and reboots into the same, go together."""
        groups: dict[Version | None, list[InstanceId]] = {}
        for command in batch:
            groups.setdefault(self._version_for(command), []).append(command.instance)
        return {id_ for version, ids in groups.items() for id_ in self._send(kind, ids, version)}

    def _version_for(self, command: Command) -> Version | None:
        """The parameter of the command: the version that an apply replaces, or that a reboot is bound to."""
        claim = self._known.instance(command.instance).claim
        match command:
            case Apply(replaces=replaces):
                return replaces
            case Reboot(bound=True) if claim is not None:
                return claim.target
            case _:
                return None

    def _send(self, kind: DocumentKind, ids: Sequence[InstanceId], version: Version | None) -> set[InstanceId]:
        if kind is DocumentKind.APPLY:
            self._claim_writer.check_permission(ids[0])
        if kind is not DocumentKind.REBOOT:
            return self._host_commands.send(kind, ids, version)
        boots = [claim.boot for id_ in ids if (claim := self._known.instance(id_).claim) is not None]
        return self._host_commands.send(kind, ids, bound_to=BoundTo(tuple(boots), version) if version else None)

    # Another run

    def _call_successor(self, batch: Sequence[CallSuccessor]) -> set[InstanceId]:
        """Request a successor once. If that fails, leave the instance to a later run."""
        for command in batch:
            try:
                if self._successors is None:
                    raise UsageError("this run cannot start another one")
                self._successors.call()
            except (LeaseLost, Interrupted):
                raise
            except UpdaterError as error:
                self.outcomes.settle(command.instance, nobody_could_be_called(error))
            else:
                now = self._clock.now()
                self._known.learn(see_successor_called(self._known.instance(command.instance), now))
                self._recorder.record(SuccessorCalled(now, command.instance))
        return set()
