"""What draining moves, in which order, within which limits, and what it leaves alone."""

from __future__ import annotations

from datetime import timedelta

from tests.simulator.world_bench import bench, daemon, instance_id, replica

from bottlerocket_ecs_updater.simulator.ecs import Workload
from bottlerocket_ecs_updater.simulator.ecs.model import Last


def test_service_tasks_are_replaced_elsewhere_and_then_stopped() -> None:
    b = bench(3, services=(replica(desired=3),))
    b.drain(0)
    b.wait(30)
    assert (b.live(0), b.service("web")["runningCount"]) == ([], 3)


def test_at_a_minimum_of_100_percent_nothing_stops_before_its_replacement_runs() -> None:
    b = bench(3, services=(replica(desired=3),))
    b.drain(0)
    b.wait(3)
    assert [task.last for task in b.live(0)] == [Last.RUNNING]


def test_at_a_minimum_of_50_percent_a_task_stops_before_its_replacement_runs() -> None:
    b = bench(2, services=(replica(desired=2, minimum_healthy_percent=50),))
    b.drain(0)
    b.wait(2)
    assert [task.last for task in b.live(0)] == [Last.STOPPING]


def test_at_a_maximum_of_100_percent_a_replacement_starts_only_after_the_old_task_has_stopped() -> None:
    b = bench(2, services=(replica(desired=2, minimum_healthy_percent=0, maximum_percent=100),))
    b.drain(0)
    b.wait(2)
    assert (len(b.live(0)), len(b.live(1))) == (1, 1)


def test_at_100_and_100_percent_a_drain_never_ends() -> None:
    b = bench(2, services=(replica(desired=2, minimum_healthy_percent=100, maximum_percent=100),))
    b.drain(0)
    b.wait(3600)
    assert len(b.live(0)) == 1


def test_without_room_elsewhere_a_drain_waits_and_the_service_says_why() -> None:
    b = bench(2, services=(replica(desired=2, workload=Workload(cpu=2000)),))
    b.drain(0)
    b.wait(600)
    assert len(b.live(0)) == 1
    assert "unable to place a task" in b.service("web")["events"][0]["message"]


def test_room_that_appears_later_is_used() -> None:
    b = bench(3, services=(replica(desired=2, workload=Workload(cpu=2000)),))
    b.world.operator_drain(instance_id(2))
    b.drain(0)
    b.wait(300)
    b.world.operator_activate(instance_id(2))
    b.wait(60)
    assert (b.live(0), len(b.live(2))) == ([], 1)


def test_pending_service_tasks_on_a_draining_instance_stop_at_once() -> None:
    b = bench(2, services=(replica(desired=0),))
    b.ecs.update_service(cluster="demo", service="web", desiredCount=2)
    b.wait(2.5)
    assert [task.last for task in b.live(0)] == [Last.PENDING]
    b.drain(0)
    b.wait(2.5)
    assert b.live(0) == []


def test_standalone_tasks_are_left_alone() -> None:
    b = bench(2)
    task = b.world.run_standalone_task(instance_id(0))
    b.drain(0)
    b.wait(3600)
    assert b.live(0) == [task]


def test_a_daemon_task_is_the_last_to_stop() -> None:
    b = bench(2, services=(replica(desired=2), daemon()))
    b.drain(0)
    b.wait(9)
    while len(b.live(0)) > 1:
        b.wait(1)
    assert [task.is_daemon for task in b.live(0)] == [True]
    b.wait(20)
    assert b.live(0) == []


def test_a_daemon_task_stays_as_long_as_a_standalone_task_does() -> None:
    b = bench(1, services=(daemon(),))
    b.world.run_standalone_task(instance_id(0), Workload(runs_for=timedelta(minutes=10)))
    b.drain(0)
    b.wait(540)
    assert len(b.live(0)) == 2
    b.wait(120)
    assert b.live(0) == []


def test_a_daemon_task_starts_again_on_an_instance_that_is_active_again() -> None:
    b = bench(1, services=(daemon(),))
    b.drain(0)
    b.wait(60)
    b.activate(0)
    b.wait(30)
    assert [task.last for task in b.live(0)] == [Last.RUNNING]


def test_a_protected_task_is_stopped_only_when_its_protection_ends() -> None:
    b = bench(2, services=(replica(desired=2),))
    task = b.live(0)[0]
    b.ecs.update_task_protection(cluster="demo", tasks=[task.arn], protectionEnabled=True, expiresInMinutes=10)
    b.drain(0)
    b.wait(590)
    seen = [task.last]
    b.wait(60)
    assert [*seen, task.last] == [Last.RUNNING, Last.STOPPED]


def test_a_load_balancer_deregisters_a_task_before_it_stops() -> None:
    work = Workload(deregistration_delay=timedelta(seconds=60))
    b = bench(2, services=(replica(desired=2, workload=work, minimum_healthy_percent=0),))
    task = b.live(0)[0]
    b.drain(0)
    b.wait(50)
    seen = [task.last]
    b.wait(20)
    assert [*seen, task.last] == [Last.DEACTIVATING, Last.STOPPED]


def test_a_replacement_counts_only_once_its_load_balancer_finds_it_healthy() -> None:
    b = bench(2, services=(replica(desired=2, workload=Workload(healthy_after=timedelta(seconds=40))),))
    b.drain(0)
    b.wait(40)
    assert [task.last for task in b.live(0)] == [Last.RUNNING]
    b.wait(30)
    assert b.live(0) == []


def test_a_task_that_ignores_sigterm_is_killed_after_its_stop_timeout() -> None:
    work = Workload(shutdown=timedelta(hours=1), stop_timeout=timedelta(seconds=120))
    b = bench(2, services=(replica(desired=2, workload=work, minimum_healthy_percent=0),))
    b.drain(0)
    b.wait(110)
    assert len(b.live(0)) == 1
    b.wait(20)
    assert b.live(0) == []


def test_tasks_that_are_still_stopping_are_in_no_count() -> None:
    work = Workload(shutdown=timedelta(seconds=25))
    b = bench(2, services=(replica(desired=2, workload=work, minimum_healthy_percent=0),))
    b.drain(0)
    b.wait(10)
    assert (len(b.live(0)), b.show(0)["runningTasksCount"], b.show(0)["pendingTasksCount"]) == (1, 0, 0)


def test_a_task_that_cannot_be_killed_stays_stopping() -> None:
    b = bench(2, services=(replica(desired=2, workload=Workload(never_stops=True), minimum_healthy_percent=0),))
    b.drain(0)
    b.wait(7200)
    assert [task.last for task in b.live(0)] == [Last.STOPPING]


def test_nothing_is_placed_on_a_draining_instance() -> None:
    b = bench(2, services=(replica(desired=2),))
    b.drain(0)
    b.wait(60)
    b.ecs.update_service(cluster="demo", service="web", desiredCount=6)
    b.wait(60)
    assert (len(b.live(0)), len(b.live(1))) == (0, 6)


def test_a_drain_that_is_taken_back_leaves_the_service_at_its_count() -> None:
    b = bench(3, services=(replica(desired=6),))
    b.drain(0)
    b.wait(4)
    b.activate(0)
    b.wait(60)
    assert b.service("web")["runningCount"] == 6


def test_a_service_that_moved_reaches_a_steady_state_again() -> None:
    b = bench(3, services=(replica(desired=3),))
    b.drain(0)
    b.wait(60)
    messages = [event["message"] for event in b.service("web")["events"]]
    assert any("has started 1 tasks" in message for message in messages)
    assert any("has stopped 1 running tasks" in message for message in messages)
    assert any("has reached a steady state" in message for message in messages)
