"""The report of a drain that does not finish names first what keeps it from finishing."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from tests.support.rules import parse_task_rules
from tests.support.simulated import Updater, instance_id, row

from bottlerocket_ecs_updater.core.model.ids import InstanceId
from bottlerocket_ecs_updater.core.model.reasons import Hold, Reason
from bottlerocket_ecs_updater.core.rules.policy import Policy
from bottlerocket_ecs_updater.core.rules.ruleset import Rules
from bottlerocket_ecs_updater.core.rules.tasks import TaskRules
from bottlerocket_ecs_updater.simulator.ecs import ServiceSpec, Workload

HOURS = timedelta(hours=5)


def test_a_task_that_does_not_stop_is_named_before_those_that_should_run() -> None:
    world = row(1, services=0)
    world.add_service(ServiceSpec("stuck", 1, Workload(never_stops=True), minimum_healthy_percent=0))
    world.run_standalone_task(instance_id(0), Workload(), "batch")
    world.clock.sleep(timedelta(minutes=1))
    waiting = Rules(tasks=TaskRules(parse_task_rules("batch wait 5m")), check_room=False)
    finished = Updater(world, replace(Policy(rules=waiting), drain_timeout=timedelta(minutes=4))).run()
    why = finished.outcomes[InstanceId(instance_id(0))]
    assert isinstance(why, Hold)
    assert why.reason is Reason.DRAIN_TIMED_OUT
    named = dict(why.facts)["tasks"]
    assert named.startswith("service:stuck")
    assert "family:batch" in named


def test_a_daemon_is_named_after_the_tasks_that_keep_it_there() -> None:
    world = row(2, services=0)
    world.add_service(ServiceSpec("web", 2, Workload(shutdown=HOURS, stop_timeout=HOURS), distinct_instances=True))
    world.clock.sleep(timedelta(minutes=1))
    finished = Updater(world, Policy(rules=Rules(check_room=False))).run()
    timed_out = [one for one in finished.outcomes.values() if getattr(one, "reason", None) is Reason.DRAIN_TIMED_OUT]
    assert [dict(one.facts)["tasks"] for one in timed_out if isinstance(one, Hold)] == [
        "service:web (RUNNING), service:agent (RUNNING)"
    ]
