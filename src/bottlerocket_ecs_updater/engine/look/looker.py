"""Looks: updates what the run knows, with batched calls, and only for what is due."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar

from bottlerocket_ecs_updater.core.capacity.cluster_room import tasks_changed
from bottlerocket_ecs_updater.core.capacity.unread_facts import constraints_ask_for_tasks
from bottlerocket_ecs_updater.core.decision.affected import taking_part, unread_of, worst_of
from bottlerocket_ecs_updater.core.decision.claimed.drain import is_checked_first, others_were_empty
from bottlerocket_ecs_updater.core.decision.claimed.give_back import staged_report
from bottlerocket_ecs_updater.core.decision.evidence import on_trial
from bottlerocket_ecs_updater.core.decision.instance_health import impaired_by_update
from bottlerocket_ecs_updater.core.decision.outside import set_aside
from bottlerocket_ecs_updater.core.decision.rival_runs import lives
from bottlerocket_ecs_updater.core.decision.settling import flapping, moving_tasks, observe, settled, starting_daemons
from bottlerocket_ecs_updater.core.decision.this_pass import Pass
from bottlerocket_ecs_updater.core.model.claim import ClaimPhase
from bottlerocket_ecs_updater.core.model.container_instance import (
    ManagedNode,
    PingStatus,
    Registration,
    Status,
    Task,
    Tasks,
)
from bottlerocket_ecs_updater.core.model.event import (
    ClaimFound,
    ClusterLooked,
    HostChecked,
    InstanceLost,
    Rebooted,
    Settled,
)
from bottlerocket_ecs_updater.core.model.host_report import HostProblem, Problem, cause_line, lock_held, read_check
from bottlerocket_ecs_updater.core.model.ids import CommandId, ContainerInstanceArn, InstanceId
from bottlerocket_ecs_updater.core.model.instance import Instance
from bottlerocket_ecs_updater.core.model.outcome import Updated
from bottlerocket_ecs_updater.core.model.reboots import (
    COMMAND_LIFE,
    FIRST_RUN,
    PENDING_FOR,
    RebootEnd,
    SentReboot,
    judge_acceptance,
)
from bottlerocket_ecs_updater.core.model.run_command import (
    CheckAnswer,
    CommandResult,
    CommandStatus,
    DocumentKind,
    PendingCommand,
)
from bottlerocket_ecs_updater.core.model.services import Services, Slot
from bottlerocket_ecs_updater.core.model.time_text import has_passed
from bottlerocket_ecs_updater.core.rules.policy import Policy
from bottlerocket_ecs_updater.core.state.activation import known_as
from bottlerocket_ecs_updater.core.state.acts import see_successor
from bottlerocket_ecs_updater.core.state.observe import see_missing, see_registration, see_undescribed
from bottlerocket_ecs_updater.core.state.run_commands import (
    see_check_answer,
    see_ended,
    see_reboot_end,
    see_reboot_found,
)
from bottlerocket_ecs_updater.engine.look.registrations import one_per_instance
from bottlerocket_ecs_updater.engine.look.surveyor import Surveyor
from bottlerocket_ecs_updater.engine.ports import Answer, Clock, Cluster, Hosts, Listing, Recorder, Successors, Survey
from bottlerocket_ecs_updater.engine.run_state import RunState
from bottlerocket_ecs_updater.errors import Denied, NotFound, UpdaterError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Wants:
    """What the next look must read, in addition to what it always reads."""

    full: bool = False
    listing: bool = False
    services: bool = False
    due: Collection[InstanceId] = ()
    """Claimed instances to describe."""
    heard: Collection[InstanceId] = ()
    """Claimed instances that only wait for a command's result: read nothing else about them."""
    tasks: Collection[InstanceId] = ()
    """Instances whose tasks to list."""
    groups: Collection[InstanceId] = ()
    """Claimed instances whose Auto Scaling state to read."""
    reboot_ends: Collection[InstanceId] = ()
    """Instances whose reboot command's result to read."""


TASKS, ANSWERS = "ecs:ListTasks", "ssm:ListCommandInvocations"
"""Permissions that several calls share."""

CLOCKS_APART = timedelta(seconds=60)
"""How far the clocks of two runs may differ. No host is updated twice within this time."""

HEARD_AGAIN_POLLS = 0.4
"""A command is asked about no more often than this: shared looks are half a poll apart, or slightly less."""

DESCRIBED_AT_ONCE = 100
"""What one call of DescribeContainerInstances takes."""

ENDS_AFTER = timedelta(seconds=5)
"""A reboot command ends no sooner on most hosts, so its result is not read before, even without a further call."""

LATE_TO_SETTLE = timedelta(seconds=60)
"""After a return, services are usually steady sooner than this."""
FEW_COMMANDS, FEW_HEARD_AGAIN_POLLS = 5, 0.25
"""So few commands are asked about twice as often, since the calls are few. A look that was promised when a command was
sent comes half a poll later at the earliest, so it is never too early for it, however long the sending took."""

JUST_NOW_SHARE = 4
"""If only its group is needed, an instance is not described again within the poll interval divided by this."""


class Looker:
    """Takes looks. Create one per run."""

    def __init__(
        self,
        knowledge: RunState,
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
        self.surveying = Surveyor(knowledge, survey, policy, recorder)
        self._listed_at: datetime | None = None
        self._reached_at: datetime | None = None
        self._reached: set[InstanceId] = set()
        self._heard: dict[CommandId, datetime] = {}
        """When each pending command was last polled."""
        self._denied: dict[str, UpdaterError] = {}
        """Calls that AWS denied in this run."""
        self._newcomers = False
        """Whether new hosts, or another updater's claims, appeared since commands of others were last adopted."""
        self._nameless: dict[ContainerInstanceArn, InstanceId] = {}
        """Container instances that ECS lists but has never described."""
        self._updated_since: dict[InstanceId, datetime] = {}
        """The first look after the update of each instance in this run."""
        self._lost: set[InstanceId] = set()
        """Instances that left the cluster after that."""

    def look(self, wants: Wants) -> None:
        """Take one look. Raises what the ports raise, and keeps what it learned until then.

        A call that AWS denies is not repeated in this run. While instances are claimed, a denial raises nothing: they
        are finished without that call if possible.
        """
        now = self._clock.now()
        known = self._known
        known.at = now
        first = known.services is None
        if first:
            # Services come first, so that daemon tasks can be recognized.
            self._look_at_services(now)
        listing_due = self._listed_at is None or has_passed(self._listed_at, self._policy.full_look_spacing, now)
        if wants.listing or listing_due or (wants.full and self._some_are_unknown()):
            self._list_all(now)
        elif wants.full:
            self._describe([r.arn for r in self._registrations()], now)
            known.full_at = now
            self.surveying.look_at_groups_of_drained(now)
        else:
            asked = self._ask_for_stopping_tasks(wants.due, now)
            others = [id_ for id_ in wants.due if id_ not in asked and not self._described_just_now(id_, wants, now)]
            others += [id_ for id_ in self._long_unsteady(now) if id_ not in others] if wants.services else []
            self._describe_with_others([registration.arn for registration in self._registrations(others)], now)
            self._ask_for_stopping_tasks(others, now)
        if self._denied and not known.in_progress:
            raise next(iter(self._denied.values()))
        if self._newcomers:
            # Another updater may be staging an update there: send no command to a host while an apply may run.
            self._newcomers = False
            self.adopt_commands()
        self._read_answers(now, wants.reboot_ends)
        self._look_at_tasks({*self._unlisted(wants.tasks, now), *self._before_reboot(wants.due)}, now)
        self._look_at_stopping(wants.tasks, now)
        self.surveying.look_around(wants.tasks, now)
        self.surveying.look_at_groups_of_claimed(wants.groups, now)
        self.surveying.look_at_published(now)
        self._look_for_successor()
        if wants.services and not first:
            self._look_at_services(now)
        self._tell_lost(now)

    def _long_unsteady(self, now: datetime) -> Iterable[InstanceId]:
        """Hosts that were returned a while ago but whose slot is not steady: tasks may not start there.

        Those that ECS reports as IMPAIRED are among them from the first look on.
        """
        late = [
            slot
            for slot in self._known.slots
            if slot.unsteady and (self._impaired(slot) or has_passed(slot.returned_at, LATE_TO_SETTLE, now))
        ]
        return [slot.instance for slot in late if slot.instance in self._known.instances]

    def _describe_with_others(self, arns: Sequence[ContainerInstanceArn], now: datetime) -> None:
        """Describe these, and in the same call as many others: all of them in a cluster of one call."""
        every = list(self._known_arns())
        if arns and len(every) <= DESCRIBED_AT_ONCE and not self._some_are_unknown():
            self._describe(every, now)
            self._known.full_at = now
            self.surveying.look_at_groups_of_drained(now)
        else:
            self._describe([*arns, *self._on_trial(len(arns))], now)

    def _on_trial(self, described: int) -> Sequence[ContainerInstanceArn]:
        """Hosts that got their version in this rollout, if a call that is made anyway has room for them."""
        if not described or described >= DESCRIBED_AT_ONCE:
            return []
        hosts = self._registrations(on_trial(self._known.fleet()))
        return [registration.arn for registration in hosts][: DESCRIBED_AT_ONCE - described]

    def _described_just_now(self, id_: InstanceId, wants: Wants, now: datetime) -> bool:
        """Whether the instance was just described, and only its group is needed."""
        registration = self._known.instance(id_).registration
        recent = registration is not None and not has_passed(
            registration.at, self._policy.poll_interval / JUST_NOW_SHARE, now
        )
        return recent and id_ in wants.groups

    def _ask(self, what: str, question: Callable[[], T], *, mute: bool = False) -> T | None:
        """Make a call; None if AWS denies it. With `mute`, a denial means that no command results can be read."""
        if what in self._denied:
            return None
        try:
            return question()
        except (Denied, NotFound) as problem:
            self._denied[what] = problem
            self._known.bar(problem, mute=mute)
            return None

    def _some_are_unknown(self) -> bool:
        """Whether an instance was listed but not described: only a new listing shows whether it still exists."""
        return any(instance.unknown for instance in self._known.instances.values())

    def _registrations(self, ids: Collection[InstanceId] | None = None) -> Iterable[Registration]:
        instances = self._known.instances
        chosen = instances.values() if ids is None else [instances[id_] for id_ in ids if id_ in instances]
        return [instance.registration for instance in chosen if instance.registration is not None]

    # Commands that earlier runs, or others, sent

    def adopt_commands(self) -> None:
        """Adopt Run Command commands for our documents that are still in progress, from any sender.

        Systems Manager reports whether they have ended, however old they are. Its clock may differ from ours, so their
        time limits start now.
        """
        known = self._known
        for id_, pending in (
            self._ask("ssm:ListCommands", partial(self._hosts.under_way, DocumentKind.APPLY)) or {}
        ).items():
            if id_ in known.instances and known.instances[id_].pending is None:
                known.learn(replace(known.instances[id_], pending=replace(pending, sent_at=known.at)))
        claims = ((one.id, one.claim) for one in known.instances.values() if one.claim is not None)
        left = [id_ for id_, claim in claims if claim.phase is ClaimPhase.QUARANTINED and claim.run != known.run]
        self._find_reboots(left, known.at)

    # The cluster

    def _list_all(self, now: datetime) -> None:
        known = self._known
        first = self._listed_at is None
        listing = self._ask("ecs:ListContainerInstances", self._cluster.list_all)
        if listing is not None:
            self._absorb(listing, now)
            self._miss_others(listing)
        else:
            # Claimed instances can be described without a listing, by their known ARNs.
            claimed = (one.claimed_arn for one in known.instances.values() if one.registration is None)
            self._describe([arn for arn in (*self._known_arns(), *claimed) if arn is not None], now)
        self._listed_at = known.full_at = now
        self._reach_hosts(now, first=first)
        self.surveying.look_at_machines(now)
        self._find_activated()
        if first or any(instance.tasks is None for instance in known.instances.values()):
            self._all_tasks(now)
        self._look_at_changed_tasks(now)
        self.surveying.look_at_groups(now)
        ours = sum(1 for instance in known.instances.values() if instance.bottlerocket)
        services = len(known.services.all) if known.services else 0
        self._recorder.record(ClusterLooked(now, len(known.instances), ours, services))

    def _tell_lost(self, now: datetime) -> None:
        """Report once each instance that this run updated and that left the cluster since."""
        for instance in self._known.instances.values():
            outcome = instance.progress.outcome
            if not isinstance(outcome, Updated) or instance.id in self._lost:
                continue
            since = self._updated_since.setdefault(instance.id, now)
            if not instance.registered:
                self._lost.add(instance.id)
                self._recorder.record(InstanceLost(now, instance.id, outcome.target, now - since))

    def _known_arns(self) -> Iterable[ContainerInstanceArn]:
        return (registration.arn for registration in self._registrations())

    def _miss_others(self, listing: Listing) -> None:
        """Record which instances the cluster does not list.

        If ECS listed an instance without a description, and its id is unknown, no instance counts as missing.
        """
        known = self._known
        known.listed_whole = not listing.dark
        if any(arn not in known.arns for arn in listing.dark):
            return
        seen = {registration.id for registration in listing.registrations}
        seen |= {known.arns.get(arn) or self._nameless[arn] for arn in listing.undescribed}
        for id_ in [id_ for id_ in known.instances if id_ not in seen]:
            known.learn(see_missing(known.instances[id_]))

    def _describe(self, arns: Sequence[ContainerInstanceArn], now: datetime) -> None:
        if arns:
            self._absorb(self._cluster.describe(arns), now)

    def _absorb(self, listing: Listing, now: datetime) -> None:
        known = self._known
        known.arns |= {registration.arn: registration.id for registration in listing.registrations}
        for registration in one_per_instance(listing.registrations):
            before = known.instance(registration.id)
            seen = replace(registration, at=now)
            apart, doubts_apart = self._policy.flap_spacing, self._policy.looks_apart
            after = see_registration(before, seen, known.run, apart, doubts_apart, known.store)
            known.learn(after)
            self._newcomers = self._newcomers or (before.registration is None and self._listed_at is not None)
            self._notice_survival(after)
            self._notice_claim(before, after, now)
            self._forget_nameless(registration.arn)
        for arn, why in listing.undescribed.items():
            # An instance that was never described is named by the last part of its ARN.
            instance = known.instance(known.arns.get(arn) or self._nameless.setdefault(arn, _nameless_id(arn)))
            if instance.registration is None or instance.registration.arn == arn:
                known.learn(see_undescribed(instance, why))

    def _forget_nameless(self, arn: ContainerInstanceArn) -> None:
        """Drop the placeholder of an instance that ECS now describes."""
        if arn in self._nameless:
            self._known.instances.pop(self._nameless.pop(arn), None)

    def _notice_survival(self, instance: Instance) -> None:
        """Record that attributes survive reboots in this cluster, if one is there after a proven reboot."""
        progress, registration = instance.progress, instance.registration
        proven = progress.proof is not None and progress.reboot_sent_at is not None
        if proven and registration is not None and registration.connected and instance.claim_on_instance:
            self._known.attributes_survive = True

    def _notice_claim(self, before: Instance, after: Instance, now: datetime) -> None:
        """Report a claim that is new to this run, and note the activity of rival runs with another store."""
        claims = [one.claim for one in (before, after) if one.claim is not None and one.claim.run != self._known.run]
        if not claims:
            return
        fleet = self._known.fleet()
        rivals = [claim for claim in claims if lives(claim, Pass(fleet, self._policy))]
        if rivals and before.claim != after.claim:
            self._known.rival_at = now
            self._newcomers = self._newcomers or before.claim is None
        claim = after.claim
        if claim is None or before.claim is not None or claim.run == self._known.run:
            return
        if not rivals:
            self._recorder.record(ClaimFound(now, after.id, claim.phase.value, claim.run, claim.since))

    def _reach_hosts(self, now: datetime, *, first: bool) -> None:
        """Ask Systems Manager about all hosts from time to time, and about new hosts at once."""
        due = first or self._reached_at is None or has_passed(self._reached_at, self._policy.report_max_age, now)
        ours = [one for one in self._known.instances.values() if one.bottlerocket]
        asked = ours if due else [one for one in ours if one.id not in self._reached]
        self._reached_at = now if due else self._reached_at
        self._reached |= {instance.id for instance in asked}
        ids = [instance.id for instance in asked]
        reach = self._ask("ssm:DescribeInstanceInformation", partial(self._hosts.reach, ids))
        if reach is None:
            return
        for instance in asked:
            managed = reach.get(instance.id, ManagedNode(PingStatus.UNKNOWN))
            if (instance.reach, instance.shown_version) != (managed.reach, managed.version):
                self._known.learn(replace(instance, reach=managed.reach, shown_version=managed.version))

    def _find_activated(self) -> None:
        """Find hosts that Systems Manager may know under another id (hybrid activation)."""
        known = self._known.instances
        unknown = [one for one in known.values() if one.reach is PingStatus.UNKNOWN and _could_be_known(one)]
        if not unknown:
            return
        nodes = self._ask("ssm:DescribeInstanceInformation", self._hosts.activated) or ()
        for instance in unknown:
            self._known.learn(replace(instance, node=known_as(instance, nodes)))

    # Tasks and services

    def _all_tasks(self, now: datetime) -> None:
        by_arn = self._ask(TASKS, self._cluster.all_tasks)
        if by_arn is None:
            return
        for instance in list(self._known.instances.values()):
            if instance.registration is not None:
                left = by_arn.get(instance.registration.arn, ())
                self._known.learn(replace(instance, tasks=Tasks(left, now)))
        self._look_at_stopping(self._known.instances.keys(), now)

    def _look_at_stopping(self, ids: Collection[InstanceId], now: datetime) -> None:
        """While blockers are known, list the tasks that are stopping on hosts that we do not drain.

        A drain that was given up earlier leaves such tasks behind, and a list of running tasks lacks them.
        """
        if not self._known.past.blockers:
            return
        instances = [one for id_ in sorted(ids) if not _drains_for_us(one := self._known.instance(id_))]
        arns = {one.registration.arn: one for one in instances if one.registration is not None}
        listed = self._ask(TASKS, lambda: self._cluster.stopping_on(list(arns))) if arns else {}
        for arn, tasks in (listed or {}).items():
            self._known.learn(replace(arns[arn], stopping=Tasks(tasks, now)))

    def _ask_for_stopping_tasks(self, due: Collection[InstanceId], now: datetime) -> set[InstanceId]:
        """Check the known tasks on instances that may be empty: their task counts are 0, or others took as long.

        Returns those instances.

        Unknown tasks are listed right before the reboot, after all the known ones have stopped.
        """
        this_pass = Pass(self._known.fleet(), self._policy)
        candidates = [one for id_ in due if _drains_with_tasks(one := self._known.instance(id_))]
        # While the host is checked, its tasks have time to stop.
        stopping = [
            one
            for one in candidates
            if _counts_none(one) or _may_be_empty(one, this_pass)
            if not is_checked_first(one, this_pass)
        ]
        known = [task.arn for instance in stopping if instance.tasks is not None for task in instance.tasks.left]
        left = self._ask(TASKS, lambda: self._cluster.not_stopped(known)) if known else frozenset()
        if left is None:
            return set()
        for instance in stopping:
            if instance.tasks is not None:
                still = tuple(task for task in instance.tasks.left if task.arn in left)
                self._known.learn(replace(instance, tasks=Tasks(still, now)))
        return {instance.id for instance in stopping}

    def _before_reboot(self, due: Collection[InstanceId]) -> set[InstanceId]:
        """Instances that are about to be rebooted: all their tasks are listed right before."""
        this_pass = Pass(self._known.fleet(), self._policy)
        instances = [self._known.instance(id_) for id_ in due]
        return {one.id for one in instances if _marked_for_reboot(one) or _nearly_marked(one, this_pass)}

    def _look_at_tasks(self, ids: Collection[InstanceId], now: datetime) -> None:
        instances = [self._known.instance(id_) for id_ in sorted(ids)]
        arns = {instance.registration.arn: instance for instance in instances if instance.registration is not None}
        # If an instance should be empty, its running tasks are in the counts that were just read.
        draining = [arn for arn, instance in arns.items() if _drains_for_us(instance)]
        running = [arn for arn, instance in arns.items() if not _counts_none(instance)]
        left = self._ask(TASKS, lambda: self._cluster.stopping_on(draining)) if draining else {}
        others = self._ask(TASKS, lambda: self._cluster.tasks_of(running)) if running else {}
        if left is None or others is None:
            return
        for arn, instance in arns.items():
            # Tasks that are stopping come first: they keep the drain from finishing.
            tasks = (*left.get(arn, ()), *(others[arn] if arn in running else ()))
            self._known.learn(replace(instance, tasks=Tasks(tasks, now, with_stopping=arn in left)))
        self._learn_what_came_along(others.keys() - arns.keys(), others, now)

    def _learn_what_came_along(
        self,
        arns: Collection[ContainerInstanceArn],
        listed: Mapping[ContainerInstanceArn, tuple[Task, ...]],
        now: datetime,
    ) -> None:
        """Store the tasks of other instances in the reply, so that later looks need not list them.

        Skips draining instances: their stopping tasks are missing in a list of running tasks.
        """
        for arn in arns:
            instance = self._known.instance(self._known.arns.get(arn, InstanceId("")))
            if instance.claim is None and instance.registration is not None and instance.registration.arn == arn:
                self._known.learn(replace(instance, tasks=Tasks(listed[arn], now)))

    def _look_at_changed_tasks(self, now: datetime) -> None:
        """List the tasks of instances whose tasks have changed, if the placement of other tasks depends on them."""
        known = self._known
        changed = [
            one.id
            for one in known.instances.values()
            if one.claim is None and one.registration is not None and one.registration.status is Status.ACTIVE
            if tasks_changed(one)
        ]
        if changed and constraints_ask_for_tasks(known.fleet()):
            self._look_at_tasks(changed, now)

    def _unlisted(self, ids: Collection[InstanceId], now: datetime) -> Iterable[InstanceId]:
        """Instances whose tasks must be listed: claimed ones always, others unless done within the poll interval."""
        poll = self._policy.poll_interval
        for id_ in ids:
            instance = self._known.instance(id_)
            if instance.claim is not None or instance.tasks is None or has_passed(instance.tasks.at, poll, now):
                yield id_

    def _look_at_services(self, now: datetime) -> None:
        known = self._known
        before = known.services.seen_deploying if known.services is not None else {}
        listed = self._ask("ecs:DescribeServices", self._cluster.services)
        if listed is None:
            # Without services no slot can settle, and no update starts: do not wait for slots.
            known.slots = ()
            return
        found = taking_part(listed, known.instances.values(), known.definitions)
        known.services = Services(found, now, {one.arn: before.get(one.arn, now) for one in found if one.deploying})
        if not known.drained:
            known.worst_before = worst_of(known.worst_before, found)
            known.looks_before += 1
            known.starts_before = {one.arn: one.unasked_starts for one in found}
            known.restless_before |= {one.name for one in found if one.restless}
        self.surveying.look_at_health(now)
        self.surveying.look_at_calendars(now)
        moving = {
            **moving_tasks(known.fleet()),
            **starting_daemons(known.services, known.returned, self._policy.daemon_start),
        }
        known.slots = tuple(
            observe(slot, known.services, moving, known.health, self._policy, self._impaired(slot))
            for slot in known.slots
        )
        below = {arn for slot in known.slots for arn in slot.below}
        blamed = [one for one in found if one.arn in below or (one.daemon and one.deficit)] if known.slots else ()
        self.surveying.look_at_definitions(unread_of(blamed, known.instances.values(), known.definitions or {}))
        # A service that flaps by itself after one return does not count as worse after the next.
        flaps = {arn for slot in known.slots for arn in flapping(slot)}
        known.worst_before = worst_of(known.worst_before, (one for one in found if one.arn in flaps))
        for slot in known.trim_slots(lambda slot: not settled(slot, now, self._policy)):
            self._recorder.record(Settled(now, slot.instance, now - slot.returned_at))

    def _impaired(self, slot: Slot) -> str:
        instance = self._known.instances.get(slot.instance)
        return impaired_by_update(instance) if instance is not None else ""

    def _look_for_successor(self) -> None:
        """Look for the requested successor, only while one is awaited."""
        for instance in list(self._known.instances.values()):
            progress = instance.progress
            asked = progress.hand_over
            waits = asked is not None and asked.task is None and progress.outcome is None
            task = self._successors.placed() if waits and self._successors is not None else None
            if task is not None:
                self._known.learn(see_successor(instance, task))

    # Commands

    def _read_answers(self, now: datetime, reboot_ends: Collection[InstanceId]) -> None:
        known = self._known
        waiting: dict[tuple[CommandId, DocumentKind], list[InstanceId]] = {}
        for instance in known.instances.values():
            pending = instance.pending
            if pending is not None:
                waiting.setdefault((pending.command, pending.kind), []).append(instance.id)
        open_commands = {command for command, _ in waiting}
        self._heard = {command: at for command, at in self._heard.items() if command in open_commands}
        few = len(waiting) <= FEW_COMMANDS
        asked = {one: ids for one, ids in waiting.items() if self._may_answer(one[0], ids, now, few=few)}
        alone = self._answers_of_one(asked, reboot_ends)
        for kind in DocumentKind:
            of_kind = {command: ids for (command, of), ids in asked.items() if of is kind}
            self._read_answers_of(kind, of_kind, now, alone)
        self._read_reboot_ends(reboot_ends, now, alone)

    def _answers_of_one(
        self,
        asked: Mapping[tuple[CommandId, DocumentKind], Collection[InstanceId]],
        reboot_ends: Collection[InstanceId],
    ) -> Mapping[CommandId, Mapping[InstanceId, Answer]]:
        """The results of several commands, if all of them were sent to one instance alone; otherwise nothing."""
        commands = {command: kind for command, kind in asked if command}
        commands |= {
            one.command: DocumentKind.REBOOT for id_ in reboot_ends for one in self._reboots(id_) if _read_by_id(one)
        }
        instances = {id_ for ids in asked.values() for id_ in ids} | set(reboot_ends)
        if len(commands) < 2 or len(instances) != 1:
            return {}
        [instance] = instances
        return self._ask(ANSWERS, partial(self._hosts.answers_on, instance, commands), mute=True) or {}

    def _read_answers_of(
        self,
        kind: DocumentKind,
        asked: Mapping[CommandId, list[InstanceId]],
        now: datetime,
        heard: Mapping[CommandId, Mapping[InstanceId, Answer]],
    ) -> None:
        """Read the results of the commands of one document, in as few calls as possible."""
        sent = [command for command in asked if command and command not in heard]
        answers = {**heard, **self._answers_to(sent, kind)}
        for command, ids in asked.items():
            if not command:
                self._ask(ANSWERS, partial(self._adopt, kind, ids), mute=True)
            for id_ in ids:
                self._note_answer(id_, answers.get(command, {}).get(id_), now)

    def _answers_to(
        self, commands: Sequence[CommandId], kind: DocumentKind, along: Sequence[CommandId] = ()
    ) -> Mapping[CommandId, Mapping[InstanceId, Answer]]:
        if not commands:
            return {}
        return self._ask(ANSWERS, partial(self._hosts.answers_to, commands, kind, along), mute=True) or {}

    def _read_reboot_ends(
        self, ids: Collection[InstanceId], now: datetime, heard: Mapping[CommandId, Mapping[InstanceId, Answer]]
    ) -> None:
        """Read how the open reboot commands of these instances ended, and of others if that takes no further call."""
        self._find_reboots([id_ for id_ in ids if any(one.open and not one.command for one in self._reboots(id_))], now)
        commands: dict[CommandId, list[InstanceId]] = {}
        for id_ in ids:
            for one in self._reboots(id_):
                if _read_by_id(one):
                    commands.setdefault(one.command, []).append(id_)
        along = self._open_reboots_of_others(ids, commands, now)
        unheard = [command for command in commands if command not in heard]
        answers = {**heard, **self._answers_to(unheard, DocumentKind.REBOOT, list(along))}
        for command, others in along.items():
            for id_ in others:
                end = _reboot_end(self._reboots(id_), command, answers.get(command, {}).get(id_), now)
                if end is not None:
                    self._known.learn(see_reboot_end(self._known.instance(id_), command, now, end))
        for command, asked in commands.items():
            for id_ in asked:
                end = _reboot_end(self._reboots(id_), command, answers.get(command, {}).get(id_), now)
                self._known.learn(see_reboot_end(self._known.instance(id_), command, now, end))

    def _open_reboots_of_others(
        self, ids: Collection[InstanceId], asked: Collection[CommandId], now: datetime
    ) -> Mapping[CommandId, Sequence[InstanceId]]:
        """Open reboot commands of other claimed instances that may have ended by now, each with its instances."""
        found: dict[CommandId, list[InstanceId]] = {}
        for instance in self._known.instances.values() if asked else ():
            if instance.claim is None or instance.id in ids:
                continue
            for one in instance.reboots:
                if _read_by_id(one) and one.command not in asked and has_passed(one.sent_at, ENDS_AFTER, now):
                    found.setdefault(one.command, []).append(instance.id)
        return found

    def _reboots(self, id_: InstanceId) -> tuple[SentReboot, ...]:
        return self._known.instance(id_).reboots

    def _find_reboots(self, ids: Collection[InstanceId], now: datetime) -> None:
        """Search recent commands for a reboot that may have been sent without our knowledge.

        Only the last one of each instance counts: an earlier one could do nothing more when it was sent.
        """
        wanted = {id_: self._reboots_since(self._known.instance(id_)) for id_ in ids}
        if not wanted:
            return
        earliest = max(min(wanted.values()), now - PENDING_FOR)
        found = self._ask("ssm:ListCommands", partial(self._hosts.listed, DocumentKind.REBOOT, earliest)) or {}
        for id_, since in wanted.items():
            instance = self._known.instance(id_)
            for one in [each for each in found.get(id_, ()) if each.sent_at >= since][-1:]:
                sent = SentReboot(one.command, one.sent_at, one.life or COMMAND_LIFE, sent_by_us=False)
                instance = see_reboot_found(instance, sent)
                end = _reboot_end(instance.reboots, one.command, one.answer, now)
                instance = see_reboot_end(instance, one.command, now, end)
            self._known.learn(see_reboot_end(instance, CommandId(""), now, None))

    def _reboots_since(self, instance: Instance) -> datetime:
        """The earliest time at which the claim's last reboot can have been sent: after the claim was written."""
        claim = instance.claim
        if claim is None:
            return self._known.at
        quarantined = claim.phase is ClaimPhase.QUARANTINED
        return instance.phase_began - (self._policy.longest_phase if quarantined else CLOCKS_APART)

    def _may_answer(self, command: CommandId, ids: Collection[InstanceId], now: datetime, *, few: bool) -> bool:
        """Whether to poll a command: not if it was sent or polled a moment ago.

        Passes may follow each other at once; hosts take longer to answer.
        """
        if not command:
            return True
        pending_commands = (self._known.instance(id_).pending for id_ in ids)
        sent = max((pending.sent_at for pending in pending_commands if pending is not None), default=None)
        last = self._heard.get(command, sent)
        # If the clock was set back, ignore the last time.
        polls = FEW_HEARD_AGAIN_POLLS if few else HEARD_AGAIN_POLLS
        if last is not None and timedelta(0) <= now - last < self._policy.poll_interval * polls:
            return False
        self._heard[command] = now
        return True

    def _adopt(self, kind: DocumentKind, ids: list[InstanceId]) -> None:
        """Find the id of a command whose SendCommand reply was lost, among the commands in progress."""
        sent = {id_: pending.sent_at for id_ in ids if (pending := self._known.instance(id_).pending) is not None}
        for id_, found in self._hosts.under_way(kind, min(sent.values())).items():
            if id_ in sent:
                # Use the send time on our own clock.
                ours = replace(found, sent_at=sent[id_])
                self._known.learn(replace(self._known.instance(id_), pending=ours))

    def _note_answer(self, id_: InstanceId, answer: Answer | None, now: datetime) -> None:
        instance = self._known.instance(id_)
        pending = instance.pending
        if pending is None:
            return
        if answer is not None and answer.end is not None:
            self._ended(instance, pending, answer.end, answer, now)
        elif has_passed(pending.sent_at, self._listens_for(pending, instance), now):
            silence = Answer(None, -1, "", "", "it gave no result")
            self._ended(instance, pending, CommandStatus.ABANDONED, silence, now)

    def _listens_for(self, pending: PendingCommand, instance: Instance) -> timedelta:
        if pending.kind is DocumentKind.APPLY and pending.command:
            return self._policy.apply_timeout
        if pending.kind in (DocumentKind.BEFORE_DRAIN, DocumentKind.AFTER_REBOOT) and pending.command:
            return self._policy.hook_timeout
        # Wait a little longer each time, so that a periodic fault does not coincide every time.
        return self._policy.answer_timeout + instance.progress.applies.unheard * self._policy.poll_interval

    def _ended(
        self, instance: Instance, pending: PendingCommand, end: CommandStatus, answer: Answer, now: datetime
    ) -> None:
        said = _said(answer)
        busy = end is CommandStatus.FAILED and lock_held(answer.stderr)
        ended = CommandResult(pending.kind, pending.command, pending.sent_at, now, end, answer.exit_code, said, busy)
        instance = see_ended(instance, ended)
        if pending.kind is DocumentKind.CHECK:
            instance = self._with_check_answer(instance, pending, ended, answer, now)
        self._known.learn(instance)

    def _with_check_answer(
        self, instance: Instance, pending: PendingCommand, ended: CommandResult, answer: Answer, now: datetime
    ) -> Instance:
        if ended.end in (CommandStatus.SUCCESS, CommandStatus.FAILED):
            exit_code = answer.exit_code if ended.end is CommandStatus.FAILED else 0
            heard = read_check(exit_code, answer.stdout, answer.stderr)
        else:
            heard = HostProblem(Problem.NO_ANSWER, ended.detail)
        proven_before = instance.progress.proof
        after = see_check_answer(instance, CheckAnswer(heard, pending.sent_at, now))
        self._recorder.record(HostChecked(now, instance.id, heard))
        report = after.check_answer.report if after.check_answer else None
        if proven_before is None and after.progress.proof is not None and report is not None:
            sent = after.progress.reboot_sent_at
            self._recorder.record(Rebooted(now, after.id, report.running, now - sent if sent else None))
            self._known.learn_reboot(after)
        return after


def _read_by_id(one: SentReboot) -> bool:
    return one.open and bool(one.command)


def _could_be_known(instance: Instance) -> bool:
    """Whether it is a connected host of ours that Systems Manager does not know for no other reason."""
    connected = instance.registration is not None and instance.registration.connected
    return instance.bottlerocket and connected and set_aside(instance) is None


def _nameless_id(arn: ContainerInstanceArn) -> InstanceId:
    return InstanceId(arn.rsplit("/", 1)[-1])


def _said(answer: Answer) -> str:
    return cause_line(answer.stdout, answer.stderr) if answer.stdout or answer.stderr else answer.detail


def _reboot_end(
    reboots: Iterable[SentReboot], command: CommandId, answer: Answer | None, now: datetime
) -> RebootEnd | None:
    """How a reboot command ended on a host; None while it is in progress."""
    if answer is None or answer.end is None:
        return None
    sent = next(one for one in reboots if one.command == command)
    soon = answer.took if answer.took is not None else (now - sent.sent_at if sent.sent_by_us else None)
    heard_at = now if sent.sent_by_us else min(now, sent.sent_at + (answer.took or sent.life))
    return RebootEnd(
        judge_acceptance(
            succeeded=answer.end is CommandStatus.SUCCESS,
            failed=answer.end is CommandStatus.FAILED,
            exit_code=answer.exit_code,
            text="\n".join((answer.stdout, answer.stderr, answer.detail)),
        ),
        heard_at,
        first_run=soon is not None and soon <= FIRST_RUN,
        detail=_said(answer),
        succeeded=answer.end is CommandStatus.SUCCESS,
    )


def _drains_for_us(instance: Instance) -> bool:
    registration = instance.registration
    return instance.claim is not None and registration is not None and registration.status is Status.DRAINING


def _counts_none(instance: Instance) -> bool:
    registration = instance.registration
    counted = registration.running_tasks + registration.pending_tasks if registration is not None else 0
    return _drains_for_us(instance) and counted == 0


def _drains_with_tasks(instance: Instance) -> bool:
    """Whether we are draining the instance, and tasks are known that may be left on it."""
    claim = instance.claim
    if instance.registration is None or claim is None or instance.tasks is None or not instance.tasks.left:
        return False
    return claim.phase is ClaimPhase.DRAINING and instance.progress.sent_return is None


def _may_be_empty(instance: Instance, this_pass: Pass) -> bool:
    """Whether this run drained it, and others were empty after that time."""
    return instance.progress.drain is not None and others_were_empty(instance.phase_began, this_pass)


def _marked_for_reboot(instance: Instance) -> bool:
    claim, progress = instance.claim, instance.progress
    unsent = progress.reboot_sent_at is None and progress.sent_return is None
    return claim is not None and claim.phase is ClaimPhase.REBOOTING and unsent


def _nearly_marked(instance: Instance, this_pass: Pass) -> bool:
    """Whether this look may find it empty, and its report is recent enough to mark and reboot it at once."""
    registration, claim = instance.registration, instance.claim
    if registration is None or claim is None or claim.phase is not ClaimPhase.DRAINING:
        return False
    counted_now = registration.at == this_pass.at and _counts_none(instance) and instance.pending is None
    none_known = instance.tasks is not None and not instance.tasks.left
    return counted_now and none_known and staged_report(instance, this_pass) is not None
