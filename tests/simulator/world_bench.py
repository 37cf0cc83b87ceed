"""A small world in virtual time, with short ways to read and change it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from bottlerocket_ecs_updater.simulator.clock import VirtualClock
from bottlerocket_ecs_updater.simulator.ecs import Service, ServiceSpec, Strategy, Task, Workload
from bottlerocket_ecs_updater.simulator.ecs.model import Last
from bottlerocket_ecs_updater.simulator.faults import Fault
from bottlerocket_ecs_updater.simulator.host import HostSpec
from bottlerocket_ecs_updater.simulator.inprocess import InProcessClients
from bottlerocket_ecs_updater.simulator.repository import Release, Repository
from bottlerocket_ecs_updater.simulator.world.world import World

OLD, NEW = "1.20.0", "1.21.0"
ZONES = ("us-east-1a", "us-east-1b", "us-east-1c")


@dataclass
class Bench:
    """A world with instances 0, 1, 2 … in zones a, b, c, a, …"""

    world: World
    clock: VirtualClock
    clients: InProcessClients

    @property
    def ecs(self) -> Any:
        return self.clients.ecs

    @property
    def ssm(self) -> Any:
        return self.clients.ssm

    def arn(self, number: int) -> str:
        return self.world.instance(instance_id(number)).arn

    def show(self, number: int) -> dict[str, Any]:
        """One container instance, as ECS describes it."""
        answer = self.ecs.describe_container_instances(cluster="demo", containerInstances=[self.arn(number)])
        shown: dict[str, Any] = answer["containerInstances"][0]
        return shown

    def service(self, name: str) -> dict[str, Any]:
        """One service, as ECS describes it."""
        shown: dict[str, Any] = self.ecs.describe_services(cluster="demo", services=[name])["services"][0]
        return shown

    def set_status(self, status: str, *numbers: int) -> dict[str, Any]:
        """Calls as the updater, not as a person."""
        arns = [self.arn(number) for number in numbers]
        answer: dict[str, Any] = self.ecs.update_container_instances_state(
            cluster="demo", containerInstances=arns, status=status
        )
        return answer

    def drain(self, *numbers: int) -> None:
        self.set_status("DRAINING", *numbers)

    def activate(self, *numbers: int) -> None:
        self.set_status("ACTIVE", *numbers)

    def wait(self, seconds: float) -> None:
        self.clock.advance(timedelta(seconds=seconds))

    def live(self, number: int) -> list[Task]:
        """The tasks on an instance that are not STOPPED."""
        return list(self.world.instance(instance_id(number)).tasks.values())

    def claim(self, number: int, value: str = "1 draining") -> None:
        self.put(number, "bottlerocket-ecs-updater.claim", value)

    def put(self, number: int, name: str, value: str) -> None:
        attribute = {"name": name, "value": value, "targetId": self.arn(number)}
        self.ecs.put_attributes(cluster="demo", attributes=[attribute])

    def send(self, document: str, *numbers: int) -> str:
        command = self.ssm.send_command(DocumentName=document, InstanceIds=[instance_id(each) for each in numbers])
        return str(command["Command"]["CommandId"])

    def start(self, family: str, number: int, work: Workload | None = None) -> Task:
        """Start a task on an instance through the API; it is PROVISIONING when this returns."""
        self.world.ecs.registry.define(family, work or Workload())
        answer = self.ecs.start_task(cluster="demo", taskDefinition=family, containerInstances=[self.arn(number)])
        return self.world.cluster.tasks[answer["tasks"][0]["taskArn"]]


def instance_id(number: int) -> str:
    return f"i-{number:017x}"


def bench(
    count: int = 3,
    *,
    services: tuple[ServiceSpec, ...] = (),
    host_faults: dict[int, tuple[Fault, ...]] | None = None,
    **world: Any,
) -> Bench:
    """A world of `count` instances with an update available."""
    clock = VirtualClock()
    repository = Repository([Release(OLD, "aws-ecs-2"), Release(NEW, "aws-ecs-2")])
    made = World(clock, repository=repository, validate_answers=True, **world)
    for number in range(count):
        faults = (host_faults or {}).get(number, ())
        made.add_instance(HostSpec(instance_id(number), version=OLD, faults=faults), ZONES[number % 3])
    for spec in services:
        made.add_service(spec)
    return Bench(made, clock, InProcessClients(made))


def replica(name: str = "web", desired: int = 3, **spec: Any) -> ServiceSpec:
    return ServiceSpec(name, desired, **spec)


def daemon(name: str = "agent") -> ServiceSpec:
    return ServiceSpec(name, strategy=Strategy.DAEMON)


def running(service: Service) -> int:
    """How many tasks of a service are running, whatever their desired status."""
    return sum(task.last is Last.RUNNING for task in service.live_tasks())
