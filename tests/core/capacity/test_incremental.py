"""Places that are kept from pick to pick: each is proof, and none is given twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from bottlerocket_ecs_updater.core.capacity.host_room import Capacity, ServiceRules
from bottlerocket_ecs_updater.core.capacity.incremental import IncrementalPlacement
from bottlerocket_ecs_updater.core.capacity.will_it_fit import Fits, Leaving, NoRoom, PlannedDrain, will_drain
from bottlerocket_ecs_updater.core.model.ids import InstanceId, ServiceArn
from bottlerocket_ecs_updater.core.model.resources import TaskRequirements

WEB, WORKER = ServiceArn("arn:web"), ServiceArn("arn:worker")
SERVICES = {WEB: 256, WORKER: 512}


def name(number: int) -> InstanceId:
    return InstanceId(f"i-{number:02}")


def rules(tasks: Mapping[InstanceId, list[ServiceArn]]) -> dict[ServiceArn, ServiceRules]:
    running = Counter(service for there in tasks.values() for service in there)
    return {
        arn: ServiceRules(arn, arn, running[arn], running[arn], demand=TaskRequirements(cpu, cpu))
        for arn, cpu in SERVICES.items()
    }


def capacity(left: list[int]) -> dict[InstanceId, Capacity]:
    return {name(number): Capacity(cpu, cpu, attributes={}) for number, cpu in enumerate(left)}


class Pass:
    """One pass over a cluster: it considers one instance after the other, and starts those whose tasks have room."""

    def __init__(self, left: list[int], tasks: Mapping[InstanceId, list[ServiceArn]]) -> None:
        self.capacity = capacity(left)
        self.tasks = tasks
        self.rules = rules(tasks)
        self.placing = IncrementalPlacement(self.capacity, ())
        self.begun: list[InstanceId] = []

    def leaving(self, instance: InstanceId) -> list[Leaving]:
        return [Leaving(one, service) for one in (*self.begun, instance) for service in self.tasks.get(one, ())]

    def short(self, instance: InstanceId) -> bool:
        counts = Counter(task.service for task in self.leaving(instance))
        return self.placing.fits(instance, self.rules, self.tasks.get(instance, ()), counts)

    def long(self, instance: InstanceId) -> Fits | NoRoom:
        return will_drain(PlannedDrain(instance, self.capacity, self.rules, self.leaving(instance)))

    def begin(self, instance: InstanceId) -> None:
        self.placing.keep()
        self.begun.append(instance)


clusters = st.lists(
    st.tuples(st.integers(0, 1536), st.lists(st.sampled_from([WEB, WORKER]), max_size=3)), min_size=2, max_size=8
)


def a_pass(cluster: list[tuple[int, list[ServiceArn]]]) -> Pass:
    return Pass([left for left, _ in cluster], {name(at): tasks for at, (_, tasks) in enumerate(cluster)})


@given(clusters)
def test_a_positive_answer_of_the_incremental_search_has_room_in_the_cluster(
    cluster: list[tuple[int, list[ServiceArn]]],
) -> None:
    one = a_pass(cluster)
    for number in range(len(cluster)):
        if one.short(name(number)):
            one.begin(name(number))
    moved = sum(SERVICES[service] for instance in one.begun for service in one.tasks[instance])
    room = sum(left.cpu for id_, left in one.capacity.items() if id_ not in one.begun)
    assert moved <= room


@given(clusters)
def test_for_the_first_to_begin_both_ways_say_the_same(cluster: list[tuple[int, list[ServiceArn]]]) -> None:
    one = a_pass([(left, tasks[:1]) for left, tasks in cluster])
    assert one.short(name(0)) is isinstance(one.long(name(0)), Fits)


@given(clusters)
def test_a_considered_instance_that_does_not_start_leaves_no_trace(cluster: list[tuple[int, list[ServiceArn]]]) -> None:
    asked, unasked = a_pass(cluster), a_pass(cluster)
    for number in range(1, len(cluster)):
        asked.short(name(number))
    assert asked.short(name(0)) is unasked.short(name(0))


def test_a_place_on_an_instance_that_starts_later_is_found_again() -> None:
    one = a_pass([(0, [WEB]), (256, [WEB]), (512, [])])
    for number in (0, 1):
        assert one.short(name(number))
        one.begin(name(number))


def test_a_place_is_not_used_twice() -> None:
    one = a_pass([(0, [WORKER]), (0, [WORKER]), (512, [])])
    assert one.short(name(0))
    one.begin(name(0))
    assert not one.short(name(1))
    assert isinstance(one.long(name(1)), NoRoom)
