from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.core.builders import (
    HOUR,
    MINUTE,
    NEW,
    NEWER,
    NOW,
    OLD,
    POLICY,
    POLL,
    RUN,
    SECOND,
    STANDALONE,
    available,
    ended,
    fleet,
    idle,
    instance,
    pending,
    problem,
    ready,
    rebooted,
    registration,
    staged,
    task,
)
from tests.support.rules import parse_ranges

from bottlerocket_ecs_updater.core.decision.this_pass import Pass
from bottlerocket_ecs_updater.core.decision.unclaimed.assess import (
    Asking,
    CandidateState,
    Deferred,
    Finished,
    Held,
    Ready,
    Stageable,
    assess,
)
from bottlerocket_ecs_updater.core.model.claim import CLAIM_ATTRIBUTE
from bottlerocket_ecs_updater.core.model.container_instance import PingStatus, Status
from bottlerocket_ecs_updater.core.model.host_report import HostAnswer, Problem
from bottlerocket_ecs_updater.core.model.ids import CommandId
from bottlerocket_ecs_updater.core.model.instance import Instance
from bottlerocket_ecs_updater.core.model.outcome import Backoff, Updated, UpToDate
from bottlerocket_ecs_updater.core.model.reasons import Failed, Failure, Hold, Reason, hold
from bottlerocket_ecs_updater.core.model.run_command import CommandStatus, DocumentKind
from bottlerocket_ecs_updater.core.model.run_progress import Applies, RunProgress
from bottlerocket_ecs_updater.core.model.version import Version
from bottlerocket_ecs_updater.core.rules.policy import APPLY_TRIES, CHECK_TRIES, UNHEARD_APPLIES
from bottlerocket_ecs_updater.core.rules.ruleset import Rules
from bottlerocket_ecs_updater.core.rules.versions import VersionRules
from bottlerocket_ecs_updater.core.state.observe import see_registration
from bottlerocket_ecs_updater.core.state.run_commands import see_denied


def candidate(one: Instance, **changes: Any) -> CandidateState:
    return assess(one, Pass(fleet(one, **changes), POLICY))


def registered(says: HostAnswer | None = None, **changes: Any) -> Instance:
    """An instance that would be staged if its registration allowed it."""
    return instance("i-a", says or available(), registered=registration("i-a", **changes))


def held(one: Instance, **changes: Any) -> Reason:
    found = candidate(one, **changes)
    assert isinstance(found, Held), found
    assert str(found.hold)
    assert found.hold.remedy
    return found.hold.reason


def failure(one: Instance) -> Failed:
    found = candidate(one)
    assert isinstance(found, Finished), found
    assert isinstance(found.outcome, Failed), found
    assert str(found.outcome)
    assert found.outcome.remedy
    return found.outcome


# The four update states


def test_an_idle_host_is_up_to_date() -> None:
    assert candidate(instance(says=idle())) == Finished(UpToDate(OLD))


def test_an_available_host_may_be_staged() -> None:
    assert candidate(instance(says=available())) == Stageable(NEW, again=False)


def test_a_ready_host_may_be_drained() -> None:
    assert candidate(instance(says=ready())) == Ready(ready(), NEW)


def test_a_staged_host_is_applied_again() -> None:
    """W13, changed: the predecessor skips a Staged host forever; here an apply continues it."""
    assert candidate(instance(says=staged())) == Stageable(NEW, again=False)


def test_the_predecessor_updated_available_and_ready_hosts_and_skipped_idle_and_staged_ones() -> None:
    """FilterAvailableUpdates, with one change: of the same five hosts, the Staged one is taken too."""
    answers = [available(), ready(), idle(), staged(), available()]
    kinds = [type(candidate(instance(says=answer))) for answer in answers]
    assert kinds == [Stageable, Ready, Finished, Stageable, Stageable]


def test_a_host_that_was_withdrawn_to_a_lower_version_follows_its_repository() -> None:
    lower = Version(1, 19, 5)
    assert candidate(instance(says=available(lower))) == Stageable(lower, again=False)


def test_a_ready_host_is_updated_to_its_staged_version_and_not_to_a_newer_offer() -> None:
    report = ready(NEW, chosen=NEWER)
    assert candidate(instance(says=report)) == Ready(report, NEW)


def test_a_staged_host_gets_the_version_that_is_offered_now() -> None:
    assert candidate(instance(says=staged(NEW, chosen=NEWER))) == Stageable(NEWER, again=False)


def test_a_staged_host_whose_release_is_offered_no_more_is_held() -> None:
    assert held(instance(says=staged(NEW, chosen=None))) is Reason.NOTHING_CHOSEN


@pytest.mark.parametrize("variant", ["aws-ecs-1", "aws-ecs-1-nvidia"])
def test_an_idle_host_of_a_variant_at_its_end_of_life_is_not_called_up_to_date(variant: str) -> None:
    assert held(registered(idle(), variant=variant)) is Reason.END_OF_LIFE_VARIANT


@pytest.mark.parametrize("variant", ["aws-ecs-2", "aws-ecs-10", "aws-ecs-2-fips", ""])
def test_an_idle_host_of_any_other_variant_is_up_to_date(variant: str) -> None:
    assert candidate(registered(idle(), variant=variant)) == Finished(UpToDate(OLD))


def test_an_update_of_a_variant_at_its_end_of_life_is_still_taken() -> None:
    assert candidate(registered(available(), variant="aws-ecs-1")) == Stageable(NEW, again=False)


# Out of reach


def test_an_instance_that_ecs_did_not_describe_is_held_with_its_reason() -> None:
    """W17, changed: what AWS lists as a failure is not lost silently."""
    assert held(instance(registration=None, undescribed="MISSING")) is Reason.NOT_DESCRIBED


def test_an_instance_that_is_listed_no_more_is_gone() -> None:
    assert held(instance(registration=None)) is Reason.GONE


def test_an_instance_that_was_described_before_and_is_not_now_is_passed_over() -> None:
    assert held(instance(says=ready(), undescribed="SERVER: try again")) is Reason.NOT_DESCRIBED


@pytest.mark.parametrize(
    ("attributes", "kept"),
    [
        ({"bottlerocket.variant": "aws-ecs-2"}, True),
        ({"bottlerocket.variant": "aws-ecs-2", "ecs.os-type": "linux"}, True),
        ({"ecs.os-type": "linux"}, False),
        ({}, False),
    ],
)
def test_only_hosts_with_the_variant_attribute_are_bottlerocket(attributes: dict[str, str], *, kept: bool) -> None:
    """R5 and FilterBottlerocketInstances: the attribute's presence counts."""
    seen = registration("i-a", attributes=attributes, variant=attributes.get("bottlerocket.variant"))
    found = candidate(see_registration(instance("i-a", available()), seen, RUN))
    assert (found == Held(hold(Reason.NOT_BOTTLEROCKET))) is not kept


def test_an_empty_variant_is_a_variant() -> None:
    """R5: the attribute's value is ignored."""
    assert candidate(registered(variant="")) == Stageable(NEW, again=False)


def test_an_instance_that_somebody_else_drained_is_left_to_them() -> None:
    """W7, changed: the predecessor undid an operator's drain."""
    assert held(registered(status=Status.DRAINING)) is Reason.DRAINED_BY_OTHERS


@pytest.mark.parametrize("status", [status for status in Status if status not in (Status.ACTIVE, Status.DRAINING)])
def test_an_instance_in_any_other_status_is_held(status: Status) -> None:
    expected = Reason.GONE if status is Status.INACTIVE else Reason.NOT_ACTIVE
    assert held(registered(status=status)) is expected


def test_an_instance_whose_agent_is_disconnected_is_held() -> None:
    """W4, changed: the agent's connection is checked."""
    assert held(registered(connected=False)) is Reason.AGENT_DISCONNECTED


@pytest.mark.parametrize(
    ("reach", "reason"),
    [(PingStatus.UNKNOWN, Reason.UNKNOWN_TO_SSM), (PingStatus.CONNECTION_LOST, Reason.SSM_CONNECTION_LOST)],
)
def test_an_instance_that_systems_manager_does_not_reach_is_held(reach: PingStatus, reason: Reason) -> None:
    """W9, changed: it is left out before anything is sent."""
    assert held(instance(says=available(), reach=reach)) is reason


def test_a_ping_status_that_the_updater_does_not_know_is_reported_as_it_is() -> None:
    """It was said to be not registered in Systems Manager, with the advice to register it."""
    found = candidate(instance(says=available(), reach=PingStatus.UNKNOWN, ping="Draining"))
    assert isinstance(found, Held)
    assert found.hold.reason is Reason.SSM_STATUS_UNKNOWN
    assert "Systems Manager reports its ping status as Draining" in str(found.hold)


def test_an_instance_that_systems_manager_refused_is_held() -> None:
    assert held(instance(send_refused="InvalidInstanceId")) is Reason.SEND_REFUSED


def test_an_instance_to_which_aws_denies_commands_is_held_and_not_checked_again() -> None:
    denied = see_denied(instance(says=available()), DocumentKind.CHECK, "ssm:SendCommand on instance/i-a")
    assert held(denied) is Reason.SEND_DENIED


@pytest.mark.parametrize("status", [Status.ACTIVE, Status.DRAINING])
def test_an_instance_with_a_claim_that_cannot_be_read_is_left_alone(status: Status) -> None:
    strange = registration("i-a", status=status, attributes={CLAIM_ATTRIBUTE: "2 a claim of a later version"})
    assert held(see_registration(instance("i-a", ready()), strange, RUN)) is Reason.CLAIM_UNREADABLE


# Checks


def test_a_host_that_was_never_checked_is_checked() -> None:
    assert candidate(instance()) == Asking()


@pytest.mark.parametrize("kind", [DocumentKind.CHECK, DocumentKind.APPLY])
def test_a_run_waits_for_the_pending_command_of_a_host(kind: DocumentKind) -> None:
    assert candidate(instance(says=available(), pending=pending(kind))) == Deferred(NOW + POLL)


def test_a_host_is_checked_again_after_every_apply() -> None:
    one = instance(
        says=available(), asked=NOW - MINUTE, applied=ended(DocumentKind.APPLY, CommandStatus.FAILED, NOW - SECOND)
    )
    assert candidate(one) == Asking()


def test_a_host_is_not_checked_while_an_apply_that_gave_no_result_may_run() -> None:
    given_up = ended(DocumentKind.APPLY, CommandStatus.ABANDONED, NOW, detail="it gave no result")
    one = instance(
        says=available(), asked=NOW - 16 * MINUTE, applied=given_up, progress=RunProgress(applies=Applies(1))
    )
    found = candidate(one)
    assert isinstance(found, Finished)
    assert isinstance(found.outcome, Failed)
    assert "it gave no result" in str(found.outcome)


def test_an_answer_that_was_asked_for_after_the_apply_counts() -> None:
    one = instance(
        says=ready(),
        applied=ended(DocumentKind.APPLY, CommandStatus.ABANDONED, NOW - SECOND),
        progress=RunProgress(applies=Applies(1)),
    )
    assert isinstance(candidate(one), Ready)


RETRIED = [which for which in Problem if which is not Problem.TOO_OLD]
REASON_OF = {
    Problem.TOO_OLD: Reason.TOO_OLD,
    Problem.BUSY: Reason.UPDATE_LOCK_HELD,
    Problem.FAILED: Reason.CHECK_FAILED,
    Problem.NO_BOOT_ID: Reason.NO_BOOT_ID,
    Problem.UNREADABLE: Reason.UNREADABLE,
    Problem.UNKNOWN_STATE: Reason.UNKNOWN_STATE,
    Problem.NO_ANSWER: Reason.NO_ANSWER,
}


@pytest.mark.parametrize("which", RETRIED)
def test_a_check_without_a_report_is_repeated_after_a_while(which: Problem) -> None:
    """W18, changed: one failed check does not drop the host until the next run."""
    one = instance(says=problem(which), progress=RunProgress(checks_failed=1, first_busy_at=NOW))
    found = candidate(one)
    assert isinstance(found, Deferred)
    assert found.until > NOW + POLL


@pytest.mark.parametrize("which", RETRIED)
def test_a_host_without_a_report_is_checked_again_after_the_wait(which: Problem) -> None:
    one = instance(says=problem(which), asked=NOW - MINUTE, progress=RunProgress(checks_failed=1, first_busy_at=NOW))
    assert candidate(one) == Asking()


def gave_up(which: Problem, **progress: Any) -> Instance:
    """A host that gave no report in all the checks that a run makes."""
    return instance(
        says=problem(which),
        asked=NOW - MINUTE,
        progress=RunProgress(checks_failed=CHECK_TRIES, first_busy_at=NOW - HOUR, **progress),
    )


@pytest.mark.parametrize("which", Problem)
def test_each_problem_has_its_own_hold(which: Problem) -> None:
    assert held(gave_up(which)) is REASON_OF[which]


def test_a_host_that_is_too_old_is_held_at_once() -> None:
    one = instance(says=problem(Problem.TOO_OLD), progress=RunProgress(checks_failed=1))
    assert held(one) is Reason.TOO_OLD


def test_a_run_waits_for_a_held_lock_as_long_as_an_apply_may_take() -> None:
    nearly = RunProgress(checks_failed=50, first_busy_at=NOW - POLICY.apply_timeout + SECOND)
    one = instance(says=problem(Problem.BUSY), asked=NOW - 2 * MINUTE, progress=nearly)
    assert candidate(one) == Asking()


def test_an_unknown_state_names_the_state() -> None:
    """P12: an unknown update state is an error that quotes it."""
    one = instance(
        says=problem(Problem.UNKNOWN_STATE, "update state 'Rebasing'"), progress=RunProgress(checks_failed=9)
    )
    found = candidate(one)
    assert isinstance(found, Held)
    assert "'Rebasing'" in str(found.hold)


@pytest.mark.parametrize("says", [available(), staged(), ready()])
def test_a_version_that_the_operator_denies_is_neither_staged_nor_booted(says: HostAnswer) -> None:
    denied = replace(POLICY, rules=Rules(versions=VersionRules(deny=parse_ranges(str(NEW)))))
    one = instance(says=says)
    found = assess(one, Pass(fleet(one), denied))
    assert isinstance(found, Held)
    assert found.hold.reason is Reason.VERSION_DENIED


# Applying


def applied(end: CommandStatus, says: HostAnswer, *, applies: int = 1, busy: bool = False, **changes: Any) -> Instance:
    """An instance whose apply ended a minute ago, and that was checked since."""
    last = ended(DocumentKind.APPLY, end, NOW - MINUTE, busy=busy, detail="no space left on device")
    return instance(says=says, applied=last, progress=RunProgress(applies=Applies(applies)), **changes)


@pytest.mark.parametrize(
    "end", [CommandStatus.TIMED_OUT, CommandStatus.NOT_DELIVERED, CommandStatus.CANCELLED, CommandStatus.ABANDONED]
)
def test_an_apply_that_was_cut_short_is_repeated(end: CommandStatus) -> None:
    assert candidate(applied(end, available())) == Stageable(NEW, again=True)


@pytest.mark.parametrize("end", CommandStatus)
def test_an_apply_that_left_the_host_staged_is_repeated_with_any_exit_code(end: CommandStatus) -> None:
    assert candidate(applied(end, staged())) == Stageable(NEW, again=True)


def test_an_apply_that_met_a_held_lock_is_repeated() -> None:
    assert candidate(applied(CommandStatus.FAILED, available(), busy=True)) == Stageable(NEW, again=True)


@pytest.mark.parametrize("end", CommandStatus)
def test_an_apply_that_left_the_host_ready_counts_as_a_success_with_any_exit_code(end: CommandStatus) -> None:
    """P10, changed: the result of an apply is what the host reports afterwards, not how the command ended."""
    assert isinstance(candidate(applied(end, ready())), Ready)


def unheard(times: int, applies: int) -> Instance:
    """An instance with this many applies that got no reply and were never found, the last one included."""
    last = replace(ended(DocumentKind.APPLY, CommandStatus.ABANDONED, NOW - MINUTE), command=CommandId(""))
    return instance(says=available(), applied=last, progress=RunProgress(applies=Applies(applies, times)))


def test_an_apply_that_may_never_have_been_sent_is_no_failure_of_the_host() -> None:
    assert candidate(unheard(APPLY_TRIES + 1, applies=APPLY_TRIES + 1)) == Stageable(NEW, again=True)


def test_applies_that_may_never_have_been_sent_end_without_a_failure() -> None:
    found = candidate(unheard(UNHEARD_APPLIES, applies=UNHEARD_APPLIES))
    assert isinstance(found, Finished)
    assert isinstance(found.outcome, Hold)
    assert found.outcome.reason is Reason.UNCLEAR


@pytest.mark.parametrize("end", [CommandStatus.FAILED, CommandStatus.SUCCESS])
def test_an_apply_that_ran_and_left_the_host_available_failed(end: CommandStatus) -> None:
    why = failure(applied(end, available()))
    assert (why.failure, str(why)) == (
        Failure.APPLY_FAILED,
        "the update could not be staged: no space left on device",
    )


@pytest.mark.parametrize("end", CommandStatus)
def test_no_apply_is_repeated_more_often_than_its_tries(end: CommandStatus) -> None:
    assert failure(applied(end, staged(), applies=APPLY_TRIES)).failure is Failure.APPLY_FAILED


def test_a_host_that_says_nothing_more_after_an_apply_failed() -> None:
    assert failure(gave_up(Problem.FAILED, applies=Applies(1))).failure is Failure.APPLY_FAILED


def test_a_version_that_was_withdrawn_between_check_and_apply_is_a_hold() -> None:
    assert held(applied(CommandStatus.FAILED, idle())) is Reason.WITHDRAWN


def test_a_version_that_was_withdrawn_is_named() -> None:
    found = candidate(instance(says=idle(), progress=RunProgress(applies=Applies(1), offered=NEW)))
    assert found == Held(hold(Reason.WITHDRAWN, version=NEW))


def test_a_host_that_somebody_rebooted_into_our_staged_update_is_up_to_date() -> None:
    assert candidate(instance(says=rebooted(), progress=RunProgress(applies=Applies(1), offered=NEW))) == Finished(
        UpToDate(NEW)
    )


def test_a_version_that_appeared_between_check_and_apply_is_installed() -> None:
    assert candidate(applied(CommandStatus.SUCCESS, ready(NEWER))) == Ready(ready(NEWER), NEWER)


# Holds


def resting(version: Version = NEW, *, minutes: int = 10, rolled_back: bool = False) -> Backoff:
    return Backoff(version, 2, NOW + minutes * MINUTE, "rolled-back" if rolled_back else "apply-failed", rolled_back)


@pytest.mark.parametrize("says", [available(), staged(), ready()])
def test_an_instance_backs_off_after_a_failure_in_every_state(says: HostAnswer) -> None:
    assert held(instance(says=says, backoff=resting())) is Reason.BACKING_OFF


def test_a_backoff_says_until_when_and_why() -> None:
    found = candidate(instance(says=available(), backoff=resting()))
    assert isinstance(found, Held)
    assert (
        str(found.hold)
        == "it is backing off until 2026-03-02 10:10 UTC; failed attempts at 1.21.0: 2 (last: apply-failed)"
    )


def test_a_backoff_forever_names_no_day() -> None:
    found = candidate(instance(says=available(), backoff=resting(rolled_back=True)))
    assert isinstance(found, Held)
    assert str(found.hold).startswith("it is backing off until a person clears it; failed attempts at")


def test_a_backoff_that_is_over_holds_nothing() -> None:
    assert isinstance(candidate(instance(says=ready(), backoff=resting(minutes=0))), Ready)


def test_a_backoff_is_for_one_version_only() -> None:
    assert isinstance(candidate(instance(says=ready(NEWER), backoff=resting(NEW))), Ready)


@pytest.mark.parametrize(("count", "taken"), [(1, True), (2, False), (7, False)])
def test_a_version_that_failed_on_two_instances_is_installed_on_no_other(count: int, *, taken: bool) -> None:
    one = instance(says=ready())
    found = candidate(one, suspects={NEW: count})
    assert isinstance(found, Ready) is taken


def test_tolerating_more_failures_in_a_run_does_not_make_a_version_less_suspect() -> None:
    """`max-failures` and `suspect-after` are two separate settings."""
    one = instance(says=ready())
    assert isinstance(assess(one, Pass(fleet(one, suspects={NEW: 2}), replace(POLICY, max_failures=9))), Held)
    assert isinstance(assess(one, Pass(fleet(one, suspects={NEW: 2}), replace(POLICY, suspect_after=3))), Ready)
    assert isinstance(assess(one, Pass(fleet(one, suspects={NEW: 1}), replace(POLICY, suspect_after=1))), Held)


def test_a_suspect_version_is_named() -> None:
    assert held(instance(says=available()), suspects={NEW: 2}) is Reason.VERSION_SUSPECT


def test_another_version_is_not_suspect() -> None:
    assert isinstance(candidate(instance(says=ready(NEWER)), suspects={NEW: 2}), Ready)


@pytest.mark.parametrize(
    "long",
    [Version(1, 21, 0, build="a" * 40), Version(1, 21, 0, pre="a" * 40)],
    ids=["a long build", "a long pre-release"],
)
def test_a_version_that_does_not_fit_in_a_claim_is_not_started(long: Version) -> None:
    report = ready(long, running=Version(1, 20, 0, pre="b" * 30))
    assert held(instance(says=report)) is Reason.UNCLAIMABLE


# Tasks


@pytest.mark.parametrize(
    ("tasks", "eligible"),
    [
        ((task(),), True),
        ((), True),
        ((STANDALONE,), False),
        ((task(started_by=""),), False),
        ((task(), STANDALONE), False),
    ],
    ids=["only service tasks", "no task", "non service task", "empty startedBy", "mixed"],
)
def test_only_tasks_of_services_may_be_moved(tasks: tuple[Any, ...], *, eligible: bool) -> None:
    """P1, P2 and Eligible: the five scenarios of the predecessor."""
    assert isinstance(candidate(instance(says=ready(), tasks=tasks)), Ready) is eligible


def test_a_standalone_task_keeps_a_host_from_being_staged_too() -> None:
    assert held(instance(says=available(), tasks=(STANDALONE,))) is Reason.STANDALONE_TASK


def test_a_standalone_task_is_named() -> None:
    """P2: the predecessor logs the task's ARN."""
    found = candidate(instance(says=ready(), tasks=(task(), STANDALONE)))
    assert isinstance(found, Held)
    assert str(found.hold) == "it runs a standalone task: family:batch arn:task/batch"


def test_a_task_whose_starter_only_looks_like_a_service_is_standalone() -> None:
    """W16, changed: `startedBy` can be set by any caller of RunTask; the group that ECS derives must agree."""
    assert held(instance(says=ready(), tasks=(task(group="family:batch"),))) is Reason.STANDALONE_TASK


def test_a_daemon_task_does_not_hold_its_host() -> None:
    assert isinstance(candidate(instance(says=ready(), tasks=(task("agent", daemon=True),))), Ready)


def test_an_up_to_date_host_with_a_standalone_task_is_up_to_date() -> None:
    assert candidate(instance(says=idle(), tasks=(STANDALONE,))) == Finished(UpToDate(OLD))


# Outcomes do not change


def test_the_outcome_of_an_instance_does_not_change_in_a_run() -> None:
    updated = Updated(OLD, NEW)
    one = instance(says=available(NEWER), progress=RunProgress(outcome=updated))
    assert candidate(one) == Finished(updated)


def test_an_update_to_a_lower_version_is_a_downgrade() -> None:
    assert (Updated(NEW, OLD).downgrade, Updated(OLD, NEW).downgrade) == (True, False)
