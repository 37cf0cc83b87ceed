"""The little of EC2 that an updater may look at: whether its instances run, and pass their status checks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from bottlerocket_ecs_updater.simulator.aws_basics.errors import AwsError
from bottlerocket_ecs_updater.simulator.aws_basics.paging import page
from bottlerocket_ecs_updater.simulator.host import Power

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from bottlerocket_ecs_updater.simulator.clock import Clock
    from bottlerocket_ecs_updater.simulator.ecs.model import Shape
    from bottlerocket_ecs_updater.simulator.host import Host

EXPLICIT_IDS = 100
PAGE = 1000
INITIALIZING = timedelta(minutes=2)
"""From a boot until the status checks have passed again; by then a rebooted host has long been back."""

_STATES = {"running": 16, "terminated": 48, "stopped": 80}


@dataclass(slots=True)
class Machine:
    """An EC2 instance with its host."""

    number: int
    host: Host
    zone: str
    instance_type: str
    image_id: str
    launched_at: datetime
    impaired_until: datetime | None = None

    @property
    def state(self) -> str:
        match self.host.power:
            case Power.TERMINATED:
                return "terminated"
            case Power.STOPPED:
                return "stopped"
            case _:
                return "running"


class Ec2:
    """DescribeInstances and DescribeInstanceStatus over the world's hosts."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.machines: dict[str, Machine] = {}

    def add(self, host: Host, zone: str, instance_type: str, image_id: str) -> None:
        """Take a host in."""
        machine = Machine(len(self.machines) + 1, host, zone, instance_type, image_id, self._clock.now())
        self.machines[host.instance_id] = machine
        host.on_boot.append(self._booted)

    def handlers(self) -> dict[str, Callable[[Shape], Shape]]:
        """By the operation's name."""
        return {
            "DescribeInstances": self.describe_instances,
            "DescribeInstanceStatus": self.describe_instance_status,
        }

    def describe_instance_status(self, request: Shape) -> Shape:
        """Of running instances, or of all with IncludeAllInstances."""
        self._check_ids(request)
        records = [
            machine
            for machine in self._asked(request)
            if machine.state == "running" or request.get("IncludeAllInstances")
        ]
        found, token = page(records, request.get("NextToken"), request.get("MaxResults"), PAGE)
        answer: Shape = {"InstanceStatuses": [self._status(machine) for machine in found]}
        return answer if token is None else {**answer, "NextToken": token}

    def describe_instances(self, request: Shape) -> Shape:
        """Each instance in a reservation of its own."""
        self._check_ids(request)
        wanted = _filters(request.get("Filters", []))
        found, token = page(
            self._asked(request), request.get("NextToken"), request.get("MaxResults"), PAGE, wanted=wanted
        )
        answer: Shape = {
            "Reservations": [
                {"ReservationId": f"r-{machine.number:017x}", "Instances": [self._instance(machine)]}
                for machine in found
            ]
        }
        return answer if token is None else {**answer, "NextToken": token}

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

    def _asked(self, request: Shape) -> Iterable[Machine]:
        ids = set(request.get("InstanceIds", []))
        return (machine for name, machine in self.machines.items() if not ids or name in ids)

    def _booted(self, host: Host) -> None:
        self.machines[host.instance_id].impaired_until = self._clock.now() + INITIALIZING

    def _status(self, machine: Machine) -> Shape:
        status, detail = self._checks(machine)
        summary = {"Status": status, "Details": [{"Name": "reachability", "Status": detail}]}
        return {
            "AvailabilityZone": machine.zone,
            "InstanceId": machine.host.instance_id,
            "InstanceState": {"Code": _STATES[machine.state], "Name": machine.state},
            "InstanceStatus": summary,
            "SystemStatus": {"Status": "ok", "Details": [{"Name": "reachability", "Status": "passed"}]},
        }

    def _checks(self, machine: Machine) -> tuple[str, str]:
        if machine.host.power is Power.HUNG:
            return "impaired", "failed"
        # EC2 looks once a minute: right after a reboot it still says "ok", which is why nobody should trust it.
        until = machine.impaired_until
        if until is not None and self._clock.now() < until:
            return "initializing", "initializing"
        return "ok", "passed"

    def _instance(self, machine: Machine) -> Shape:
        managed_by = machine.host.spec.managed_by
        return {
            "InstanceId": machine.host.instance_id,
            "ImageId": machine.image_id,
            "PrivateIpAddress": machine.host.address,
            "Operator": {"Managed": True, "Principal": managed_by} if managed_by else {"Managed": False},
            "InstanceType": machine.instance_type,
            "LaunchTime": machine.launched_at,
            "Placement": {"AvailabilityZone": machine.zone, "Tenancy": "default"},
            "State": {"Code": _STATES[machine.state], "Name": machine.state},
            "Tags": [{"Key": "Name", "Value": machine.host.instance_id}],
        }


_FIELDS: dict[str, Callable[[Machine], str]] = {
    "availability-zone": lambda machine: machine.zone,
    "image-id": lambda machine: machine.image_id,
    "instance-id": lambda machine: machine.host.instance_id,
    "instance-state-name": lambda machine: machine.state,
    "instance-type": lambda machine: machine.instance_type,
}


def _filters(filters: list[Shape]) -> Callable[[Machine], bool]:
    unknown = [each["Name"] for each in filters if each["Name"] not in _FIELDS]
    if unknown:
        raise AwsError("InvalidParameterValue", f"The filter '{unknown[0]}' is not simulated")
    return lambda machine: all(_FIELDS[each["Name"]](machine) in each["Values"] for each in filters)
