"""Look: bring what we know up to date, with batched calls, and only for what is due."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from bottlerocket_ecs_updater.core.claim import ClaimPhase
from bottlerocket_ecs_updater.core.event import ClaimFound, ClusterLooked, HostChecked, Rebooted, Settled
from bottlerocket_ecs_updater.core.fleet import (
    End,
    Ended,
    Flight,
    Instance,
    Kind,
    Managed,
    Reach,
    Registration,
    Services,
    Status,
    Task,
    Tasks,
    Told,
)
from bottlerocket_ecs_updater.core.host import HostProblem, Problem, lock_held, read_check, telling_line
from bottlerocket_ecs_updater.core.ids import CommandId, ContainerInstanceArn, InstanceId
from bottlerocket_ecs_updater.core.observe import see_ended, see_missing, see_registration, see_successor, see_told
from bottlerocket_ecs_updater.core.policy import Policy
from bottlerocket_ecs_updater.core.settling import deficits, moving_tasks, observe, settled
from bottlerocket_ecs_updater.core.strangers import lives
from bottlerocket_ecs_updater.core.waiting import passed
from bottlerocket_ecs_updater.engine.knowledge import Knowledge
from bottlerocket_ecs_updater.engine.ports import Answer, Clock, Cluster, Hosts, Listing, Recorder, Successors, Survey
from bottlerocket_ecs_updater.engine.surveying import Surveying


@dataclass(frozen=True, slots=True)
class Wants:
    """What the next look must bring, beside what it always does."""

    full: bool = False
    listing: bool = False
    services: bool = False
    due: Collection[InstanceId] = ()
    """Claimed instances to describe."""
    tasks: Collection[InstanceId] = ()
    """Instances whose tasks must be listed."""
    reboot_ends: Collection[InstanceId] = ()
    """Instances of whose reboot command the end must be asked for."""


HEARD_AGAIN_POLLS = 0.5
"""A command is asked about no more often than this: looks gather within half a poll, so none waits for the next."""


class Looking:
    """Takes looks. One instance of this class serves one run."""

    def __init__(
        self,
        knowledge: Knowledge,
        cluster: Cluster,
        hosts: Hosts,
        clock: Clock,
        policy: Policy,
        recorder: Recorder,
        survey: Survey | None = None,
        successors: Successors | None = None,
    ) -> None:
        self._known = knowledge
        self._cluster = cluster
        self._hosts = hosts
        self._clock = clock
        self._policy = policy
        self._recorder = recorder
        self._successors = successors
        self.surveying = Surveying(knowledge, survey, policy, recorder)
        self._listed_at: datetime | None = None
        self._reached_at: datetime | None = None
        self._reached: set[InstanceId] = set()
        self._heard: dict[CommandId, datetime] = {}
        """When each command that is under way was last asked about."""

    def look(self, wants: Wants) -> None:
        """Take one look. Raises what the ports raise; what was learned until then is kept."""
        now = self._clock.now()
        known = self._known
        known.at = now
        first = known.services is None
        if first:
            # First, so that what is listed of tasks can say which of them are daemons.
            self._look_at_services(now)
        listing_due = self._listed_at is None or passed(self._listed_at, self._policy.full_look_spacing, now)
        if wants.listing or listing_due:
            self._list_all(now)
        elif wants.full:
            self._describe([r.arn for r in self._registrations()], now)
            known.full_at = now
        else:
            asked = self._ask_for_stopping_tasks(wants.due, now)
            others = [id_ for id_ in wants.due if id_ not in asked]
            self._describe([registration.arn for registration in self._registrations(others)], now)
            self._ask_for_stopping_tasks(others, now)
        self._hear_answers(now, wants.reboot_ends)
        self._look_at_tasks({*self._unlisted(wants.tasks, now), *self._before_reboot(wants.due)}, now)
        self.surveying.look_around(wants.tasks, now)
        self._look_for_successor()
        if wants.services and not first:
            self._look_at_services(now)

    def _registrations(self, ids: Collection[InstanceId] | None = None) -> Iterable[Registration]:
        instances = self._known.instances
        chosen = instances.values() if ids is None else [instances[id_] for id_ in ids if id_ in instances]
        return [instance.registration for instance in chosen if instance.registration is not None]

    # The cluster

    def _list_all(self, now: datetime) -> None:
        listing = self._cluster.list_all()
        known = self._known
        first = self._listed_at is None
        self._absorb(listing, now)
        seen = {registration.id for registration in listing.registrations}
        seen |= {self._id_of(arn) for arn in listing.undescribed}
        for id_ in [id_ for id_ in known.instances if id_ not in seen]:
            known.learn(see_missing(known.instances[id_], "ECS lists it no more"))
        self._listed_at = known.full_at = now
        self._reach_hosts(now, first=first)
        if first or any(instance.tasks is None for instance in known.instances.values()):
            self._all_tasks(now)
        self.surveying.look_at_groups(now)
        ours = sum(1 for instance in known.instances.values() if instance.bottlerocket)
        services = len(known.services.all) if known.services else 0
        self._recorder.record(ClusterLooked(now, len(known.instances), ours, services))

    def _id_of(self, arn: ContainerInstanceArn) -> InstanceId:
        """The instance behind an ARN; one that was never described goes by the last part of its ARN."""
        return self._known.arns.get(arn) or InstanceId(arn.rsplit("/", 1)[-1])

    def _describe(self, arns: Sequence[ContainerInstanceArn], now: datetime) -> None:
        if arns:
            self._absorb(self._cluster.describe(arns), now)

    def _absorb(self, listing: Listing, now: datetime) -> None:
        known = self._known
        known.arns |= {registration.arn: registration.id for registration in listing.registrations}
        for registration in _one_per_instance(listing.registrations):
            before = known.instance(registration.id)
            seen = replace(registration, at=now)
            apart, doubts_apart = self._policy.flap_spacing, self._policy.looks_apart
            after = see_registration(before, seen, known.run, apart, doubts_apart)
            known.learn(after)
            self._tell_claim(before, after, now)
        for arn, why in listing.undescribed.items():
            instance = known.instance(self._id_of(arn))
            if instance.registration is None or instance.registration.arn == arn:
                known.learn(see_missing(instance, why))

    def _tell_claim(self, before: Instance, after: Instance, now: datetime) -> None:
        claim = after.claim
        if claim is None or before.claim is not None or claim.run == self._known.run:
            return
        if not lives(claim, self._known.fleet(), self._policy):
            self._recorder.record(ClaimFound(now, after.id, claim.phase.value, claim.run, claim.since))

    def _reach_hosts(self, now: datetime, *, first: bool) -> None:
        """Ask Systems Manager for all hosts now and then, and meanwhile for those that came since."""
        due = first or self._reached_at is None or passed(self._reached_at, self._policy.report_max_age, now)
        ours = [one for one in self._known.instances.values() if one.bottlerocket]
        asked = ours if due else [one for one in ours if one.id not in self._reached]
        self._reached_at = now if due else self._reached_at
        self._reached |= {instance.id for instance in asked}
        reach = self._hosts.reach([instance.id for instance in asked])
        for instance in asked:
            managed = reach.get(instance.id, Managed(Reach.UNKNOWN))
            if (instance.reach, instance.shown_version) != (managed.reach, managed.version):
                self._known.learn(replace(instance, reach=managed.reach, shown_version=managed.version))

    # Tasks and services

    def _all_tasks(self, now: datetime) -> None:
        by_arn = self._cluster.all_tasks()
        for instance in list(self._known.instances.values()):
            if instance.registration is not None:
                left = by_arn.get(instance.registration.arn, ())
                self._known.learn(replace(instance, tasks=Tasks(left, now)))

    def _ask_for_stopping_tasks(self, due: Collection[InstanceId], now: datetime) -> set[InstanceId]:
        """Ask about the tasks that we know, on all instances that count none any more; gives those instances.

        What we do not know of is listed right before the reboot, when all these have stopped.
        """
        stopping = [self._known.instance(id_) for id_ in due if _draining_and_counted_out(self._known.instance(id_))]
        known = [task.arn for instance in stopping if instance.tasks is not None for task in instance.tasks.left]
        left = self._cluster.not_stopped(known) if known else frozenset()
        for instance in stopping:
            if instance.tasks is not None:
                still = tuple(task for task in instance.tasks.left if task.arn in left)
                self._known.learn(replace(instance, tasks=Tasks(still, now)))
        return {instance.id for instance in stopping}

    def _before_reboot(self, due: Collection[InstanceId]) -> set[InstanceId]:
        """Instances that are marked for a reboot which is not sent: every task on them is listed right before."""
        return {id_ for id_ in due if _marked_for_reboot(self._known.instance(id_))}

    def _look_at_tasks(self, ids: Collection[InstanceId], now: datetime) -> None:
        instances = [self._known.instance(id_) for id_ in sorted(ids)]
        arns = {instance.registration.arn: instance for instance in instances if instance.registration is not None}
        # Those that shall run are in the counts that were just looked at, where an instance is to be empty.
        draining = [arn for arn, instance in arns.items() if _drains_for_us(instance)]
        running = [arn for arn, instance in arns.items() if not _counts_none(instance)]
        left = self._cluster.stopping_on(draining) if draining else {}
        others = self._cluster.tasks_of(running) if running else {}
        for arn, instance in arns.items():
            # What stops and does not end is first: it is what keeps a drain from ending.
            tasks = (*left.get(arn, ()), *(others[arn] if arn in running else ()))
            self._known.learn(replace(instance, tasks=Tasks(tasks, now)))
        self._learn_what_came_along(others.keys() - arns.keys(), others, now)

    def _learn_what_came_along(
        self,
        arns: Collection[ContainerInstanceArn],
        listed: Mapping[ContainerInstanceArn, tuple[Task, ...]],
        now: datetime,
    ) -> None:
        """Tasks of instances that were not asked about: the next look at who may begin finds them fresh.

        Of those that drain nothing is taken over: what stops on them is in no listing of what shall run.
        """
        for arn in arns:
            instance = self._known.instance(self._id_of(arn))
            if instance.claim is None and instance.registration is not None and instance.registration.arn == arn:
                self._known.learn(replace(instance, tasks=Tasks(listed[arn], now)))

    def _unlisted(self, ids: Collection[InstanceId], now: datetime) -> Iterable[InstanceId]:
        """Those whose tasks must be listed: of ours always, of others where it was not done within the last poll."""
        poll = self._policy.poll_interval
        for id_ in ids:
            instance = self._known.instance(id_)
            if instance.claim is not None or instance.tasks is None or passed(instance.tasks.at, poll, now):
                yield id_

    def _look_at_services(self, now: datetime) -> None:
        known = self._known
        first = known.services is None
        before = known.services.deploying_since if known.services is not None else None
        found = self._cluster.services()
        deploying = any(service.deploying for service in found)
        known.services = Services(found, now, (before or now) if deploying else None)
        if first:
            known.deficits_at_start = deficits(known.services)
        self.surveying.look_at_health(now)
        moving = moving_tasks(known.fleet())
        known.slots = tuple(observe(slot, known.services, moving, known.health) for slot in known.slots)
        for slot in known.trim_slots(lambda slot: not settled(slot, now, self._policy)):
            self._recorder.record(Settled(now, slot.instance, now - slot.returned_at))

    def _look_for_successor(self) -> None:
        """Whether a run that was asked for has its place: asked of ECS only while one is waited for."""
        for instance in list(self._known.instances.values()):
            trail = instance.trail
            waits = trail.successor_called_at is not None and trail.successor is None and trail.outcome is None
            task = self._successors.placed() if waits and self._successors is not None else None
            if task is not None:
                self._known.learn(see_successor(instance, task))

    # Commands

    def _hear_answers(self, now: datetime, reboot_ends: Collection[InstanceId]) -> None:
        known = self._known
        waiting: dict[tuple[CommandId, Kind], list[InstanceId]] = {}
        for instance in known.instances.values():
            flight = instance.flight
            if flight is not None:
                waiting.setdefault((flight.command, flight.kind), []).append(instance.id)
        for id_ in reboot_ends:
            reboot = known.instance(id_).reboot_flight
            if reboot is not None:
                waiting.setdefault((reboot.command, reboot.kind), []).append(id_)
        open_commands = {command for command, _ in waiting}
        self._heard = {command: at for command, at in self._heard.items() if command in open_commands}
        for (command, kind), ids in waiting.items():
            if not self._may_answer(command, kind, ids, now):
                continue
            answers = self._hosts.answers(command, kind) if command else self._adopt(kind, ids)
            for id_ in ids:
                self._hear(id_, kind, answers.get(id_), now)

    def _may_answer(self, command: CommandId, kind: Kind, ids: Collection[InstanceId], now: datetime) -> bool:
        """Whether there may be news of a command: it was not sent, nor asked about, in this breath.

        Passes follow each other at once where each has something to do; hosts are not so quick.
        """
        if kind is Kind.REBOOT or not command:
            return True
        flights = (self._known.instance(id_).flight for id_ in ids)
        sent = max((flight.sent_at for flight in flights if flight is not None), default=None)
        last = self._heard.get(command, sent)
        # Where the machine's time was set back, the last time is of no use.
        if last is not None and timedelta(0) <= now - last < self._policy.poll_interval * HEARD_AGAIN_POLLS:
            return False
        self._heard[command] = now
        return True

    def _adopt(self, kind: Kind, ids: list[InstanceId]) -> Mapping[InstanceId, Answer]:
        """Find the id of a command whose sending got no reply, among those that are under way."""
        sent = {id_: flight.sent_at for id_ in ids if (flight := self._known.instance(id_).flight) is not None}
        for id_, found in self._hosts.under_way(kind, min(sent.values())).items():
            if id_ in sent:
                # When it was sent is known by our own clock: no other is compared with it.
                ours = replace(found, sent_at=sent[id_])
                self._known.learn(replace(self._known.instance(id_), flight=ours))
        return {}

    def _hear(self, id_: InstanceId, kind: Kind, answer: Answer | None, now: datetime) -> None:
        instance = self._known.instance(id_)
        if kind is Kind.REBOOT:
            instance = replace(instance, trail=replace(instance.trail, reboot_end_asked_at=now))
            self._known.learn(instance)
            flight = instance.reboot_flight
        else:
            flight = instance.flight
        if flight is None:
            return
        if answer is not None and answer.end is not None:
            self._ended(instance, flight, answer.end, answer, now)
        elif kind is not Kind.REBOOT and passed(flight.sent_at, self._listens_for(flight, instance), now):
            silence = Answer(None, -1, "", "", "nothing was heard of it")
            self._ended(instance, flight, End.ABANDONED, silence, now)

    def _listens_for(self, flight: Flight, instance: Instance) -> timedelta:
        if flight.kind is Kind.APPLY and flight.command:
            return self._policy.apply_timeout
        if flight.kind in (Kind.BEFORE_DRAIN, Kind.AFTER_REBOOT) and flight.command:
            return self._policy.hook_timeout
        # A little longer each time: what fails in step with us must not stay in step.
        return self._policy.answer_timeout + instance.trail.applies_unheard * self._policy.poll_interval

    def _ended(self, instance: Instance, flight: Flight, end: End, answer: Answer, now: datetime) -> None:
        said = telling_line(answer.stdout, answer.stderr) if answer.stdout or answer.stderr else answer.detail
        busy = end is End.FAILED and lock_held(answer.stderr)
        ended = Ended(flight.kind, flight.command, flight.sent_at, now, end, answer.exit_code, said, busy)
        instance = see_ended(instance, ended)
        if flight.kind is Kind.CHECK:
            instance = self._told(instance, flight, ended, answer, now)
        self._known.learn(instance)

    def _told(self, instance: Instance, flight: Flight, ended: Ended, answer: Answer, now: datetime) -> Instance:
        if ended.end in (End.SUCCESS, End.FAILED):
            exit_code = answer.exit_code if ended.end is End.FAILED else 0
            heard = read_check(exit_code, answer.stdout, answer.stderr)
        else:
            heard = HostProblem(Problem.NO_ANSWER, ended.detail)
        proven_before = instance.trail.proof_at
        after = see_told(instance, Told(heard, flight.sent_at, now))
        self._recorder.record(HostChecked(now, instance.id, heard))
        report = after.told.report if after.told else None
        if proven_before is None and after.trail.proof_at is not None and report is not None:
            sent = after.trail.reboot_sent_at
            self._recorder.record(Rebooted(now, after.id, report.running, now - sent if sent else None))
            self._known.learn_reboot(after)
        return after


def _one_per_instance(registrations: Iterable[Registration]) -> Iterable[Registration]:
    """One registration for each EC2 instance: after a lost checkpoint the old one stays behind, disconnected."""
    best: dict[InstanceId, Registration] = {}
    for registration in registrations:
        other = best.get(registration.id)
        if other is None or _rank(registration) > _rank(other):
            best[registration.id] = registration
    return best.values()


def _rank(registration: Registration) -> tuple[bool, bool, datetime]:
    in_service = registration.status in (Status.ACTIVE, Status.DRAINING)
    return in_service, registration.connected, registration.registered_at


def _drains_for_us(instance: Instance) -> bool:
    registration = instance.registration
    return instance.claim is not None and registration is not None and registration.status is Status.DRAINING


def _counts_none(instance: Instance) -> bool:
    registration = instance.registration
    counted = registration.running_tasks + registration.pending_tasks if registration is not None else 0
    return _drains_for_us(instance) and counted == 0


def _draining_and_counted_out(instance: Instance) -> bool:
    """Whether ECS counts no task on it that shall run, while we wait for it to be empty."""
    registration, claim = instance.registration, instance.claim
    if registration is None or claim is None or instance.tasks is None or not instance.tasks.left:
        return False
    return claim.phase is ClaimPhase.DRAINING and instance.trail.return_sent_at is None and _counts_none(instance)


def _marked_for_reboot(instance: Instance) -> bool:
    claim, trail = instance.claim, instance.trail
    unsent = trail.reboot_sent_at is None and trail.return_sent_at is None and instance.reboot_flight is None
    return claim is not None and claim.phase is ClaimPhase.REBOOTING and unsent
