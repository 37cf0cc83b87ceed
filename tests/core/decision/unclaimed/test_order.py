from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from tests.core.builders import NEW, NOW, OLD, instance, ready, registration
from tests.core.strategies import PURE

from bottlerocket_ecs_updater.core.decision.unclaimed.order import in_order
from bottlerocket_ecs_updater.core.model.ids import Zone
from bottlerocket_ecs_updater.core.model.instance import Instance
from bottlerocket_ecs_updater.core.model.outcome import Backoff
from bottlerocket_ecs_updater.core.model.version import Version


def host(name: str, running: Version = OLD, zone: str = "a", tasks: int = 0, failures: int = 0) -> Instance:
    seen = registration(name, zone=Zone(zone), running_tasks=tasks)
    rest = Backoff(NEW, failures, NOW, "apply-failed") if failures else None
    return instance(name, ready(running=running), registered=seen, backoff=rest)


def names(*hosts: Instance) -> list[str]:
    return [one.id for one in in_order(hosts)]


def test_instances_that_never_failed_go_first() -> None:
    assert names(host("i-a", failures=2), host("i-b", failures=1), host("i-c")) == ["i-c", "i-b", "i-a"]


def test_the_instance_furthest_behind_goes_first() -> None:
    assert names(host("i-a", Version(1, 10, 0)), host("i-b", Version(1, 9, 0))) == ["i-b", "i-a"]


def test_the_instance_with_the_fewest_tasks_to_move_goes_first() -> None:
    assert names(host("i-a", tasks=3), host("i-b", tasks=1)) == ["i-b", "i-a"]


def test_tasks_that_are_still_being_started_count_too() -> None:
    starting = registration("i-a", zone=Zone("a"), running_tasks=1, pending_tasks=3)
    assert names(instance("i-a", ready(), registered=starting), host("i-b", tasks=2)) == ["i-b", "i-a"]


def test_the_instance_whose_tasks_fit_on_updated_instances_goes_first() -> None:
    hosts = [host("i-a", tasks=1), host("i-b", tasks=5)]
    assert [one.id for one in in_order(hosts, lambda one: 1 if one.id == "i-a" else 0)] == ["i-b", "i-a"]


def test_an_instance_that_failed_before_waits_even_if_its_tasks_have_room() -> None:
    hosts = [host("i-a", failures=1), host("i-b")]
    assert [one.id for one in in_order(hosts, lambda one: 1 if one.id == "i-b" else 0)] == ["i-b", "i-a"]


def test_hosts_on_a_version_that_breaks_tasks_go_first() -> None:
    hosts = [host("i-a"), host("i-b", running=NEW)]
    assert [one.id for one in in_order(hosts)] == ["i-a", "i-b"]
    assert [one.id for one in in_order(hosts, broken={NEW})] == ["i-b", "i-a"]


def test_zones_take_turns() -> None:
    hosts = [host("i-1", zone="a"), host("i-2", zone="a"), host("i-3", zone="b"), host("i-4", zone="c")]
    assert [one.zone for one in in_order(hosts)] == ["a", "b", "c", "a"]


def test_zones_take_turns_among_hosts_that_are_equally_far_behind() -> None:
    far, near = Version(1, 9, 0), Version(1, 10, 0)
    hosts = [host("i-1", near, "a"), host("i-2", far, "b"), host("i-3", far, "b"), host("i-4", near, "b")]
    assert names(*hosts) == ["i-2", "i-3", "i-1", "i-4"]


def test_within_a_turn_the_zone_with_the_emptier_host_goes_first() -> None:
    hosts = [host("i-1", zone="a", tasks=5), host("i-2", zone="b", tasks=1), host("i-3", zone="a", tasks=2)]
    assert names(*hosts) == ["i-2", "i-3", "i-1"]


def test_a_host_without_a_report_goes_first_and_does_no_harm() -> None:
    assert names(host("i-b"), instance("i-a")) == ["i-a", "i-b"]


hosts = st.builds(
    host,
    st.integers(0, 30).map("i-{:02}".format),
    st.sampled_from([OLD, NEW]),
    st.sampled_from("abc"),
    st.integers(0, 3),
    st.integers(0, 2),
)


@PURE
@given(st.lists(hosts, unique_by=lambda one: one.id, max_size=8), st.data())
def test_the_order_does_not_depend_on_the_order_in_which_they_are_listed(
    listed: list[Instance], data: st.DataObject
) -> None:
    assert in_order(listed) == in_order(data.draw(st.permutations(listed)))
