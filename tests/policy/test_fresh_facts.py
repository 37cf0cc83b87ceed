"""Whatever forbids a drain is noticed in time: no drain is based on an earlier look."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError
from tests.support.memory_store import MemoryStore
from tests.support.people import pause
from tests.support.simulated import Tape, Updater, instance_id, row

from bottlerocket_ecs_updater.core.model.event import Drained, InstanceHeld, RuleOff, RunFinished
from bottlerocket_ecs_updater.core.model.ids import InstanceId
from bottlerocket_ecs_updater.core.model.reasons import Hold, Reason
from bottlerocket_ecs_updater.core.rules.health import AlarmRule, HealthRules
from bottlerocket_ecs_updater.core.rules.policy import Policy
from bottlerocket_ecs_updater.core.rules.ruleset import Rules
from bottlerocket_ecs_updater.simulator import faults as f
from bottlerocket_ecs_updater.simulator.ecs import ServiceSpec, Workload
from bottlerocket_ecs_updater.simulator.faults import FaultPlan, Placed
from bottlerocket_ecs_updater.simulator.inprocess import Hook, InProcessClients
from bottlerocket_ecs_updater.simulator.world.world import World

LAST = InstanceId(instance_id(1))
"""The host of four that is updated last, some eight minutes after the run starts."""

LIVED = timedelta(minutes=2)
"""How long the world has existed when the run starts."""

ALARM = "checkout-errors"
WATCHING = replace(Policy(), rules=Rules(health=HealthRules((AlarmRule(ALARM),))))
ON_THE_WAY = Policy().poll_interval + timedelta(seconds=2)
"""A change between the look and the drain cannot be noticed."""
A_MINUTE = timedelta(minutes=1)
"""A pause takes effect within it: the state store is not read at every look."""


@dataclass
class Scene:
    """A cluster of four, its state store, and the run's events."""

    world: World
    store: MemoryStore
    tape: Tape
    groups: str = "web"

    def protect(self) -> None:
        """The application protects a task on the last host."""
        tasks = self.world.instance(LAST).tasks.values()
        mine = next(task for task in tasks if "web" in task.group and task.protected_until is None)
        app = InProcessClients(self.world, "app")
        app.ecs.update_task_protection(cluster="demo", tasks=[mine.arn], protectionEnabled=True, expiresInMinutes=240)

    def stand_by(self) -> None:
        self.world.autoscaling.set_lifecycle(LAST, "Standby")

    def refresh(self) -> None:
        self.world.autoscaling.start_refresh(self.groups)

    def ring(self) -> None:
        self.world.cloudwatch.set_alarm(ALARM, "ALARM")

    def pause(self) -> None:
        pause(self.store, self.world.clock.now())


def scene(*world: f.Fault) -> Scene:
    cluster = row(4, services=1, tasks=2, plan=FaultPlan(tuple(map(Placed, world))))
    cluster.autoscaling.add_group("web", *(instance_id(number) for number in range(4)))
    cluster.cloudwatch.set_alarm(ALARM, "OK")
    return Scene(cluster, MemoryStore(), Tape())


def play(there: Scene, before_call: Hook = lambda _service, _operation, _params: None) -> RunFinished:
    clients = InProcessClients(there.world, "run-1", before_call=before_call)
    return Updater(there.world, WATCHING, tape=there.tape, store=there.store, clients=clients).run()


@pytest.mark.parametrize("seconds", [0, 15, 24, 100, 160, 300, 400, 430, 444])
@pytest.mark.parametrize(
    ("happens", "reasons"),
    [
        (Scene.protect, {Reason.TASK_PROTECTED}),
        (Scene.stand_by, {Reason.LEAVING_GROUP}),
        (Scene.refresh, {Reason.GROUP_REFRESHING}),
        (Scene.ring, {Reason.UNWELL, Reason.HALTED}),
        (Scene.pause, {Reason.PAUSED}),
    ],
    ids=["protected", "standby", "refreshing", "alarm", "paused"],
)
def test_a_change_that_forbids_a_drain_is_seen_whenever_it_comes(
    happens: Callable[[Scene], None], reasons: set[Reason], seconds: float
) -> None:
    there = scene()
    at = there.world.clock.now() + timedelta(seconds=seconds)
    there.world.clock.after(timedelta(seconds=seconds), lambda: happens(there))
    outcome = play(there).outcomes[LAST]
    drained = [event.at for event in there.tape.of(Drained) if event.instance == LAST]
    if drained:
        assert drained[0] <= at + (A_MINUTE if happens is Scene.pause else ON_THE_WAY)
    else:
        assert isinstance(outcome, Hold)
        assert outcome.reason in reasons


@pytest.mark.parametrize(
    ("operation", "code"),
    [
        ("GetTaskProtection", "ThrottlingException"),
        ("GetTaskProtection", "ServerException"),
        ("DescribeAutoScalingInstances", "ThrottlingException"),
        ("DescribeAutoScalingInstances", "InternalFailure"),
    ],
)
def test_nothing_is_drained_while_aws_does_not_answer_a_required_question(operation: str, code: str) -> None:
    """AWS does not answer for a while.

    In the meantime the application protects a task, so the last answer is outdated.
    """
    lasts, status = timedelta(seconds=40), 400 if code.startswith("Throttling") else 500
    silence = timedelta(seconds=160)
    there = scene(f.ApiFails(code, status, operation=operation, at=LIVED + silence, lasts=lasts))
    since = there.world.clock.now() + silence
    there.world.clock.after(silence + timedelta(seconds=1), there.protect)
    finished = play(there)
    drains = {event.instance: event.at for event in there.tape.of(Drained)}
    assert all(not since + ON_THE_WAY < at < since + lasts for at in drains.values())
    assert LAST not in drains
    assert (len(drains), finished.counts["updated"], finished.counts["held"]) == (3, 3, 1)
    assert Reason.SURVEY_FAILED in {event.hold.reason for event in there.tape.of(InstanceHeld)}


def test_a_service_that_ecs_never_describes_holds_its_hosts_and_the_run_ends() -> None:
    """One task definition cannot be read. The hosts with tasks of its service are held, and the run ends."""
    there = scene()
    there.world.add_service(ServiceSpec("odd", desired=1, workload=Workload(cpu=16, memory=32)))
    there.world.clock.sleep(timedelta(minutes=1))
    on = next(one for one in there.world.cluster.by_ec2.values() if any("odd" in t.group for t in one.tasks.values()))
    finished = play(there, before_call=_unreadable("odd"))
    assert finished.took < timedelta(minutes=30)
    held = {id_: why.reason for id_, why in finished.outcomes.items() if isinstance(why, Hold)}
    assert held == {on.ec2_instance_id: Reason.SURVEY_FAILED}
    assert finished.counts["updated"] == 3


@pytest.mark.parametrize("operation", ["GetTaskProtection", "DescribeAutoScalingInstances", "DescribeTaskDefinition"])
def test_a_service_that_never_answers_turns_its_rule_off(operation: str) -> None:
    there = scene(f.ApiFails("InternalFailure", 500, operation=operation))
    finished = play(there)
    assert len(there.tape.of(RuleOff)) == 1
    assert finished.counts["updated"] == 4


def _unreadable(family: str) -> Hook:
    """Task definitions of one family can never be read."""

    def before(_service: str, operation: str, params: Mapping[str, Any]) -> None:
        if operation == "DescribeTaskDefinition" and family in params["taskDefinition"]:
            error = {"Error": {"Code": "ServerException", "Message": "no"}, "ResponseMetadata": {"HTTPStatusCode": 500}}
            raise ClientError(error, operation)  # type: ignore[arg-type]

    return before
