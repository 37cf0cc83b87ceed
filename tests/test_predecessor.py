"""Whole runs that compare this updater with the Go updater: what it keeps, and what it does differently.

docs/develop/predecessor.md has the whole table.
"""

from __future__ import annotations

import pytest
from tests.support.simulated import NEW, OLD, Updater, instance_id, row

from bottlerocket_ecs_updater.aws.transport.operation import Operation
from bottlerocket_ecs_updater.core.model.event import CommandSent, Drained, Event, InstanceUpdated, Rebooted, Returned
from bottlerocket_ecs_updater.core.model.ids import InstanceId
from bottlerocket_ecs_updater.core.model.outcome import Quarantined, Updated, UpToDate
from bottlerocket_ecs_updater.core.model.reasons import Failed, Failure, Hold, Reason
from bottlerocket_ecs_updater.core.model.run_command import DocumentKind
from bottlerocket_ecs_updater.simulator.faults import (
    BootHangs,
    Fault,
    HashMismatch,
    Oddity,
    OddOutput,
    RepositoryDown,
    RollsBack,
)
from bottlerocket_ecs_updater.simulator.host import HostSpec

FIRST, SECOND, THIRD = (InstanceId(instance_id(number)) for number in range(3))


def _positions(events: list[Event], *kinds: type[Event]) -> list[int]:
    """The positions of the first event of each kind about the first instance."""
    ours = [event for event in events if getattr(event, "instance", None) == FIRST]
    return [next(place for place, event in enumerate(ours) if isinstance(event, kind)) for kind in kinds]


def test_ec2_is_not_called_for_the_health_of_a_host() -> None:
    assert [operation for operation in Operation if operation.title.startswith("ec2:DescribeInstanceStatus")] == []


def test_all_hosts_of_a_healthy_cluster_are_updated_and_no_task_is_killed() -> None:
    world = row(3)
    finished = Updater(world).run()
    assert [type(outcome) for outcome in finished.outcomes.values()] == [Updated] * 3
    seen = world.findings()
    assert (finished.exit_code, seen.violations, seen.tasks_killed) == (0, (), ())


def test_a_host_is_returned_only_after_its_reboot_is_verified() -> None:
    updater = Updater(row(2))
    updater.run()
    drained, rebooted, returned, updated = _positions(updater.tape.events, Drained, Rebooted, Returned, InstanceUpdated)
    assert drained < rebooted < returned <= updated


def test_the_documents_are_sent_in_the_order_check_apply_reboot() -> None:
    updater = Updater(row(2))
    updater.run()
    kinds = [event.kind for event in updater.tape.of(CommandSent) if event.instance == FIRST]
    first_of_each = list(dict.fromkeys(kinds))
    assert (first_of_each, kinds.count(DocumentKind.REBOOT)) == (
        [DocumentKind.CHECK, DocumentKind.APPLY, DocumentKind.REBOOT],
        1,
    )


def test_a_host_that_does_not_come_back_is_quarantined_rather_than_returned() -> None:
    world = row(3, faults={0: (BootHangs(),)})
    finished = Updater(world).run()
    assert isinstance(finished.outcomes[FIRST], Quarantined)
    assert world.instance(FIRST).status == "DRAINING"


def test_a_host_that_came_back_on_its_old_version_is_a_failure_and_stays_in_service() -> None:
    world = row(3, faults={0: (RollsBack(),)})
    outcome = Updater(world).run().outcomes[FIRST]
    assert isinstance(outcome, Failed)
    assert (outcome.failure, world.instance(FIRST).status) == (Failure.ROLLED_BACK, "ACTIVE")


def test_a_host_whose_update_cannot_be_staged_is_never_drained() -> None:
    updater = Updater(row(3, faults={0: (HashMismatch(),)}))
    finished = updater.run()
    assert isinstance(finished.outcomes[FIRST], Failed)
    assert FIRST not in {event.instance for event in updater.tape.of(Drained)}


@pytest.mark.parametrize("fault", [HashMismatch(), RollsBack(), BootHangs()])
def test_a_run_in_which_an_update_failed_ends_with_exit_code_three(fault: Fault) -> None:
    assert Updater(
        row(4, faults={0: (fault,)}),
    ).run().exit_code in {3, 4}


def test_one_failed_instance_does_not_stop_the_others() -> None:
    finished = Updater(row(3, faults={0: (RollsBack(),)})).run()
    assert [type(finished.outcomes[id_]) for id_ in (SECOND, THIRD)] == [Updated, Updated]


@pytest.mark.parametrize("fault", [RepositoryDown(), OddOutput(Oddity.TRUNCATED)])
def test_a_check_that_fails_is_in_the_summary_with_its_reason(fault: Fault) -> None:
    finished = Updater(row(2, faults={0: (fault,)})).run()
    assert isinstance(finished.outcomes[FIRST], Hold)
    assert isinstance(finished.outcomes[SECOND], Updated)


def test_a_host_with_a_standalone_task_is_left_alone() -> None:
    world = row(2)
    task = world.run_standalone_task(FIRST)
    outcome = Updater(world).run().outcomes[FIRST]
    assert isinstance(outcome, Hold)
    assert (outcome.reason, task.last) == (Reason.STANDALONE_TASK, "RUNNING")


def test_the_summary_names_every_instance_in_order() -> None:
    world = row(2)
    world.add_instance(HostSpec(instance_id(2), version=NEW), "us-east-1c")
    finished = Updater(world).run()
    assert list(finished.outcomes) == [FIRST, SECOND, THIRD]
    assert isinstance(finished.outcomes[THIRD], UpToDate)


def test_an_instance_that_somebody_else_drained_is_not_returned() -> None:
    world = row(3)
    world.operator_drain(FIRST)
    Updater(world).run()
    assert world.instance(FIRST).status == "DRAINING"


def test_a_lower_version_is_installed_after_the_running_one_was_withdrawn() -> None:
    world = row(2, version=NEW)
    world.repository.retract(NEW)
    outcome = Updater(world).run().outcomes[FIRST]
    assert isinstance(outcome, Updated)
    assert (str(outcome.target), outcome.downgrade) == (OLD, True)
