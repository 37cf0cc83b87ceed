"""The updater on the cluster's own instances, as the stack deploys it: each host is updated, none by a run on it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.account.iam import Caller, Decision, IamRequest
from tests.stack.conftest import LEASE, PATIENCE, Ground
from tests.stack.stage import TEMPLATE, deployed, policy_of, properties, statements

OFTEN = {"ScheduleExpression": "rate(5 minutes)"}
ON_INSTANCES = {"LaunchType": "EC2", "Settings": f"{LEASE}\npoll-interval = '15s'", **OFTEN}
NEW = {f"i-{number:017x}": "1.21.0" for number in range(3)}


def test_every_host_is_updated_the_run_s_own_one_by_the_run_that_it_calls(ground: Ground) -> None:
    assert ground.deploy(**ON_INSTANCES).returncode == 0
    see_every_host_updated(ground)


def test_a_run_is_called_on_the_default_bus_where_events_for_programs_go_to_another(ground: Ground) -> None:
    ground.site.operator("events", "CreateEventBus", {"Name": "programs"})
    ground.create(**ON_INSTANCES, EventBus="programs")
    see_every_host_updated(ground)


def see_every_host_updated(ground: Ground) -> None:
    """One run updates the hosts that it is not on, and the run that it requests updates the last one."""
    start = ground.next_start()
    assert start.task is not None, start.error
    first = ground.ended(start.task)
    assert first.exit_code == 0, first.lines[-5:]
    ground.clock.wait_until(lambda: len(ground.site.schedules.starts) > 1, PATIENCE)
    called = ground.site.schedules.starts[1]
    assert called.task is not None, called.error
    second = ground.ended(called.task)
    assert second.exit_code == 0, second.lines[-5:]
    assert (ground.site.gate.refusals, ground.site.schedules.starts[2:]) == ([], [])
    seen = ground.site.world.findings()
    assert (seen.versions, seen.violations, seen.tasks_killed, seen.stranded) == (NEW, (), (), ())
    [own] = _held(first.lines, "handed-over")
    assert called.task in json.dumps(first.lines)
    assert [updated for updated in _told(second.lines, "instance.updated") if updated["instance"] != own] == []
    assert _host_of(ground, start.task) == own != _host_of(ground, called.task)


def test_if_no_other_run_can_be_requested_the_host_stays_in_service_and_the_log_names_the_action(
    ground: Ground, tmp_path: Path
) -> None:
    template = tmp_path / "another.yaml"
    template.write_text(
        TEMPLATE.read_text().replace("'events:detail-type': successor.wanted", "'events:detail-type': x")
    )
    ground.create(template, **ON_INSTANCES)
    start = ground.next_start()
    assert start.task is not None, start.error
    container = ground.ended(start.task)
    [own] = _held(container.lines, "own-host")
    assert (container.exit_code, any("events:PutEvents" in line for line in container.lines)) == (0, True)
    seen = ground.site.world.findings()
    assert (seen.stranded, seen.versions) == ((), {**NEW, own: "1.20.0"})


def test_only_the_call_can_be_put_on_the_bus_and_only_where_there_is_an_own_host() -> None:
    bus = "arn:aws:events:us-east-1:123456789012:event-bus/default"
    said = {"events:source": ("bottlerocket-ecs-updater",), "events:detail-type": ("successor.wanted",)}
    others = [{**said, "events:source": ("aws.ecs",)}, {**said, "events:detail-type": ("run.finished",)}]
    caller = _task_role(LaunchType="EC2")
    assert caller.may(IamRequest("events:PutEvents", bus, said)) is Decision.ALLOWED
    assert [caller.may(IamRequest("events:PutEvents", bus, other)) for other in others] == [Decision.NOT_ALLOWED] * 2
    assert _task_role().may(IamRequest("events:PutEvents", bus, said)) is Decision.NOT_ALLOWED


def test_on_fargate_nothing_of_it_is_there() -> None:
    stack = deployed()
    assert "SuccessorRule" not in stack.holdings
    assert "CallSuccessor" not in [statement["Sid"] for statement in statements(stack, "TaskRole")]
    [container] = properties(stack, "UpdaterTaskDefinition")["ContainerDefinitions"]
    # The default of a run without settings.
    assert {"Name": "BOTTLEROCKET_ECS_UPDATER_OWN_HOST", "Value": "hold"} in container["Environment"]


def test_the_second_run_is_kept_off_the_first_ones_host_and_calls_no_third() -> None:
    stack = deployed(LaunchType="EC2")
    [target] = properties(stack, "SuccessorRule")["Targets"]
    definition = target["EcsParameters"]["TaskDefinitionArn"]
    family = definition.rsplit("/", 1)[-1].split(":")[0]
    [constraint] = target["EcsParameters"]["PlacementConstraints"]
    assert constraint == {"Type": "memberOf", "Expression": f"not(task:group == family:{family})"}
    [override] = json.loads(target["Input"])["containerOverrides"]
    assert {"name": "BOTTLEROCKET_ECS_UPDATER_OWN_HOST", "value": "hold"} in override["environment"]


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin"])
def test_the_cron_role_may_start_runs_and_keep_failed_starts(zone: str) -> None:
    stack = deployed(LaunchType="EC2", ScheduleTimezone=zone, ScheduleExpression="cron(0 3 ? * TUE *)")
    [statement] = properties(stack, "CronRole")["AssumeRolePolicyDocument"]["Statement"]
    assert set(statement["Principal"]["Service"]) == {"events.amazonaws.com", "scheduler.amazonaws.com"}
    [policy] = properties(stack, "FailedStartsPolicy")["PolicyDocument"]["Statement"]
    assert stack.holdings["SuccessorRule"].made.attributes["Arn"] in policy["Condition"]["ArnEquals"]["aws:SourceArn"]


def _task_role(**parameters: str) -> Caller:
    return Caller("somebody", (policy_of(deployed(**parameters), "TaskRole"),))


def _told(lines: list[str], event: str) -> list[dict[str, Any]]:
    logged = [json.loads(line) for line in lines if line.startswith("{")]
    return [line for line in logged if line.get("event") == event]


def _held(lines: list[str], hold: str) -> list[str]:
    return [line["instance"] for line in _told(lines, "instance.held") if line["hold"] == hold]


def _host_of(ground: Ground, task: str) -> str:
    world = ground.site.world
    instance = world.cluster.tasks[task].instance
    assert instance is not None
    return instance.ec2_instance_id
