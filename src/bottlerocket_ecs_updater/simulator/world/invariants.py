"""The invariant checker: checks what no real cloud could check, while the world runs.

It knows whether an updater (a call), a person (an operator's call) or the world itself caused a change.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from bottlerocket_ecs_updater.core.model.claim import CLAIM_ATTRIBUTE, ClaimPhase, read_claim
from bottlerocket_ecs_updater.simulator.aws_basics.errors import AwsError
from bottlerocket_ecs_updater.simulator.ecs.model import Desired, InstanceStatus, Last
from bottlerocket_ecs_updater.simulator.ecs.requests import arn_like
from bottlerocket_ecs_updater.simulator.ecs.task_failures import SCHEDULED
from bottlerocket_ecs_updater.simulator.host import Power
from bottlerocket_ecs_updater.simulator.world.blocked_drains import BlockedDrains
from bottlerocket_ecs_updater.simulator.world.broken_versions import BrokenVersions
from bottlerocket_ecs_updater.simulator.world.findings import Findings, KilledTask, UpdaterLimits, Violation
from bottlerocket_ecs_updater.simulator.world.forbidden_versions import ForbiddenVersions
from bottlerocket_ecs_updater.simulator.world.outages import NOTICEABLE, Outages

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from bottlerocket_ecs_updater.simulator.aws_basics.calls import Call, Shape
    from bottlerocket_ecs_updater.simulator.ecs.model import ContainerInstance, Task
    from bottlerocket_ecs_updater.simulator.host import Host
    from bottlerocket_ecs_updater.simulator.world.world import World

LOOKED_BEFORE = timedelta(seconds=30)
"""If someone stages a version this shortly before a reboot is sent, no check can show it."""

_NOT_BY_REBOOT = frozenset({Power.STOPPED, Power.TERMINATED})
"""Power states that no reboot command causes."""

_WRITES_TO_SERVICES = frozenset(
    {
        "ecs:CreateService",
        "ecs:UpdateService",
        "ecs:DeleteService",
        "autoscaling:UpdateAutoScalingGroup",
        "autoscaling:SetDesiredCapacity",
        "autoscaling:TerminateInstanceInAutoScalingGroup",
    }
)
_UNDER_WAY = frozenset({"Pending", "InProgress", "Delayed", "Cancelling"})
_ACTS = frozenset({"ecs:UpdateContainerInstancesState", "ecs:PutAttributes", "ecs:DeleteAttributes"})


@dataclass(slots=True)
class _Seen:
    """The history of one instance."""

    reboot_sent_at: datetime | None = None
    staged_by_hand_at: datetime | None = None
    returned_by_hand_at: datetime | None = None
    claim_deleted_at: datetime | None = None
    reboot_by: str | None = None
    """The caller of the last reboot command. It is kept after a boot, because the command may run again."""
    booted_at: datetime | None = None
    drained_at: datetime | None = None
    """When an updater drained it last."""
    applies: dict[str, int] = field(default_factory=dict)
    """Apply commands that may be running, by command id, with the number of boots when they were sent."""


class InvariantChecker:
    """Checks one world. Everything is recorded when it happens."""

    def __init__(self, world: World, budget: UpdaterLimits | None, operators: frozenset[str]) -> None:
        self.operators = operators
        self.budget = budget or UpdaterLimits()
        self.violations: list[Violation] = []
        self.tasks_killed: list[KilledTask] = []
        self._world = world
        self._groups = world.autoscaling
        self._seen: dict[str, _Seen] = {}
        self._outages = Outages(world)
        self._moves = 0
        self._drained_by_updater: set[str] = set()
        self._actors: list[str] = []
        self.broken = BrokenVersions(world)
        self.forbidden = ForbiddenVersions(world)
        self._blocked_drains = BlockedDrains()
        world.ecs.registry.on_instance.append(self._instance_changed)
        world.ecs.registry.on_task.append(self._task_changed)

    def follow(self, host: Host) -> None:
        """Listen to a host, before other listeners, because they change what is checked here."""
        host.on_containers_die.append(self._containers_died)
        host.on_ecs_agent.append(lambda host, _: self._look_at(host))
        host.on_boot.append(self._booted)
        self.forbidden.follow(host)
        host.on_terminate.append(self._look_at)

    def staged_by_hand(self, instance_id: str) -> None:
        """Note that someone other than the updater stages a version on a host."""
        self._seen[instance_id].staged_by_hand_at = self._world.clock.now()

    def claim_deleted_by_hand(self, instance_id: str) -> None:
        """A person who deletes the claim of a drained instance takes it over from the updater."""
        self._seen[instance_id].claim_deleted_at = self._world.clock.now()
        self._drained_by_updater.discard(instance_id)

    def returned_by_hand(self, instance_id: str) -> None:
        """Note that someone other than the updater sets an instance ACTIVE."""
        self._seen[instance_id].returned_by_hand_at = self._world.clock.now()

    def about_to_serve(self, call: Call) -> None:
        """Check a call against the current world, before it takes effect."""
        if call.caller in self.operators:
            return
        if call.action in _WRITES_TO_SERVICES:
            self._violated(10, call.caller, f"{call.action} {dict(call.params)}")
        if call.action == "ecs:StopTask":
            self._stop_task(call)
        if call.action in _ACTS or call.action == "ssm:SendCommand":
            self._acts(call)
        if call.action == "ecs:UpdateContainerInstancesState":
            self._set_status(call)
        if call.action == "s3:GetObject":
            self.forbidden.read(call.params["Key"], call.caller)

    def served(self, call: Call, answer: Shape) -> None:
        """Record a call after it took effect."""
        if call.action == "ssm:SendCommand" and call.caller not in self.operators:
            self._sent(call, answer["Command"])
        if call.service == "s3":
            self._served_by_s3(call)

    def _served_by_s3(self, call: Call) -> None:
        key = call.params.get("Key", "")
        match call.operation:
            case "PutObject":
                body = call.params.get("Body", b"")
                self.broken.stored(key, body, by_updater=self.acted(call.caller))
                self.forbidden.stored(key, body)
            case "DeleteObject":
                self.forbidden.deleted(key)
            case _:
                pass

    def acted(self, caller: str) -> bool:
        """Whether a caller has acted as an updater does."""
        return caller in self._actors

    def _is_terminated(self, name: str) -> bool:
        return self._world.hosts[name].power is Power.TERMINATED

    def findings(self) -> Findings:
        """A summary of the observations so far."""
        drained = [one for one in self._world.cluster.by_ec2.values() if one.status is InstanceStatus.DRAINING]
        # Check who drained it: if a reboot undid our drain, someone else may have drained it since.
        quarantined = {one.ec2_instance_id for one in drained if _is_quarantined(one)}
        ours = [one.ec2_instance_id for one in drained if one.ec2_instance_id in self._drained_by_updater]
        # An instance that its group terminates is left DRAINING on purpose.
        ours = [name for name in ours if not (self._groups.takes_away(name) or self._is_terminated(name))]
        return Findings(
            violations=tuple(self.violations),
            tasks_killed=tuple(self.tasks_killed),
            stranded=tuple(name for name in ours if name not in quarantined),
            quarantined=tuple(sorted(quarantined)),
            most_out_at_once=self._outages.most_at_once,
            most_out_by_zone=dict(self._outages.most_by_zone),
            seconds_out=self._outages.seconds_out(),
            task_moves=self._moves,
            boots={name: host.boots - 1 for name, host in self._world.hosts.items()},
            versions={name: host.running for name, host in self._world.hosts.items()},
            calls=dict(self._world.calls.by_action),
            errors=dict(self._world.calls.errors),
        )

    # Container instances.

    def _instance_changed(self, instance: ContainerInstance) -> None:
        name = instance.ec2_instance_id
        if name not in self._seen:
            self._seen[name] = _Seen()
        if instance.drained_by is None and instance.status is InstanceStatus.ACTIVE:
            self._drained_by_updater.discard(name)
        self._outages.look_at(name, by_updater=self._is_updater(self._world.ecs.registry.actor))

    def _look_at(self, host: Host) -> None:
        self._outages.look_at(host.instance_id, by_updater=self._is_updater(self._world.ecs.registry.actor))

    def _set_status(self, call: Call) -> None:
        together: list[str] = []
        for instance in self._instances(call.params["containerInstances"]):
            name = instance.ec2_instance_id
            drained_by = instance.drained_by
            if drained_by is not None and not self._is_updater(drained_by):
                self._violated(4, name, f"{call.caller} sets {call.params['status']}; {drained_by} drained it")
            elif call.params["status"] == InstanceStatus.DRAINING and instance.status is InstanceStatus.ACTIVE:
                self._drained_by_updater.add(name)
                self._seen[name].drained_at = self._world.clock.now()
                self._check_budget(name, call, together)
                self._check_blocked(instance, call)
                self._check_allowed(instance, call, "drains")
                together.append(name)
            elif call.params["status"] == InstanceStatus.ACTIVE:
                self._note_blocked(instance, call)
                self._check_stays_up(name, call)
                self._check_stays_in_group(name, call)

    def _note_blocked(self, instance: ContainerInstance, call: Call) -> None:
        """Record what blocked a drain, if it is given up after the drain timeout."""
        name, began = instance.ec2_instance_id, self._seen[instance.ec2_instance_id].drained_at
        ours = instance.status is InstanceStatus.DRAINING and name in self._drained_by_updater
        if ours and began is not None and self._world.clock.now() - began >= self.budget.drain_timeout:
            self._blocked_drains.note(instance, call.caller)

    def _check_blocked(self, instance: ContainerInstance, call: Call) -> None:
        why = self._blocked_drains.why_not(instance, call.caller)
        if why:
            self._violated(15, instance.ec2_instance_id, why)

    def _check_allowed(self, instance: ContainerInstance, call: Call, act: str) -> None:
        """An updater must not drain or reboot a host for a version that it must know it may not take."""
        target, host = _target_of(instance), self._world.hosts[instance.ec2_instance_id]
        if target and (why := self.forbidden.why_not(target, host, call.caller, self.budget)):
            self._violated(8, host.instance_id, f"{call.caller} {act} it for {target}, {why}")

    def _check_breaks_no_more(self, instance: ContainerInstance, call: Call) -> None:
        """An updater must not reboot another host into a version on which tasks have been failing."""
        target = _target_of(instance)
        if self.broken.is_known(target):
            self._violated(16, instance.ec2_instance_id, f"{call.caller} reboots it into {target}, which breaks tasks")

    def _check_stays_up(self, name: str, call: Call) -> None:
        """An updater must not set a host ACTIVE that is down, or about to go down, because of a reboot command."""
        host, sent = self._world.hosts[name], self._seen[name].reboot_sent_at
        started_since = sent is not None and host.started_at > sent and host.power is not Power.RUNNING
        if sent is not None and host.going_down and host.power not in _NOT_BY_REBOOT and not started_since:
            state = "has a reboot pending" if host.power is Power.RUNNING else f"is {host.power}"
            self._violated(17, name, f"{call.caller} sets ACTIVE, and the host {state}")

    def _check_stays_in_group(self, name: str, call: Call) -> None:
        """An updater must not set an instance ACTIVE that its Auto Scaling group has been terminating for some time."""
        since = self._groups.taken_since(name)
        if since is not None and self._world.clock.now() - since >= NOTICEABLE:
            self._violated(
                13, name, f"{call.caller} sets ACTIVE an instance that its group has been terminating since {since}"
            )

    def _check_budget(self, name: str, call: Call, together: Sequence[str]) -> None:
        """Check the budget, including the instances that the same call drains before this one."""
        zones = self._outages.zones(besides=name, together=together, not_counted=self.budget.not_counted)
        zone = self._outages.zone_of(name)
        total, here = len(zones) + 1, zones.count(zone) + 1
        most, most_here = self.budget.max_unavailable, self.budget.max_unavailable_per_zone
        if most is not None and total > most:
            self._violated(1, name, f"{call.caller} makes it {total} out of service, of {most}")
        if most_here is not None and here > most_here:
            self._violated(1, name, f"{call.caller} makes it {here} out of service in {zone}, of {most_here}")

    # Tasks.

    def _task_changed(self, task: Task) -> None:
        instance = task.instance
        if instance is not None and instance.ec2_instance_id in self._world.hosts:
            updated = self._seen[instance.ec2_instance_id].reboot_by is not None
            self.broken.task_changed(task, self._world.hosts[instance.ec2_instance_id], updated=updated)
        if (
            task.desired is Desired.STOPPED
            and task.last in (Last.RUNNING, Last.PENDING, Last.PROVISIONING)
            and task.stop_code == SCHEDULED
            and not task.is_daemon
            and instance is not None
            and instance.status is InstanceStatus.DRAINING
        ):
            self._moves += 1

    def _stop_task(self, call: Call) -> None:
        task = self._world.cluster.tasks.get(arn_like(self._world.cluster, "task", call.params["task"]))
        standalone = task is None or task.service is None
        if not (standalone and self.budget.may_stop_standalone_tasks):
            self._violated(6, call.caller, f"StopTask {call.params['task']}")

    def _containers_died(self, host: Host, reason: str) -> None:
        instance = self._world.cluster.by_ec2[host.instance_id]
        seen = self._seen[host.instance_id]
        ours = seen.reboot_by is not None and reason.startswith("apiclient reboot")
        for task in instance.tasks.values():
            if _has_containers(task):
                now = self._world.clock.now()
                self.tasks_killed.append(KilledTask(task.arn, task.group, host.instance_id, now, ours))
        # If someone returns an instance while the reboot command is in transit, no one can stop it.
        returned, sent = seen.returned_by_hand_at, seen.reboot_sent_at
        if ours and (returned is None or sent is None or returned < sent):
            self._check_reboot(instance, f"reboot by {seen.reboot_by}", [*instance.tasks.values()])

    # Commands.

    def _sent(self, call: Call, command: Shape) -> None:
        content = self._world.documents.content(call.params["DocumentName"]) or ""
        text = f"{content} {call.params.get('Parameters', {})}"
        targets = [name for name in call.params.get("InstanceIds", []) if name in self._seen]
        for name in targets:
            if "apiclient update check" in text or "apiclient update apply" in text:
                self._check_apply_has_ended(name, call)
            if "apiclient update apply" in text:
                self._seen[name].applies[command["CommandId"]] = self._world.hosts[name].boots
            if "apiclient reboot" in text:
                self._seen[name].reboot_by = call.caller
                self._seen[name].reboot_sent_at = call.at
                instance = self._world.cluster.by_ec2[name]
                self._check_reboot(instance, f"SendCommand by {call.caller}", [*instance.tasks.values()])
                self._check_breaks_no_more(instance, call)
                self._check_allowed(instance, call, "reboots")

    def _check_reboot(self, instance: ContainerInstance, what: str, tasks: Iterable[Task]) -> None:
        wrong = [f"task {task.arn.rsplit('/', 1)[-1]} is {task.last}" for task in tasks]
        if instance.status is not InstanceStatus.DRAINING:
            wrong.append(f"it is {instance.status}")
        elif not self._is_updater(instance.drained_by):
            self._violated(4, instance.ec2_instance_id, f"{what}; {instance.drained_by} drained it")
        deleted_at = self._seen[instance.ec2_instance_id].claim_deleted_at
        just_deleted = deleted_at is not None and self._world.clock.now() - deleted_at < NOTICEABLE
        taken_away = self._groups.takes_away(instance.ec2_instance_id)
        if CLAIM_ATTRIBUTE not in instance.custom and not taken_away and not just_deleted:
            # The claim is dropped if the group terminates the instance, and an earlier reboot may still run.
            wrong.append("it has no claim")
        if wrong:
            self._violated(2, instance.ec2_instance_id, f"{what}: {', '.join(wrong)}")

    def _check_apply_has_ended(self, name: str, call: Call) -> None:
        applies = self._seen[name].applies
        for command in [each for each, boots in applies.items() if self._has_ended(each, name, boots)]:
            del applies[command]
        if applies:
            document = call.params["DocumentName"]
            self._violated(12, name, f"{call.caller} sends {document} while {sorted(applies)} may run")

    def _has_ended(self, command: str, name: str, boots: int) -> bool:
        """Whether the updater could know that it has ended: SSM shows it, or the host has booted since."""
        if self._world.hosts[name].boots != boots:
            return True
        try:
            invocation = self._world.ssm.get_command_invocation({"CommandId": command, "InstanceId": name})
        except AwsError:
            return False
        return invocation["Status"] not in _UNDER_WAY

    def _booted(self, host: Host) -> None:
        seen = self._seen[host.instance_id]
        sent, staged = seen.reboot_sent_at, seen.staged_by_hand_at
        too_late = sent is not None and staged is not None and staged > sent - LOOKED_BEFORE
        # The first boot after a start in EC2 is not by a reboot command, even if one was sent before.
        by_start = sent is not None and host.started_at > max(sent, seen.booted_at or sent)
        seen.booted_at = self._world.clock.now()
        ours = seen.reboot_by is not None and not by_start
        if ours and host.running in self.budget.denied_versions and not too_late:
            self._violated(8, host.instance_id, f"{seen.reboot_by} booted it into {host.running}")

    # Callers.

    def _acts(self, call: Call) -> None:
        if not self._actors or self._actors[-1] != call.caller:
            if call.caller in self._actors:
                self._violated(7, call.caller, f"{call.action} after {self._actors[-1]} had begun to act")
            self._actors.append(call.caller)

    def _is_updater(self, actor: str | None) -> bool:
        return actor is not None and actor not in self.operators

    def _instances(self, names: Iterable[str]) -> Iterable[ContainerInstance]:
        cluster = self._world.cluster
        found = (cluster.instances.get(arn_like(cluster, "container-instance", name)) for name in names)
        return (instance for instance in found if instance is not None)

    def _violated(self, invariant: int, subject: str, facts: str) -> None:
        self.violations.append(Violation(invariant, self._world.clock.now(), subject, facts))


def _target_of(instance: ContainerInstance) -> str:
    """The version that its claim names; empty if it has none that can be read."""
    try:
        claim = read_claim(instance.custom.get(CLAIM_ATTRIBUTE))
    except ValueError:
        return ""
    return str(claim.target) if claim is not None else ""


def _has_containers(task: Task) -> bool:
    return task.last in (Last.RUNNING, Last.DEACTIVATING, Last.STOPPING) and not task.containers_dead


def _is_quarantined(instance: ContainerInstance) -> bool:
    return ClaimPhase.QUARANTINED.value in (instance.custom.get(CLAIM_ATTRIBUTE) or "").split()
