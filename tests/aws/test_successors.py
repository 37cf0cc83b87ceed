"""A run requests another run with one event, and finds it once it is placed on another host."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from bottlerocket_ecs_updater.aws.identity import FamilyTask
from bottlerocket_ecs_updater.aws.successors import CalledSuccessors
from bottlerocket_ecs_updater.aws.transport.messages import OutgoingNotice
from bottlerocket_ecs_updater.core.model.event import Event
from bottlerocket_ecs_updater.core.model.ids import ContainerInstanceArn, TaskArn
from bottlerocket_ecs_updater.report.record.codec import EVENTS

OWN = TaskArn("own")


def task(name: str, where: str) -> FamilyTask:
    return FamilyTask(TaskArn(name), datetime(2026, 1, 5, tzinfo=UTC), ContainerInstanceArn(where))


@dataclass
class Bench:
    """A bus that keeps everything, and a family that changes."""

    family: list[FamilyTask] = field(default_factory=lambda: [task(OWN, "here")])
    notices: list[OutgoingNotice] = field(default_factory=list)

    def put(self, notices: Sequence[OutgoingNotice]) -> None:
        self.notices += notices

    def successors(self) -> CalledSuccessors:
        return CalledSuccessors(self, lambda: self.family, OWN, "web", "run-1")


def test_the_event_says_for_which_cluster_and_by_which_run() -> None:
    bench = Bench()
    bench.successors().call()
    [notice] = bench.notices
    assert (notice.name, notice.facts) == ("successor.wanted", {"cluster": "web", "run": "run-1", "task": OWN})


def test_no_event_of_a_run_has_the_name_that_starts_another() -> None:
    assert "successor.wanted" not in EVENTS
    assert issubclass(EVENTS["successor.called"], Event)


def test_a_run_that_was_there_before_is_no_answer() -> None:
    bench = Bench()
    bench.family.append(task("waits", "there"))
    called = bench.successors()
    called.call()
    assert called.placed() is None


def test_a_run_on_the_same_host_is_no_answer() -> None:
    bench = Bench()
    called = bench.successors()
    called.call()
    bench.family.append(task("beside", "here"))
    assert called.placed() is None


def test_a_new_run_on_another_host_is_the_answer() -> None:
    bench = Bench()
    called = bench.successors()
    called.call()
    bench.family += [task("beside", "here"), task("elsewhere", "there")]
    assert called.placed() == "elsewhere"
