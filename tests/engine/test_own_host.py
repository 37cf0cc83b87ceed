"""Runs on an instance of the cluster that they update, in simulated worlds: no run reboots its own host."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from tests.support.simulated import NEW, OLD, Tape, Updater, instance_id, row

from bottlerocket_ecs_updater.core.model.event import Drained, Event, InstanceHeld, SuccessorCalled
from bottlerocket_ecs_updater.core.model.ids import InstanceId, OwnTask, TaskArn
from bottlerocket_ecs_updater.core.model.outcome import RunOutcome, Updated
from bottlerocket_ecs_updater.core.model.reasons import Hold, Reason
from bottlerocket_ecs_updater.core.rules.policy import OwnHost, Policy
from bottlerocket_ecs_updater.engine.stop import Stop
from bottlerocket_ecs_updater.errors import Denied
from bottlerocket_ecs_updater.simulator.world.world import World

FAMILY = "updater"
HAND_OVER = Policy(own_host=OwnHost.HAND_OVER)


@dataclass
class Starts:
    """Starts another run's task on an instance of the world, some time after the request."""

    world: World
    where: int
    after: timedelta = timedelta(seconds=8)
    task: Any = None
    calls: int = 0

    def call(self) -> None:
        self.calls += 1
        self.world.clock.after(self.after, self._start)

    def placed(self) -> TaskArn | None:
        return TaskArn(self.task.arn) if self.task is not None else None

    def _start(self) -> None:
        self.task = self.world.run_standalone_task(instance_id(self.where), family=FAMILY)


class Refuses:
    """No other run can be requested."""

    def call(self) -> None:
        raise Denied("User is not authorized to perform: events:PutEvents", "events:PutEvents", "event-bus/default")

    def placed(self) -> TaskArn | None:
        raise AssertionError("nobody was called")


def updater_on(world: World, where: int, policy: Policy = HAND_OVER, **changes: Any) -> tuple[Updater, Any]:
    """A run whose task is on that instance, and the task."""
    task = world.run_standalone_task(instance_id(where), family=FAMILY)
    return Updater(world, policy, own=OwnTask(TaskArn(task.arn), FAMILY), **changes), task


def reason(finished: Any, where: int) -> Reason:
    outcome = finished.outcomes[InstanceId(instance_id(where))]
    assert isinstance(outcome, Hold), outcome
    return outcome.reason


def versions(world: World) -> list[str | None]:
    return [world.hosts[instance_id(number)].running for number in range(len(world.hosts))]


def test_a_run_updates_all_hosts_but_its_own_and_the_run_that_it_calls_updates_that_one() -> None:
    world = row(4)
    starts = Starts(world, where=2)
    first, task = updater_on(world, 1, successors=starts)
    finished = first.run()
    assert (finished.outcome, finished.exit_code, finished.counts["updated"]) == (RunOutcome.OK, 0, 3)
    assert (reason(finished, 1), starts.calls, versions(world)[1]) == (Reason.HANDED_OVER, 1, OLD)
    assert [event.instance for event in first.tape.of(SuccessorCalled)] == [instance_id(1)]
    assert instance_id(1) not in [event.instance for event in first.tape.of(Drained)]
    # The first run is ending when the second one starts.
    second = Updater(world, HAND_OVER, "run-2", own=OwnTask(TaskArn(starts.task.arn), FAMILY))
    world.clock.after(timedelta(seconds=20), lambda: world.ecs.lifecycle.stop(task, "Exited", "it ended"))
    assert second.run().exit_code == 0
    seen = world.findings()
    assert (versions(world), seen.violations, seen.tasks_killed, seen.stranded) == ([NEW] * 4, (), (), ())


def test_the_run_that_was_called_takes_the_host_though_its_caller_is_still_listed_there() -> None:
    world = row(2)
    _, lingers = updater_on(world, 0)
    called, _ = updater_on(world, 1, Policy())
    world.clock.after(timedelta(minutes=1), lambda: world.ecs.lifecycle.stop(lingers, "Exited", "it ended"))
    finished = called.run()
    assert isinstance(finished.outcomes[InstanceId(instance_id(0))], Updated)
    assert (reason(finished, 1), world.findings().tasks_killed) == (Reason.OWN_HOST, ())


def test_by_default_a_run_leaves_its_own_host_alone() -> None:
    world = row(2)
    updater, _ = updater_on(world, 0, Policy())
    assert reason(updater.run(), 0) is Reason.OWN_HOST
    assert (versions(world), world.hosts[instance_id(0)].boots) == ([OLD, NEW], 1)


def test_a_call_that_is_refused_leaves_the_host_in_service_with_the_reason() -> None:
    world = row(2)
    updater, _ = updater_on(world, 0, successors=Refuses())
    finished = updater.run()
    assert (finished.exit_code, reason(finished, 0)) == (0, Reason.OWN_HOST)
    assert any("events:PutEvents" in str(event.hold) for event in updater.tape.of(InstanceHeld))
    assert (world.findings().stranded, versions(world)) == ((), [OLD, NEW])


def test_a_run_that_never_comes_is_not_waited_for_forever() -> None:
    world = row(2)
    never = Starts(world, where=1, after=timedelta(days=1))
    updater, _ = updater_on(world, 0, successors=never)
    finished = updater.run()
    assert (reason(finished, 0), never.calls, versions(world)) == (Reason.OWN_HOST, 1, [OLD, NEW])
    [called] = updater.tape.of(SuccessorCalled)
    assert HAND_OVER.successor_timeout <= finished.at - called.at < HAND_OVER.successor_timeout + timedelta(minutes=1)


def test_in_a_cluster_of_one_no_run_is_called_and_nothing_is_drained() -> None:
    world = row(1)
    starts = Starts(world, where=0)
    updater, _ = updater_on(world, 0, successors=starts)
    assert reason(updater.run(), 0) is Reason.OWN_HOST
    assert (starts.calls, world.findings().seconds_out) == (0, {instance_id(0): 0.0})


class StopsAtADrain(Tape):
    """Stops its run as soon as it drains an instance."""

    def __init__(self, stop: Stop) -> None:
        super().__init__()
        self._stop = stop

    def record(self, event: Event) -> None:
        super().record(event)
        if isinstance(event, Drained):
            self._stop.request("it is enough")


def test_the_host_of_a_run_that_waited_for_the_lease_is_returned_and_updated_later() -> None:
    world = row(2)
    world.run_standalone_task(instance_id(1))
    waiting, task = updater_on(world, 0)
    world.clock.sleep(timedelta(minutes=1))
    stop = Stop()
    Updater(world, name="run-0", own=OwnTask(TaskArn("elsewhere"), FAMILY), stop=stop, tape=StopsAtADrain(stop)).run()
    assert world.findings().stranded == (instance_id(0),)
    finished = waiting.run()
    assert (reason(finished, 0), world.findings().stranded, versions(world)) == (Reason.OWN_HOST, (), [OLD, OLD])
    world.ecs.lifecycle.stop(task, "Exited", "it ended")
    Updater(world, name="run-2").run()
    seen = world.findings()
    assert (versions(world), seen.violations, seen.tasks_killed) == ([NEW, OLD], (), ())
