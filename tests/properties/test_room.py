"""The check for room, compared with what the scheduler of the simulated ECS then really places."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta

from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.support.simulated import ZONES, instance_id, snapshot_of

from bottlerocket_ecs_updater.core.capacity.cluster_room import ClusterRoom
from bottlerocket_ecs_updater.core.capacity.will_it_fit import Fits, NoRoom
from bottlerocket_ecs_updater.core.model.ids import InstanceId
from bottlerocket_ecs_updater.simulator.clock import VirtualClock
from bottlerocket_ecs_updater.simulator.ecs import (
    ContainerInstanceSpec,
    EcsTiming,
    Order,
    ServiceSpec,
    Spreading,
    Strategy,
    TaskLaunch,
    Workload,
)
from bottlerocket_ecs_updater.simulator.ecs.model import subnet_of
from bottlerocket_ecs_updater.simulator.host import HostSpec
from bottlerocket_ecs_updater.simulator.world.world import World

EXPRESSIONS = (
    "",
    "task:group == service:agent",
    "not(task:group == service:db)",
    "task:group == service:db",
    "task:group != service:web",
    "task:group in [service:db, 'service:agent']",
    "task:group =~ service:.*b",
    "runningTasksCount < 4",
    "runningTasksCount >= 2 or agentConnected == false",
    "agentVersion >= 1.9.0 and agentVersion < 2.0",
    "registeredAt > 2020-01-01",
    "attribute:ring == blue",
    "attribute:ring != blue",
    "attribute:com.amazonaws.ecs.capability.ecr-auth exists",
    "attribute:com.amazonaws.ecs.capability.gpu-driver exists",
    "attribute:ecs.os-type == linux and not (attribute:ring exists and runningTasksCount > 3)",
    "(attribute:ring in [blue, 'green'] || agentConnected == true) && ec2InstanceId =~ i-.*",
)

TIGHT_CPU = 1800
"""A host with one task of this size and a daemon has room for one small task, but not for two."""


@dataclass(frozen=True)
class Place:
    """A cluster with a service that has tasks on the first host."""

    hosts: int = 3
    desired: int = 3
    cpu: int = 800
    minimum: int = 100
    expression: str = ""
    of_definition: bool = False
    distinct: bool = False
    spreading: Spreading = Spreading.SPREAD
    ports: tuple[int, ...] = ()
    awsvpc: bool = False
    """Whether each task has a network interface of its own: an m6i.large has two for tasks."""
    zones: int = 3
    """In how many zones these interfaces may be, if no instance is added: that one may be in any zone."""
    blue: int = 2
    """How many hosts, from the first on, have the attribute ring=blue."""
    databases: int = 2
    provided: int = 0
    """How many hosts, from the first on, are in the capacity provider `hosts`, which places the service."""
    grows_by: int = 0
    scaling: bool = True
    elsewhere: str = ""
    """Another instance with much room: an ECS Anywhere instance, or a Managed Instance."""
    order: Order = Order.WOKEN
    web_first: bool = False
    """Which of the services was created first, so that its tasks are older."""

    def build(self) -> World:
        world = World(VirtualClock(), 0, budget=None, ecs_timing=EcsTiming(order=self.order))
        for number in range(self.hosts):
            ring = (("ring", "blue"),) if number < self.blue else ()
            attributes = (("bottlerocket.variant", "aws-ecs-2"), *ring)
            zone = ZONES[number % len(ZONES)]
            spec = ContainerInstanceSpec(instance_id(number), zone, attributes)
            world.add_instance(HostSpec(instance_id(number)), zone, spec=spec)
        if self.provided:
            ids = [instance_id(number) for number in range(min(self.provided, self.hosts))]
            world.scaling.add("hosts", *ids, most=len(ids) + self.grows_by, scaling=self.scaling)
        self._add_elsewhere(world)
        world.add_service(ServiceSpec("agent", strategy=Strategy.DAEMON, workload=Workload(cpu=100, memory=100)))
        # Without a provider, it would sometimes find room on an instance that was launched for the other one.
        by = ("hosts",) if self.provided and self.grows_by else ()
        db = ServiceSpec("db", desired=self.databases, workload=Workload(cpu=100, memory=100), providers=by)
        for service in (self._web(), db) if self.web_first else (db, self._web()):
            world.add_service(service)
        world.clock.sleep(timedelta(minutes=10))
        return world

    def _web(self) -> ServiceSpec:
        work = Workload(
            cpu=self.cpu,
            host_ports=self.ports,
            awsvpc=self.awsvpc,
            member_of=self.expression if self.of_definition else "",
        )
        return ServiceSpec(
            "web",
            desired=self.desired,
            workload=work,
            minimum_healthy_percent=self.minimum,
            distinct_instances=self.distinct,
            member_of="" if self.of_definition else self.expression,
            subnets=tuple(map(subnet_of, ZONES[: self.zones])) if self.awsvpc and not self.grows_by else (),
            providers=("hosts",) if self.provided else (),
            spreading=self.spreading,
        )

    def _add_elsewhere(self, world: World) -> None:
        if not self.elsewhere:
            return
        id_ = "mi-0a1b2c3d4e5f60718" if self.elsewhere == "external" else instance_id(99)
        attributes = (("ecs.capability.external", None),) if self.elsewhere == "external" else ()
        spec = ContainerInstanceSpec(id_, ZONES[0], attributes, cpu=8192, memory=32000)
        world.add_instance(HostSpec(id_), ZONES[0], bottlerocket=False, spec=spec)
        if self.elsewhere == "managed":
            world.scaling.add_managed_instances("managed", id_)


PLACES = st.builds(
    Place,
    hosts=st.integers(2, 4),
    desired=st.integers(1, 5),
    cpu=st.sampled_from([200, 800, 1200, TIGHT_CPU]),
    minimum=st.sampled_from([100, 100, 50]),
    expression=st.sampled_from(EXPRESSIONS),
    of_definition=st.booleans(),
    distinct=st.booleans(),
    spreading=st.sampled_from(Spreading),
    ports=st.sampled_from([(), (8080,)]),
    awsvpc=st.booleans(),
    zones=st.integers(1, 3),
    blue=st.integers(0, 4),
    databases=st.integers(0, 3),
    provided=st.integers(0, 3),
    grows_by=st.integers(0, 2),
    scaling=st.booleans(),
    elsewhere=st.sampled_from(["", "external", "managed"]),
    web_first=st.booleans(),
)


def predicted(world: World) -> Fits | NoRoom | None:
    """The updater's result for the first host, from what AWS reports about the cluster alone."""
    fleet = snapshot_of(world)
    return ClusterRoom(fleet).for_drain_of(fleet.instances[InstanceId(instance_id(0))])


def left_after_a_drain(world: World) -> set[str]:
    """The groups of the tasks that are on the first host an hour after it was drained."""
    world.operator_drain(instance_id(0))
    world.clock.sleep(timedelta(hours=1))
    return {task.group for task in world.instance(instance_id(0)).tasks.values()}


def left_in_any_order(place: Place) -> set[str]:
    """The same, if ECS places the tasks of one service or the other first."""
    both = (replace(place, order=order) for order in (Order.WOKEN, Order.REVERSED))
    return {group for one in both for group in left_after_a_drain(one.build())}


@settings(max_examples=150, deadline=None)
@given(PLACES)
@example(Place())
@example(Place(expression="task:group == service:db"))
@example(Place(desired=1, cpu=TIGHT_CPU, databases=3, provided=2, blue=0, scaling=False))
@example(Place(desired=1, cpu=TIGHT_CPU, databases=3, provided=2, blue=0, scaling=False, web_first=True))
def test_a_drain_ends_in_the_simulated_cluster_where_it_was_said_to_fit_and_nowhere_else(place: Place) -> None:
    said = predicted(place.build())
    left = left_in_any_order(place)
    # Among equally good instances, the simulated ECS may choose a different one than the real ECS.
    may_end = isinstance(said, NoRoom) and "ECS may place first" in said.missing
    assert isinstance(said, Fits) == (not left) or (may_end and not left), (said, left)


def test_the_places_have_both_answers_and_every_reason() -> None:
    answers = [
        predicted(place.build())
        for place in (
            Place(),
            Place(cpu=1800),
            Place(provided=2, cpu=1200, desired=2),
            Place(provided=2, cpu=1200, desired=2, grows_by=1),
            Place(expression="task:group == service:nobody", desired=0),
            Place(elsewhere="external", cpu=1800),
            Place(awsvpc=True, cpu=100, desired=4, hosts=2),
            Place(awsvpc=True, cpu=100, desired=2, hosts=2),
            Place(awsvpc=True, cpu=100, desired=1, zones=1),
        )
    ]
    fits = [True, False, False, True, True, False, False, True, False]
    assert [isinstance(answer, Fits) for answer in answers] == fits


def test_a_service_on_ecs_anywhere_does_not_affect_the_forecast() -> None:
    world = Place(elsewhere="external").build()
    world.add_service(ServiceSpec("edge", desired=2, launch=TaskLaunch.EXTERNAL, workload=Workload(cpu=4000)))
    assert isinstance(predicted(world), Fits)
