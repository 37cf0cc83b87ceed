from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bottlerocket_ecs_updater.core.capacity.host_room import Capacity, ServiceRules, doubts_of
from bottlerocket_ecs_updater.core.capacity.will_it_fit import (
    Coming,
    Fits,
    Leaving,
    NoRoom,
    PlannedDrain,
    room_hold,
    will_drain,
)
from bottlerocket_ecs_updater.core.model.capacity_provider import LaunchType
from bottlerocket_ecs_updater.core.model.ids import InstanceId, ServiceArn
from bottlerocket_ecs_updater.core.model.reasons import Reason
from bottlerocket_ecs_updater.core.model.resources import Port, TaskRequirements

A, B, C, D = (InstanceId(f"i-{letter * 17}") for letter in "abcd")
SMALL = TaskRequirements(cpu=256, memory=512)
ROOMY = Capacity(cpu=2048, memory=4096)
FULL = Capacity(cpu=0, memory=0)


def arn(name: str) -> ServiceArn:
    return ServiceArn(f"arn:aws:ecs:eu-central-1:111122223333:service/c/{name}")


def service(
    name: str = "web", desired: int = 2, demand: TaskRequirements | None = SMALL, **rules: object
) -> ServiceRules:
    plain = ServiceRules(arn(name), name, desired, desired, demand=demand)
    return replace(plain, **rules)  # type: ignore[arg-type]  # the fields of a service, by name


def on(instance: InstanceId, *names: str) -> list[Leaving]:
    return [Leaving(instance, arn(name)) for name in names]


def drained(
    services: Iterable[ServiceRules], capacity: Mapping[InstanceId, Capacity], tasks: Sequence[Leaving] | None = None
) -> Fits | NoRoom:
    known = {each.arn: each for each in services}
    return will_drain(
        PlannedDrain(A, capacity, known, tasks if tasks is not None else [Leaving(A, key) for key in known])
    )


def refused(answer: Fits | NoRoom) -> NoRoom:
    assert isinstance(answer, NoRoom)
    return answer


# A service's own limits


def test_a_service_with_maximum_100_and_minimum_healthy_100_cannot_leave_any_instance() -> None:
    answer = refused(drained([service(desired=4, maximum_percent=100)], {B: ROOMY}))
    assert answer.service == "web"
    assert answer.missing == (
        "its desired count is 4, 4 must stay healthy and at most 4 may exist "
        "(minimumHealthyPercent 100, maximumPercent 100)"
    )
    assert answer.advice == "set maximumPercent of web to 125 or more, or minimumHealthyPercent to 75 or less"


@pytest.mark.parametrize("rules", [{"maximum_percent": 125}, {"maximum_percent": 100, "minimum_healthy_percent": 75}])
def test_the_permissions_that_the_advice_names_are_enough(rules: Mapping[str, Any]) -> None:
    assert drained([replace(service(desired=4, maximum_percent=100), **rules)], {B: ROOMY}) == Fits()


@pytest.mark.parametrize("rules", [{"maximum_percent": 124}, {"maximum_percent": 100, "minimum_healthy_percent": 76}])
def test_less_room_than_the_advice_names_is_not_enough(rules: Mapping[str, Any]) -> None:
    refused(drained([replace(service(desired=4, maximum_percent=100), **rules)], {B: ROOMY}))


def test_percentages_that_round_to_the_same_count_leave_no_way_to_move() -> None:
    answer = refused(drained([service(desired=2, minimum_healthy_percent=75, maximum_percent=100)], {B: ROOMY}))
    assert answer.advice == "set maximumPercent of web to 150 or more, or minimumHealthyPercent to 50 or less"


def test_a_service_that_may_stop_all_its_tasks_leaves_without_room_and_a_note_says_so() -> None:
    answer = drained([service(desired=1, minimum_healthy_percent=0, maximum_percent=100)], {B: FULL})
    assert answer == Fits(("service web runs with 1 fewer task until the instance is back",))


def test_two_drains_at_once_count_together_against_the_minimum() -> None:
    web = service(desired=2, minimum_healthy_percent=50)
    assert isinstance(drained([web], {B: FULL, C: FULL}, on(A, "web")), Fits)
    refused(drained([web], {B: FULL, C: FULL}, on(A, "web") + on(B, "web")))


def test_a_service_that_already_lacks_tasks_needs_room_for_them_too() -> None:
    lacking = service(desired=3, running=2)
    assert drained([lacking], {B: Capacity(512, 1024)}, on(A, "web")) == Fits()
    refused(drained([lacking], {B: Capacity(256, 512)}, on(A, "web")))


def test_a_service_that_is_scaled_to_nothing_leaves() -> None:
    assert drained([service(desired=0, running=1)], {}) == Fits()


def test_a_count_that_lags_behind_the_tasks_that_are_seen_gives_an_answer() -> None:
    assert drained([service(desired=0, running=0)], {B: ROOMY}) == Fits()


def test_tasks_of_daemon_services_never_block() -> None:
    daemon = service("agent", daemon=True, maximum_percent=100, demand=None)
    assert drained([daemon], {B: FULL}) == Fits()


def test_an_empty_instance_can_be_drained_alone() -> None:
    assert drained([], {}) == Fits()


# Room


@pytest.mark.parametrize(
    ("left", "missing"),
    [
        (Capacity(cpu=100, memory=4096), "lacks 156 CPU units"),
        (Capacity(cpu=2048, memory=500), "lacks 12 MiB of memory"),
        (Capacity(cpu=0, memory=0), "lacks 256 CPU units and 512 MiB of memory"),
    ],
)
def test_a_lack_of_room_names_what_the_nearest_instance_lacks(left: Capacity, missing: str) -> None:
    answer = refused(drained([service()], {A: ROOMY, B: left}, on(A, "web")))
    assert answer.missing == f"checked 1 other instance; {B}, the nearest, {missing}"
    assert "add an instance that web may run on" in answer.advice


def test_a_fixed_port_is_taken_once_on_each_instance() -> None:
    web = service(demand=replace(SMALL, ports=frozenset({Port(80)})))
    taken = replace(ROOMY, ports_taken=frozenset({Port(80)}))
    assert "lacks the port 80/tcp" in refused(drained([web], {B: taken}, on(A, "web"))).missing
    assert drained([web], {B: ROOMY, C: taken}, on(A, "web")) == Fits()
    refused(drained([web], {B: ROOMY, C: taken}, on(A, "web", "web")))


def test_the_same_port_of_another_protocol_is_another_port() -> None:
    dns = service("dns", demand=replace(SMALL, ports=frozenset({Port(53, "udp")})))
    assert drained([dns], {B: replace(ROOMY, ports_taken=frozenset({Port(53)}))}) == Fits()


def test_gpus_are_counted() -> None:
    model = service("model", demand=replace(SMALL, gpus=1))
    assert "lacks 1 GPU" in refused(drained([model], {B: ROOMY})).missing
    assert drained([model], {B: replace(ROOMY, gpus=1)}) == Fits()


def test_network_interfaces_are_counted_where_they_are_known() -> None:
    web = service(demand=replace(SMALL, interfaces=1))
    assert "lacks a network interface" in refused(drained([web], {B: replace(ROOMY, interfaces=0)})).missing
    assert drained([web], {B: replace(ROOMY, interfaces=1)}) == Fits()


def test_attachments_for_ebs_volumes_are_counted_where_they_are_known() -> None:
    data = service(demand=replace(SMALL, volumes=1))
    missing = refused(drained([data], {B: replace(ROOMY, volumes=1)}, on(A, "web", "web"))).missing
    assert "lacks an attachment for an EBS volume" in missing
    assert drained([data], {B: replace(ROOMY, volumes=2)}, on(A, "web", "web")) == Fits()
    assert isinstance(drained([data], {B: ROOMY}, on(A, "web", "web")), Fits)
    own = service(demand=replace(SMALL, interfaces=1))
    shared = replace(ROOMY, interfaces=9, volumes=1, volumes_shared=True)
    assert "an attachment for a network interface" in refused(drained([own], {B: shared}, on(A, "web", "web"))).missing
    apart = replace(shared, volumes_shared=False)
    assert drained([own], {B: apart}, on(A, "web", "web")) == Fits()


def test_a_note_says_if_network_interfaces_are_not_known() -> None:
    web = service(demand=replace(SMALL, interfaces=1))
    listed = replace(ROOMY, groups=frozenset())
    [doubt] = doubts_of(web, {B: listed, C: replace(ROOMY, interfaces=2)})
    assert doubt.startswith("it is not known everywhere whether web has network interfaces left: ")
    assert doubts_of(web, {B: replace(ROOMY, interfaces=2)}) == ()
    assert doubts_of(web, {B: ROOMY}) == (), "only its tasks changed since they were listed"
    assert drained([replace(web, doubts=(doubt,))], {B: ROOMY}) == Fits(provisos=(doubt,))


def test_an_attribute_that_the_task_definition_needs_must_be_there() -> None:
    web = service(demand=replace(SMALL, required=frozenset({"ecs.capability.efs"})))
    assert "lacks the attribute ecs.capability.efs" in refused(drained([web], {B: ROOMY})).missing
    assert drained([web], {B: replace(ROOMY, attributes={"ecs.capability.efs": ""})}) == Fits()


def test_a_task_is_placed_only_where_its_placement_constraint_allows_it() -> None:
    web = service(member_of=("attribute:ring == prod",))
    answer = refused(drained([web], {B: replace(ROOMY, attributes={"ring": "test"})}))
    assert "lacks its placement constraint (attribute:ring == prod)" in answer.missing
    assert drained([web], {B: replace(ROOMY, attributes={"ring": "prod"})}) == Fits()


def test_an_unreadable_constraint_is_skipped() -> None:
    assert drained([service(member_of=("what is this",))], {B: ROOMY}) == Fits()
    text = doubts_of(service(member_of=("what is this",)), {B: ROOMY})
    assert text == (
        "not evaluated: the placement constraint (what is this) of web: the updater cannot read it; report it as a bug",
    )


BUSY = replace(ROOMY, groups=frozenset({"service:agent", "service:db"}), running=7, agent_version="1.89.2")


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("task:group == service:agent", True),
        ("task:group == service:web", False),
        ("not(task:group == service:db)", False),
        ("not(task:group == service:cache)", True),
        ("task:group != service:db", False),
        ("task:group in ['service:db', service:x]", True),
        ("task:group =~ service:a.*", True),
        ("task:group !~ service:a.*", False),
        ("runningTasksCount < 20", True),
        ("runningTasksCount < 7", False),
        ("runningTasksCount in [6, 7]", True),
        ("agentConnected == true", True),
        ("agentConnected != true", False),
        ("agentVersion >= 1.9.0", True),
        ("agentVersion < 1.9.0", False),
    ],
)
def test_constraints_are_evaluated_with_the_known_facts_of_other_instances(text: str, *, fits: bool) -> None:
    answer = drained([service(member_of=(text,))], {B: BUSY})
    assert isinstance(answer, Fits) is fits
    if isinstance(answer, NoRoom):
        assert f"lacks its placement constraint ({text})" in answer.missing


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("task:group == service:db", "ecs:ListTasks"),
        ("runningTasksCount < 3", "how many tasks run"),
        ("agentVersion >= 1.9.0", "the version of an agent"),
        ("registeredAt > 2020-01-01", "when an instance was registered"),
        ("attribute:com.amazonaws.ecs.capability.task-eni exists", "the capabilities of its agents are not known"),
    ],
)
def test_a_constraint_on_an_unknown_fact_is_skipped_and_the_fact_named(text: str, missing: str) -> None:
    web = service(member_of=(text,))
    assert isinstance(drained([web], {B: ROOMY}), Fits)
    [doubt] = doubts_of(web, {B: ROOMY, C: ROOMY})
    assert doubt.startswith(f"not evaluated: the placement constraint ({text}) of web: ")
    assert missing in doubt
    check_answer = replace(web, doubts=(doubt,))
    assert drained([check_answer], {B: ROOMY}) == Fits(provisos=(doubt,))
    assert refused(drained([check_answer], {B: FULL})).missing.endswith(f"; {doubt}")


def test_a_known_mismatch_counts_even_beside_unknown_facts() -> None:
    text = "attribute:ring == prod and task:group == service:db"
    refused(drained([service(member_of=(text,))], {B: replace(ROOMY, attributes={"ring": "test"})}))
    assert isinstance(drained([service(member_of=(text,))], {B: replace(ROOMY, attributes={"ring": "prod"})}), Fits)


def test_each_task_that_is_placed_changes_what_the_next_constraint_sees() -> None:
    alone = service("solo", member_of=("not(task:group == service:solo)",))
    bare = replace(ROOMY, groups=frozenset())
    refused(drained([alone], {B: bare}, on(A, "solo", "solo")))
    assert drained([alone], {B: bare, C: bare}, on(A, "solo", "solo")) == Fits()


def test_a_service_that_follows_another_one_is_placed_after_it() -> None:
    bare = replace(ROOMY, groups=frozenset())
    web, db = service("web", member_of=("task:group == service:db",)), service("db")
    assert drained([web, db], {B: bare}) == Fits()
    assert drained([db, web], {B: bare}) == Fits()
    refused(drained([web], {B: bare}))


def test_a_capability_is_asked_for_by_name() -> None:
    web = service(demand=replace(SMALL, required=frozenset({"com.amazonaws.ecs.capability.task-eni"})))
    able = frozenset({"com.amazonaws.ecs.capability.task-eni"})
    assert drained([web], {B: replace(ROOMY, capabilities=able)}) == Fits()
    assert drained([web], {B: ROOMY}) == Fits()
    assert "task-eni" in refused(drained([web], {B: replace(ROOMY, capabilities=frozenset())})).missing


# Only where ECS would place

EXTERNAL = replace(ROOMY, launch=LaunchType.EXTERNAL)
MANAGED = replace(ROOMY, launch=LaunchType.MANAGED_INSTANCES, provider="managed")
IN_HOSTS = replace(ROOMY, provider="hosts")


@pytest.mark.parametrize(("elsewhere", "word"), [(EXTERNAL, "ECS Anywhere"), (MANAGED, "ECS Managed Instance")])
def test_an_instance_that_takes_no_tasks_of_launch_type_ec2_is_no_room(elsewhere: Capacity, word: str) -> None:
    answer = refused(drained([service()], {B: FULL, C: elsewhere}))
    assert answer == refused(drained([service()], {B: FULL}))
    assert word in refused(drained([service()], {C: elsewhere})).missing


def test_a_service_by_launch_type_may_go_to_hosts_of_any_capacity_provider() -> None:
    assert drained([service()], {B: IN_HOSTS}) == Fits()


def test_a_service_with_a_strategy_is_placed_only_on_instances_of_its_providers() -> None:
    web = service(providers=("hosts",), why_not="capacity provider hosts adds no instances: its managed scaling is off")
    assert drained([web], {B: IN_HOSTS}) == Fits()
    answer = refused(drained([web], {B: ROOMY, C: replace(ROOMY, provider="batch")}))
    assert "it is not in capacity provider hosts" in answer.missing
    assert "its managed scaling is off" in answer.missing


def test_a_service_of_launch_type_external_is_placed_only_on_ecs_anywhere() -> None:
    edge = service(launch=LaunchType.EXTERNAL)
    assert drained([edge], {B: EXTERNAL}) == Fits()
    refused(drained([edge], {B: ROOMY}))


GROWING = Coming("hosts", 2, 6, replace(IN_HOSTS, cpu=512, memory=1024, hosts=frozenset(), expected=True))


def growing(capacity: Mapping[InstanceId, Capacity], count: int, coming: Coming = GROWING) -> Fits | NoRoom:
    web = service(providers=("hosts",), desired=9)
    return will_drain(PlannedDrain(A, capacity, {web.arn: web}, on(A, *["web"] * count), (coming,)))


def test_room_that_is_not_there_yet_is_said_and_ends_at_the_maximum_of_the_group() -> None:
    assert growing({B: IN_HOSTS}, 4) == Fits()
    answer = growing({}, 4)
    assert answer == Fits(
        provisos=(
            "room for web is not there yet: capacity provider hosts must add instances, and may add 2, up to its "
            "maximum of 6",
        )
    )
    refused(growing({}, 5))


def test_a_new_instance_of_another_provider_is_not_named_as_one_that_lacks_room() -> None:
    web = service(providers=("full",), desired=1)
    drain = PlannedDrain(A, {B: IN_HOSTS}, {web.arn: web}, on(A, "web"), (GROWING,))
    said = refused(will_drain(drain)).missing
    assert said == f"ECS places none of them on 1 other instance; for example {B}: it is not in capacity provider full"


def test_no_instance_is_added_for_a_service_without_a_provider_though_it_uses_what_came_for_another() -> None:
    plain, web = service("plain"), service("web", providers=("hosts",))
    refused(will_drain(PlannedDrain(A, {}, {plain.arn: plain}, on(A, "plain"), (GROWING,))))
    both = will_drain(PlannedDrain(A, {}, {plain.arn: plain, web.arn: web}, on(A, "plain", "web"), (GROWING,)))
    assert isinstance(both, Fits)


def test_in_which_zone_a_new_instance_will_be_is_not_known() -> None:
    web = service(providers=("hosts",), member_of=("attribute:ecs.availability-zone == us-east-1a",))
    other = replace(GROWING, like=replace(GROWING.like, attributes={"ecs.availability-zone": "us-east-1b"}))
    assert isinstance(will_drain(PlannedDrain(A, {}, {web.arn: web}, on(A, "web"), (other,))), Fits)
    ringed = replace(web, member_of=("attribute:ring == prod",))
    refused(will_drain(PlannedDrain(A, {}, {web.arn: ringed}, on(A, "web"), (other,))))


def test_distinct_tasks_do_not_share_an_instance() -> None:
    web = service(distinct=True)
    free, taken = replace(ROOMY, hosts=frozenset()), replace(ROOMY, hosts=frozenset({arn("web")}))
    refused(drained([web], {B: taken}))
    assert drained([web], {B: taken, C: free}) == Fits()
    refused(drained([web], {C: free}, on(A, "web", "web")))


def test_an_instance_with_unknown_tasks_may_take_a_distinct_task_and_a_note_says_so() -> None:
    web = service(distinct=True)
    assert drained([web], {B: ROOMY}) == Fits()
    [doubt] = doubts_of(web, {B: ROOMY})
    assert "distinctInstance of web: the tasks on an instance are not known" in doubt


def test_instances_that_take_no_tasks_are_no_room() -> None:
    answer = refused(drained([service()], {A: ROOMY, B: replace(ROOMY, accepts=False)}, on(A, "web")))
    assert answer.missing == "no other instance takes tasks"


def test_room_for_other_drains_is_reserved_first() -> None:
    one_left = Capacity(cpu=256, memory=512)
    web, db = service("web"), service("db")
    assert drained([web], {B: ROOMY, C: one_left}, on(A, "web")) == Fits()
    refused(drained([web, db], {B: FULL, C: one_left}, on(A, "web") + on(B, "db")))


def test_an_instance_that_is_picked_in_the_same_pass_is_no_room_for_the_next_one() -> None:
    capacity = {A: FULL, B: ROOMY}
    assert drained([service()], capacity, on(A, "web")) == Fits()
    web = service()
    refused(will_drain(PlannedDrain(A, capacity, {web.arn: web}, on(A, "web"), picked=frozenset({B}))))


def test_a_service_whose_capacity_provider_adds_instances_is_not_short_of_room() -> None:
    answer = drained([service(grows=True)], {B: FULL})
    assert isinstance(answer, Fits)


def test_a_task_that_another_one_may_leave_without_room_has_none() -> None:
    """ECS may first place the task that has a choice, and may choose the only place of the other one."""
    free = service("free", demand=TaskRequirements(cpu=512, memory=512))
    bound = service("bound", demand=TaskRequirements(cpu=256, memory=512), member_of=("attribute:ring == prod",))
    in_ring = Capacity(cpu=512, memory=4096, attributes={"ring": "prod"})
    both = {B: in_ring, C: Capacity(cpu=512, memory=4096)}
    answer = refused(drained([free, bound], both))
    assert (answer.service, answer.missing) == (
        "bound",
        f"checked 2 other instances; {B}, the nearest, lacks 256 CPU units after tasks of other services that ECS may "
        "place first: 1 of free",
    )
    assert drained([free, bound], {**both, D: in_ring}) == Fits()
    assert drained([free, bound], {**both, B: replace(in_ring, cpu=768)}) == Fits()


# Unknown facts


def test_a_service_that_ecs_did_not_describe_blocks() -> None:
    answer = refused(drained([], {B: ROOMY}, on(A, "ghost")))
    assert (answer.service, answer.missing) == ("ghost", "ECS did not describe the service")


def test_a_task_definition_that_is_not_known_blocks() -> None:
    answer = refused(drained([service(demand=None)], {B: ROOMY}))
    assert answer.missing == "the requirements of its task definition are not known"


def test_no_room_is_a_hold_with_the_missing_room_and_a_remedy() -> None:
    held = room_hold(drained([service(desired=1, maximum_percent=100)], {B: ROOMY}))
    assert held is not None
    assert held.reason is Reason.NO_ROOM
    assert str(held).startswith("its tasks of web cannot move: its desired count is 1, 1 must stay healthy")
    assert held.remedy == "set maximumPercent of web to 200 or more, or minimumHealthyPercent to 0"
    assert room_hold(Fits()) is None


# Properties, compared with a search of everything that ECS could do

sizes = st.integers(0, 3)
demands = st.builds(
    TaskRequirements,
    cpu=sizes,
    memory=sizes,
    gpus=st.sampled_from([0, 0, 0, 1]),
    ports=st.sampled_from([frozenset(), frozenset(), frozenset({Port(80)})]),
)
rings = st.sampled_from([{}, {"ring": "prod"}])
capacities = st.builds(
    Capacity,
    cpu=st.integers(0, 6),
    memory=st.integers(0, 6),
    gpus=st.integers(0, 1),
    ports_taken=st.sampled_from([frozenset(), frozenset({Port(80)})]),
    attributes=rings,
    accepts=st.sampled_from([True, True, True, False]),
    hosts=st.frozensets(st.sampled_from([arn("s0"), arn("s1")]), max_size=1),
)


@st.composite
def worlds(draw: st.DrawFn) -> tuple[dict[InstanceId, Capacity], dict[ServiceArn, ServiceRules], list[Leaving]]:
    capacity = {id_: draw(capacities) for id_ in (A, B, C, D)[: draw(st.integers(1, 4))]}
    services: dict[ServiceArn, ServiceRules] = {}
    tasks: list[Leaving] = []
    for number in range(draw(st.integers(1, 2))):
        leaving = draw(st.integers(1, 3))
        elsewhere = draw(st.integers(0, 2))
        desired = draw(st.sampled_from([leaving + elsewhere, leaving + elsewhere, leaving + elsewhere + 1, leaving]))
        each = service(
            f"s{number}",
            desired=desired,
            running=leaving + elsewhere,
            minimum_healthy_percent=draw(st.sampled_from([0, 50, 75, 100, 100])),
            maximum_percent=draw(st.sampled_from([100, 100, 125, 150, 200])),
            distinct=draw(st.booleans()),
            member_of=draw(st.sampled_from([(), (), ("attribute:ring == prod",)])),
            demand=draw(demands),
        )
        services[each.arn] = each
        tasks += on(A, *([each.name] * leaving))
    return capacity, services, tasks


def can_finish(
    capacity: Mapping[InstanceId, Capacity], services: Mapping[ServiceArn, ServiceRules], tasks: Sequence[Leaving]
) -> bool:
    """Whether any order of starts and stops that ECS may choose empties the instance; all are tried."""
    arns = list(services)
    targets = [id_ for id_, left in capacity.items() if left.accepts and id_ != A]
    here = tuple(sum(task.service == each for task in tasks) for each in arns)
    # Tasks that run elsewhere before the drain are in the running count, and take no room.
    before = {each: services[each].running - count for each, count in zip(arns, here, strict=True)}
    start = (here, tuple((0,) * len(targets) for _ in arns))
    seen, queue = {start}, [start]
    while queue:
        remaining, placed = queue.pop()
        if not any(remaining):
            return True
        for index, each in enumerate(arns):
            rules = services[each]
            live = remaining[index] + before[each] + sum(placed[index])
            staying = before[each] + sum(placed[index])
            steps = []
            if remaining[index] and live - 1 >= rules.floor:
                steps.append((_with(remaining, index, -1), placed))
            if live < rules.ceiling and staying < rules.desired:
                for at, target in enumerate(targets):
                    added = _with(placed, index, _with(placed[index], at, +1))
                    if _holds(capacity[target], [(services[a], added[i][at]) for i, a in enumerate(arns)]):
                        steps.append((remaining, added))
            for step in steps:
                if step not in seen:
                    seen.add(step)
                    queue.append(step)
    return False


def _with(counts: tuple, index: int, change: object) -> tuple:  # type: ignore[type-arg]
    value = counts[index] + change if isinstance(change, int) else change
    return (*counts[:index], value, *counts[index + 1 :])


def _holds(capacity: Capacity, load: Iterable[tuple[ServiceRules, int]]) -> bool:
    cpu = memory = gpus = 0
    ports = list(capacity.ports_taken)
    for rules, count in load:
        if not count:
            continue
        assert rules.demand is not None
        assert capacity.hosts is not None
        cpu += rules.demand.cpu * count
        memory += rules.demand.memory * count
        gpus += rules.demand.gpus * count
        ports += [*rules.demand.ports] * count
        if rules.member_of and capacity.attributes.get("ring") != "prod":
            return False
        if rules.distinct and (count > 1 or rules.arn in capacity.hosts):
            return False
    return cpu <= capacity.cpu and memory <= capacity.memory and gpus <= capacity.gpus and len(ports) == len(set(ports))


World = tuple[dict[InstanceId, Capacity], dict[ServiceArn, ServiceRules], list[Leaving]]


@settings(max_examples=300, deadline=None)
@given(worlds())
def test_it_never_says_that_tasks_fit_where_no_order_of_starts_and_stops_lets_them_leave(world: World) -> None:
    capacity, services, tasks = world
    if isinstance(will_drain(PlannedDrain(A, capacity, services, tasks)), Fits):
        assert can_finish(capacity, services, tasks)


@settings(max_examples=200, deadline=None)
@given(worlds())
def test_a_service_with_unlimited_room_is_held_only_by_its_own_limits(world: World) -> None:
    _, services, tasks = world
    endless = {id_: Capacity(10**6, 10**6, 10**6, attributes={"ring": "prod"}) for id_ in (B, C, D)}
    free = {key: replace(each, distinct=False, demand=SMALL) for key, each in services.items()}
    endless = {id_: replace(left, hosts=frozenset()) for id_, left in endless.items()}
    assert isinstance(will_drain(PlannedDrain(A, endless, free, tasks)), Fits) == can_finish(endless, free, tasks)


@given(worlds())
def test_every_task_definition_that_is_unknown_keeps_the_answer_from_becoming_better(world: World) -> None:
    capacity, services, tasks = world
    unknown = {key: replace(each, demand=None) for key, each in services.items()}
    if isinstance(will_drain(PlannedDrain(A, capacity, services, tasks)), NoRoom):
        assert isinstance(will_drain(PlannedDrain(A, capacity, unknown, tasks)), NoRoom)


@given(worlds())
def test_the_answer_does_not_depend_on_the_order_of_the_facts(world: World) -> None:
    capacity, services, tasks = world
    turned = will_drain(
        PlannedDrain(A, dict(reversed(capacity.items())), dict(reversed(services.items())), list(reversed(tasks)))
    )
    answer = will_drain(PlannedDrain(A, capacity, services, tasks))
    assert isinstance(turned, Fits) == isinstance(answer, Fits)


def test_the_search_of_the_properties_finds_both_answers() -> None:
    web = {arn("web"): service(desired=1)}
    assert can_finish({B: replace(ROOMY, hosts=frozenset())}, web, on(A, "web"))
    assert not can_finish({B: replace(FULL, hosts=frozenset())}, web, on(A, "web"))


def test_tasks_that_another_service_lacks_may_take_the_room_first() -> None:
    web = service("web", desired=1, running=1)
    loop = replace(service("loop", desired=2, running=1), pending=0)
    room = {A: Capacity(0, 0), B: Capacity(SMALL.cpu, SMALL.memory)}
    answer = will_drain(PlannedDrain(A, room, {web.arn: web, loop.arn: loop}, on(A, "web")))
    assert isinstance(answer, NoRoom)
    assert "1 of loop" in answer.missing
    for harmless in (replace(loop, pending=1), replace(loop, starts=False), replace(loop, daemon=True)):
        assert isinstance(will_drain(PlannedDrain(A, room, {web.arn: web, harmless.arn: harmless}, on(A, "web"))), Fits)
    larger = {A: Capacity(0, 0), B: Capacity(2 * SMALL.cpu, 2 * SMALL.memory)}
    assert isinstance(will_drain(PlannedDrain(A, larger, {web.arn: web, loop.arn: loop}, on(A, "web"))), Fits)


def test_replacements_that_need_not_be_healthy_may_take_the_room_of_those_that_must() -> None:
    web = service("web", desired=1, running=1)
    loose = service("loose", desired=2, running=2, minimum_healthy_percent=0)
    room = {A: Capacity(0, 0), B: Capacity(2 * SMALL.cpu, 2 * SMALL.memory)}
    services = {web.arn: web, loose.arn: loose}
    assert isinstance(will_drain(PlannedDrain(A, room, services, on(A, "web", "loose", "loose"))), NoRoom)
    assert isinstance(will_drain(PlannedDrain(A, room, services, on(A, "loose", "loose"))), Fits)
    assert isinstance(will_drain(PlannedDrain(A, room, services, on(A, "web"))), Fits)
