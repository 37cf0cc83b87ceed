"""Whether tasks fail because of their host's version: never if similar tasks fail elsewhere too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bottlerocket_ecs_updater.core.decision.contrast import TasksAlike, Trial, blamed_on_version, waiting_for_version
from bottlerocket_ecs_updater.core.model.container_instance import LiveTask, TaskEnd
from bottlerocket_ecs_updater.core.model.ids import ContainerInstanceArn, TaskArn

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
BACK = NOW - timedelta(minutes=10)
NEW, OTHER, OLD = (ContainerInstanceArn(name) for name in ("new", "other-new", "old"))
TRIAL = Trial({NEW: BACK, OTHER: BACK}, frozenset({"service:web"}))


def failed(where: ContainerInstanceArn, ago: float, lived: float = 20, *, group: str = "web", by: str = "1") -> TaskEnd:
    at = NOW - timedelta(seconds=ago)
    launched = at - timedelta(seconds=lived)
    return TaskEnd(
        where, f"service:{group}", "EssentialContainerExited", "exit code 1", 1, at, launched, by, at - launched
    )


def moved(
    where: ContainerInstanceArn,
    *,
    lived: timedelta = timedelta(days=3),
    started_in: timedelta = timedelta(seconds=9),
    by: str = "1",
) -> TaskEnd:
    return TaskEnd(where, "service:web", "ServiceSchedulerInitiated", "", 0, BACK, BACK - lived, by, lived - started_in)


def runs(where: ContainerInstanceArn, since: timedelta, *, by: str = "1") -> LiveTask:
    at = NOW - since
    return LiveTask(TaskArn("x"), where, "service:web", by, at - timedelta(seconds=9), at)


TWICE = (failed(NEW, 200), failed(NEW, 150))


def test_tasks_that_fail_on_the_version_and_run_elsewhere_count_against_the_version() -> None:
    assert blamed_on_version(TRIAL, TasksAlike(TWICE, [runs(OLD, timedelta(days=3))]), NOW)


def test_a_service_of_one_task_that_ran_for_days_before_it_moved_is_enough_evidence() -> None:
    assert blamed_on_version(TRIAL, TasksAlike([*TWICE, moved(OLD)]), NOW)


RESTARTED = (failed(OLD, 205, 600), failed(OLD, 200, 600))
"""On the old version tasks live for ten minutes and fail, too; two did when the first failed on the new one."""


def test_what_fails_everywhere_but_much_sooner_on_the_version_is_the_versions_fault() -> None:
    """The tasks that were launched again elsewhere live, while those on the version still fail."""
    later = (failed(NEW, 100), failed(NEW, 50))
    again = [runs(OLD, timedelta(seconds=150)), runs(OLD, timedelta(seconds=140))]
    assert blamed_on_version(TRIAL, TasksAlike([*TWICE, *RESTARTED, *later], again), NOW)


def test_an_outage_that_ends_is_not_blamed_on_the_version() -> None:
    """What was launched on the version since tasks live elsewhere lives, too."""
    again = [runs(OLD, timedelta(seconds=120)), runs(OLD, timedelta(seconds=120)), runs(NEW, timedelta(seconds=110))]
    assert not blamed_on_version(TRIAL, TasksAlike([*TWICE, *RESTARTED], again), NOW)


def test_what_makes_every_new_task_fail_is_not_the_versions_fault() -> None:
    """A secret was changed: tasks that run elsewhere are older than that, and those launched there since fail too."""
    old = [runs(OLD, timedelta(days=3)) for _ in range(8)]
    ends = [*TWICE, failed(OLD, 100), failed(OLD, 90)]
    assert not blamed_on_version(TRIAL, TasksAlike(ends, old), NOW)
    assert blamed_on_version(TRIAL, TasksAlike(ends, [*old, runs(OLD, timedelta(seconds=120))]), NOW)
    assert blamed_on_version(TRIAL, TasksAlike(ends[:3], old), NOW)


def test_running_tasks_on_hosts_that_were_launched_with_the_version_count_for_it() -> None:
    launched = ContainerInstanceArn("launched")
    lives = [runs(launched, timedelta(days=1)) for _ in range(4)]
    elsewhere = [runs(OLD, timedelta(days=3)), runs(OLD, timedelta(days=3))]
    ended = [*TWICE, failed(OLD, 190)]
    assert blamed_on_version(TRIAL, TasksAlike(ended, elsewhere), NOW)
    known = replace(TRIAL, others=frozenset({launched}))
    assert not blamed_on_version(known, TasksAlike(ended, [*elsewhere, *lives]), NOW)


def test_failed_tasks_on_hosts_that_were_launched_with_the_version_do_not_count_for_it() -> None:
    launched = ContainerInstanceArn("launched")
    tasks = TasksAlike([*TWICE, failed(launched, 190), failed(launched, 180)], [runs(OLD, timedelta(days=3))])
    assert not blamed_on_version(TRIAL, tasks, NOW)
    assert blamed_on_version(replace(TRIAL, others=frozenset({launched})), tasks, NOW)


@pytest.mark.parametrize(
    "tasks",
    [
        pytest.param(TasksAlike([*TWICE, failed(OLD, 190), failed(OLD, 180)]), id="it fails elsewhere, too"),
        pytest.param(TasksAlike(TWICE), id="it never ran"),
        pytest.param(TasksAlike(TWICE, [runs(OLD, timedelta(days=3), by="2")]), id="another deployment runs"),
        pytest.param(TasksAlike([*TWICE, moved(OLD, by="2")]), id="another deployment ran"),
        pytest.param(TasksAlike([*TWICE, moved(OLD), failed(OTHER, 200, 500)]), id="it ran long on the version"),
        pytest.param(
            TasksAlike([*TWICE, moved(OLD)], [runs(OTHER, timedelta(minutes=9))]), id="it runs on the version"
        ),
    ],
)
def test_failures_with_another_possible_cause_do_not_count_against_the_version(tasks: TasksAlike) -> None:
    assert not blamed_on_version(TRIAL, tasks, NOW)


def test_the_version_is_blamed_if_every_service_fails_and_none_runs_elsewhere() -> None:
    ends = [failed(NEW, ago, 1200, group=group) for group in ("web", "api") for ago in (60, 120)]
    trial = Trial(dict.fromkeys((NEW,), NOW - timedelta(hours=9)), frozenset({"service:web", "service:api"}))
    assert len(blamed_on_version(trial, TasksAlike(ends), NOW)) == 4
    more = Trial(trial.since, trial.groups | {"service:agent"})
    assert not blamed_on_version(more, TasksAlike(ends), NOW)


@given(st.integers(1, 9), st.integers(1, 9), st.integers(2, 300), st.data())
def test_a_service_that_fails_everywhere_is_never_blamed_on_the_version(
    here: int, elsewhere: int, lives: int, data: st.DataObject
) -> None:
    """However many of its tasks ECS has started on the hosts that are back."""
    ago = st.integers(0, 120)
    ends = [failed(NEW, data.draw(ago), lives) for _ in range(here)]
    ends += [failed(OLD, data.draw(ago), lives) for _ in range(elsewhere)]
    assert not blamed_on_version(TRIAL, TasksAlike(ends), NOW)


def waits(where: ContainerInstanceArn, minutes: float) -> LiveTask:
    return LiveTask(TaskArn("w"), where, "service:web", "1", NOW - timedelta(minutes=minutes))


def waiting(here: LiveTask, *alive: LiveTask, ended: Sequence[TaskEnd] = ()) -> bool:
    return bool(waiting_for_version(TRIAL, [here], TasksAlike(ended, [here, *alive]), NOW, timedelta(minutes=5)))


def test_a_task_that_starts_elsewhere_and_not_on_the_version_is_the_versions_fault() -> None:
    assert waiting(waits(NEW, 6), runs(OLD, timedelta(days=1)))
    assert not waiting(waits(NEW, 4), runs(OLD, timedelta(days=1)))
    assert not waiting(waits(OLD, 6), runs(OLD, timedelta(days=1)))


def test_several_tasks_that_wait_on_the_version_and_crashed_elsewhere_after_they_started_are_its_fault() -> None:
    """A service that crashes in a loop must not hide that its tasks do not even start on the version."""
    crashed = replace(failed(OLD, 500, 120), ran_for=timedelta(seconds=110))
    one, other = waits(NEW, 6), waits(OTHER, 6)
    limit = timedelta(minutes=5)

    def waiting_together(*ended: TaskEnd) -> int:
        return len(waiting_for_version(TRIAL, [one, other], TasksAlike(ended, [one, other]), NOW, limit))

    assert waiting_together(crashed) == 2
    assert not waiting_together(replace(crashed, ran_for=None))
    assert not waiting(one, ended=[crashed])
    assert not waiting(one, waits(OLD, 6), ended=[crashed])


def test_a_task_that_starts_nowhere_or_slowly_everywhere_is_not() -> None:
    slow = LiveTask(TaskArn("s"), OLD, "service:web", "1", NOW - timedelta(hours=1), NOW - timedelta(minutes=53))
    assert not waiting(waits(NEW, 9))
    assert not waiting(waits(NEW, 9), slow)
    assert not waiting(waits(NEW, 9), waits(OLD, 9), waits(OLD, 9), runs(OLD, timedelta(days=1)))
    assert waiting(waits(NEW, 9.9), runs(OLD, timedelta(days=1)))


def test_a_task_that_moved_before_it_ran_or_ran_late_elsewhere_says_nothing_about_one_that_waits() -> None:
    """A new deployment with a large image: its tasks wait on every host, and a drain stops one of them."""
    waited = replace(moved(OLD, lived=timedelta(minutes=9)), ran_for=None)
    assert waiting(waits(NEW, 8), ended=[moved(OLD)])
    assert not waiting(waits(NEW, 8), ended=[waited])
    assert not waiting(waits(NEW, 8), ended=[moved(OLD, started_in=timedelta(minutes=5))])
    assert not blamed_on_version(TRIAL, TasksAlike([*TWICE, waited]), NOW)
    assert blamed_on_version(TRIAL, TasksAlike([*TWICE, replace(waited, ran_for=timedelta(minutes=8))]), NOW)


@pytest.mark.parametrize(
    ("why", "counts"),
    [
        ("CannotPullContainerError: failed to resolve ref: dial tcp 203.0.113.7:443: i/o timeout", True),
        ("CannotPullContainerError: x509: certificate signed by unknown authority", True),
        ("CannotStartContainerError: exec: /bin/app: not found", True),
        ("CannotPullContainerError: failed open: unexpected status code https://x/v2/: 429 Too Many Requests", False),
        ("CannotPullContainerError: Error response from daemon: toomanyrequests: pull rate limit", False),
        ("CannotPullContainerError: manifest for web:7 not found: manifest unknown", False),
        ("ResourceInitializationError: unable to pull secrets: ThrottlingException: Rate exceeded", False),
        ("Unexpected EC2 error while attempting to Create Network Interface: InsufficientFreeAddressesInSubnet", False),
        ("ECS failed to set up the EBS volume. Encountered VolumeLimitExceeded", False),
        ("Timeout waiting for network interface provisioning to complete.", True),
    ],
)
def test_an_image_that_a_registry_refuses_is_not_the_versions_fault(why: str, *, counts: bool) -> None:
    """ECS starts the next tasks on the hosts that were just updated: these meet a rate limit first."""
    ends = [replace(one, code="TaskFailedToStart", why=why, exit_code=None, ran_for=None) for one in TWICE]
    assert bool(blamed_on_version(TRIAL, TasksAlike(ends, [runs(OLD, timedelta(days=3))]), NOW)) is counts


FINISHED = tuple(replace(failed(NEW, ago, 180), exit_code=0) for ago in (300, 200, 100))
"""Tasks of a service that exit with code 0 after three minutes."""


def test_tasks_that_exit_without_an_error_only_on_the_version_count_against_it() -> None:
    tasks = TasksAlike(FINISHED, [runs(OLD, timedelta(days=3))])
    assert blamed_on_version(TRIAL, tasks, NOW)
    assert not blamed_on_version(TRIAL, replace(tasks, ended=FINISHED[:2]), NOW)


def test_workers_that_exit_after_each_job_do_not_count_against_the_version() -> None:
    """Those with long jobs run elsewhere, so the share of tasks that end on the version is larger."""
    long_jobs = [runs(OLD, timedelta(hours=3)) for _ in range(20)]
    tasks = TasksAlike([*FINISHED, replace(failed(OLD, 900, 180), exit_code=0)], long_jobs)
    assert not blamed_on_version(TRIAL, tasks, NOW)


def test_a_service_that_fails_everywhere_every_few_minutes_does_not_count_against_the_version() -> None:
    """A crash loop with ten minutes between failures: nothing failed elsewhere in the two minutes before, and all
    running tasks are young.
    """
    ends = [failed(NEW, 60, 600), failed(OTHER, 20, 600), failed(OLD, 900, 600), failed(OLD, 840, 600)]
    young = [runs(OLD, timedelta(minutes=9))]
    trial = Trial({NEW: NOW - timedelta(minutes=30), OTHER: NOW - timedelta(minutes=30)}, TRIAL.groups)
    assert not blamed_on_version(trial, TasksAlike(ends, young), NOW)
    assert blamed_on_version(trial, TasksAlike(ends[:2], [runs(OLD, timedelta(hours=2))]), NOW)


def test_services_that_all_failed_alike_on_earlier_hosts_have_more_in_common_than_the_version() -> None:
    groups = ("web", "api")
    ends = [failed(NEW, ago, 180, group=group) for group in groups for ago in (60, 300)]
    before = [failed(OLD, ago, 180, group=group) for group in groups for ago in (2000, 2400)]
    trial = Trial(dict.fromkeys((NEW,), NOW - timedelta(minutes=20)), frozenset(f"service:{name}" for name in groups))
    assert blamed_on_version(trial, TasksAlike(ends), NOW)
    assert not blamed_on_version(trial, TasksAlike([*ends, *before]), NOW)


def test_a_service_that_failed_before_the_version_does_not_count_against_it_an_hour_later() -> None:
    ends = [failed(NEW, ago, 180, group=group) for group in ("web", "api") for ago in (60, 300)]
    back = dict.fromkeys((NEW,), NOW - timedelta(minutes=90))
    trial = Trial(back, frozenset({"service:web", "service:api"}))
    assert blamed_on_version(trial, TasksAlike(ends), NOW)
    known = Trial(back, trial.groups, troubled=frozenset({"service:web"}))
    assert not blamed_on_version(known, TasksAlike(ends), NOW)
