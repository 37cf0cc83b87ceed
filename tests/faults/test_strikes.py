"""Late reboots: no instance is returned while one of our reboots may still happen, however its command ended."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import ConnectionClosedError
from tests.support.promises import broken_promises
from tests.support.simulated import NEW, OLD, Tape, Updater, at_most, instance_id, row
from tests.support.story import Played, Story, play

from bottlerocket_ecs_updater.core.model.document_steps import PLAIN_REBOOT
from bottlerocket_ecs_updater.core.model.event import CommandSent
from bottlerocket_ecs_updater.core.model.ids import InstanceId
from bottlerocket_ecs_updater.core.model.outcome import Quarantined, Updated
from bottlerocket_ecs_updater.core.model.reasons import Failed, Failure
from bottlerocket_ecs_updater.core.model.run_command import DocumentKind
from bottlerocket_ecs_updater.core.rules.policy import Policy
from bottlerocket_ecs_updater.simulator import faults as f
from bottlerocket_ecs_updater.simulator.ecs import ServiceSpec, Workload
from bottlerocket_ecs_updater.simulator.faults import FaultPlan, Placed
from bottlerocket_ecs_updater.simulator.inprocess import InProcessClients
from bottlerocket_ecs_updater.simulator.scenarios import row as scenario_of
from bottlerocket_ecs_updater.simulator.services.documents import REBOOT, shell_document
from bottlerocket_ecs_updater.simulator.ssm import SsmTiming

MINUTES = [2, 4, 5]
"""How long shutdowns are delayed: inhibitors may do so for five minutes."""

Answer = dict[str, Any]

ENDS: Mapping[str, Mapping[str, Any]] = {
    "undeliverable": {"Status": "Failed", "StatusDetails": "Undeliverable", "CommandPlugins": []},
    "delivery timed out": {"Status": "TimedOut", "StatusDetails": "DeliveryTimedOut", "CommandPlugins": []},
    "execution timed out": {"Status": "TimedOut", "StatusDetails": "ExecutionTimedOut"},
    "cancelled": {"Status": "Cancelled", "StatusDetails": "Cancelled"},
    "in progress": {"Status": "InProgress", "StatusDetails": "InProgress"},
    "killed by a signal": {
        "Status": "Failed",
        "StatusDetails": "Failed",
        "CommandPlugins": [{"Name": "Reboot", "ResponseCode": 143, "Output": ""}],
    },
    "worker timed out": {
        "Status": "Failed",
        "StatusDetails": "Failed",
        "CommandPlugins": [
            {
                "Name": "Reboot",
                "ResponseCode": 0,
                "Output": "----------ERROR-------\ndocument process failed unexpectedly: document worker timed out",
            }
        ],
    },
    "already in progress": {
        "Status": "Failed",
        "StatusDetails": "Failed",
        "CommandPlugins": [
            {
                "Name": "Reboot",
                "ResponseCode": 1,
                "Output": "----------ERROR-------\nFailed to reboot: Operation already in progress",
            }
        ],
    },
    "client lost its server": {
        "Status": "Failed",
        "StatusDetails": "Failed",
        "CommandPlugins": [
            {"Name": "Reboot", "ResponseCode": 1, "Output": "----------ERROR-------\nFailed to send request: closed"}
        ],
    },
}
"""What Systems Manager may report about a reboot command that the host accepted."""


def lying(clients: InProcessClients, end: Mapping[str, Any] | None, *, lose_replies: bool) -> None:
    """Make Systems Manager report this about every reboot command, or lose the replies to SendCommand."""
    ssm = clients.client("ssm")
    real: Callable[[str, Answer], Answer] = ssm._call
    ours: set[str] = set()

    def call(operation: str, params: Answer) -> Answer:
        answer = real(operation, params)
        if operation == "SendCommand" and params["DocumentName"] == REBOOT:
            ours.add(answer["Command"]["CommandId"])
            if lose_replies:
                raise ConnectionClosedError(endpoint_url="ssm")
        if operation == "ListCommandInvocations" and end is not None:
            shapes = [{**one, **end} if one["CommandId"] in ours else one for one in answer["CommandInvocations"]]
            answer = {**answer, "CommandInvocations": shapes}
        return answer

    ssm._call = call  # type: ignore[method-assign]


@pytest.mark.parametrize("minutes", MINUTES)
@pytest.mark.parametrize("end", [*ENDS, "reply lost"])
def test_f17_a_delayed_shutdown_affects_no_instance_in_service(end: str, minutes: int) -> None:
    delayed = f.RebootDelayed(timedelta(minutes=minutes), times=None)
    world = row(3, services=1, faults={0: (delayed,)})
    clients = InProcessClients(world, caller="run-1")
    lying(clients, ENDS.get(end), lose_replies=end == "reply lost")
    tape = Tape()
    finished = Updater(world, at_most(1), clients=clients, tape=tape).run()
    world.clock.sleep(timedelta(minutes=15))
    findings = world.findings()
    assert (findings.violations, findings.tasks_killed) == ((), ())
    assert isinstance(finished.outcomes[InstanceId(instance_id(0))], Updated)
    sent = [event for event in tape.of(CommandSent) if event.kind is DocumentKind.REBOOT]
    assert len(sent) <= 3


def held_up(shutdown: timedelta, limit: timedelta) -> Played:
    scenario = scenario_of(2, services=(ServiceSpec("web", 4, minimum_healthy_percent=50),))
    name = scenario.members[0].host.instance_id
    plan = FaultPlan((Placed(f.RebootDelayed(shutdown, times=1), name),))
    policy = replace(Policy(), reboot_timeout=limit, max_failures=5, suspect_after=5)
    return play(Story(replace(scenario, faults=plan), policy, runs_max=2))


@pytest.mark.parametrize("limit", [2, 4, 8, 20])
@pytest.mark.parametrize("shutdown", [100, 240, 300, 1260, 1500])
def test_f17_f18_past_its_limit_an_instance_that_accepted_its_reboot_is_quarantined(shutdown: int, limit: int) -> None:
    played = held_up(timedelta(seconds=shutdown), timedelta(minutes=limit))
    assert played.findings.violations == ()
    assert played.findings.tasks_killed == ()
    assert [text for text in broken_promises(played) if "killed" in text or "invariant" in text] == []


def test_f18_a_host_that_is_quarantined_for_a_pending_reboot_is_returned_after_that_reboot() -> None:
    world = row(1, services=0, faults={0: (f.RebootDelayed(timedelta(minutes=30), times=1),)})
    first = Updater(world, at_most(1), "run-1").run()
    outcome = first.outcomes[InstanceId(instance_id(0))]
    assert isinstance(outcome, Quarantined)
    assert isinstance(outcome.why, Failed)
    assert outcome.why.failure is Failure.REBOOT_STALLED
    world.clock.sleep(timedelta(minutes=20))
    second = Updater(world, at_most(1), "run-2").run()
    assert isinstance(second.outcomes[InstanceId(instance_id(0))], Updated)
    assert world.findings().clean


@pytest.mark.parametrize("delivery", [0.5, 20])
@pytest.mark.parametrize("held", [0, 100, 290])
@pytest.mark.parametrize("times", [1, 3])
def test_f16_a_command_that_the_agent_runs_again_affects_no_instance_in_service(
    times: int, held: int, delivery: float
) -> None:
    """It ran on the old boot and again on each new one: its late success does not mean that the first one ended."""
    faults: tuple[f.Fault, ...] = (f.RebootEnds(f.RebootEnding.RUN_AGAIN, times=times),)
    if held:
        faults += (f.RebootDelayed(timedelta(seconds=held), times=None),)
    timing = SsmTiming(delivery=timedelta(seconds=delivery))
    world = row(2, services=1, faults={0: faults}, ssm_timing=timing)
    finished = Updater(world, at_most(1)).run()
    world.clock.sleep(timedelta(minutes=15))
    findings = world.findings()
    assert (findings.violations, findings.tasks_killed) == ((), ())
    assert isinstance(finished.outcomes[InstanceId(instance_id(0))], Updated | Quarantined)


@pytest.mark.parametrize("seconds", range(0, 40, 4))
def test_f41_a_version_that_somebody_stages_while_the_host_drains_is_not_booted(seconds: int) -> None:
    by_hand = f.SomebodyStages("1.20.5", timedelta(seconds=seconds), f.Step.DRAIN)
    world = row(2, services=1, tasks=2, faults={0: (by_hand,)})
    world.watch.budget = replace(world.watch.budget, denied_versions=frozenset({"1.20.5"}))
    Updater(world, at_most(1)).run()
    assert world.findings().clean
    assert world.hosts[instance_id(0)].running in (OLD, NEW, "1.20.5")


@pytest.mark.parametrize("seconds", range(0, 150, 10))
def test_f41_a_plain_reboot_document_boots_no_version_that_somebody_staged_before_it_was_tried(seconds: int) -> None:
    """The bound reboot is refused, as the document takes no parameters: the host is checked again before the other."""
    by_hand = f.SomebodyStages("1.20.5", timedelta(seconds=seconds), f.Step.DRAIN)
    ready = f.StartsWith(f.Leftover.READY, NEW)
    world = row(2, services=0, faults={0: (ready, by_hand), 1: (ready,)})
    world.add_service(ServiceSpec("slow", 2, Workload(deregistration_delay=timedelta(seconds=80)), load_balanced=True))
    world.documents.add(REBOOT, shell_document("Reboot", PLAIN_REBOOT, 60))
    world.watch.budget = replace(world.watch.budget, denied_versions=frozenset({"1.20.5"}))
    world.clock.sleep(timedelta(minutes=3))
    Updater(world, at_most(1)).run()
    assert world.findings().clean


def test_f41_it_is_returned_to_service_with_the_reason() -> None:
    by_hand = f.SomebodyStages("1.20.5", timedelta(seconds=2), f.Step.DRAIN)
    world = row(2, services=1, tasks=2, faults={0: (by_hand,)})
    finished = Updater(world, at_most(1)).run()
    said = str(finished.outcomes[InstanceId(instance_id(0))])
    assert "it would boot into 1.20.5 now" in said or "it is Staged now" in said or "it is Available now" in said
    assert world.hosts[instance_id(0)].running == OLD
