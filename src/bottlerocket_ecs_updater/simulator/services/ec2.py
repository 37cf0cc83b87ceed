"""The parts of EC2 that concern hosts: state, status checks, reboot, stop, start, terminate."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from bottlerocket_ecs_updater.simulator.aws_basics.errors import AwsError
from bottlerocket_ecs_updater.simulator.aws_basics.paging import EC2_PAGES, list_page
from bottlerocket_ecs_updater.simulator.ecs.attachments import interfaces_of, volume_limit
from bottlerocket_ecs_updater.simulator.host import Power

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from bottlerocket_ecs_updater.simulator.aws_basics.calls import Shape
    from bottlerocket_ecs_updater.simulator.clock import WorldClock
    from bottlerocket_ecs_updater.simulator.host import Host

EXPLICIT_IDS = 100
EC2_PAGE = 1000
TYPES_PAGE = 100
INITIALIZING = timedelta(minutes=2)
"""From a boot until the status checks have passed again, long after a rebooted host is back."""

TERMINATED_SHOWN = timedelta(hours=1)
"""How long EC2 describes a terminated instance."""

_STATES = {"running": 16, "terminated": 48, "stopped": 80}


@dataclass(slots=True)
class Ec2Instance:
    """An EC2 instance with its host."""

    number: int
    host: Host
    zone: str
    instance_type: str
    image_id: str
    launched_at: datetime
    impaired_until: datetime | None = None
    terminated_at: datetime | None = None

    @property
    def state(self) -> str:
        match self.host.power:
            case Power.TERMINATED:
                return "terminated"
            case Power.STOPPED:
                return "stopped"
            case _:
                return "running"


@dataclass(slots=True)
class _Type:
    """An instance type with its position, for paging."""

    number: int
    name: str


class Ec2:
    """DescribeInstances and DescribeInstanceStatus over the world's hosts."""

    def __init__(self, clock: WorldClock) -> None:
        self._clock = clock
        self.machines: dict[str, Ec2Instance] = {}

    def add(self, host: Host, zone: str, instance_type: str, image_id: str) -> None:
        """Add a host."""
        machine = Ec2Instance(len(self.machines) + 1, host, zone, instance_type, image_id, self._clock.now())
        self.machines[host.instance_id] = machine
        host.on_boot.append(self._booted)
        host.on_terminate.append(self._terminated)

    def handlers(self) -> dict[str, Callable[[Shape], Shape]]:
        """By the operation's name."""
        return {
            "DescribeInstances": self.describe_instances,
            "DescribeInstanceTypes": self.describe_instance_types,
            "DescribeInstanceStatus": self.describe_instance_status,
            "GetConsoleOutput": self.get_console_output,
            "RebootInstances": self.reboot,
            "StartInstances": self.start,
            "StopInstances": self.stop,
            "TerminateInstances": self.terminate,
        }

    def describe_instance_status(self, request: Shape) -> Shape:
        """The status of running instances, or of all with IncludeAllInstances."""
        self._check_ids(request)
        records = [
            machine
            for machine in self._asked(request)
            if machine.state == "running" or request.get("IncludeAllInstances")
        ]
        found, more = list_page(records, request, EC2_PAGES, EC2_PAGE)
        return {"InstanceStatuses": [self._status(machine) for machine in found]} | more

    def describe_instances(self, request: Shape) -> Shape:
        """Instances, each in its own reservation."""
        self._check_ids(request)
        wanted = _filters(request.get("Filters", []))
        found, more = list_page(self._asked(request), request, EC2_PAGES, EC2_PAGE, wanted=wanted)
        return {
            "Reservations": [
                {"ReservationId": f"r-{machine.number:017x}", "Instances": [self._instance(machine)]}
                for machine in found
            ]
        } | more

    def reboot(self, request: Shape) -> Shape:
        """Reboot instances, as in the console. This also works if a host hangs."""
        for machine in self._named(request):
            machine.host.reboot("RebootInstances")
        return {}

    def stop(self, request: Shape) -> Shape:
        """Stop instances. Raises IncorrectInstanceState for one that was terminated."""
        return {"StoppingInstances": self._changed(request, lambda host: host.stop())}

    def start(self, request: Shape) -> Shape:
        """Start stopped instances. Raises IncorrectInstanceState for one that was terminated."""
        return {"StartingInstances": self._changed(request, lambda host: host.start())}

    def terminate(self, request: Shape) -> Shape:
        """Terminate instances."""
        return {"TerminatingInstances": self._changed(request, lambda host: host.terminate(), terminated=True)}

    def get_console_output(self, request: Shape) -> Shape:
        """The last lines of one console, in the API's encoding."""
        [machine] = self._named({"InstanceIds": [request["InstanceId"]]})
        host = machine.host
        text = f"Bottlerocket OS {host.running} ({host.variant})\nboot {host.boots}: {host.boot_id}\n{host.power}\n"
        return {
            "InstanceId": host.instance_id,
            "Output": base64.b64encode(text.encode()).decode(),
            "Timestamp": self._clock.now(),
        }

    def _named(self, request: Shape) -> list[Ec2Instance]:
        self._check_ids(request)
        return [self.machines[name] for name in request["InstanceIds"]]

    def _changed(self, request: Shape, act: Callable[[Host], None], *, terminated: bool = False) -> list[Shape]:
        """Apply `act` to each. Returns old and new states. Does nothing if AWS would reject one of them."""
        machines = self._named(request)
        for machine in machines:
            if machine.state == "terminated" and not terminated:
                name = machine.host.instance_id
                raise AwsError("IncorrectInstanceState", f"The instance '{name}' is not in a state for this operation.")
        shapes: list[Shape] = []
        for machine in machines:
            before = machine.state
            act(machine.host)
            shapes.append(
                {
                    "InstanceId": machine.host.instance_id,
                    "CurrentState": {"Code": _STATES[machine.state], "Name": machine.state},
                    "PreviousState": {"Code": _STATES[before], "Name": before},
                }
            )
        return shapes

    def tags_of(self, instance_id: str) -> dict[str, str]:
        """An instance's tags by key; empty if EC2 does not know it."""
        machine = self.machines.get(instance_id)
        return {"Name": instance_id, **dict(machine.host.spec.tags)} if machine is not None else {}

    def describe_instance_types(self, request: Shape) -> Shape:
        """How many network interfaces and EBS volumes instance types can have; nothing else is simulated."""
        asked = [value for each in request.get("Filters", []) for value in each["Values"]]
        asked += request.get("InstanceTypes", [])
        known = sorted({machine.instance_type for machine in self.machines.values()} - {""})
        records = [_Type(number, name) for number, name in enumerate(known, 1) if not asked or name in asked]
        found, more = list_page(records, request, EC2_PAGES, TYPES_PAGE)
        return {
            "InstanceTypes": [
                {
                    "InstanceType": each.name,
                    "NetworkInfo": {"MaximumNetworkInterfaces": interfaces_of(each.name)},
                    "EbsInfo": _ebs_info(each.name),
                }
                for each in found
            ]
        } | more

    def _check_ids(self, request: Shape) -> None:
        ids = request.get("InstanceIds", [])
        if ids and request.get("MaxResults") is not None:
            raise AwsError(
                "InvalidParameterCombination", "The parameter instancesSet cannot be used with the parameter maxResults"
            )
        if len(ids) > EXPLICIT_IDS:
            raise AwsError("InvalidParameterValue", f"At most {EXPLICIT_IDS} instance ids may be given.")
        unknown = [each for each in ids if each not in self.machines]
        if unknown:
            raise AwsError("InvalidInstanceID.NotFound", f"The instance IDs '{', '.join(unknown)}' do not exist")

    def _asked(self, request: Shape) -> Iterable[Ec2Instance]:
        ids = set(request.get("InstanceIds", []))
        shown = (machine for machine in self.machines.values() if not self._is_forgotten(machine))
        return (machine for machine in shown if not ids or machine.host.instance_id in ids)

    def _is_forgotten(self, machine: Ec2Instance) -> bool:
        at = machine.terminated_at
        return at is not None and self._clock.now() - at >= TERMINATED_SHOWN

    def _terminated(self, host: Host) -> None:
        self.machines[host.instance_id].terminated_at = self._clock.now()

    def _booted(self, host: Host) -> None:
        self.machines[host.instance_id].impaired_until = self._clock.now() + INITIALIZING

    def _status(self, machine: Ec2Instance) -> Shape:
        status, detail = self._checks(machine)
        summary = {"Status": status, "Details": [{"Name": "reachability", "Status": detail}]}
        return {
            "AvailabilityZone": machine.zone,
            "InstanceId": machine.host.instance_id,
            "InstanceState": {"Code": _STATES[machine.state], "Name": machine.state},
            "InstanceStatus": summary,
            "SystemStatus": {"Status": "ok", "Details": [{"Name": "reachability", "Status": "passed"}]},
        }

    def _checks(self, machine: Ec2Instance) -> tuple[str, str]:
        if machine.host.power is Power.HUNG:
            return "impaired", "failed"
        # EC2 checks once a minute: right after a reboot it still reports "ok", so do not rely on it.
        until = machine.impaired_until
        if until is not None and self._clock.now() < until:
            return "initializing", "initializing"
        return "ok", "passed"

    def _instance(self, machine: Ec2Instance) -> Shape:
        managed_by = machine.host.spec.managed_by
        return {
            "InstanceId": machine.host.instance_id,
            "ImageId": machine.image_id,
            "PrivateIpAddress": machine.host.address,
            "Operator": {"Managed": True, "Principal": managed_by} if managed_by else {"Managed": False},
            "InstanceType": machine.instance_type,
            "LaunchTime": max(machine.launched_at, machine.host.started_at),
            "Placement": {"AvailabilityZone": machine.zone, "Tenancy": "default"},
            "State": {"Code": _STATES[machine.state], "Name": machine.state},
            "Tags": [{"Key": key, "Value": value} for key, value in self.tags_of(machine.host.instance_id).items()],
        }


_FIELDS: dict[str, Callable[[Ec2Instance], str]] = {
    "availability-zone": lambda machine: machine.zone,
    "image-id": lambda machine: machine.image_id,
    "instance-id": lambda machine: machine.host.instance_id,
    "instance-state-name": lambda machine: machine.state,
    "instance-type": lambda machine: machine.instance_type,
}


def _filters(filters: list[Shape]) -> Callable[[Ec2Instance], bool]:
    unknown = [each["Name"] for each in filters if each["Name"] not in _FIELDS]
    if unknown:
        raise AwsError("InvalidParameterValue", f"The filter '{unknown[0]}' is not simulated")
    return lambda machine: all(_FIELDS[each["Name"]](machine) in each["Values"] for each in filters)


def _ebs_info(instance_type: str) -> Shape:
    limit = volume_limit(instance_type)
    return {"MaximumEbsAttachments": limit.most, "AttachmentLimitType": "shared" if limit.shared else "dedicated"}
