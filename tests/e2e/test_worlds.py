"""Whole runs over HTTP: healthy clusters, broken ones, and a world that knows nothing of the program."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.e2e.town import SPEED, Town, assert_clean, town
from tests.support.scenarios import thirteen_broken

from bottlerocket_ecs_updater.simulator.ecs import ServiceSpec, Workload
from bottlerocket_ecs_updater.simulator.faults import ApiFails, FaultPlan, Placed
from bottlerocket_ecs_updater.simulator.scenarios import Fate, row
from bottlerocket_ecs_updater.simulator.services.documents import shell_document

PATIENT = ("--lease", "10m")
"""A busy machine stalls for seconds, which are minutes in the world; these tests are not about that."""

BECAUSE = ("--state-reason", "somebody said so")


def test_thirteen_kinds_of_broken_hosts_do_not_affect_the_healthy_ones(tmp_path: Path) -> None:
    with town(thirteen_broken(healthy=5), tmp_path, budget=8) as here:
        output = here.run("--max-unavailable", "8", "--max-failures", "20", "--suspect-after", "20", *PATIENT)
        assert output.exit_code == 3, output.last
        assert here.not_as_foretold() == []
        assert_clean(here.findings())
        named = {each["instance"] for each in output.last["needs_a_person"]}
        broken = {name for name, fate in here.scenario.fates.items() if fate in (Fate.FAILED, Fate.QUARANTINED)}
        assert named == broken
        assert output.last["quarantined"] == len(here.findings().quarantined)


def test_throttles_and_server_errors_delay_a_run_and_lose_nothing(tmp_path: Path) -> None:
    throttled = Placed(ApiFails(every=5))
    failing = Placed(ApiFails(code="InternalServerError", status=500, every=7))
    with town(row(3, faults=FaultPlan((throttled, failing))), tmp_path) as here:
        output = here.run(*PATIENT)
        assert output.exit_code == 0, output.last
        assert output.last["updated"] == 3
        assert_clean(here.findings())


def test_a_drain_that_never_ends_is_returned_to_service_and_the_others_are_updated(tmp_path: Path) -> None:
    scenario = row(3)
    stuck = ServiceSpec("stuck", 1, Workload(never_stops=True))
    with town(replace(scenario, services=(*scenario.services, stuck)), tmp_path) as here:
        output = here.run("--drain-timeout", "4m", *PATIENT)
        assert output.exit_code == 0, output.last
        assert output.last["updated"] == 2
        assert output.last["held_by_reason"] == {"drain-timed-out": 1}
        assert {here.world.instance(id_).status for id_ in here.world.hosts} == {"ACTIVE"}
        assert_clean(here.findings())


def test_an_instance_that_somebody_else_drained_is_left_alone_as_awscli_sees_it(tmp_path: Path) -> None:
    with town(row(4), tmp_path, budget=2) as here:
        first = _instances(here)[0]
        here.aws(
            *("ecs", "update-container-instances-state", "--cluster", "demo", "--status", "DRAINING"),
            *("--container-instances", first["containerInstanceArn"]),
        )
        output = here.run("--max-unavailable", "2", *PATIENT)
        assert output.exit_code == 0, output.last
        assert output.last["held_by_reason"] == {"drained-by-others": 1}
        after = {each["ec2InstanceId"]: each for each in _instances(here)}
        assert after.pop(first["ec2InstanceId"])["status"] == "DRAINING"
        assert {each["status"] for each in after.values()} == {"ACTIVE"}
        claims = [one["name"] for each in after.values() for one in each["attributes"] if "updater" in one["name"]]
        assert claims == []
        assert here.findings().boots[first["ec2InstanceId"]] == 0
        assert_clean(here.findings())


def test_a_world_at_speed_is_updated_where_only_its_speed_is_known(tmp_path: Path) -> None:
    """A run against someone's own ECS and SSM server that is sixty times as fast as real time."""
    with town(row(3), tmp_path) as here:
        output = here.run("--time-scale", str(SPEED), *PATIENT, scaled=False)
        assert output.exit_code == 0, output.last
        assert output.last["updated"] == 3
        assert here.not_as_foretold() == []
        assert_clean(here.findings())


def test_alarms_and_documents_made_with_awscli_apply_to_every_host(tmp_path: Path) -> None:
    with town(row(2), tmp_path) as here:
        here.aws("cloudwatch", "put-composite-alarm", "--alarm-name", "errors", "--alarm-rule", "FALSE")
        here.aws(*("cloudwatch", "set-alarm-state", "--alarm-name", "errors"), *("--state-value", "OK"), *BECAUSE)
        for name in ("leave", "vet"):
            content = shell_document("Somebody's own", ("sleep 2", "true"), 60)
            here.aws(*("ssm", "create-document", "--name", name, "--document-type", "Command"), "--content", content)
        own = ("--before-drain-document", "leave", "--after-reboot-document", "vet", "--alarm", "err*")
        output = here.run(*own, *PATIENT)
        assert output.exit_code == 0, output.last
        assert output.last["updated"] == 2
        sent = [line["kind"] for line in output.of("command.sent")]
        assert (sent.count("before-drain"), sent.count("after-reboot")) == (2, 2)
        assert_clean(here.findings())


def _instances(here: Town) -> list[dict[str, Any]]:
    listed = here.aws("ecs", "list-container-instances", "--cluster", "demo")["containerInstanceArns"]
    asked = ("ecs", "describe-container-instances", "--cluster", "demo", "--container-instances", *sorted(listed))
    described: list[dict[str, Any]] = here.aws(*asked)["containerInstances"]
    return described
