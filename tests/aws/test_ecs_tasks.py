"""Listing and describing tasks, in as few calls as possible."""

from __future__ import annotations

from datetime import UTC, datetime

from tests.aws.fakes import Bench, arn, bench_with, refusal, task

from bottlerocket_ecs_updater.core.model.ids import TaskArn

DAEMON_SERVICE = {
    "serviceArn": "arn:aws:ecs:eu-west-1:111122223333:service/web/logs",
    "serviceName": "logs",
    "status": "ACTIVE",
    "schedulingStrategy": "DAEMON",
}


def names(tasks: object) -> set[str]:
    assert isinstance(tasks, tuple)
    return {one.arn.rsplit("/", 1)[-1] for one in tasks}


def described(bench: Bench) -> list[int]:
    return [len(request["tasks"]) for request in bench.ecs.asked("describe_tasks")]


def test_all_tasks_of_the_cluster_are_reported_by_instance() -> None:
    bench = bench_with([task("a", 1), task("b", 1), task("c", 2)])
    tasks = bench.cluster().all_tasks()
    assert {where: names(some) for where, some in tasks.items()} == {arn(1): {"a", "b"}, arn(2): {"c"}}


def test_tasks_of_fargate_are_left_out() -> None:
    assert bench_with([task("a", on=None)]).cluster().all_tasks() == {}


def test_tasks_in_all_pages_are_seen() -> None:
    bench = bench_with(task(f"t{number}") for number in range(250))
    assert len(bench.cluster().all_tasks()[arn(1)]) == 250
    assert bench.ecs.count("list_tasks") == 3


def test_a_task_that_was_described_once_is_not_described_again() -> None:
    bench = bench_with(task(f"t{number}") for number in range(3))
    cluster = bench.cluster()
    cluster.all_tasks()
    bench.ecs.add(task("new"))
    assert len(cluster.all_tasks()[arn(1)]) == 4
    assert described(bench) == [3, 1]


def test_a_task_that_is_listed_no_more_is_forgotten() -> None:
    bench = bench_with([task("a"), task("b")])
    cluster = bench.cluster()
    cluster.all_tasks()
    del bench.ecs.tasks[task("a")["taskArn"]]
    assert names(cluster.all_tasks()[arn(1)]) == {"b"}


def test_an_instance_without_tasks_is_not_described() -> None:
    bench = Bench()
    assert bench.cluster().tasks_of([arn(1)])[arn(1)] == ()
    assert described(bench) == []


def test_a_task_shows_whether_a_service_started_it() -> None:
    bench = bench_with([task("mine", startedBy="somebody", group="family:batch"), task("theirs")])
    found = {one.arn.rsplit("/", 1)[-1]: one.of_service for one in bench.cluster().tasks_of([arn(1)])[arn(1)]}
    assert found == {"mine": False, "theirs": True}


def test_a_task_without_a_starter_belongs_to_no_service() -> None:
    lonely = task("a")
    del lonely["startedBy"], lonely["group"]
    [found] = bench_with([lonely]).cluster().tasks_of([arn(1)])[arn(1)]
    assert not found.of_service


def test_a_task_of_a_known_daemon_service_is_recognized() -> None:
    bench = bench_with([task("a", group="service:logs"), task("b"), DAEMON_SERVICE])
    cluster = bench.cluster()
    cluster.services()
    assert {one.arn[-1]: one.daemon for one in cluster.all_tasks()[arn(1)]} == {"a": True, "b": False}


def test_a_stopping_task_is_listed_only_on_request() -> None:
    bench = bench_with([task("a", desiredStatus="STOPPED", lastStatus="DEPROVISIONING")])
    cluster = bench.cluster()
    assert cluster.tasks_of([arn(1)])[arn(1)] == ()
    assert names(cluster.stopping_on([arn(1)])[arn(1)]) == {"a"}


def test_stopping_tasks_beyond_the_first_page_are_seen() -> None:
    stopped = [task(f"t{number}", desiredStatus="STOPPED", lastStatus="STOPPED") for number in range(100)]
    last = task("last", desiredStatus="STOPPED", lastStatus="STOPPING")
    assert names(bench_with([*stopped, last]).cluster().stopping_on([arn(1)])[arn(1)]) == {"last"}


def test_tasks_that_have_stopped_are_not_described_again() -> None:
    stopped = [task(f"t{number}", desiredStatus="STOPPED", lastStatus="STOPPED") for number in range(5)]
    bench = bench_with([*stopped, task("left", desiredStatus="STOPPED", lastStatus="STOPPING")])
    cluster = bench.cluster()
    cluster.stopping_on([arn(1)])[arn(1)]
    cluster.stopping_on([arn(1)])[arn(1)]
    assert described(bench) == [6, 1]


def test_a_task_that_stops_between_two_looks_is_gone_from_the_second() -> None:
    bench = bench_with([task("a", desiredStatus="STOPPED", lastStatus="DEACTIVATING")])
    cluster = bench.cluster()
    assert names(cluster.stopping_on([arn(1)])[arn(1)]) == {"a"}
    bench.ecs.add(task("a", desiredStatus="STOPPED", lastStatus="STOPPED"))
    assert cluster.stopping_on([arn(1)])[arn(1)] == ()


def test_a_listed_task_that_is_missing_when_described_is_gone() -> None:
    bench = bench_with([task("a", desiredStatus="STOPPED"), task("b")])
    bench.ecs.failing = {task(name)["taskArn"]: "MISSING" for name in ("a", "b")}
    cluster = bench.cluster()
    assert cluster.stopping_on([arn(1)])[arn(1)] == ()
    assert cluster.tasks_of([arn(1)])[arn(1)] == ()


def test_a_listed_task_that_ecs_will_not_describe_keeps_its_instance_from_being_empty() -> None:
    bench = bench_with([task("a", desiredStatus="STOPPED"), task("b")])
    bench.ecs.failing = {task(name)["taskArn"]: "INTERNAL" for name in ("a", "b")}
    cluster = bench.cluster()
    for [left] in (cluster.stopping_on([arn(1)])[arn(1)], cluster.tasks_of([arn(1)])[arn(1)]):
        assert not left.stopped
        assert not left.of_service


def test_known_tasks_of_several_instances_are_described_together() -> None:
    shapes = [task(f"t{number}", number) for number in range(150)]
    bench = bench_with(shapes)
    assert bench.cluster().stopped([TaskArn(shape["taskArn"]) for shape in shapes]) == {}
    assert described(bench) == [100, 50]


def test_known_tasks_that_stopped_are_left_out_and_doubtful_ones_kept() -> None:
    at = datetime(2026, 1, 5, 9, tzinfo=UTC)
    bench = bench_with([task("left"), task("stopped", lastStatus="STOPPED", stoppedAt=at), task("doubtful")])
    arns = {name: TaskArn(task(name)["taskArn"]) for name in ("left", "stopped", "gone", "doubtful")}
    bench.ecs.failing = {arns["doubtful"]: "INTERNAL"}
    cluster = bench.cluster()
    assert cluster.stopped(list(arns.values())) == {arns["stopped"]: at, arns["gone"]: None}
    assert cluster.stopped([arns["stopped"]]) == {arns["stopped"]: at}
    assert len(described(bench)) == 1


def test_a_task_that_was_seen_to_have_stopped_is_not_described_again_when_its_instance_is_listed() -> None:
    bench = bench_with([task("a", desiredStatus="STOPPED", lastStatus="STOPPED")])
    cluster = bench.cluster()
    cluster.stopped([TaskArn(task("a")["taskArn"])])
    assert cluster.stopping_on([arn(1)])[arn(1)] == ()
    assert described(bench) == [1]


def test_a_list_of_tasks_that_fails_once_does_not_fail_the_look() -> None:
    bench = bench_with([task("a")])
    bench.ecs.troubles["list_tasks"] = [refusal("ServerException", status=500)]
    assert names(bench.cluster().tasks_of([arn(1)])[arn(1)]) == {"a"}
