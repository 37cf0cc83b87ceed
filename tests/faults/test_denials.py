"""AWS allows a run to drain instances, but denies the rest of the update: no instance stays out of service."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from tests.policy.test_stories import Story
from tests.support.simulated import DOCUMENTS, NEW, OLD, at_most, instance_id, row

from bottlerocket_ecs_updater.aws.transport.operation import Operation
from bottlerocket_ecs_updater.core.model.claim import CLAIM_ATTRIBUTE, FINISHED
from bottlerocket_ecs_updater.core.model.document_steps import PLAIN_REBOOT
from bottlerocket_ecs_updater.core.model.event import ActDenied, RunFinished
from bottlerocket_ecs_updater.core.model.ids import InstanceId
from bottlerocket_ecs_updater.core.model.outcome import Outcome, RunOutcome
from bottlerocket_ecs_updater.core.model.reasons import Hold, Reason
from bottlerocket_ecs_updater.core.model.run_command import DocumentKind
from bottlerocket_ecs_updater.core.rules.ruleset import Rules
from bottlerocket_ecs_updater.engine.store.ledger_store import ledger_key
from bottlerocket_ecs_updater.simulator.aws_basics.calls import Call
from bottlerocket_ecs_updater.simulator.ecs.model import InstanceStatus
from bottlerocket_ecs_updater.simulator.faults import RebootEnding, RebootEnds
from bottlerocket_ecs_updater.simulator.inprocess import InProcessClients
from bottlerocket_ecs_updater.simulator.services.documents import (
    APPLY,
    CHECK,
    REBOOT,
    shell_document,
)
from bottlerocket_ecs_updater.simulator.world.api_faults import denied, denying
from bottlerocket_ecs_updater.simulator.world.world import World


def story_of(world: World, folder: Path, places: int = 1) -> Story:
    return Story(world, Rules(), folder, at_most(places))


def allowing(_: Call) -> None:
    """Everything is allowed."""


def deny_reboots(world: World, after: int = 0) -> None:
    """Allow that many reboot commands, and deny every further one."""
    passed: list[Call] = []

    def authorize(call: Call) -> None:
        if call.action == "ssm:SendCommand" and call.params["DocumentName"] == REBOOT:
            passed.append(call)
            if len(passed) > after:
                raise denied(call, f"document/{REBOOT}")

    world.authorize = authorize


def claims(world: World) -> int:
    clients = InProcessClients(world, caller="a test")
    listed = clients.ecs.list_attributes(cluster="demo", targetType="container-instance")
    values = [attribute.get("value") for attribute in listed["attributes"] if attribute["name"] == CLAIM_ATTRIBUTE]
    return sum(value != FINISHED for value in values)


def assert_given_back(world: World, finished: RunFinished, named: str) -> None:
    assert finished.exit_code == 1
    assert named in finished.why
    assert world.findings().stranded == ()
    world.authorize = allowing
    assert claims(world) == 0


def test_a_host_whose_reboot_is_denied_is_returned_to_service_and_the_error_ends_the_run(tmp_path: Path) -> None:
    world = row(3)
    deny_reboots(world)
    story = story_of(world, tmp_path)
    assert_given_back(world, story.run(), f"document/{REBOOT}")
    assert story.run().counts["updated"] == 3


def test_a_host_for_which_there_is_no_reboot_document_is_returned_to_service(tmp_path: Path) -> None:
    world = row(3)
    lost = replace(
        story_of(world, tmp_path).updater(), documents={**DOCUMENTS, DocumentKind.REBOOT: "no-such-document"}
    )
    assert_given_back(world, lost.run(), "no-such-document does not exist")


def test_a_host_that_reboots_already_is_verified_and_returned_when_the_next_reboot_is_denied(tmp_path: Path) -> None:
    world = row(2, budget=2)
    deny_reboots(world, after=1)
    finished = story_of(world, tmp_path, places=2).run()
    assert_given_back(world, finished, "ssm:SendCommand")
    assert finished.counts["updated"] >= 1


def test_a_claim_is_dropped_when_the_drain_is_denied(tmp_path: Path) -> None:
    world = row(3)
    world.authorize = denying("ecs:UpdateContainerInstancesState")
    assert_given_back(world, story_of(world, tmp_path).run(), "ecs:UpdateContainerInstancesState")


def deny_the_second_drain(world: World) -> None:
    """ECS accepts ten instances per call: allow the first ten to be drained, and deny the rest."""
    passed: list[Call] = []

    def authorize(call: Call) -> None:
        if call.action == "ecs:UpdateContainerInstancesState" and call.params["status"] == "DRAINING":
            passed.append(call)
            if len(passed) > 1:
                raise denied(call, "cluster/demo")

    world.authorize = authorize


def test_hosts_that_were_drained_before_it_was_denied_for_the_rest_of_a_batch_are_returned_to_service(
    tmp_path: Path,
) -> None:
    world = row(12, services=0, budget=12)
    deny_the_second_drain(world)
    finished = story_of(world, tmp_path, places=12).run()
    assert_given_back(world, finished, "ecs:UpdateContainerInstancesState")


@pytest.mark.parametrize("action", ["ecs:DeleteAttributes", "ecs:PutAttributes"])
def test_a_denial_before_any_update_is_in_progress_ends_the_run_at_once(action: str, tmp_path: Path) -> None:
    world = row(3)
    world.authorize = denying(action)
    finished = story_of(world, tmp_path).run()
    assert finished.exit_code == 1
    assert action in finished.why
    assert world.findings().most_out_at_once == 0


def leave_one_drained(story: Story, world: World) -> None:
    """A run that is stopped right after its first drain."""
    first = story.updater()

    def authorize(call: Call) -> None:
        if call.action == "ecs:UpdateContainerInstancesState":
            first.stop.request("SIGTERM was received")

    world.authorize = authorize
    assert first.run().outcome is RunOutcome.INTERRUPTED
    assert claims(world) == 1
    world.authorize = allowing


@pytest.mark.parametrize("key", [f"first-seen/{NEW}.json", f"first-seen/{OLD}.json"])
def test_a_drained_instance_is_finished_although_a_first_seen_object_is_unreadable(key: str, tmp_path: Path) -> None:
    world = row(3)
    story = story_of(world, tmp_path)
    leave_one_drained(story, world)
    story.store.put(key, b"nonsense", None)
    assert story.run().counts["updated"] == 3
    assert world.findings().stranded == ()


def test_a_drained_instance_is_returned_to_service_although_the_ledger_is_unreadable(tmp_path: Path) -> None:
    world = row(3)
    story = story_of(world, tmp_path)
    leave_one_drained(story, world)
    story.store.put(ledger_key("demo"), b"[" * 10_000, None)
    assert_given_back(world, story.run(), "clusters/demo/ledger.json in the state store cannot be read")
    stored = story.store.get(ledger_key("demo"))
    assert stored is not None
    assert stored.data == b"[" * 10_000, "a person may want to see it"
    story.store.delete(ledger_key("demo"), None)
    assert story.run().counts["updated"] == 3


def test_a_run_with_an_unreadable_ledger_starts_no_update(tmp_path: Path) -> None:
    world = row(3)
    story = story_of(world, tmp_path)
    story.store.put(ledger_key("demo"), b'{"format": 99, "claims": {}, "backoffs": {}}', None)
    finished = story.run()
    assert (finished.outcome, finished.exit_code) == (RunOutcome.ERROR, 1)
    assert "delete it" in finished.why
    assert world.findings().most_out_at_once == 0


NEVER_RESTORED = ("ecs:DescribeContainerInstances", "ecs:UpdateContainerInstancesState")
"""Without these permissions it is not known, and cannot be shown, that an instance is in service."""

ASKED = sorted(
    operation.title
    for operation in Operation
    if operation.title.startswith(("ecs:", "ssm:")) and not operation.by_people and not operation.by_setting
)


def out_of_service(world: World) -> list[str]:
    return [name for name in world.hosts if world.instance(name).status is not InstanceStatus.ACTIVE]


@pytest.mark.parametrize("seconds", [0, 26, 40, 55, 75, 100, 130])
@pytest.mark.parametrize("action", ASKED)
def test_no_instance_stays_out_of_service_if_any_action_is_denied_at_any_time(
    action: str, seconds: int, tmp_path: Path
) -> None:
    world = row(4, services=1, tasks=1, budget=2)
    began = world.clock.now()

    def authorize(call: Call) -> None:
        if call.action == action and world.clock.now() - began >= timedelta(seconds=seconds):
            raise denied(call)

    world.authorize = authorize
    story = story_of(world, tmp_path, places=2)
    finished = story.run()
    assert (finished.exit_code, action in finished.why) in ((0, False), (1, True))
    if action not in NEVER_RESTORED:
        assert out_of_service(world) == []
    again = story.run()
    if action not in NEVER_RESTORED:
        assert out_of_service(world) == []
    assert again.took < timedelta(minutes=15)
    world.authorize = allowing
    world.clock.sleep(timedelta(hours=49))
    story.run()
    findings = world.findings()
    assert (findings.stranded, findings.violations, findings.tasks_killed) == ((), (), ())
    assert set(findings.versions.values()) == {NEW}
    assert claims(world) == 0


@pytest.mark.parametrize("action", ["ecs:ListTasks", "ecs:DescribeServices", "ssm:ListCommandInvocations"])
def test_a_call_that_is_denied_while_instances_are_claimed_is_made_once_in_a_run(action: str, tmp_path: Path) -> None:
    world = row(4, services=1, tasks=1, budget=2)
    began = world.clock.now()
    asked: list[str] = []

    def authorize(call: Call) -> None:
        if call.action == action and world.clock.now() - began >= timedelta(seconds=40):
            asked.append(call.action)
            raise denied(call)

    world.authorize = authorize
    assert action in story_of(world, tmp_path, places=2).run().why
    assert len(asked) == 1


def test_a_claim_that_may_not_be_deleted_is_overwritten_by_one_that_is_finished(tmp_path: Path) -> None:
    """So that a later run does not treat a person's drain as its own."""
    world = row(2, services=0)
    denies = denying("ecs:DeleteAttributes")
    boots = [world.hosts[name].boots for name in world.hosts]

    def authorize(call: Call) -> None:
        if [world.hosts[name].boots for name in world.hosts] != boots:
            denies(call)

    world.authorize = authorize
    story = story_of(world, tmp_path)
    finished = story.run()
    assert (finished.exit_code, finished.counts["updated"]) == (1, 1)
    (name,) = [name for name in world.hosts if world.hosts[name].boots > 1]
    assert world.instance(name).custom[CLAIM_ATTRIBUTE] == FINISHED
    world.operator_drain(name)
    world.authorize = allowing
    later = story.run()
    outcome = later.outcomes[InstanceId(name)]
    assert isinstance(outcome, Hold)
    assert outcome.reason is Reason.DRAINED_BY_OTHERS
    assert world.findings().violations == ()


# Denied for single instances


def all_of(world: World, count: int) -> set[str]:
    return {instance_id(number) for number in range(count)}


def deny_documents(world: World, document: str, instances: set[str]) -> None:
    """Deny a document for these instances, each by its name."""
    one_by_one = denying("ssm:SendCommand", instances=instances)

    def authorize(call: Call) -> None:
        if call.params.get("DocumentName") == document:
            one_by_one(call)

    world.authorize = authorize


def test_no_third_host_is_drained_if_the_reboot_was_denied_for_two_and_allowed_for_none(tmp_path: Path) -> None:
    world = row(5)
    deny_documents(world, REBOOT, all_of(world, 5))
    finished = story_of(world, tmp_path).run()
    assert_given_back(world, finished, "ssm:SendCommand on instance/i-0")
    assert sum(seconds > 0 for seconds in world.findings().seconds_out.values()) == 2
    assert set(world.findings().boots.values()) == {0}


def test_hosts_whose_reboot_is_denied_by_name_do_not_affect_the_others(tmp_path: Path) -> None:
    world, denied_ones = row(6), {instance_id(1), instance_id(4)}
    deny_documents(world, REBOOT, denied_ones)
    finished = story_of(world, tmp_path).run()
    assert (finished.exit_code, finished.counts["updated"]) == (0, 4)
    assert {id_ for id_, one in finished.outcomes.items() if _denied(one)} == denied_ones
    assert world.findings().stranded == ()
    assert claims(world) == 0


@pytest.mark.parametrize("document", [CHECK, APPLY])
def test_a_document_that_is_denied_for_every_host_by_name_is_an_error_and_nothing_is_drained(
    document: str, tmp_path: Path
) -> None:
    world = row(3)
    deny_documents(world, document, all_of(world, 3))
    finished = story_of(world, tmp_path).run()
    assert_given_back(world, finished, "ssm:SendCommand on instance/i-0")
    assert world.findings().most_out_at_once == 0


def test_a_denied_host_is_checked_once_in_a_run(tmp_path: Path) -> None:
    world = row(4)
    asked: list[str] = []
    one_by_one = denying("ssm:SendCommand", instances={instance_id(2)})

    def authorize(call: Call) -> None:
        if call.action == "ssm:SendCommand":
            asked.extend(id_ for id_ in call.params["InstanceIds"] if id_ == instance_id(2))
        one_by_one(call)

    world.authorize = authorize
    assert story_of(world, tmp_path).run().counts["updated"] == 3
    assert len(asked) == 1


def _denied(outcome: Outcome) -> bool:
    return isinstance(outcome, Hold) and outcome.reason is Reason.SEND_DENIED


def cancels(world: World) -> int:
    return world.calls.by_action["ssm:CancelCommand"]


def test_a_command_that_may_not_be_cancelled_is_reported_once_and_ends_no_run(tmp_path: Path) -> None:
    lasting = RebootEnds(RebootEnding.WORKER_TIMED_OUT, times=None)
    world = row(3, faults=dict.fromkeys(range(3), (lasting,)))
    world.documents.add(REBOOT, shell_document("Reboot", PLAIN_REBOOT, 60))
    updater = story_of(world, tmp_path).updater()
    world.authorize = denying("ssm:CancelCommand")
    finished = updater.run()
    assert (finished.exit_code, finished.counts["updated"], cancels(world)) == (0, 3, 1)
    [story] = updater.tape.of(ActDenied)
    assert (story.action, "ssm:CancelCommand" in story.why) == ("ssm:CancelCommand", True)


def test_a_cancelled_command_is_not_reported(tmp_path: Path) -> None:
    world = row(2, faults={0: (RebootEnds(RebootEnding.WORKER_TIMED_OUT, times=None),)})
    world.documents.add(REBOOT, shell_document("Reboot", PLAIN_REBOOT, 60))
    updater = story_of(world, tmp_path).updater()
    assert updater.run().counts["updated"] == 2
    assert cancels(world) > 0
    assert updater.tape.of(ActDenied) == []


def test_a_plan_shows_the_hosts_that_commands_are_denied_for_and_plans_the_others(tmp_path: Path) -> None:
    world = row(4)
    story = story_of(world, tmp_path)
    world.authorize = denying("ssm:SendCommand", instances={instance_id(2)}, named=False)
    planned = story.plan()
    assert {id_: why.reason for id_, why in planned.held} == {instance_id(2): Reason.SEND_DENIED}
    assert len(planned.updates) == 3
