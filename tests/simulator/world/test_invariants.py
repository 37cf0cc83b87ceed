"""Each invariant that the world checks, violated on purpose, next to the same act done correctly."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError
from tests.simulator.world_bench import NEW, OLD, Bench, bench, instance_id, replica

from bottlerocket_ecs_updater.simulator.faults import EcsAgentLate, RebootEnding, RebootEnds
from bottlerocket_ecs_updater.simulator.host import HostSpec
from bottlerocket_ecs_updater.simulator.inprocess import InProcessClients
from bottlerocket_ecs_updater.simulator.repository import Release
from bottlerocket_ecs_updater.simulator.services.documents import APPLY, CHECK, REBOOT
from bottlerocket_ecs_updater.simulator.world.findings import UpdaterLimits

DRAINING_TO_NEW = f"1 draining run {OLD} {NEW} {0:032x} 1767225600 0"
"""A claim as the updater writes it."""


def broken(b: Bench) -> list[int]:
    """The violated invariants, by number."""
    return [violation.invariant for violation in b.world.findings().violations]


def update(b: Bench, number: int) -> None:
    """A correct update of one instance, from check to return."""
    for document in (CHECK, APPLY):
        b.send(document, number)
        b.wait(30)
    b.claim(number)
    b.drain(number)
    b.wait(30)
    b.send(REBOOT, number)
    b.wait(120)
    b.activate(number)
    b.ecs.delete_attributes(
        cluster="demo", attributes=[{"name": "bottlerocket-ecs-updater.claim", "targetId": b.arn(number)}]
    )
    b.wait(60)


def test_an_update_as_it_should_be_breaks_nothing() -> None:
    b = bench(3, services=(replica(desired=3),), budget=UpdaterLimits(max_unavailable=1))
    for number in range(3):
        update(b, number)
    findings = b.world.findings()
    assert (findings.violations, findings.tasks_killed, findings.stranded) == ((), (), ())
    assert (findings.most_out_at_once, set(findings.versions.values())) == (1, {NEW})
    assert findings.boots == {instance_id(number): 1 for number in range(3)}


def test_one_drain_more_than_the_budget_is_seen() -> None:
    b = bench(3, budget=UpdaterLimits(max_unavailable=1))
    b.drain(0)
    assert broken(b) == []
    b.drain(1)
    assert broken(b) == [1]


def test_drains_of_one_call_are_counted_together() -> None:
    b = bench(3, budget=UpdaterLimits(max_unavailable=1))
    b.drain(0, 1)
    assert broken(b) == [1]


def test_one_drain_more_than_the_budget_of_a_zone_is_seen() -> None:
    b = bench(6, budget=UpdaterLimits(max_unavailable=6, max_unavailable_per_zone=1))
    b.drain(0, 1, 2)
    assert broken(b) == []
    b.drain(3)
    assert broken(b) == [1]


def test_a_drain_by_somebody_else_counts_once_the_updater_could_have_seen_it() -> None:
    b = bench(3, budget=UpdaterLimits(max_unavailable=1))
    b.world.operator_drain(instance_id(0))
    b.wait(60)
    b.drain(1)
    assert broken(b) == [1]


def test_a_drain_by_somebody_else_at_the_same_moment_does_not_count_against_the_updater() -> None:
    b = bench(3, budget=UpdaterLimits(max_unavailable=1))
    b.world.operator_drain(instance_id(0))
    b.drain(1)
    assert broken(b) == []


def test_a_reboot_of_an_active_instance_is_seen_with_its_tasks() -> None:
    b = bench(1, services=(replica(desired=1),))
    b.claim(0)
    b.send(REBOOT, 0)
    b.wait(20)
    findings = b.world.findings()
    assert set(broken(b)) == {2}
    assert [(killed.group, killed.by_updater) for killed in findings.tasks_killed] == [("service:web", True)]


def test_a_reboot_without_a_claim_is_seen() -> None:
    b = bench(1)
    b.drain(0)
    b.send(REBOOT, 0)
    assert "it has no claim" in b.world.findings().violations[0].facts


def test_a_task_that_a_persons_reboot_kills_is_not_ours() -> None:
    b = bench(1, services=(replica(desired=1),))
    b.world.hosts[instance_id(0)].reboot("an operator rebooted it")
    b.wait(20)
    assert [killed.by_updater for killed in b.world.findings().tasks_killed] == [False]
    assert broken(b) == []


def test_an_instance_that_was_drained_and_forgotten_is_stranded() -> None:
    b = bench(2)
    b.drain(0)
    b.wait(3600)
    assert b.world.findings().stranded == (instance_id(0),)


def test_a_quarantined_instance_is_not_stranded() -> None:
    b = bench(1)
    b.drain(0)
    b.claim(0, "1 quarantined run 1.20.0 1.21.0 boot 0 1")
    findings = b.world.findings()
    assert (findings.stranded, findings.quarantined) == ((), (instance_id(0),))


@pytest.mark.parametrize("status", ["ACTIVE", "DRAINING"])
def test_another_ones_drain_is_not_to_be_touched(status: str) -> None:
    b = bench(1)
    b.world.operator_drain(instance_id(0))
    b.set_status(status, 0)
    assert broken(b) == [4]


def test_an_instance_that_somebody_else_drained_does_not_count_as_stranded() -> None:
    b = bench(1)
    b.world.operator_drain(instance_id(0))
    b.wait(3600)
    assert b.world.findings().stranded == ()


@pytest.mark.parametrize("standalone", [True, False])
def test_a_task_is_not_to_be_stopped_by_hand(standalone: bool) -> None:
    b = bench(1, services=(replica(desired=1),))
    task = b.world.run_standalone_task(instance_id(0)) if standalone else b.live(0)[0]
    b.ecs.stop_task(cluster="demo", task=task.arn)
    assert broken(b) == [6]


def test_a_standalone_task_may_be_stopped_where_policy_says_so() -> None:
    b = bench(1, budget=UpdaterLimits(may_stop_standalone_tasks=True))
    task = b.world.run_standalone_task(instance_id(0))
    b.ecs.stop_task(cluster="demo", task=task.arn)
    assert broken(b) == []


def test_two_that_act_in_turns_are_seen() -> None:
    b = bench(2)
    other: Any = InProcessClients(b.world, caller="rival").client("ecs")
    b.claim(0)
    other.update_container_instances_state(cluster="demo", containerInstances=[b.arn(1)], status="DRAINING")
    assert broken(b) == []
    b.drain(0)
    assert broken(b) == [7]


def test_a_run_that_takes_over_a_claim_is_not_a_rival() -> None:
    b = bench(2)
    b.drain(0)
    other: Any = InProcessClients(b.world, caller="next run").client("ecs")
    other.update_container_instances_state(cluster="demo", containerInstances=[b.arn(0)], status="ACTIVE")
    other.update_container_instances_state(cluster="demo", containerInstances=[b.arn(1)], status="DRAINING")
    assert broken(b) == []


def test_a_denied_version_that_is_booted_into_is_seen() -> None:
    b = bench(1, budget=UpdaterLimits(denied_versions=frozenset({NEW})))
    update(b, 0)
    assert broken(b) == [8]


def test_a_reboot_into_a_version_that_a_check_has_shown_as_withdrawn_is_seen() -> None:
    b = bench(1)
    for document in (CHECK, APPLY):
        b.send(document, 0)
        b.wait(30)
    b.world.repository.retract(NEW)
    b.claim(0, DRAINING_TO_NEW)
    b.drain(0)
    b.wait(30)
    assert broken(b) == []
    b.send(CHECK, 0)
    b.wait(70)
    b.send(REBOOT, 0)
    assert broken(b) == [8]
    assert "which its repository has not offered since" in b.world.findings().violations[0].facts


def test_a_version_that_is_offered_again_may_be_booted() -> None:
    b = bench(1)
    for document in (CHECK, APPLY):
        b.send(document, 0)
        b.wait(30)
    b.world.repository.retract(NEW)
    b.send(CHECK, 0)
    b.wait(70)
    b.world.repository.publish(Release(NEW, "aws-ecs-2"))
    b.send(CHECK, 0)
    b.wait(30)
    b.claim(0, DRAINING_TO_NEW)
    b.drain(0)
    b.wait(30)
    b.send(REBOOT, 0)
    assert broken(b) == []


ACTS_KEY = "updater/fleet/acts.json"
BLOCKED = json.dumps({"format": 1, "said": {"blocked": {NEW: {"who": "ann"}}}}).encode()
UNBLOCKED = json.dumps({"format": 1, "said": {"blocked": {}}}).encode()


@pytest.mark.parametrize(
    ("acts", "reads", "after", "seen"),
    [
        (BLOCKED, True, 70, [8]),
        (BLOCKED, True, 20, []),
        (BLOCKED, False, 70, []),
        (BLOCKED, False, 1000, [8]),
        (b"not JSON", True, 70, [8]),
        (UNBLOCKED, True, 70, []),
    ],
)
def test_a_drain_for_a_version_whose_block_was_read_is_seen(
    acts: bytes, reads: bool, after: float, seen: list[int]
) -> None:
    b = bench(1)
    s3: Any = b.clients.client("s3")
    s3.create_bucket(Bucket="state")
    person: Any = InProcessClients(b.world, caller="ann").client("s3")

    def read() -> None:
        with suppress(ClientError):
            s3.get_object(Bucket="state", Key=ACTS_KEY)

    read()
    b.wait(1)
    person.put_object(Bucket="state", Key=ACTS_KEY, Body=acts)
    if reads:
        read()
    b.wait(after)
    b.claim(0, DRAINING_TO_NEW)
    b.drain(0)
    assert broken(b) == seen


def test_a_version_whose_block_was_removed_may_be_taken() -> None:
    b = bench(1)
    s3: Any = b.clients.client("s3")
    s3.create_bucket(Bucket="state")
    s3.put_object(Bucket="state", Key=ACTS_KEY, Body=BLOCKED)
    s3.get_object(Bucket="state", Key=ACTS_KEY)
    s3.delete_object(Bucket="state", Key=ACTS_KEY)
    b.wait(2000)
    b.claim(0, DRAINING_TO_NEW)
    b.drain(0)
    assert broken(b) == []


def test_a_write_to_a_service_is_seen() -> None:
    b = bench(1, services=(replica(desired=1),))
    b.ecs.update_service(cluster="demo", service="web", desiredCount=2)
    assert broken(b) == [10]


@pytest.mark.parametrize("document", [CHECK, APPLY])
def test_a_command_that_is_sent_while_an_apply_may_run_is_seen(document: str) -> None:
    b = bench(1)
    b.send(CHECK, 0)
    b.wait(10)
    b.send(APPLY, 0)
    b.wait(3)
    b.send(document, 0)
    assert broken(b) == [12]


def test_a_check_after_an_apply_has_ended_is_right() -> None:
    b = bench(1)
    b.send(APPLY, 0)
    b.wait(40)
    b.send(CHECK, 0)
    assert broken(b) == []


@pytest.mark.parametrize(("wait", "seen"), [(0, []), (20, []), (40, [1])])
def test_an_agent_that_disconnects_counts_once_ecs_has_shown_it_for_a_while(wait: int, seen: list[int]) -> None:
    minute = timedelta(minutes=1)
    late = EcsAgentLate(delay=timedelta(), flaps=1, every=5 * minute, outage=5 * minute)
    b = bench(3, budget=UpdaterLimits(max_unavailable=1), host_faults={0: (late,)})
    update(b, 0)
    while b.world.hosts[instance_id(0)].ecs_agent_up:
        b.wait(1)
    b.wait(wait)
    b.drain(1)
    assert broken(b) == seen


def test_time_out_of_service_is_measured() -> None:
    b = bench(2)
    b.drain(0)
    b.wait(90)
    b.activate(0)
    b.wait(90)
    assert b.world.findings().seconds_out == {instance_id(0): 90.0, instance_id(1): 0.0}


def test_moves_are_counted_and_daemon_tasks_are_not() -> None:
    b = bench(3, services=(replica(desired=6),))
    b.drain(0)
    b.wait(60)
    assert b.world.findings().task_moves == 2


def test_the_most_that_were_out_at_once_is_kept_by_zone_too() -> None:
    b = bench(6)
    b.drain(0, 3, 1)
    b.wait(10)
    b.activate(0, 3, 1)
    findings = b.world.findings()
    assert findings.most_out_at_once == 3
    assert findings.most_out_by_zone == {"us-east-1a": 2, "us-east-1b": 1}


def test_findings_can_be_written_as_json() -> None:
    b = bench(2, services=(replica(desired=2),))
    b.claim(0)
    b.send(REBOOT, 0)
    b.wait(20)
    written = json.loads(json.dumps(b.world.findings().to_dict()))
    assert written["violations"][0]["invariant"] == 2


def test_another_linux_that_is_out_does_not_count_against_the_budget() -> None:
    b = bench(1, budget=UpdaterLimits(max_unavailable=1))
    b.world.add_instance(HostSpec("i-0foreign"), "us-east-1b", bottlerocket=False)
    b.world.operator_drain("i-0foreign")
    b.wait(600)
    b.drain(0)
    assert broken(b) == []


def test_a_reboot_command_that_runs_again_after_the_boot_is_still_ours() -> None:
    b = bench(1, host_faults={0: (RebootEnds(RebootEnding.RUN_AGAIN),)})
    task = b.world.run_standalone_task(instance_id(0))
    b.send(REBOOT, 0)
    b.wait(240)
    findings = b.world.findings()
    assert findings.boots[instance_id(0)] == 2
    assert [(killed.task, killed.by_updater) for killed in findings.tasks_killed] == [(task.arn, True)]


def test_findings_are_clean_or_not() -> None:
    b = bench(2)
    assert b.world.findings().clean
    b.drain(0)
    assert not b.world.findings().clean
