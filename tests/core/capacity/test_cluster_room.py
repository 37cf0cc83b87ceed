"""Where the tasks of a fleet's instances would go."""

from __future__ import annotations

from dataclasses import replace

from tests.core.builders import NEW, NOW, idle, instance, ready, registration, task
from tests.core.builders import fleet as a_fleet

from bottlerocket_ecs_updater.core.capacity.cluster_room import ClusterRoom
from bottlerocket_ecs_updater.core.capacity.will_it_fit import Fits, NoRoom
from bottlerocket_ecs_updater.core.model.capacity_provider import CapacityProvider, ProviderKind
from bottlerocket_ecs_updater.core.model.container_instance import Status
from bottlerocket_ecs_updater.core.model.fleet import Fleet
from bottlerocket_ecs_updater.core.model.host_report import HostReport
from bottlerocket_ecs_updater.core.model.ids import InstanceId, ServiceArn
from bottlerocket_ecs_updater.core.model.instance import Instance
from bottlerocket_ecs_updater.core.model.resources import (
    Definition,
    DeploymentLimits,
    RemainingResources,
    TaskRequirements,
)
from bottlerocket_ecs_updater.core.model.services import Service, Services

WEB = Service(ServiceArn("arn:web"), "web", 2, 2, deployment=DeploymentLimits(100, 200, "web:1"))


def host(name: str, says: HostReport, memory: int) -> Instance:
    left = RemainingResources(cpu=1024, memory=memory)
    return instance(name, says, registered=registration(name, remaining=left), tasks=(task("web"),))


def fleet(*hosts: Instance) -> Fleet:
    definitions = {"web:1": Definition(TaskRequirements(cpu=256, memory=512))}
    return a_fleet(*hosts, services=Services((WEB,), NOW), definitions=definitions)


def tasks_moved_again(*others: Instance) -> int:
    outdated = host("i-a", ready(), 4096)
    return ClusterRoom(fleet(outdated, *others)).tasks_moved_again(outdated)


def test_a_task_that_has_room_on_an_instance_that_is_done_does_not_stray() -> None:
    assert tasks_moved_again(host("i-b", idle(NEW), 512), host("i-c", idle(NEW), 100)) == 0


def test_a_task_that_has_room_only_where_it_must_be_moved_again_strays() -> None:
    assert tasks_moved_again(host("i-b", idle(NEW), 511), host("i-c", ready(), 4096)) == 1


def test_while_no_instance_is_done_no_task_strays_more_than_another() -> None:
    assert tasks_moved_again(host("i-c", ready(), 4096)) == 0


def test_tasks_with_unknown_requirements_do_not_count_as_moved_again() -> None:
    outdated = host("i-a", ready(), 4096)
    done = host("i-b", idle(NEW), 0)
    unread = a_fleet(outdated, done, services=Services((WEB,), NOW), definitions={})
    assert ClusterRoom(unread).tasks_moved_again(outdated) == 0
    assert InstanceId("i-b") in unread.instances


def test_in_a_full_cluster_every_hold_names_the_room_that_another_instance_lacks() -> None:
    full = [host(f"i-{letter}", ready(), 100) for letter in "abcd"]
    rooms = ClusterRoom(fleet(*full))
    for one in full:
        said = rooms.for_drain_of(one)
        assert isinstance(said, NoRoom)
        assert "412 MiB of memory" in said.missing
        assert f"{one.id}, the nearest" not in said.missing


def test_a_service_that_ecs_describes_too_little_is_left_out_and_named_and_the_others_are_checked() -> None:
    """A service that ECS says little about must not stop the check of the others, and its name is in the answer."""
    unsaid = Service(ServiceArn("arn:blue"), "blue", 1, 1)

    def said(memory: int) -> Fits | NoRoom | None:
        left = RemainingResources(cpu=1024, memory=memory)
        here = registration("i-a", remaining=left)
        both = instance("i-a", ready(), registered=here, tasks=(task("web"), task("blue")))
        other = instance("i-b", ready(), registered=registration("i-b", remaining=left), tasks=(task("web"),))
        services, definitions = Services((WEB, unsaid), NOW), {"web:1": Definition(TaskRequirements(256, 512))}
        known = a_fleet(both, other, services=services, definitions=definitions)
        return ClusterRoom(known).for_drain_of(known.instances[InstanceId("i-a")])

    doubt = "whether tasks of blue fit elsewhere is not checked: ECS does not say how it places them"
    assert said(512) == Fits(provisos=(doubt,))
    none = said(511)
    assert isinstance(none, NoRoom)
    assert none.service == "web"


def test_an_instance_that_takes_no_tasks_needs_no_known_resources() -> None:
    """ECS may leave them out, for example while the instance registers."""
    outdated, other = host("i-a", ready(), 4096), host("i-b", ready(), 512)
    odd = instance("i-c", registered=registration("i-c", status=Status.REGISTERING, remaining=None))
    known = fleet(outdated, other, odd)
    assert isinstance(ClusterRoom(known).for_drain_of(outdated), Fits)
    unknown = fleet(outdated, other, instance("i-c", registered=registration("i-c", remaining=None)))
    assert ClusterRoom(unknown).for_drain_of(outdated) is None


def test_each_provider_of_a_strategy_needs_room_outside_the_hosts_that_are_picked_in_the_same_pass() -> None:
    """Both hosts of the provider `b` were drained together, though none of its tasks may go to `a`."""
    limits = DeploymentLimits(100, 200, "web:1", providers=("a", "b"))
    web = replace(WEB, desired=4, running=4, deployment=limits)
    names = {"i-a1": "a", "i-a2": "a", "i-b1": "b", "i-b2": "b"}
    hosts = [_provided(host(name, ready(), 4096), provider) for name, provider in names.items()]
    providers = {name: CapacityProvider(name, ProviderKind.AUTO_SCALING) for name in "ab"}
    given = replace(fleet(*hosts), services=Services((web,), NOW), providers=providers)
    rooms = ClusterRoom(given)
    first, second = given.instances[InstanceId("i-b1")], given.instances[InstanceId("i-b2")]
    assert isinstance(rooms.for_drain_of(first), Fits)
    rooms.take(first)
    assert isinstance(rooms.for_drain_of(second), NoRoom)


def _provided(one: Instance, provider: str) -> Instance:
    assert one.registration is not None
    return replace(one, registration=replace(one.registration, capacity_provider=provider))
