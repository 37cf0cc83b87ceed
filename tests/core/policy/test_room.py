"""Where the tasks of a fleet's instances would go."""

from __future__ import annotations

from tests.core.builders import NEW, NOW, idle, instance, ready, registration, task
from tests.core.builders import fleet as a_fleet

from bottlerocket_ecs_updater.core.capacity.cluster_room import ClusterRoom
from bottlerocket_ecs_updater.core.capacity.will_it_fit import NoRoom
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

WEB = Service(ServiceArn("arn:web"), "web", 2, 2, moving=DeploymentLimits(100, 200, "web:1"))


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


def test_in_a_full_cluster_every_instance_shows_what_another_one_lacks() -> None:
    full = [host(f"i-{letter}", ready(), 100) for letter in "abcd"]
    rooms = ClusterRoom(fleet(*full))
    for one in full:
        said = rooms.for_drain_of(one)
        assert isinstance(said, NoRoom)
        assert "412 MiB of memory" in said.missing
        assert f"{one.id}, the nearest" not in said.missing
