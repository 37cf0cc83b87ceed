"""Rules with a pattern: which events start a task, and what happens to the task if its host goes down."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from tests.stack.conftest import LEASE, PATIENCE, Ground

CALL: dict[str, Any] = {
    "Source": "bottlerocket-ecs-updater",
    "DetailType": "successor.wanted",
    "Detail": {"cluster": "demo"},
}


def put(ground: Ground, **changes: Any) -> None:
    entry = {**CALL, **changes}
    answer = ground.site.operator(
        "events", "PutEvents", {"Entries": [{**entry, "Detail": json.dumps(entry["Detail"])}]}
    )
    assert answer["FailedEntryCount"] == 0


@pytest.fixture
def on_instances(ground: Ground) -> Ground:
    ground.create(LaunchType="EC2", ScheduleState="DISABLED", Settings=LEASE)
    return ground


def test_only_the_call_for_this_cluster_starts_a_run(on_instances: Ground) -> None:
    for changes in ({"Source": "x"}, {"DetailType": "run.finished"}, {"Detail": {"cluster": "other"}}):
        put(on_instances, **changes)
    put(on_instances)
    starts = on_instances.site.schedules.starts
    on_instances.clock.wait_until(lambda: bool(starts), PATIENCE)
    [start] = starts
    assert (start.name, bool(start.task)) == (on_instances.resource("SuccessorRule"), True)


def test_a_rule_that_is_disabled_starts_nothing(on_instances: Ground) -> None:
    on_instances.site.operator("events", "DisableRule", {"Name": on_instances.resource("SuccessorRule")})
    put(on_instances)
    on_instances.clock.sleep(timedelta(minutes=1))
    assert on_instances.site.schedules.starts == []


def test_an_event_starts_nothing_that_only_a_schedule_starts(ground: Ground) -> None:
    ground.create(LaunchType="EC2", ScheduleExpression="rate(30 days)", Settings=LEASE)
    put(ground, Source="x")
    ground.clock.sleep(timedelta(minutes=1))
    assert ground.site.schedules.starts == []


def test_a_run_dies_with_its_host(on_instances: Ground) -> None:
    put(on_instances)
    starts = on_instances.site.schedules.starts
    on_instances.clock.wait_until(lambda: bool(starts and starts[0].task), PATIENCE)
    world, task = on_instances.site.world, starts[0].task
    assert task is not None
    on_instances.clock.wait_until(lambda: task in on_instances.site.containers._processes, PATIENCE)
    instance = world.cluster.tasks[task].instance
    assert instance is not None
    with world.clock.lock:
        world.hosts[instance.ec2_instance_id].terminate()
    assert on_instances.ended(task).exit_code == -9
