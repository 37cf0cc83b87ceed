"""The parts of Auto Scaling that an updater reads: an instance's group and its lifecycle state."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bottlerocket_ecs_updater.simulator.aws_basics.errors import AwsError
from bottlerocket_ecs_updater.simulator.aws_basics.paging import MAX_RECORDS_PAGES, list_page

if TYPE_CHECKING:
    import random
    from collections.abc import Callable
    from datetime import datetime

    from bottlerocket_ecs_updater.simulator.aws_basics.calls import Shape
    from bottlerocket_ecs_updater.simulator.aws_basics.names import Names
    from bottlerocket_ecs_updater.simulator.clock import WorldClock
    from bottlerocket_ecs_updater.simulator.services.ec2 import Ec2, Ec2Instance
    from bottlerocket_ecs_updater.simulator.services.launch_templates import LaunchTemplates

INSTANCES_AT_ONCE = 50
INSTANCES_PAGE = 50
GROUPS_DEFAULT, GROUPS_PAGE = 50, 100
REFRESHES_PAGE = 100
IN_SERVICE = "InService"
_TAKING_AWAY = ("Terminating", "Terminated", "Warmed")
_APART = ("Warmed", "Terminat")
"""Lifecycle states that do not count towards a group's desired capacity."""


@dataclass(slots=True)
class _Refresh:
    number: int
    id: str
    group: str
    status: str
    started_at: datetime


@dataclass(slots=True)
class _Group:
    number: int
    name: str
    created_at: datetime
    launch_template: str
    version: str
    members: list[str] = field(default_factory=list)
    max_size: int | None = None
    refreshes: list[_Refresh] = field(default_factory=list)


class AutoScaling:
    """Auto Scaling groups of the world's instances. Nothing scales by itself: tests trigger everything."""

    def __init__(
        self, clock: WorldClock, names: Names, ec2: Ec2, launch_templates: LaunchTemplates, chances: random.Random
    ) -> None:
        self._clock = clock
        self._names = names
        self._ec2 = ec2
        self._launch_templates = launch_templates
        self._chances = chances
        self._groups: dict[str, _Group] = {}
        self._group_of: dict[str, str] = {}
        self._lifecycle: dict[str, str] = {}
        self._taken_since: dict[str, datetime] = {}
        self._back_since: dict[str, datetime] = {}

    def handlers(self) -> dict[str, Callable[[Shape], Shape]]:
        """By the operation's name."""
        return {
            "DescribeAutoScalingInstances": self.describe_instances,
            "DescribeAutoScalingGroups": self.describe_groups,
            "DescribeInstanceRefreshes": self.describe_refreshes,
        }

    @property
    def has_groups(self) -> bool:
        """Whether the world has any groups."""
        return bool(self._groups)

    def add_group(
        self,
        name: str,
        *instance_ids: str,
        launch_template: str = "hosts",
        version: str = "1",
        max_size: int | None = None,
    ) -> None:
        """Add a group of instances that are in service. Its default maximum is twice their number."""
        self._groups[name] = _Group(
            len(self._groups) + 1, name, self._clock.now(), launch_template, version, max_size=max_size
        )
        for instance_id in instance_ids:
            self.join(name, instance_id)

    def members_of(self, group: str) -> tuple[str, ...]:
        """The instances of a group."""
        return tuple(self._groups[group].members)

    def arn_of(self, group: str) -> str:
        """The ARN of a group."""
        number = self._groups[group].number
        resource = f"autoScalingGroup:00000000-0000-4000-8000-{number:012x}:autoScalingGroupName/{group}"
        return self._names.arn("autoscaling", resource)

    def join(self, group: str, instance_id: str, state: str = IN_SERVICE) -> None:
        """Add an instance to a group, which is created if necessary."""
        if group not in self._groups:
            self.add_group(group)
        self._groups[group].members.append(instance_id)
        self._group_of[instance_id] = group
        self.set_lifecycle(instance_id, state)

    def set_lifecycle(self, instance_id: str, state: str) -> None:
        """Set an instance's lifecycle state: `Standby`, `Terminating:Wait`, …"""
        self._lifecycle[instance_id] = state
        if not state.startswith(_TAKING_AWAY):
            if self._taken_since.pop(instance_id, None) is not None:
                self._back_since[instance_id] = self._clock.now()
        else:
            self._taken_since.setdefault(instance_id, self._clock.now())

    def take_away(self, instance_id: str, state: str = "Terminating:Wait") -> None:
        """The group (created if necessary) takes the instance out of service, and a lifecycle hook delays that."""
        if instance_id not in self._group_of:
            self.join("hosts", instance_id)
        self.set_lifecycle(instance_id, state)

    def takes_away(self, instance_id: str) -> bool:
        """Whether its group is terminating it, or keeps it in its warm pool."""
        return instance_id in self._taken_since

    def sets_aside(self, instance_id: str) -> bool:
        """Whether its group is terminating it, keeps it in its warm pool, or has it in standby."""
        return self.takes_away(instance_id) or self._lifecycle.get(instance_id) == "Standby"

    def is_warm(self, instance_id: str) -> bool:
        """Whether its group keeps it in its warm pool."""
        return self._lifecycle.get(instance_id, "").startswith("Warmed")

    def taken_since(self, instance_id: str) -> datetime | None:
        """Since when its group is terminating it, or keeps it in its warm pool; None if neither."""
        return self._taken_since.get(instance_id)

    def back_since(self, instance_id: str) -> datetime | None:
        """When its group last put it into service again after it had taken it away; None if it never did."""
        return self._back_since.get(instance_id)

    def start_refresh(self, group: str) -> None:
        """Start an instance refresh of a group."""
        refreshes = self._groups[group].refreshes
        refresh_id = str(uuid.UUID(int=self._chances.getrandbits(128), version=4))
        refreshes.insert(0, _Refresh(-len(refreshes), refresh_id, group, "InProgress", self._clock.now()))

    def describe_instances(self, request: Shape) -> Shape:
        """The requested instances that are in a group, or all that are in one."""
        asked = request.get("InstanceIds")
        if asked is not None and len(asked) > INSTANCES_AT_ONCE:
            raise AwsError(
                "ValidationError", f"The number of instances that may be passed in is limited to {INSTANCES_AT_ONCE}"
            )
        machines = [machine for name, machine in self._ec2.machines.items() if name in self._group_of]
        records = machines if not asked else [each for each in machines if each.host.instance_id in asked]
        found, more = list_page(records, request, MAX_RECORDS_PAGES, INSTANCES_PAGE)
        return {
            "AutoScalingInstances": [
                {**self._member(machine), "AutoScalingGroupName": self._group_of[machine.host.instance_id]}
                for machine in found
            ]
        } | more

    def describe_groups(self, request: Shape) -> Shape:
        """The named groups, or all."""
        names = request.get("AutoScalingGroupNames")
        records = [group for group in self._groups.values() if not names or group.name in names]
        found, more = list_page(records, request, MAX_RECORDS_PAGES, GROUPS_PAGE, GROUPS_DEFAULT)
        return {"AutoScalingGroups": [self._group(group) for group in found]} | more

    def describe_refreshes(self, request: Shape) -> Shape:
        """The refreshes of one group, newest first."""
        group = self._groups.get(request["AutoScalingGroupName"])
        if group is None:
            raise AwsError("ValidationError", "AutoScalingGroup name not found - null")
        found, more = list_page(group.refreshes, request, MAX_RECORDS_PAGES, REFRESHES_PAGE)
        return {
            "InstanceRefreshes": [
                {
                    "InstanceRefreshId": refresh.id,
                    "AutoScalingGroupName": refresh.group,
                    "Status": refresh.status,
                    "StartTime": refresh.started_at,
                    "PercentageComplete": 100 if refresh.status == "Successful" else 0,
                }
                for refresh in found
            ]
        } | more

    def _group(self, group: _Group) -> Shape:
        members = [self._ec2.machines[name] for name in group.members]
        return {
            "AutoScalingGroupName": group.name,
            "AutoScalingGroupARN": self.arn_of(group.name),
            "LaunchTemplate": self._template(group),
            "MinSize": 0,
            "MaxSize": 2 * len(members) if group.max_size is None else group.max_size,
            "DesiredCapacity": sum(not self._lifecycle[name].startswith(_APART) for name in group.members),
            "DefaultCooldown": 300,
            "AvailabilityZones": sorted({machine.zone for machine in members}),
            "HealthCheckType": "EC2",
            "CreatedTime": group.created_at,
            "Instances": [self._member(machine) for machine in members],
            "SuspendedProcesses": [],
            "Tags": [],
        }

    def _member(self, machine: Ec2Instance) -> Shape:
        name = machine.host.instance_id
        return {
            "InstanceId": name,
            "InstanceType": machine.instance_type,
            "AvailabilityZone": machine.zone,
            "LifecycleState": self._lifecycle[name],
            # The real API differs in upper and lower case between two operations; parsing accepts this form.
            "HealthStatus": "HEALTHY" if machine.state == "running" else "UNHEALTHY",
            "LaunchTemplate": self._template(self._groups[self._group_of[name]]),
            "ProtectedFromScaleIn": False,
        }

    def _template(self, group: _Group) -> Shape:
        return {
            "LaunchTemplateId": self._launch_templates.template_id(group.launch_template) or f"lt-{group.number:017x}",
            "LaunchTemplateName": group.launch_template,
            "Version": group.version,
        }
