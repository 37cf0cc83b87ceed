"""Drains, returns and dropped claims: the phases DRAINING and RETURNING."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from tests.core.builders import (
    DEAD_RUN,
    HOUR,
    MINUTE,
    NEW,
    NEWER,
    NOW,
    POLICY,
    POLL,
    RUN,
    SECOND,
    a_claim,
    a_return,
    available,
    check_answer,
    claimed,
    drained_by_us,
    fleet,
    idle,
    is_soon,
    pending,
    problem,
    ready,
    rebooted,
    registration,
    staged,
    task,
)
from tests.core.decision.claimed.steps import UPDATED, kinds, next_step
from tests.support.rules import parse_ranges

from bottlerocket_ecs_updater.core.decision.claimed.next_step import proceed
from bottlerocket_ecs_updater.core.decision.decide import decide
from bottlerocket_ecs_updater.core.decision.this_pass import Pass
from bottlerocket_ecs_updater.core.model.claim import ClaimPhase
from bottlerocket_ecs_updater.core.model.command import (
    Check,
    Drain,
    Mark,
    NextStep,
    Note,
    NoteBlockers,
    Reboot,
    Return,
    Unmark,
)
from bottlerocket_ecs_updater.core.model.container_instance import Status, Tasks
from bottlerocket_ecs_updater.core.model.fleet import Durations, Halt
from bottlerocket_ecs_updater.core.model.host_report import HostAnswer, HostReport, Problem
from bottlerocket_ecs_updater.core.model.ids import RunId
from bottlerocket_ecs_updater.core.model.instance import Instance
from bottlerocket_ecs_updater.core.model.reasons import Hold, Reason, hold
from bottlerocket_ecs_updater.core.model.run_command import DocumentKind
from bottlerocket_ecs_updater.core.model.run_progress import RunProgress, SentDrain
from bottlerocket_ecs_updater.core.model.shared import Shared
from bottlerocket_ecs_updater.core.rules.policy import MISSING_LOOKS
from bottlerocket_ecs_updater.core.rules.ruleset import Rules
from bottlerocket_ecs_updater.core.rules.versions import VersionRules


def let_go(step: NextStep) -> Reason:
    """The reason for which an instance's claim was dropped, without another command."""
    (command,) = step.commands
    assert isinstance(command, Unmark), command
    assert isinstance(command.outcome, Hold), command
    assert str(command.outcome)
    assert command.outcome.remedy
    return command.outcome.reason


def given_back(step: NextStep) -> str:
    """Why an instance was returned, with a backoff."""
    commands = [command for command in step.commands if not isinstance(command, NoteBlockers)]
    assert [type(command) for command in commands] == [Return, Note, Unmark]
    command = commands[0]
    assert isinstance(command, Return)
    return str(command.outcome)


def aged(minutes: float, **changes: Any) -> Instance:
    """An instance that this run claimed that long ago."""
    claim = a_claim(since=NOW - minutes * MINUTE)
    return claimed(claim=claim, progress=drained_by_us(claim), **changes)


def of_dead_run(minutes: float = 1, known: datetime = NOW, **changes: Any) -> Instance:
    """An instance whose drain a killed run started, and that this run found."""
    claim = a_claim(run=DEAD_RUN, since=NOW - minutes * MINUTE)
    return claimed(claim=claim, progress=drained_by_us(claim, claimed_at=known), **changes)


# Waiting for it to be empty


def test_an_instance_with_tasks_left_is_waited_for() -> None:
    step = next_step(claimed(tasks=(task(),)))
    assert kinds(step) == []
    assert step.look_at is not None
    assert step.look_at > NOW


@pytest.mark.parametrize("status", ["DEACTIVATING", "STOPPING", "DEPROVISIONING"])
def test_a_task_that_is_stopping_is_left_though_ecs_counts_it_no_more(status: str) -> None:
    """W6, changed: the predecessor listed only tasks that should run, and rebooted hosts with stopping tasks."""
    empty_by_count = replace(claimed(), tasks=Tasks((task(last_status=status),), NOW))
    assert kinds(next_step(empty_by_count)) == []


@pytest.mark.parametrize("counts", [{"running_tasks": 1}, {"pending_tasks": 1}])
def test_a_task_that_ecs_counts_is_left_though_none_was_listed(counts: dict[str, Any]) -> None:
    one = claimed()
    assert one.registration is not None
    assert kinds(next_step(replace(one, registration=replace(one.registration, **counts)))) == []


def test_tasks_that_were_not_listed_yet_are_listed() -> None:
    step = next_step(claimed(tasks=None))
    assert (step.commands, step.wants_tasks, step.look_at) == ((), True, NOW)


def test_an_instance_that_this_look_shows_empty_is_claimed_for_its_reboot_and_then_rebooted() -> None:
    """DrainContainerInstances/no tasks: an empty instance is rebooted immediately."""
    mark, reboot = next_step(claimed()).commands
    assert isinstance(mark, Mark)
    assert isinstance(reboot, Reboot)
    assert (mark.claim.phase, mark.claim.reboots, mark.claim.since) == (ClaimPhase.REBOOTING, 1, NOW)


def test_learned_drain_times_determine_the_spacing_of_looks() -> None:
    def look(took: timedelta, service: str = "web") -> datetime | None:
        began = a_claim(since=NOW)
        one = claimed(claim=began, tasks=(task(),), progress=drained_by_us(began))
        return next_step(one, durations=Durations(stops={service: took})).look_at

    assert look(MINUTE) == NOW + MINUTE - POLL / 2
    # Something may happen that was not expected.
    assert look(10 * MINUTE) == NOW + 24 * POLL
    assert look(MINUTE, "other") == NOW + POLL


def test_no_look_is_later_than_the_drain_limit() -> None:
    claim = a_claim(since=NOW - POLICY.drain_timeout + 3 * SECOND)
    one = claimed(claim=claim, tasks=(task(),), progress=drained_by_us(claim))
    assert next_step(one).look_at == NOW + 3 * SECOND


@pytest.mark.parametrize(
    "tasks",
    [Tasks((), NOW - SECOND, with_stopping=True), Tasks((), NOW)],
    ids=["an earlier look", "without those that are stopping"],
)
def test_stopping_tasks_are_listed_before_the_claim_for_the_reboot(tasks: Tasks) -> None:
    step = next_step(replace(claimed(), tasks=tasks))
    assert (step.commands, step.wants_tasks, step.look_at) == ((), True, NOW)


def test_before_the_claim_it_is_described_once_more() -> None:
    one = claimed()
    assert one.registration is not None
    step = next_step(replace(one, registration=replace(one.registration, at=NOW - SECOND)))
    assert (step.commands, step.wants_tasks, step.look_at) == ((), True, NOW)


# The drain limit


def test_an_instance_that_is_not_empty_at_the_limit_is_returned_to_service() -> None:
    """P6 and Drain/wait tasks stop err: a drain that does not finish is undone."""
    why = given_back(next_step(aged(25, tasks=(task("web"), task("api", "STOPPING")))))
    left = "service:web (RUNNING), service:api (STOPPING)"
    assert why == f"its drain timed out after 25m, so it was returned to service; tasks left: {left}"


def test_a_drain_that_failed_backs_off() -> None:
    note = next_step(aged(25, tasks=(task(),))).commands[2]
    assert isinstance(note, Note)
    assert (note.backoff.version, note.backoff.attempts, note.backoff.rolled_back) == (NEW, 1, False)


def test_the_tasks_that_kept_a_drain_from_its_end_are_remembered() -> None:
    left = (task("web", family="web"), task("api", "STOPPING", family="api"))
    blockers = next_step(aged(25, tasks=left)).commands[0]
    assert isinstance(blockers, NoteBlockers)
    assert blockers.families == {"service:api": "api", "service:web": ""}


def test_the_limit_counts_from_the_claim_of_the_run_that_started_the_drain() -> None:
    assert given_back(next_step(of_dead_run(25, tasks=(task(),)))).startswith("its drain timed out")


def test_the_remaining_tasks_are_read_right_before_the_time_limit() -> None:
    one = aged(25, tasks=(task(),))
    old = replace(one, tasks=Tasks((task(),), NOW - MINUTE))
    assert next_step(old).wants_tasks


def test_an_instance_that_is_empty_at_the_limit_goes_on() -> None:
    assert kinds(next_step(aged(25))) == [Mark, Reboot]


# Before the reboot: is the claimed version still staged?


def test_a_host_that_waited_hours_for_its_tasks_is_checked_again_before_its_reboot() -> None:
    """Somebody may have staged another version in the meantime."""
    long_ago = check_answer(ready(), NOW - POLICY.report_max_age - SECOND)
    assert kinds(next_step(claimed(check_answer=long_ago))) == [Check]
    some_time_ago = check_answer(ready(), NOW - POLICY.report_max_age + SECOND)
    [_, reboot] = next_step(claimed(check_answer=some_time_ago)).commands
    assert isinstance(reboot, Reboot)
    assert reboot.bound


def test_a_host_whose_document_checks_nothing_is_asked_right_before_it_is_rebooted() -> None:
    some_time_ago = check_answer(ready(), NOW - POLICY.staged_report_max_age - SECOND)
    assert kinds(next_step(claimed(check_answer=some_time_ago), plain_reboots=True)) == [Check]
    just_now = claimed(check_answer=check_answer(ready(), NOW - 10 * SECOND))
    [_, reboot] = next_step(just_now, plain_reboots=True).commands
    assert isinstance(reboot, Reboot)
    assert not reboot.bound


def test_a_host_is_checked_while_its_last_tasks_stop() -> None:
    """So that its answer is available, and recent, when the host is empty."""
    one = claimed(tasks=(task(last_status="STOPPING"),), asked=NOW - MINUTE)
    assert one.registration is not None
    stopping = replace(one, registration=replace(one.registration, running_tasks=0))
    assert kinds(next_step(stopping, plain_reboots=True)) == [Check]
    assert kinds(next_step(replace(stopping, pending=pending(DocumentKind.CHECK)), plain_reboots=True)) == []
    assert kinds(next_step(one, plain_reboots=True)) == []
    assert kinds(next_step(stopping)) == []


def test_a_version_that_was_denied_since_the_drain_started_is_returned_to_service() -> None:
    denied = replace(POLICY, rules=Rules(versions=VersionRules(deny=parse_ranges(str(NEW)))))
    one = claimed(tasks=(task(),))
    assert one.claim is not None
    step = proceed(one, one.claim, Pass(fleet(one), denied))
    assert kinds(step) == [Return, Unmark]


@pytest.mark.parametrize(
    ("says", "why"),
    [
        (available(), "it is Available now, not Ready"),
        (staged(), "it is Staged now, not Ready"),
        (idle(), "it is Idle now, not Ready"),
        (ready(NEWER), "it would boot into 1.22.0 now, not 1.21.0"),
    ],
)
def test_a_host_that_changed_while_draining_is_returned_to_service(says: HostAnswer, why: str) -> None:
    """P8, P9 and P12: a host that is no longer Ready is not rebooted."""
    assert given_back(next_step(claimed(says=says))) == f"it was returned to service before the reboot: {why}"


def test_a_host_that_somebody_rebooted_while_draining_is_verified_like_after_our_own_reboot() -> None:
    assert kinds(next_step(claimed(says=rebooted()))) == [Mark]


def test_a_run_waits_for_a_disconnected_agent_because_its_tasks_are_outdated() -> None:
    step = next_step(claimed(connected=False))
    assert (step.commands, is_soon(step.look_at)) == ((), True)


def test_a_host_whose_agent_stays_away_is_returned_to_service_unrebooted() -> None:
    why = given_back(next_step(aged(25, connected=False)))
    assert why == "it was returned to service before the reboot: its ECS agent is disconnected"


# Finishing what a killed run began


def test_the_host_of_a_dead_run_is_checked_first() -> None:
    assert kinds(next_step(of_dead_run())) == [Check]


def test_the_host_of_a_dead_run_is_checked_even_if_its_drain_started_long_ago() -> None:
    assert kinds(next_step(of_dead_run(12 * 60))) == [Check]


def test_the_update_of_a_dead_run_continues_once_its_host_has_answered() -> None:
    one = of_dead_run(12 * 60, known=NOW - MINUTE, asked=NOW - 10 * SECOND)
    mark, _ = next_step(one).commands
    assert isinstance(mark, Mark)
    assert (mark.claim.run, mark.claim.phase) == (RUN, ClaimPhase.REBOOTING)


def test_an_answer_from_before_the_claim_was_found_does_not_count() -> None:
    assert kinds(next_step(of_dead_run(known=NOW - MINUTE, asked=NOW - HOUR))) == [Check]


def test_a_host_of_a_dead_run_that_answers_nothing_is_returned_to_service_in_the_end() -> None:
    one = of_dead_run(
        12 * 60, known=NOW - POLICY.drain_timeout, says=problem(Problem.FAILED, "exit 1: no route"), asked=NOW - MINUTE
    )
    why = given_back(next_step(one))
    assert why == "it was returned to service before the reboot: its update check failed: exit 1: no route"


def test_a_host_of_a_dead_run_that_was_never_drained_is_dropped_and_open_again() -> None:
    one = of_dead_run(status=Status.ACTIVE, known=NOW - MINUTE)
    assert next_step(one).commands == (Unmark(one.id, None, took_slot=False),)


def test_it_is_dropped_only_when_no_reader_can_lag_behind_its_drain() -> None:
    step = next_step(of_dead_run(status=Status.ACTIVE))
    assert (step.commands, is_soon(step.look_at)) == ((), True)


# Claimed but not drained


def marked_only(minutes: float = 0, **changes: Any) -> Instance:
    """An instance that this run claimed, and whose drain was rejected or not sent."""
    claim = a_claim(since=NOW - minutes * MINUTE)
    progress = RunProgress(claimed_at=claim.since, claim_seen=True)
    return claimed(claim=claim, progress=progress, **{"status": Status.ACTIVE, **changes})


def decided(one: Instance, *others: Instance, **changes: Any) -> NextStep:
    return decide(fleet(one, *others, **changes), POLICY).steps[one.id]


def test_a_drain_that_was_not_sent_is_sent() -> None:
    assert kinds(decided(marked_only())) == [Drain]


@pytest.mark.parametrize(
    "changes",
    [
        {"halt": Halt("two failed")},
        {"shared": Shared(paused="by somebody")},
        {"stopping": "SIGTERM"},
        {"blocked": "denied"},
    ],
)
def test_a_drain_that_was_not_sent_waits_in_line_again_where_it_may_not_start_now(changes: dict[str, Any]) -> None:
    step = decided(marked_only(), **changes)
    assert kinds(step) == [Unmark]
    assert step.hold is not None


def test_a_drain_that_was_not_sent_waits_again_if_its_slot_was_taken() -> None:
    """The reply to its claim was lost, and another instance was drained before a look showed the claim."""
    other = claimed("i-b", a_claim(), status=Status.DRAINING)
    assert kinds(decided(marked_only(), other)) == [Unmark]


def test_an_instance_is_not_drained_before_a_look_shows_its_claim() -> None:
    """The reply to the claim was lost: the claim may never have reached the instance."""
    unseen = replace(marked_only(1), claim_on_instance=False)
    assert kinds(decided(unseen)) == [Unmark]
    just_now = replace(unseen, claim=a_claim(since=NOW - 5 * SECOND))
    assert kinds(decided(just_now)) == []


def test_nothing_is_drained_on_looks_that_are_not_fresh() -> None:
    one = marked_only()
    assert one.registration is not None
    old = replace(one, registration=replace(one.registration, at=NOW - 6 * SECOND))
    assert kinds(decided(old, full_at=NOW - MINUTE)) == []


def unclear_drain(seconds: int) -> Instance:
    """An instance with a drain of which only the time is known."""
    one = marked_only()
    return replace(one, progress=replace(one.progress, drain=SentDrain(NOW - seconds * SECOND)))


def test_a_drain_that_may_have_been_sent_is_waited_for() -> None:
    """W21, changed: a drain that raised an error after it took effect is neither repeated blindly nor forgotten."""
    assert kinds(next_step(unclear_drain(5))) == []


def test_a_run_waits_for_a_drain_as_long_as_ecs_may_lag() -> None:
    """Found by the soak: looks two seconds apart, whose data was eight seconds old, made a drain seem undone."""
    one = unclear_drain(8)
    drained = replace(one, progress=replace(one.progress, drain_seen=True))
    assert drained.claim is not None
    close = replace(POLICY, poll_interval=2 * SECOND)
    assert kinds(proceed(drained, drained.claim, Pass(fleet(drained), close))) == []


def test_a_drain_that_no_look_shows_is_sent_again() -> None:
    assert kinds(next_step(unclear_drain(20))) == [Drain]


def test_a_drain_that_never_comes_is_dropped_at_the_limit() -> None:
    assert let_go(decided(marked_only(25))) is Reason.UNCLEAR
    unclear = next_step(replace(unclear_drain(20), claim=a_claim(since=NOW - 25 * MINUTE)))
    assert kinds(unclear) == [Return, Unmark], "the drain may have taken effect after all"


# Other people


def test_an_instance_that_somebody_else_drained_between_our_claim_and_our_drain_is_theirs() -> None:
    assert let_go(next_step(marked_only(status=Status.DRAINING))) is Reason.DRAINED_BY_OTHERS


def test_an_instance_that_somebody_returned_while_we_drained_it_is_dropped() -> None:
    step = next_step(claimed(status=Status.ACTIVE))
    assert kinds(step) == [Return, Unmark], "the read may be from before our drain, however old reads should be"
    assert [getattr(command, "outcome", None) for command in step.commands] == [hold(Reason.RETURNED_BY_OTHERS)] * 2


def test_a_look_from_before_the_drain_does_not_show_a_return_by_somebody_else() -> None:
    claim = a_claim(since=NOW - POLICY.stale_at_most + SECOND)
    assert kinds(next_step(claimed(claim=claim, status=Status.ACTIVE, progress=drained_by_us(claim)))) == []


def test_a_look_from_before_the_claim_does_not_show_that_somebody_removed_it() -> None:
    """It was let go as DRAINING, and nobody knew any more who had drained it. No reboot follows either."""
    one = claimed()
    young = replace(one.progress, claim_absent_looks=2, phase_seen_at=NOW - POLICY.stale_at_most + SECOND)
    assert kinds(next_step(replace(one, progress=young))) == []
    assert kinds(next_step(replace(one, progress=replace(young, phase_seen_at=NOW - POLICY.stale_at_most)))) == [Unmark]


@pytest.mark.parametrize(("looks", "gone"), [(0, False), (1, False), (2, True)])
def test_a_claim_that_somebody_removed_is_noticed_when_two_looks_agree(looks: int, *, gone: bool) -> None:
    one = claimed(tasks=(task(),))
    step = next_step(replace(one, progress=replace(one.progress, claim_absent_looks=looks)))
    assert bool(step.commands) is gone
    assert not gone or let_go(step) is Reason.CLAIM_REMOVED


MISSED = {"claim_absent_looks": 2, "doubted_since": NOW - MINUTE, "doubted_at": NOW}


def missed(says: HostReport, asked: datetime = NOW - 5 * SECOND, **progress: Any) -> Instance:
    """A drained host without tasks, whose claim was missed first a minute ago."""
    one = claimed(says=says, asked=asked)
    return replace(one, progress=replace(one.progress, **{**MISSED, **progress}))


@pytest.mark.parametrize("survive", [True, False])
def test_a_claim_that_a_boot_during_the_drain_lost_is_still_ours(*, survive: bool) -> None:
    """A person rebooted the host. It was let go as DRAINING, and nobody knew any more who had drained it."""
    (mark,) = next_step(missed(rebooted()), attributes_survive=survive).commands
    assert isinstance(mark, Mark)


@pytest.mark.parametrize("survive", [True, False])
def test_a_host_is_asked_for_its_boot_before_its_claim_counts_as_deleted(*, survive: bool) -> None:
    old = missed(ready(), asked=NOW - 2 * MINUTE)
    assert kinds(next_step(old, attributes_survive=survive)) == [Check]
    assert let_go(next_step(missed(ready()), attributes_survive=survive)) is Reason.CLAIM_REMOVED


def test_a_host_that_cannot_be_asked_for_its_boot_is_not_let_go() -> None:
    old = missed(ready(), asked=NOW - 2 * MINUTE)
    assert old.registration is not None
    away = replace(old, registration=replace(old.registration, connected=False))
    assert Unmark not in kinds(next_step(away))
    assert Unmark not in kinds(next_step(replace(old, check_denied=True)))


def test_an_instance_whose_claim_was_removed_is_left_as_it_is() -> None:
    one = claimed()
    step = next_step(replace(one, progress=replace(one.progress, claim_absent_looks=2)))
    assert kinds(step) == [Unmark]


# Returning


def returning(seconds: int, *, confirmed: bool, status: Status = Status.DRAINING) -> Instance:
    """An instance that we set ACTIVE that long ago."""
    claim = a_claim(ClaimPhase.REBOOTING)
    progress = drained_by_us(claim, sent_return=a_return(NOW - seconds * SECOND, UPDATED, confirmed=confirmed))
    return claimed(claim=claim, says=rebooted(), status=status, progress=progress)


def test_an_instance_that_is_seen_active_is_unclaimed_and_keeps_its_slot() -> None:
    one = returning(5, confirmed=True, status=Status.ACTIVE)
    assert next_step(one).commands == (Unmark(one.id, UPDATED, took_slot=True),)


@pytest.mark.parametrize("confirmed", [True, False])
def test_a_claim_is_not_removed_before_the_instance_is_seen_active(*, confirmed: bool) -> None:
    step = next_step(returning(5, confirmed=confirmed))
    assert (step.commands, is_soon(step.look_at)) == ((), True)


def test_a_return_that_may_have_been_lost_is_sent_again() -> None:
    one = returning(20, confirmed=False)
    assert next_step(one).commands == (Return(one.id, UPDATED), Unmark(one.id, UPDATED, took_slot=True))


def test_an_instance_that_somebody_drained_right_after_we_returned_it_is_theirs() -> None:
    one = returning(20, confirmed=True)
    assert next_step(one).commands == (Unmark(one.id, UPDATED, took_slot=False),)


# Instances that are gone


def missing(looks: int, phase: ClaimPhase = ClaimPhase.DRAINING, minutes: float = 1) -> Instance:
    claim = a_claim(phase, since=NOW - minutes * MINUTE)
    progress = drained_by_us(claim, missing_looks=looks)
    return claimed(claim=claim, progress=progress, registration=None)


@pytest.mark.parametrize("phase", ClaimPhase)
def test_one_look_that_misses_an_instance_is_not_enough(phase: ClaimPhase) -> None:
    step = next_step(missing(MISSING_LOOKS - 1, phase))
    assert (step.commands, step.wants_listing) == ((), True)


def test_an_instance_that_left_the_cluster_is_dropped() -> None:
    """P15, ActivateInstance/api fail inactive and W11: both INACTIVE and MISSING are tolerated."""
    assert let_go(next_step(missing(MISSING_LOOKS))) is Reason.GONE


def test_an_instance_that_is_inactive_is_gone_too() -> None:
    """ActivateInstance/api fail inactive."""
    one = claimed(registration=registration("i-a", status=Status.INACTIVE))
    gone = replace(one, progress=replace(one.progress, missing_looks=MISSING_LOOKS))
    assert let_go(next_step(gone)) is Reason.GONE


def test_a_rebooting_host_may_come_back_under_a_new_registration() -> None:
    step = next_step(missing(MISSING_LOOKS + 5, ClaimPhase.REBOOTING))
    assert (step.commands, step.wants_listing) == ((), True)


def test_a_rebooting_host_that_does_not_come_back_in_a_while_is_gone() -> None:
    assert let_go(next_step(missing(MISSING_LOOKS + 5, ClaimPhase.REBOOTING, minutes=10))) is Reason.GONE


@pytest.mark.parametrize("phase", ClaimPhase)
def test_an_instance_that_is_listed_but_not_described_is_not_gone(phase: ClaimPhase) -> None:
    """A batch fails in part, which must not lose the claim."""
    one = replace(missing(MISSING_LOOKS + 5, phase, minutes=60), undescribed="SERVER: try again")
    step = next_step(one, started_at=NOW - MINUTE)
    assert (step.commands, step.wants_listing) == ((), True)
    assert step.hold is not None
    assert step.hold.reason is Reason.NOT_DESCRIBED


def test_a_run_does_not_wait_forever_for_a_description() -> None:
    one = replace(missing(0, minutes=3 * 60), undescribed="SERVER: try again")
    step = next_step(one, started_at=NOW - 30 * MINUTE)
    assert (step.commands, step.look_at) == ((), None)


@pytest.mark.parametrize("phase", ClaimPhase)
def test_an_unreadable_claim_on_the_instance_is_held_even_if_the_store_has_a_claim(phase: ClaimPhase) -> None:
    one = claimed(claim=a_claim(phase, run=DEAD_RUN), claim_unreadable="not a claim: '2 …'")
    step = next_step(one)
    assert (step.commands, step.look_at) == ((), None)
    assert step.hold is not None
    assert step.hold.reason is Reason.CLAIM_UNREADABLE


# Transitional states


BETWEEN = (Status.REGISTERING, Status.DEREGISTERING, Status.REGISTRATION_FAILED, Status.OTHER)


@pytest.mark.parametrize("status", BETWEEN)
@pytest.mark.parametrize("phase", [ClaimPhase.DRAINING, ClaimPhase.REBOOTING])
@pytest.mark.parametrize("run", [RUN, DEAD_RUN])
def test_an_instance_in_a_transitional_status_is_read_again_for_a_while(
    status: Status, phase: ClaimPhase, run: RunId
) -> None:
    one = claimed("i-a", a_claim(phase, run=run), rebooted(), status=status)
    step = next_step(one)
    assert kinds(step) == []
    assert step.look_at is not None
    assert step.hold is not None
    assert (step.hold.reason, dict(step.hold.facts)) == (Reason.NOT_ACTIVE, {"status": status.value})


@pytest.mark.parametrize("run", [RUN, DEAD_RUN])
def test_an_instance_in_a_transitional_status_keeps_its_claim_for_the_next_run(run: RunId) -> None:
    claim = a_claim(run=run, since=NOW - HOUR)
    progress = replace(drained_by_us(claim), claimed_at=NOW - HOUR)
    step = next_step(claimed("i-a", claim, status=Status.REGISTRATION_FAILED, progress=progress))
    assert (kinds(step), step.look_at) == ([], None)
    assert step.hold is not None


@pytest.mark.parametrize("status", BETWEEN)
def test_a_quarantined_host_that_is_healthy_is_not_returned_while_ecs_would_refuse_it(status: Status) -> None:
    claim = a_claim(ClaimPhase.QUARANTINED, run=DEAD_RUN)
    progress = replace(drained_by_us(claim), connected_looks=5)
    well = {one: claimed("i-a", claim, rebooted(), status=one, asked=NOW, progress=progress) for one in Status}
    assert Return not in kinds(next_step(well[status]))
    assert Return in kinds(next_step(well[Status.DRAINING]))
