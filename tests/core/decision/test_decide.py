from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.core.builders import (
    BOOT,
    DEAD_RUN,
    HOUR,
    MINUTE,
    NEW,
    NEWER,
    NOW,
    OLD,
    POLL,
    RUN,
    SECOND,
    STANDALONE,
    a_claim,
    available,
    check_answer,
    claimed,
    ended,
    fleet,
    idle,
    instance,
    is_soon,
    pending,
    policy,
    problem,
    ready,
    registration,
    service,
    task,
)

from bottlerocket_ecs_updater.core.decision.decide import Decision, decide
from bottlerocket_ecs_updater.core.model.claim import ClaimPhase
from bottlerocket_ecs_updater.core.model.command import Apply, Check, Command, Conclude, Drain, Mark, Note
from bottlerocket_ecs_updater.core.model.container_instance import Status
from bottlerocket_ecs_updater.core.model.fleet import Fleet, Halt
from bottlerocket_ecs_updater.core.model.host_report import HostAnswer, Problem
from bottlerocket_ecs_updater.core.model.ids import InstanceId, Zone
from bottlerocket_ecs_updater.core.model.instance import Instance
from bottlerocket_ecs_updater.core.model.outcome import UpToDate
from bottlerocket_ecs_updater.core.model.reasons import Failed, Reason
from bottlerocket_ecs_updater.core.model.run_command import CommandStatus, DocumentKind
from bottlerocket_ecs_updater.core.model.run_progress import Applies, RunProgress
from bottlerocket_ecs_updater.core.model.services import Services, Slot
from bottlerocket_ecs_updater.core.rules.policy import CHECK_TRIES, STAGE_AHEAD_FACTOR, STAGE_AHEAD_MIN, Policy
from bottlerocket_ecs_updater.core.state.observe import see_registration

A, B = Zone("eu-west-1a"), Zone("eu-west-1b")


def many(count: int, says: HostAnswer | None, prefix: str = "i-", zone: Zone = A, **changes: Any) -> list[Instance]:
    return [
        instance(name, says, registered=registration(name, zone=zone), **changes)
        for name in (f"{prefix}{number:02}" for number in range(count))
    ]


def of(decision: Decision, kind: type[Command]) -> list[str]:
    return [command.instance for command in decision.commands if isinstance(command, kind)]


def reasons(decision: Decision) -> dict[str, Reason]:
    return {id_: held.reason for id_, held in decision.holds.items()}


# Checking


def test_the_first_pass_checks_every_host() -> None:
    assert len(of(decide(fleet(*many(120, None)), policy()), Check)) == 120


def test_a_run_on_an_empty_cluster_ends_at_once() -> None:
    """R4: zero instances are a normal end."""
    assert decide(fleet(), policy()) == Decision({}, None, None)


def test_a_run_on_a_cluster_without_bottlerocket_ends_at_once() -> None:
    """R6: no Bottlerocket instance is a normal end."""
    others = [instance(f"i-{n}", registered=registration(f"i-{n}", variant=None)) for n in range(3)]
    decision = decide(fleet(*others), policy())
    assert (decision.look_at, set(reasons(decision).values())) == (None, {Reason.NOT_BOTTLEROCKET})


def test_a_host_that_is_up_to_date_is_recorded_without_a_command() -> None:
    """P8 and W14, changed: the predecessor drained a host before it found out that it was Idle."""
    decision = decide(fleet(instance(says=idle())), policy())
    assert list(decision.commands) == [Conclude(InstanceId("i-a"), UpToDate(OLD))]


def test_one_bad_instance_does_not_affect_the_others() -> None:
    """R5, R7, W9: whatever state one instance is in, the others are checked."""
    bad = [
        instance("i-x", registration=None, undescribed="MISSING"),
        instance("i-y", send_refused="InvalidInstanceId"),
        instance("i-z", problem(Problem.UNREADABLE), progress=RunProgress(checks_failed=9)),
    ]
    assert len(of(decide(fleet(*bad, *many(5, None)), policy()), Check)) == 5


# Staging ahead


def test_updates_are_staged_before_anything_is_drained() -> None:
    """W22, changed: the predecessor applied on a drained host."""
    decision = decide(fleet(*many(3, available())), policy())
    assert (len(of(decision, Apply)), of(decision, Drain)) == (3, [])


@pytest.mark.parametrize(("budget", "chunk"), [(1, STAGE_AHEAD_MIN), (5, 5 * STAGE_AHEAD_FACTOR)])
def test_no_more_than_a_chunk_is_staged_at_once(budget: int, chunk: int) -> None:
    decision = decide(fleet(*many(40, available())), policy(budget))
    assert len(of(decision, Apply)) == chunk
    assert list(reasons(decision).values()) == [Reason.STAGING_AHEAD] * (40 - chunk)


def test_no_more_is_staged_while_more_are_ready_than_the_budget_takes() -> None:
    decision = decide(fleet(*many(3, ready(), "i-r"), *many(3, available(), "i-s")), policy(2))
    assert of(decision, Apply) == []


def test_the_next_chunk_is_staged_when_no_more_are_ready_than_the_budget_takes() -> None:
    decision = decide(fleet(*many(2, ready(), "i-r"), *many(3, available(), "i-s")), policy(2))
    assert len(of(decision, Apply)) == 3


def test_those_that_are_being_staged_count_as_ahead() -> None:
    under_way = many(
        2, available(), "i-f", pending=pending(DocumentKind.APPLY), progress=RunProgress(applies=Applies(1))
    )
    assert of(decide(fleet(*under_way, *many(3, available(), "i-s")), policy()), Apply) == []


def test_the_first_answers_are_waited_for_so_that_calls_are_shared() -> None:
    asked = many(2, None, "i-q", pending=pending(DocumentKind.CHECK))
    assert of(decide(fleet(*asked, *many(3, available(), "i-s")), policy()), Apply) == []


def test_hosts_without_a_report_keep_no_other_from_being_staged() -> None:
    busy = many(4, problem(Problem.BUSY), "i-b", progress=RunProgress(checks_failed=1, first_busy_at=NOW))
    assert len(of(decide(fleet(*busy, *many(3, available(), "i-s")), policy()), Apply)) == 3


def test_staged_hosts_of_a_full_zone_keep_no_other_from_being_staged() -> None:
    theirs = instance("i-x", registered=registration("i-x", status=Status.DRAINING))
    stuck = many(5, ready(), "i-r")
    elsewhere = many(3, available(), "i-s", zone=B)
    assert len(of(decide(fleet(theirs, *stuck, *elsewhere), policy(2, per_zone=1)), Apply)) == 3


def test_an_apply_that_is_repeated_needs_no_place_among_those_staged_ahead() -> None:
    last = ended(DocumentKind.APPLY, CommandStatus.TIMED_OUT, NOW - MINUTE)
    again = instance("i-z", available(), applied=last, progress=RunProgress(applies=Applies(1)))
    assert of(decide(fleet(*many(5, ready()), again), policy()), Apply) == ["i-z"]


def test_those_furthest_behind_are_staged_first() -> None:
    hosts = [*many(12, available(running=NEW, chosen=NEWER)), instance("i-z", available())]
    assert "i-z" in of(decide(fleet(*hosts), policy()), Apply)


# Starting updates


def begun(decision: Decision) -> list[str]:
    return of(decision, Drain)


def test_an_instance_is_claimed_before_it_is_drained() -> None:
    """Claim before acting: a run that is killed between the two has done no harm."""
    step = decide(fleet(instance(says=ready())), policy()).steps[InstanceId("i-a")]
    assert [type(command) for command in step.commands] == [Mark, Drain]


def test_the_claim_says_what_a_later_run_needs() -> None:
    decision = decide(fleet(instance(says=ready())), policy())
    mark = next(command for command in decision.commands if isinstance(command, Mark))
    expected = a_claim(ClaimPhase.DRAINING, run=RUN, source=OLD, target=NEW, boot=BOOT, since=NOW, reboots=0)
    assert mark.claim == expected


@pytest.mark.parametrize(("budget", "count"), [(1, 1), (3, 3), (9, 5)])
def test_no_more_updates_start_than_the_budget_allows(budget: int, count: int) -> None:
    assert len(begun(decide(fleet(*many(5, ready())), policy(budget)))) == count


def test_those_that_find_no_slot_are_held_by_the_budget() -> None:
    decision = decide(fleet(*many(3, ready())), policy(1))
    assert list(reasons(decision).values()) == [Reason.BUDGET] * 2


def test_slots_that_others_take_are_not_used_again() -> None:
    theirs = instance("i-x", registered=registration("i-x", status=Status.DRAINING))
    cut_off = instance("i-y", registered=registration("i-y", connected=False))
    assert len(begun(decide(fleet(theirs, cut_off, *many(4, ready())), policy(3)))) == 1


def test_a_budget_that_others_filled_ends_the_run_with_holds() -> None:
    theirs = instance("i-x", registered=registration("i-x", status=Status.DRAINING))
    decision = decide(fleet(theirs, instance(says=ready())), policy(1))
    assert (decision.look_at, decision.halt, reasons(decision)[InstanceId("i-a")]) == (None, None, Reason.BUDGET)


def test_a_zone_gives_no_more_than_its_own_budget() -> None:
    hosts = [*many(3, ready(), "i-a", zone=A), *many(3, ready(), "i-b", zone=B)]
    decision = decide(fleet(*hosts), policy(4, per_zone=1))
    assert sorted(begun(decision)) == ["i-a00", "i-b00"]
    assert set(reasons(decision).values()) == {Reason.ZONE_BUDGET}


def seen(name: str, ago: int) -> Instance:
    """A ready host that was described that many seconds ago."""
    one = instance(name, says=ready())
    assert one.registration is not None
    return replace(one, registration=replace(one.registration, at=NOW - ago * SECOND))


@pytest.mark.parametrize(
    ("ago", "stale", "full"),
    [
        (60, {"full_at": NOW - MINUTE}, True),
        (6, {"full_at": NOW - MINUTE}, True),
        (0, {"services": None}, True),
        (0, {"services": Services((service(),), NOW - MINUTE)}, True),
    ],
    ids=["the cluster", "the instance", "no services", "the services"],
)
def test_nothing_is_started_on_the_strength_of_an_old_look(ago: int, stale: dict[str, Any], *, full: bool) -> None:
    decision = decide(fleet(seen("i-a", ago), **stale), policy())
    assert (begun(decision), decision.wants_full_look, decision.look_at) == ([], full, NOW)


def test_the_services_are_looked_at_before_anything_starts() -> None:
    decision = decide(fleet(instance(says=ready()), services=None), policy())
    assert decision.services_at == NOW


def test_no_drain_starts_before_the_tasks_are_known() -> None:
    one = instance(says=ready(), tasks=None)
    step = decide(fleet(one), policy()).steps[one.id]
    assert (step.commands, step.wants_tasks, step.look_at) == ((), True, NOW)


def test_old_tasks_are_looked_at_again() -> None:
    one = instance(says=ready(), tasks=(task(),))
    assert one.tasks is not None
    old = replace(one, tasks=replace(one.tasks, at=NOW - MINUTE))
    assert decide(fleet(old), policy()).steps[one.id].wants_tasks


def test_a_standalone_task_that_appeared_meanwhile_holds_the_instance() -> None:
    decision = decide(fleet(instance(says=ready(), tasks=(STANDALONE,))), policy())
    assert (begun(decision), reasons(decision)) == ([], {"i-a": Reason.STANDALONE_TASK})


def test_an_old_report_is_renewed_before_the_drain() -> None:
    one = instance(says=ready(), asked=NOW - HOUR)
    decision = decide(fleet(one), policy())
    assert (begun(decision), of(decision, Check)) == ([], ["i-a"])


def test_a_host_whose_agent_was_away_since_its_report_is_checked_before_the_drain() -> None:
    """It was stopped in its warm pool, booted what was staged, and was drained for nothing."""
    one = see_registration(instance(says=ready()), registration(connected=False), RUN)
    one = see_registration(one, registration(), RUN)
    decision = decide(fleet(one), policy())
    assert (begun(decision), of(decision, Check)) == ([], ["i-a"])
    again = replace(one, check_answer=check_answer(ready(), NOW + SECOND))
    assert begun(decide(fleet(again), policy())) == ["i-a"]


def test_hosts_that_wait_for_their_turn_are_checked_again_together() -> None:
    waiting = many(4, ready(), asked=NOW - HOUR)
    decision = decide(fleet(claimed("i-x"), *waiting), policy())
    assert len(of(decision, Check)) == 4


def test_hosts_that_this_run_will_not_reach_are_not_checked_again() -> None:
    theirs = instance("i-x", registered=registration("i-x", status=Status.DRAINING))
    decision = decide(fleet(theirs, *many(4, ready(), asked=NOW - HOUR)), policy())
    assert (of(decision, Check), decision.look_at) == ([], None)


def test_a_host_with_tasks_of_a_service_that_ecs_does_not_describe_is_held_and_others_start() -> None:
    carries, free = instance("i-a", ready(), tasks=(task("web"),)), instance("i-b", ready(), tasks=(task("api"),))
    services = Services((replace(service("web"), unknown="MISSING"), service("api")), NOW)
    decision = decide(fleet(carries, free, services=services), policy(2))
    assert of(decision, Drain) == ["i-b"]
    held = decision.holds[InstanceId("i-a")]
    assert held.reason is Reason.SERVICE_UNKNOWN
    assert str(held) == "it runs tasks of web, which ECS lists but does not describe: MISSING"


def test_with_nothing_else_to_do_it_is_read_once_more_and_left_to_the_next_run() -> None:
    carries = instance("i-a", ready(), tasks=(task("web"),))
    old = Services((replace(service("web"), unknown="MISSING"),), NOW - MINUTE)
    assert decide(fleet(carries, services=old), policy()).services_at == NOW
    assert decide(fleet(carries, services=replace(old, at=NOW)), policy()).look_at is None


# What stops new updates


def blocked(hosts: list[Instance], limits: Policy | None = None, **changes: Any) -> tuple[list[Command], set[Reason]]:
    decision = decide(fleet(*hosts, **changes), limits or policy())
    return list(decision.commands), set(reasons(decision).values())


BOTH = [instance("i-a", available()), instance("i-b", ready())]


def test_a_halted_run_starts_and_stages_nothing() -> None:
    assert blocked(BOTH, halt=Halt("two instances failed")) == ([], {Reason.HALTED})


def test_a_stopping_run_starts_and_stages_nothing() -> None:
    assert blocked(BOTH, stopping="SIGTERM") == ([], {Reason.STOPPING})


def test_a_run_whose_commands_aws_denies_starts_and_stages_nothing_and_checks_only_its_claimed_hosts() -> None:
    unasked, ours = instance("i-c"), claimed("i-d", a_claim(ClaimPhase.REBOOTING, run=DEAD_RUN))
    decision = decide(fleet(*BOTH, unasked, ours, blocked="not allowed: ssm:SendCommand"), policy(2))
    assert [(type(command), command.instance) for command in decision.commands] == [(Check, "i-d")]
    held = decision.holds
    assert {held[InstanceId(name)].reason for name in ("i-a", "i-b", "i-c")} == {Reason.HALTED}


def test_a_run_past_its_deadline_starts_and_stages_nothing() -> None:
    assert blocked(BOTH, policy(deadline=5 * MINUTE)) == ([], {Reason.STOPPING})


def test_a_run_before_its_deadline_starts() -> None:
    assert begun(decide(fleet(*BOTH), policy(deadline=5 * MINUTE + SECOND))) == ["i-b"]


@pytest.mark.parametrize("why", [{"halt": Halt("…")}, {"stopping": "SIGTERM"}])
def test_our_own_claims_are_finished_anyway(why: dict[str, Any]) -> None:
    decision = decide(fleet(claimed("i-a"), **why), policy())
    assert of(decision, Mark) == ["i-a"]


def test_a_run_past_its_deadline_says_so() -> None:
    decision = decide(fleet(instance(says=ready())), policy(deadline=MINUTE))
    assert str(decision.holds[InstanceId("i-a")]) == "the run is stopping: its deadline of 1m has passed"


# Outcomes


def failed_apply(**changes: Any) -> Fleet:
    last = ended(DocumentKind.APPLY, CommandStatus.FAILED, NOW - MINUTE)
    return fleet(
        instance(says=available(), applied=last, progress=RunProgress(applies=Applies(1), offered=NEW), **changes)
    )


def test_a_failed_apply_is_recorded_and_backs_off() -> None:
    commands = list(decide(failed_apply(), policy()).commands)
    assert [type(command) for command in commands] == [Conclude, Note]
    note = commands[1]
    assert isinstance(note, Note)
    assert (note.backoff.version, note.backoff.attempts, note.backoff.rolled_back) == (NEW, 1, False)


def test_a_host_that_says_nothing_more_after_its_apply_backs_off_too() -> None:
    progress = RunProgress(applies=Applies(1), offered=NEW, checks_failed=CHECK_TRIES)
    silent = instance(says=problem(Problem.NO_ANSWER), asked=NOW - MINUTE, progress=progress)
    assert [type(command) for command in decide(fleet(silent), policy()).commands] == [Conclude, Note]


def test_a_recorded_outcome_is_not_recorded_again() -> None:
    one = instance(says=available(), progress=RunProgress(outcome=UpToDate(OLD)))
    decision = decide(fleet(one), policy())
    assert (list(decision.commands), decision.look_at) == ([], None)


def test_a_failure_is_concluded_as_a_failure() -> None:
    conclusion = next(iter(decide(failed_apply(), policy()).commands))
    assert isinstance(conclusion, Conclude)
    assert isinstance(conclusion.outcome, Failed)


# When to look again


def test_a_run_with_nothing_left_to_do_ends() -> None:
    held = instance(says=ready(), tasks=(STANDALONE,))
    assert decide(fleet(held), policy()).look_at is None


def test_a_run_waits_for_its_own_apply_though_the_agent_disconnected_meanwhile() -> None:
    cut_off = registration("i-a", connected=False)
    one = instance(
        says=available(),
        registered=cut_off,
        pending=pending(DocumentKind.APPLY),
        progress=RunProgress(applies=Applies(1)),
    )
    assert is_soon(decide(fleet(one), policy()).look_at)


def test_a_run_does_not_wait_for_its_apply_on_an_instance_that_was_terminated() -> None:
    gone = registration("i-a", connected=False, status=Status.INACTIVE)
    one = instance(
        says=available(), registered=gone, pending=pending(DocumentKind.APPLY), progress=RunProgress(applies=Applies(1))
    )
    assert decide(fleet(one), policy()).look_at is None


def test_a_run_that_acts_looks_again() -> None:
    """A look follows every command, to see its effect."""
    gone = claimed("i-a", registration=None, progress=RunProgress(missing_looks=9))
    assert decide(fleet(gone), policy()).look_at is not None


def test_a_run_waits_for_the_cluster_to_settle() -> None:
    slot = Slot(InstanceId("i-a"), A, NOW - 10 * SECOND, {}, steady_since=NOW - 10 * SECOND)
    decision = decide(
        fleet(instance(says=idle(), progress=RunProgress(outcome=UpToDate(OLD))), slots=(slot,)), policy()
    )
    assert decision.look_at == decision.services_at
    assert decision.look_at is not None


def test_the_earliest_look_is_taken() -> None:
    soon = instance("i-a", pending=pending(DocumentKind.CHECK))
    late = claimed("i-b", tasks=(task(),))
    assert is_soon(decide(fleet(soon, late), policy()).look_at)


def test_a_cluster_is_listed_again_where_an_instance_may_have_left_it() -> None:
    gone = claimed("i-a", registration=None, progress=RunProgress(missing_looks=1))
    assert decide(fleet(gone), policy()).wants_listing


# Flapping agents


def gone(name: str, since: timedelta) -> Instance:
    registered = registration(name, connected=False)
    return instance(name, registered=registered, progress=RunProgress(disconnected_since=NOW - since))


def test_a_run_does_not_end_while_an_agent_that_went_a_moment_ago_takes_the_last_place() -> None:
    decision = decide(fleet(gone("i-a", 2 * POLL), instance("i-b", ready())), policy())
    assert reasons(decision) == {"i-a": Reason.AGENT_DISCONNECTED, "i-b": Reason.BUDGET}
    assert decision.look_at is not None
    assert decision.wants_full_look


@pytest.mark.parametrize(
    "changes", [{"stopping": "SIGTERM"}, {"halt": Halt("enough")}, {"started_at": NOW - 24 * HOUR}], ids=str
)
def test_the_run_does_not_wait_for_an_agent_if_nothing_may_start_anyway(changes: dict[str, Any]) -> None:
    of_two = fleet(gone("i-a", 2 * POLL), instance("i-b", ready()), **changes)
    assert decide(of_two, policy(deadline=HOUR)).look_at is None


def test_an_agent_that_flaps_all_the_time_is_not_waited_for() -> None:
    """A look found it connected, the next one disconnected, and so on: the run never ended."""
    one = gone("i-a", 2 * POLL)
    flaps = replace(one, progress=replace(one.progress, absences=21))
    assert decide(fleet(flaps, instance("i-b", ready())), policy()).look_at is None


def test_an_agent_that_stays_away_is_not_waited_for() -> None:
    assert decide(fleet(gone("i-a", 12 * POLL), instance("i-b", ready())), policy()).look_at is None
