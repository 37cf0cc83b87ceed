"""The operator's documents before a drain and after a reboot, in whole runs in virtual time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.policy.test_stories import Story
from tests.support.simulated import DOCUMENTS, Updater, instance_id, row

from bottlerocket_ecs_updater.core.model.event import CommandSent
from bottlerocket_ecs_updater.core.model.ids import InstanceId
from bottlerocket_ecs_updater.core.model.outcome import Quarantined, RunOutcome, Updated
from bottlerocket_ecs_updater.core.model.reasons import Failure, Hold, Reason
from bottlerocket_ecs_updater.core.model.run_command import DocumentKind
from bottlerocket_ecs_updater.core.rules.policy import Policy
from bottlerocket_ecs_updater.core.rules.ruleset import Rules
from bottlerocket_ecs_updater.simulator.services.documents import shell_document
from bottlerocket_ecs_updater.simulator.world.api_faults import denied, denying
from bottlerocket_ecs_updater.simulator.world.world import World

LEAVE, VET = "leave-the-mesh", "vet-the-host"
FIRST = InstanceId(instance_id(0))
WELL = ("sleep 4", "true")
WITH_HOOKS = {**DOCUMENTS, DocumentKind.BEFORE_DRAIN: LEAVE, DocumentKind.AFTER_REBOOT: VET}


@dataclass
class Hooked(Story):
    """A scenario with the operator's own documents."""

    documents: Mapping[DocumentKind, str] = field(default_factory=lambda: WITH_HOOKS)

    def updater(self) -> Updater:
        return replace(super().updater(), documents=self.documents)


def cluster(leave: tuple[str, ...] = WELL, vet: tuple[str, ...] = WELL, **options: Any) -> World:
    world = row(3, **options)
    world.documents.add(LEAVE, shell_document("Leave the mesh", leave, 60))
    world.documents.add(VET, shell_document("Is the host well?", vet, 60))
    return world


def story_of(world: World, folder: Path, **changes: Any) -> Hooked:
    return Hooked(world, Rules(), folder, replace(Policy(before_drain=True, after_reboot=True), **changes))


def test_every_host_is_updated_with_both_documents_run_on_it(tmp_path: Path) -> None:
    world = cluster()
    updater = story_of(world, tmp_path).updater()
    finished = updater.run()
    assert finished.counts["updated"] == 3
    sent = [event.kind for event in updater.tape.of(CommandSent) if event.instance == FIRST]
    staged = [DocumentKind.CHECK, DocumentKind.APPLY, DocumentKind.CHECK]
    assert sent == [
        *staged,
        DocumentKind.BEFORE_DRAIN,
        DocumentKind.REBOOT,
        DocumentKind.CHECK,
        DocumentKind.AFTER_REBOOT,
    ]
    assert world.findings().most_out_at_once == 1


def test_a_document_that_fails_keeps_the_host_in_service_and_its_output_is_shown(tmp_path: Path) -> None:
    world = cluster(leave=("cat /tmp/no-such-file", "exit 3"))
    finished = story_of(world, tmp_path).run()
    for why in finished.outcomes.values():
        assert isinstance(why, Hold)
        assert why.reason is Reason.BEFORE_DRAIN_FAILED
        assert "exit code 3" in str(why)
        assert "No such file" in str(why)
    assert (finished.outcome, finished.exit_code) == (RunOutcome.STUCK, 3)
    assert world.findings().most_out_at_once == 0


def test_a_host_that_is_not_healthy_stays_out_of_service_until_it_is(tmp_path: Path) -> None:
    world = cluster(vet=("false",))
    story = story_of(world, tmp_path)
    first = story.run()
    assert first.exit_code == 4
    [unwell] = [one for one in first.outcomes.values() if isinstance(one, Quarantined)]
    assert unwell.why.failure is Failure.UNHEALTHY
    world.documents.add(VET, shell_document("Is the host well?", WELL, 60))
    second = story.run()
    assert world.findings().stranded == ()
    assert any(isinstance(outcome, Updated) for outcome in second.outcomes.values())


def test_a_host_that_needs_some_minutes_to_become_healthy_is_waited_for(tmp_path: Path) -> None:
    world = cluster(vet=("false",))
    mend = lambda: world.documents.add(VET, shell_document("Is the host well?", WELL, 60))  # noqa: E731 - said once
    world.clock.after(timedelta(minutes=6), mend)
    assert story_of(world, tmp_path).run().counts["updated"] == 3


def test_a_document_that_hangs_is_given_up_after_its_limit(tmp_path: Path) -> None:
    world = cluster(leave=("sleep 100000",))
    world.documents.add(LEAVE, shell_document("Leave the mesh", ("sleep 100000",), 36000))
    finished = story_of(world, tmp_path, hook_timeout=timedelta(minutes=2)).run()
    assert {why.reason for why in finished.outcomes.values() if isinstance(why, Hold)} == {Reason.BEFORE_DRAIN_FAILED}
    assert finished.took < timedelta(minutes=12)


@pytest.mark.parametrize("kind", [DocumentKind.BEFORE_DRAIN, DocumentKind.AFTER_REBOOT])
def test_a_document_that_does_not_exist_ends_the_run_before_anything_is_started(
    tmp_path: Path, kind: DocumentKind
) -> None:
    world = cluster()
    story = replace(story_of(world, tmp_path), documents={**WITH_HOOKS, kind: "no-such-document"})
    finished = story.run()
    assert (finished.outcome, finished.exit_code) == (RunOutcome.ERROR, 1)
    assert "no-such-document" in finished.why
    assert world.findings().most_out_at_once == 0


def test_a_permission_that_is_missing_for_the_look_at_the_documents_is_named_before_anything_is_started(
    tmp_path: Path,
) -> None:
    world = cluster()
    world.authorize = denying("ssm:DescribeDocument")
    finished = story_of(world, tmp_path).run()
    assert finished.exit_code == 1
    assert "ssm:DescribeDocument" in finished.why
    assert world.findings().most_out_at_once == 0


def test_a_document_that_is_denied_after_the_reboot_quarantines_the_host_and_ends_no_run(tmp_path: Path) -> None:
    world = cluster()

    def authorize(call: Any) -> None:
        if call.action == "ssm:SendCommand" and call.params["DocumentName"] == VET:
            raise denied(call, "document/" + VET)

    world.authorize = authorize
    finished = story_of(world, tmp_path).run()
    assert finished.exit_code == 4
    [unwell] = [one for one in finished.outcomes.values() if isinstance(one, Quarantined)]
    assert "ssm:SendCommand" in str(unwell.why)
    assert world.findings().stranded == ()


def test_with_several_at_once_the_documents_go_in_batches(tmp_path: Path) -> None:
    world = cluster(budget=3)
    story = story_of(world, tmp_path, max_unavailable=replace(Policy().max_unavailable, number=3))
    updater = story.updater()
    assert updater.run().counts["updated"] == 3
    sent = [event for event in updater.tape.of(CommandSent) if event.kind is DocumentKind.BEFORE_DRAIN]
    assert len({event.command for event in sent}) < len(sent)
