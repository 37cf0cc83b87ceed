"""The operator's documents before a drain and after a reboot, followed to the end in a tiny world."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.core.builders import (
    MINUTE,
    NEW,
    NOW,
    OLD,
    a_claim,
    a_new_boot,
    acceptance,
    check_answer,
    claimed,
    ended,
    fleet,
    instance,
    pending,
    policy,
    ready,
    rebooted,
    sent_reboot,
)
from tests.core.strategies import PURE
from tests.core.test_loop import restored, world
from tests.core.tiny_world import Run, World, runs

from bottlerocket_ecs_updater.core.decision.decide import decide
from bottlerocket_ecs_updater.core.decision.this_pass import Pass
from bottlerocket_ecs_updater.core.decision.unclaimed.before_drain_hook import being_prepared, prepared
from bottlerocket_ecs_updater.core.decision.unclaimed.budget import count_budget
from bottlerocket_ecs_updater.core.model.claim import ClaimPhase
from bottlerocket_ecs_updater.core.model.command import (
    Command,
    Drain,
    Mark,
    Reboot,
    Return,
    RunAfterReboot,
    RunBeforeDrain,
)
from bottlerocket_ecs_updater.core.model.fleet import Fleet
from bottlerocket_ecs_updater.core.model.ids import InstanceId
from bottlerocket_ecs_updater.core.model.outcome import Quarantined, Updated
from bottlerocket_ecs_updater.core.model.reasons import Failed, Failure, Hold, Reason
from bottlerocket_ecs_updater.core.model.run_command import CommandStatus, DocumentKind
from bottlerocket_ecs_updater.core.model.run_progress import RunProgress, SentDrain
from bottlerocket_ecs_updater.core.rules.checkpoints import Checkpoints
from bottlerocket_ecs_updater.core.rules.policy import CONNECTED_LOOKS, Policy
from bottlerocket_ecs_updater.core.rules.ruleset import Rules

FIRST = InstanceId("i-00")


def with_hooks(budget: int = 1, *, before: bool = True, after: bool = True) -> Policy:
    return replace(policy(budget), before_drain=before, after_reboot=after)


def run(place: World, with_policy: Policy, deaths: Sequence[int | type[Command]] = ()) -> Run:
    *_, last = runs(place, with_policy, deaths)
    return last


def bad(count: int = 3, **faults: bool) -> World:
    place = world(count)
    place.hosts[FIRST] = replace(place.hosts[FIRST], **faults)  # type: ignore[arg-type]
    return place


def test_each_host_runs_both_around_its_reboot_and_in_that_order() -> None:
    place = world(3)
    assert set(run(place, with_hooks()).outcomes.values()) == {Updated(OLD, NEW)}
    for name in place.hosts:
        kinds = [type(c) for c in place.commands if c.instance == name]
        order = [kinds.index(kind) for kind in (RunBeforeDrain, Mark, Drain, Reboot, RunAfterReboot, Return)]
        assert order == sorted(order)
        assert kinds.count(RunBeforeDrain) == kinds.count(RunAfterReboot) == 1


def test_without_documents_none_is_run() -> None:
    place = world(3)
    run(place, policy(1))
    assert not [c for c in place.commands if isinstance(c, RunBeforeDrain | RunAfterReboot)]


def test_a_host_whose_document_says_no_is_not_drained_and_the_others_are() -> None:
    place = bad(refuses_drain=True)
    outcomes = run(place, with_hooks()).outcomes
    first = outcomes.pop(FIRST)
    assert isinstance(first, Hold)
    assert first.reason is Reason.BEFORE_DRAIN_FAILED
    assert not [c for c in place.commands if c.instance == FIRST and isinstance(c, Mark | Drain)]
    assert set(outcomes.values()) == {Updated(OLD, NEW)}


@pytest.mark.parametrize("budget", [1, 2, 4])
def test_hosts_that_run_the_document_before_their_drain_take_places_in_the_budget(budget: int) -> None:
    place = world(8)
    run(place, with_hooks(budget))
    open_: set[InstanceId] = set()
    most = 0
    for command in place.commands:
        if isinstance(command, RunBeforeDrain):
            open_.add(command.instance)
        elif isinstance(command, Return):
            open_.discard(command.instance)
        most = max(most, len(open_))
    assert most == budget


def test_a_host_that_is_not_healthy_after_its_reboot_is_rechecked_until_its_limit_and_then_quarantined() -> None:
    place = bad(unwell=True)
    done = run(place, with_hooks())
    outcome = done.outcomes[FIRST]
    assert isinstance(outcome, Quarantined)
    assert outcome.why.failure is Failure.UNHEALTHY
    asked = [c for c in place.commands if c.instance == FIRST and isinstance(c, RunAfterReboot)]
    assert 2 < len(asked) < 60


def test_a_quarantined_host_that_is_healthy_again_is_returned_by_the_next_run() -> None:
    place = bad(unwell=True)
    run(place, with_hooks())
    place.hosts[FIRST].unwell = False
    assert run(place, with_hooks()).outcomes[FIRST] == Updated(OLD, NEW)
    assert restored(place)


def test_a_host_that_is_still_not_healthy_is_checked_once_by_the_next_run_and_stays_out_of_service() -> None:
    place = bad(unwell=True)
    run(place, with_hooks())
    before = len(place.commands)
    assert isinstance(run(place, with_hooks()).outcomes[FIRST], Quarantined)
    assert len([c for c in place.commands[before:] if isinstance(c, RunAfterReboot)]) == 1
    assert not restored(place)


def test_two_that_are_not_well_halt_the_rollout() -> None:
    place = world(6)
    place.hosts = {id_: replace(host, unwell=True) for id_, host in place.hosts.items()}
    done = run(place, with_hooks(2))
    assert done.halt is not None
    assert sum(host.boots for host in place.hosts.values()) == 2


@settings(PURE, max_examples=60)
@given(st.lists(st.integers(0, 40), max_size=4), st.integers(1, 3))
def test_whenever_runs_die_every_host_ends_updated_and_in_service(deaths: list[int], budget: int) -> None:
    place = world(4)
    last = run(place, with_hooks(budget), deaths)
    assert {host.running for host in place.hosts.values()} == {NEW}
    assert restored(place)
    assert place.most_out <= budget
    assert last.halt is None


def test_a_before_drain_result_from_long_ago_is_renewed() -> None:
    one = instance(before_drain_result=ended(DocumentKind.BEFORE_DRAIN, CommandStatus.SUCCESS, NOW))
    limits = with_hooks()
    assert prepared(one, Pass(fleet(one, at=NOW + MINUTE), limits))
    assert not prepared(one, Pass(fleet(one, at=NOW + limits.report_max_age), limits))


def test_a_host_that_runs_the_document_counts_as_unavailable() -> None:
    one = instance(pending=pending(DocumentKind.BEFORE_DRAIN, NOW))
    assert being_prepared(one)
    counted: Fleet = fleet(one)
    assert [id_ for id_, _ in count_budget(Pass(counted, with_hooks())).taken] == [one.id]


def test_no_more_hosts_run_the_document_than_may_start_today() -> None:
    limits = replace(with_hooks(2), rules=Rules(checkpoints=Checkpoints(per_day=1)))
    first = instance("i-a", ready(), pending=pending(DocumentKind.BEFORE_DRAIN, NOW))
    decision = decide(fleet(first, instance("i-b", ready())), limits)
    assert list(decision.commands) == []
    assert decision.holds[InstanceId("i-b")].reason is Reason.DAILY_LIMIT


def test_the_failure_of_the_document_is_reported_with_its_exit_code_and_last_line() -> None:
    place = bad(unwell=True)
    outcome = run(place, with_hooks()).outcomes[FIRST]
    assert isinstance(outcome, Quarantined)
    assert isinstance(outcome.why, Failed)
    assert "exit code" in str(outcome.why)


def test_a_reboot_that_was_sent_late_leaves_the_document_its_time_too() -> None:
    limits = with_hooks()
    late = NOW - 5 * MINUTE
    claim = a_claim(ClaimPhase.REBOOTING, since=NOW - limits.reboot_timeout - 5 * MINUTE, reboots=1)
    progress = RunProgress(
        drain=SentDrain(claim.since), reboot_sent_at=late, new_boot=a_new_boot(NOW), connected_looks=CONNECTED_LOOKS
    )
    said_no = ended(DocumentKind.AFTER_REBOOT, CommandStatus.FAILED, NOW - 2 * MINUTE)
    taken = sent_reboot(late, acceptance(late))
    one = claimed(
        claim=claim,
        progress=progress,
        check_answer=check_answer(rebooted()),
        after_reboot_result=said_no,
        reboots=(taken,),
    )
    step = decide(fleet(one), limits).steps[one.id]
    assert [type(command) for command in step.commands] == [RunAfterReboot]
