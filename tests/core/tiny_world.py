"""A world of a few lines in which every act takes effect at once, to follow decisions to the end of a run.

It knows nothing of AWS. The simulator covers faults and crashes; this world covers only what the loop itself must
guarantee.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import assert_never

from tests.core.builders import (
    NEW,
    NOW,
    OLD,
    SECOND,
    acceptance,
    check_answer,
    ended,
    pending,
    problem,
    refusal,
    registration,
    sent_reboot,
    service,
    task,
)

from bottlerocket_ecs_updater.core.decision.decide import Decision, decide
from bottlerocket_ecs_updater.core.decision.settling import see_services, settled
from bottlerocket_ecs_updater.core.model.claim import CLAIM_ATTRIBUTE, ClaimPhase
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
from bottlerocket_ecs_updater.core.model.container_instance import PingStatus, Registration, Status, Tasks
from bottlerocket_ecs_updater.core.model.fleet import Fleet, Halt
from bottlerocket_ecs_updater.core.model.host_report import HostAnswer, HostReport, Problem, UpdateState
from bottlerocket_ecs_updater.core.model.ids import BootId, InstanceId, RunId, Zone
from bottlerocket_ecs_updater.core.model.instance import Instance
from bottlerocket_ecs_updater.core.model.outcome import Backoff, Outcome, Quarantined
from bottlerocket_ecs_updater.core.model.phase import Phase, phase_of
from bottlerocket_ecs_updater.core.model.reboots import SentReboot
from bottlerocket_ecs_updater.core.model.run_command import CommandStatus, DocumentKind
from bottlerocket_ecs_updater.core.model.run_progress import RunProgress, SentReturn
from bottlerocket_ecs_updater.core.model.services import Services, Slot
from bottlerocket_ecs_updater.core.model.version import Version
from bottlerocket_ecs_updater.core.rules.policy import Policy
from bottlerocket_ecs_updater.core.state.acts import see_drain_sent, see_marked
from bottlerocket_ecs_updater.core.state.observe import see_registration
from bottlerocket_ecs_updater.core.state.run_commands import (
    see_check_answer,
    see_ended,
    see_reboot_end,
    see_reboot_found,
    see_reboot_sent,
    see_sent,
)

DRAIN = 30 * SECOND
APPLY = 20 * SECOND
REBOOT = 45 * SECOND
PASSES_MAX = 4000
"""No run over so few hosts takes more passes, unless it loops."""


class Killed(Exception):
    """The run dies at this point."""


@dataclass
class Host:
    """One instance of the world: its host, and what ECS knows about it."""

    id: InstanceId
    zone: Zone
    running: Version = OLD
    offered: Version | None = NEW
    state: UpdateState = UpdateState.AVAILABLE
    boots: int = 0
    status: Status = Status.ACTIVE
    attributes: dict[str, str] = field(default_factory=dict)
    tasks: int = 2
    drained_at: datetime | None = None
    reboots: list[SentReboot] = field(default_factory=list)
    applied_at: datetime | None = None
    down_at: datetime | None = None
    rolls_back: bool = False
    refuses_reboot: bool = False
    ignores_reboot: bool = False
    never_returns: bool = False
    fails_apply: bool = False
    refuses_drain: bool = False
    """The result of the before-drain document."""
    unwell: bool = False
    """The result of the after-reboot document."""

    def pass_time(self, now: datetime) -> None:
        """Advance what happens by itself."""
        if self.drained_at is not None and now >= self.drained_at + DRAIN:
            self.tasks, self.drained_at = 0, None
        if self.applied_at is not None and now >= self.applied_at + APPLY:
            self.state, self.applied_at = self.state if self.fails_apply else UpdateState.READY, None
        if self.down_at is not None and now >= self.down_at + REBOOT and not self.never_returns:
            took = self.state is UpdateState.READY and not self.rolls_back
            self.running = self.offered if took and self.offered is not None else self.running
            self.state = UpdateState.IDLE if self.running == self.offered else UpdateState.AVAILABLE
            self.boots, self.down_at = self.boots + 1, None

    def registered(self, now: datetime) -> Registration:
        """Its registration in ECS."""
        running = self.tasks if self.status is Status.ACTIVE else 0
        return registration(
            self.id,
            zone=self.zone,
            status=self.status,
            connected=self.down_at is None,
            running_tasks=running,
            attributes=dict(self.attributes),
            at=now,
        )

    def says(self) -> HostAnswer:
        """Its answer to a check."""
        if self.down_at is not None:
            return problem(Problem.NO_ANSWER)
        chosen = None if self.state is UpdateState.IDLE else self.offered
        staged = self.offered if self.state is UpdateState.READY else None
        return HostReport(BootId(f"{self.boots:032x}"), self.state, self.running, chosen, staged)


@dataclass
class World:
    """All hosts, the clock, the store, and a record of the acts of a run."""

    hosts: dict[InstanceId, Host]
    now: datetime = NOW
    backoffs: dict[InstanceId, Backoff] = field(default_factory=dict)
    dies: int | type[Command] | None = None
    """After how many commands, or before which kind of command, the run dies; None for never."""
    commands: list[Command] = field(default_factory=list)
    most_out: int = 0

    def spend(self, command: Command) -> None:
        """Count one command; the run may die before it."""
        if isinstance(self.dies, int):
            self.dies -= 1
            if self.dies < 0:
                raise Killed
        elif self.dies is not None and isinstance(command, self.dies):
            raise Killed
        self.commands.append(command)

    def check(self) -> None:
        """Check the invariants."""
        self.most_out = max(self.most_out, sum(host.status is Status.DRAINING for host in self.hosts.values()))


@dataclass
class Run:
    """One run over the world: its knowledge, and the outcomes of the instances."""

    world: World
    policy: Policy
    id: RunId
    known: dict[InstanceId, Instance] = field(default_factory=dict)
    slots: tuple[Slot, ...] = ()
    halt: Halt | None = None
    phases: dict[InstanceId, list[Phase]] = field(default_factory=dict)

    def execute(self) -> None:
        """Look, decide and act until nothing is left to do now."""
        started = self.world.now
        for _ in range(PASSES_MAX):
            decision = decide(self._look(started), self.policy)
            self.halt = decision.halt
            for command in decision.commands:
                self._act(command)
            if decision.look_at is None:
                return
            self.world.now = max(decision.look_at, self.world.now)
            self._wait_if_circling(decision)
        raise AssertionError("the run goes round in circles")

    def _wait_if_circling(self, decision: Decision) -> None:
        # Acts take time, so no two looks happen at the same time.
        if any(True for _ in decision.commands):
            self.world.now += timedelta(milliseconds=200)

    @property
    def outcomes(self) -> dict[InstanceId, Outcome | None]:
        """The outcome of each instance."""
        return {id_: instance.progress.outcome for id_, instance in self.known.items()}

    # Look

    def _look(self, started: datetime) -> Fleet:
        now = self.world.now
        for host in self.world.hosts.values():
            host.pass_time(now)
            self.known[host.id] = self._looked_at(host)
            phases = self.phases.setdefault(host.id, [])
            phase = phase_of(self.known[host.id])
            if not phases or phases[-1] is not phase:
                phases.append(phase)
        self.world.check()
        services = Services((service(),), now)
        seen = [see_services(slot, services, {}) for slot in self.slots]
        self.slots = tuple(slot for slot in seen if not settled(slot, now, self.policy))
        failed: dict[Version, int] = {}
        for backoff in self.world.backoffs.values():
            failed[backoff.version] = failed.get(backoff.version, 0) + backoff.rolled_back
        return Fleet(
            self.id, started, now, now, dict(self.known), services, self.slots, halt=self.halt, suspects=failed
        )

    def _looked_at(self, host: Host) -> Instance:
        now = self.world.now
        known = self.known.get(host.id) or Instance(
            host.id, reach=PingStatus.ONLINE, backoff=self.world.backoffs.get(host.id)
        )
        instance = see_registration(known, host.registered(now), self.id)
        left = tuple(task(last_status="STOPPING" if host.drained_at else "RUNNING") for _ in range(host.tasks))
        instance = replace(instance, tasks=Tasks(left, now, with_stopping=True))
        sent = instance.pending
        if sent is not None and sent.kind is DocumentKind.APPLY and host.applied_at is None:
            instance = see_ended(
                instance,
                ended(DocumentKind.APPLY, CommandStatus.FAILED if host.fails_apply else CommandStatus.SUCCESS, now),
            )
        elif sent is not None and sent.kind is DocumentKind.CHECK and now >= sent.sent_at + SECOND:
            instance = see_ended(instance, ended(DocumentKind.CHECK, at=now))
            instance = see_check_answer(instance, check_answer(host.says(), sent.sent_at, now))
        elif sent is not None and sent.kind is DocumentKind.BEFORE_DRAIN and now >= sent.sent_at + SECOND:
            end = CommandStatus.FAILED if host.refuses_drain else CommandStatus.SUCCESS
            instance = see_ended(instance, ended(DocumentKind.BEFORE_DRAIN, end, now))
        elif sent is not None and sent.kind is DocumentKind.AFTER_REBOOT and now >= sent.sent_at + SECOND:
            end = CommandStatus.FAILED if host.unwell else CommandStatus.SUCCESS
            instance = see_ended(instance, ended(DocumentKind.AFTER_REBOOT, end, now))
        return self._reboots_heard(instance, host)

    def _reboots_heard(self, instance: Instance, host: Host) -> Instance:
        """Systems Manager lists the commands, and reports immediately how each ended."""
        now = self.world.now
        left = instance.claim is not None and instance.claim.phase is ClaimPhase.QUARANTINED and not instance.reboots
        if left or any(not one.command for one in instance.reboots):
            for one in host.reboots:
                instance = see_reboot_found(instance, replace(one, sent_by_us=False))
        for one in instance.reboots:
            heard = now if one.sent_by_us else one.sent_at
            end = refusal(heard) if host.refuses_reboot else acceptance(heard)
            instance = see_reboot_end(instance, one.command, now, end if one.command else None)
        return instance

    # Act

    def _act(self, command: Command) -> None:
        self.world.spend(command)
        now, host, known = self.world.now, self.world.hosts[command.instance], self.known[command.instance]
        match command:
            case Check() | Apply() | RunBeforeDrain() | RunAfterReboot():
                known = see_sent(known, pending(self._sent(host, command), now))
            case Mark(claim=claim):
                host.attributes[CLAIM_ATTRIBUTE] = claim.encode()
                known = see_marked(known, claim, now)
            case Drain():
                host.status, host.drained_at = Status.DRAINING, now
                known = see_drain_sent(known, now, {}, confirmed=True)
            case Reboot():
                self._reboot(host)
                host.reboots.append(sent_reboot(now))
                known = see_reboot_sent(known, sent_reboot(now))
            case Return(outcome=step):
                host.status, host.drained_at, host.tasks = Status.ACTIVE, None, 2
                progress = replace(known.progress, sent_return=SentReturn(now, step, confirmed=True))
                known = replace(known, progress=progress)
            case Unmark():
                host.attributes.pop(CLAIM_ATTRIBUTE, None)
                known = self._unmarked(known, command)
            case Quarantine(claim=claim, why=why):
                host.attributes[CLAIM_ATTRIBUTE] = claim.encode()
                known = replace(known, claim=claim, progress=replace(known.progress, outcome=Quarantined(why)))
            case Note(backoff=backoff):
                self.world.backoffs[host.id] = backoff
                known = replace(known, backoff=backoff)
            case Conclude(outcome=outcome):
                known = replace(known, progress=replace(known.progress, outcome=outcome))
            case Cancel() | StopTasks() | CallSuccessor() | NoteBlockers():
                pass
            case _:
                assert_never(command)
        self.known[host.id] = known

    def _sent(self, host: Host, command: Check | Apply | RunBeforeDrain | RunAfterReboot) -> DocumentKind:
        match command:
            case Check():
                return DocumentKind.CHECK
            case Apply():
                host.applied_at = self.world.now
                return DocumentKind.APPLY
            case RunBeforeDrain():
                assert host.status is Status.ACTIVE
                return DocumentKind.BEFORE_DRAIN
            case RunAfterReboot():
                assert host.boots > 0
                return DocumentKind.AFTER_REBOOT

    def _reboot(self, host: Host) -> None:
        assert host.status is Status.DRAINING, f"{host.id} was rebooted while {host.status.value}"
        assert host.tasks == 0, f"{host.id} was rebooted under its tasks"
        assert CLAIM_ATTRIBUTE in host.attributes, f"{host.id} was rebooted unmarked"
        if not host.refuses_reboot and not host.ignores_reboot:
            host.down_at = self.world.now

    def _unmarked(self, known: Instance, command: Unmark) -> Instance:
        if command.took_slot:
            self.slots += (Slot(known.id, known.zone, self.world.now, {}),)
        progress = RunProgress(unmarked=True)
        if command.outcome is not None:
            progress = replace(known.progress, unmarked=True, outcome=command.outcome)
        return replace(known, claim=None, claim_on_instance=False, progress=progress)


def runs(world: World, policy: Policy, deaths: Sequence[int | type[Command]]) -> Iterator[Run]:
    """One run after the other: all except the last one die."""
    for number, death in enumerate([*deaths, None]):
        world.dies = death
        run = Run(world, policy, RunId(f"run-{number}"))
        try:
            run.execute()
        except Killed:
            world.now += 20 * SECOND
        yield run
