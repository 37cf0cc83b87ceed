"""From the claim for a reboot to the return: the phases REBOOTING, VERIFYING and QUARANTINED."""

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
    OLD,
    POLICY,
    POLL,
    RUN,
    SECOND,
    a_claim,
    a_new_boot,
    acceptance,
    available,
    claimed,
    drained_by_us,
    fleet,
    idle,
    is_soon,
    marked,
    pending,
    problem,
    ready,
    rebooted,
    refusal,
    sent_reboot,
    staged,
    task,
    unknown_end,
)
from tests.core.decision.claimed.steps import UPDATED, kinds, next_step
from tests.support.rules import parse_ranges

from bottlerocket_ecs_updater.core.decision.claimed.next_step import proceed
from bottlerocket_ecs_updater.core.decision.this_pass import Pass
from bottlerocket_ecs_updater.core.model.claim import Claim, ClaimPhase
from bottlerocket_ecs_updater.core.model.command import (
    Cancel,
    Check,
    Conclude,
    Mark,
    NextStep,
    Note,
    Quarantine,
    Reboot,
    Return,
    Unmark,
)
from bottlerocket_ecs_updater.core.model.container_instance import Status, Tasks
from bottlerocket_ecs_updater.core.model.host_report import HostAnswer, Problem
from bottlerocket_ecs_updater.core.model.ids import CommandId, ContainerInstanceArn, RunId
from bottlerocket_ecs_updater.core.model.instance import Instance
from bottlerocket_ecs_updater.core.model.outcome import Quarantined, Updated
from bottlerocket_ecs_updater.core.model.reasons import Failed, Failure, Hold, Reason, failed
from bottlerocket_ecs_updater.core.model.reboots import COMMAND_LIFE, FIRST_RUN, INHIBITED_FOR, RebootEnd, SentReboot
from bottlerocket_ecs_updater.core.model.run_command import DocumentKind
from bottlerocket_ecs_updater.core.model.run_progress import SentDrain
from bottlerocket_ecs_updater.core.rules.policy import CHECK_TRIES, CONNECTED_LOOKS, REBOOT_MARKS, REBOOT_TRIES
from bottlerocket_ecs_updater.core.rules.ruleset import Rules
from bottlerocket_ecs_updater.core.rules.versions import VersionRules


def waits(step: NextStep) -> bool:
    """Whether nothing is done now, and another look follows."""
    return not step.commands and step.look_at is not None


def returned(step: NextStep) -> object:
    """The outcome of an instance that is set ACTIVE."""
    command = next(command for command in step.commands if isinstance(command, Return))
    return command.outcome


def failure(step: NextStep) -> Failed:
    found = returned(step)
    assert isinstance(found, Failed), found
    assert found.remedy
    return found


def reason(step: NextStep) -> Reason:
    """The reason for which an instance was returned, or its claim dropped."""
    command = next(command for command in step.commands if isinstance(command, Return | Unmark))
    assert isinstance(command.outcome, Hold), command
    assert str(command.outcome)
    return command.outcome.reason


def rebooting(
    claim: Claim | None = None, *, sent: datetime | None = None, away: datetime | None = None, **changes: Any
) -> Instance:
    """An instance that is claimed for its reboot, which was `sent` at that time; its agent was seen `away` at that
    time.
    """
    mine = claim or a_claim(ClaimPhase.REBOOTING)
    progress = replace(drained_by_us(mine, reboot_sent_at=sent, away_at=away), **changes.pop("progress", {}))
    asked = NOW - HOUR if sent is not None or away is not None else NOW - 5 * SECOND
    reboots = (sent_reboot(sent),) if sent is not None else ()
    return claimed(claim=mine, progress=progress, **{"asked": asked, "reboots": reboots, **changes})


def sent(minutes: float = 1, **changes: Any) -> Instance:
    """An instance whose reboot was sent that long ago, and is pending as far as is known."""
    when = NOW - minutes * MINUTE
    return rebooting(a_claim(ClaimPhase.REBOOTING, since=when), sent=when, **changes)


# The last look before the reboot


def test_a_claimed_empty_draining_instance_is_rebooted() -> None:
    assert kinds(next_step(rebooting())) == [Reboot]


@pytest.mark.parametrize("status", [status for status in Status if status is not Status.DRAINING])
def test_an_instance_that_is_not_draining_is_not_rebooted(status: Status) -> None:
    assert Reboot not in kinds(next_step(rebooting(status=status)))


@pytest.mark.parametrize("last_status", ["RUNNING", "STOPPING", "DEPROVISIONING"])
def test_an_instance_with_a_task_that_is_not_stopped_is_not_rebooted(last_status: str) -> None:
    assert waits(next_step(rebooting(tasks=(task(last_status=last_status),))))


@pytest.mark.parametrize("counts", [{"running_tasks": 1}, {"pending_tasks": 1}])
def test_an_instance_on_which_ecs_counts_a_task_is_not_rebooted(counts: dict[str, Any]) -> None:
    one = rebooting()
    assert one.registration is not None
    assert waits(next_step(replace(one, registration=replace(one.registration, **counts))))


def test_an_instance_whose_agent_is_away_is_not_rebooted() -> None:
    assert waits(next_step(rebooting(connected=False)))


def test_an_instance_is_not_rebooted_on_the_strength_of_an_old_description() -> None:
    one = rebooting()
    assert one.registration is not None
    step = next_step(replace(one, registration=replace(one.registration, at=NOW - SECOND)))
    assert (step.commands, step.wants_tasks, step.look_at) == ((), True, NOW)


@pytest.mark.parametrize("tasks", [None, Tasks((), NOW - SECOND, with_stopping=True), Tasks((), NOW)])
def test_an_instance_is_not_rebooted_on_the_strength_of_old_tasks(tasks: Tasks | None) -> None:
    step = next_step(replace(rebooting(), tasks=tasks))
    assert (step.commands, step.wants_tasks, step.look_at) == ((), True, NOW)


def test_a_host_is_checked_again_before_the_reboot_if_its_answer_is_not_recent() -> None:
    """Somebody may have staged another version since."""
    assert kinds(next_step(rebooting(asked=NOW - MINUTE), plain_reboots=True)) == [Check]
    assert kinds(next_step(rebooting(asked=NOW - MINUTE))) == [Reboot]


def test_an_answer_that_took_long_is_good_while_it_is_fresh() -> None:
    one = rebooting(asked=NOW - 40 * SECOND)
    assert one.check_answer is not None
    assert kinds(next_step(replace(one, check_answer=replace(one.check_answer, at=NOW - SECOND)))) == [Reboot]


@pytest.mark.parametrize("stalled", [timedelta(0), 20 * SECOND, MINUTE])
def test_a_reboot_that_was_not_sent_does_not_excuse_from_the_check_of_a_plain_one(stalled: timedelta) -> None:
    """The bound one may have stalled first, on a report that was recent enough for it."""
    one = rebooting(asked=NOW - 2 * MINUTE, progress={"stalled_since": NOW - stalled})
    assert kinds(next_step(one, plain_reboots=True)) == [Check]
    assert kinds(next_step(one)) == [Reboot]


@pytest.mark.parametrize("says", [staged(), available(), idle(), ready(NEWER)])
def test_a_host_that_would_boot_into_something_else_by_now_is_returned_to_service(says: HostAnswer) -> None:
    assert reason(next_step(rebooting(says=says))) is Reason.CHANGED_WHILE_DRAINING


def test_a_version_that_was_denied_after_the_claim_is_not_booted() -> None:
    denied = replace(POLICY, rules=Rules(versions=VersionRules(deny=parse_ranges(str(NEW)))))
    one = rebooting()
    assert one.claim is not None
    step = proceed(one, one.claim, Pass(fleet(one), denied))
    assert (kinds(step), reason(step)) == ([Return, Unmark], Reason.VERSION_DENIED)


def test_a_version_that_failed_on_others_since_is_not_booted() -> None:
    step = next_step(rebooting(), suspects={NEW: 2})
    assert (kinds(step), reason(step)) == ([Return, Unmark], Reason.VERSION_SUSPECT)


def test_an_instance_that_somebody_returned_before_its_reboot_is_dropped() -> None:
    assert reason(next_step(rebooting(status=Status.ACTIVE))) is Reason.RETURNED_BY_OTHERS


def test_a_look_that_may_be_older_than_the_drain_does_not_show_a_return_by_somebody_else() -> None:
    one = rebooting(status=Status.ACTIVE)
    drained = replace(one, progress=replace(one.progress, drain=SentDrain(NOW - POLICY.stale_at_most + SECOND)))
    assert waits(next_step(drained))
    drained = replace(one, progress=replace(one.progress, drain=SentDrain(NOW - POLICY.stale_at_most)))
    assert reason(next_step(drained)) is Reason.RETURNED_BY_OTHERS


def test_an_instance_whose_claim_somebody_removed_before_its_reboot_is_dropped() -> None:
    assert reason(next_step(rebooting(progress={"claim_absent_looks": 2}))) is Reason.CLAIM_REMOVED


OVERDUE = a_claim(ClaimPhase.REBOOTING, since=NOW - POLICY.reboot_timeout)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        (
            {"tasks": (task(),)},
            "its drain timed out after 25m, so it was returned to service; tasks left: service:web (RUNNING)",
        ),
        ({"connected": False}, "it was returned to service before the reboot: its ECS agent is disconnected"),
        (
            {},
            "it was returned to service before the reboot: no reboot could be sent to it within 20m",
        ),
    ],
    ids=["tasks", "agent", "not sent"],
)
def test_an_instance_that_could_never_be_rebooted_is_returned_with_the_reason(
    changes: dict[str, Any], why: str
) -> None:
    assert str(returned(next_step(rebooting(OVERDUE, **changes)))) == why


# While the host is away


def test_a_reboot_that_was_just_sent_is_left_alone() -> None:
    step = next_step(sent(0))
    assert waits(step)
    assert step.look_at is not None
    assert step.look_at > NOW + POLL


def test_the_result_of_a_reboot_command_is_read_before_the_agent_can_run_it_again() -> None:
    step = next_step(rebooting(), plain_reboots=True)
    assert (kinds(step), step.wants_reboot_end) == ([Reboot], True)
    assert step.look_at is not None
    assert step.look_at < NOW + FIRST_RUN
    assert next_step(sent(0.1, connected=False)).wants_reboot_end
    asked = sent_reboot(NOW - MINUTE, end_asked_at=NOW - 50 * SECOND)
    assert not next_step(sent(1, connected=False, reboots=(asked,))).wants_reboot_end


def test_the_result_of_a_bound_reboot_is_read_only_if_the_host_stays_on_its_boot() -> None:
    bound = sent_reboot(NOW - 2 * MINUTE, bound=True)
    assert not next_step(rebooting()).wants_reboot_end
    assert not next_step(sent(1, connected=False, reboots=(bound,))).wants_reboot_end
    assert next_step(sent(2, says=ready(), asked=NOW - SECOND, reboots=(bound,))).wants_reboot_end


def test_a_disconnected_host_is_not_checked() -> None:
    assert waits(next_step(sent(1, connected=False)))


def test_a_host_that_is_away_for_long_may_have_a_new_registration() -> None:
    assert next_step(sent(5, connected=False)).wants_listing


def test_a_host_that_came_back_is_checked() -> None:
    assert kinds(next_step(sent(2, away=NOW - MINUTE))) == [Check]


def test_a_host_that_came_back_gets_one_check_at_a_time() -> None:
    assert waits(next_step(sent(2, away=NOW - MINUTE, pending=pending(DocumentKind.CHECK))))


def test_a_host_that_came_back_without_a_report_is_checked_again() -> None:
    one = sent(3, away=NOW - 2 * MINUTE, says=problem(Problem.NO_ANSWER), asked=NOW - MINUTE)
    assert kinds(next_step(one)) == [Check]


def test_a_host_that_was_never_seen_away_is_checked_after_a_while() -> None:
    """The agent's connection may miss a fast reboot altogether."""
    assert kinds(next_step(sent(2))) == [Check]


def test_a_host_whose_agent_flapped_without_a_reboot_is_not_checked_at_every_look() -> None:
    taken = sent_reboot(NOW - 5 * MINUTE, acceptance(NOW - 5 * MINUTE))
    one = sent(5, away=NOW - 4 * MINUTE, says=ready(), asked=NOW - 10 * SECOND, reboots=(taken,))
    assert waits(next_step(one))


# Old boot: rejected, undelivered, or never happening


def old_boot(
    end: RebootEnd | None, *, minutes: float = 1, reboots: int = 1, says: HostAnswer | None = None, **changes: Any
) -> Instance:
    """A host that answered from its old boot. Its reboot command ended like this; None if it is pending."""
    when = NOW - minutes * MINUTE
    claim = a_claim(ClaimPhase.REBOOTING, since=when, reboots=reboots)
    asked = changes.pop("asked", NOW - 15 * SECOND)
    command = sent_reboot(when, end, end_asked_at=NOW)
    changes = {"reboots": (command,), **changes}
    return rebooting(claim, sent=when, says=says or ready(), asked=asked, **changes)


def refused(seconds: float = 50) -> RebootEnd:
    return refusal(NOW - seconds * SECOND)


QUIET = COMMAND_LIFE + INHIBITED_FOR
"""After a reboot was sent and it is not known whether the host accepted it."""


def test_a_reboot_that_was_refused_is_claimed_once_more() -> None:
    (mark,) = next_step(old_boot(refused())).commands
    assert isinstance(mark, Mark)
    assert (mark.claim.phase, mark.claim.reboots) == (ClaimPhase.REBOOTING, 2)


DELETED: dict[str, Any] = {"claim_absent_looks": 2, "doubted_since": NOW - 20 * SECOND, "doubted_at": NOW}
"""A person deleted the claim, and the host has answered since."""


def deleted(**progress: Any) -> Instance:
    return old_boot(refused(120), minutes=3, progress={**DELETED, **progress})


@pytest.mark.parametrize("end", [refused(120), acceptance(), None])
@pytest.mark.parametrize("minutes", [3, 60])
def test_a_host_whose_claim_somebody_deletes_while_it_stays_on_its_boot_is_theirs(
    end: RebootEnd | None, minutes: float
) -> None:
    one = old_boot(end, minutes=minutes, progress=DELETED)
    assert reason(next_step(one)) is Reason.CLAIM_REMOVED


def test_no_other_reboot_follows_a_single_look_without_the_claim() -> None:
    assert waits(next_step(deleted(claim_absent_looks=1)))


def test_a_host_that_may_have_booted_before_its_claim_was_missing_is_checked_first() -> None:
    assert kinds(next_step(deleted(doubted_since=NOW - 10 * SECOND))) == [Check]


@pytest.mark.parametrize("survive", [True, False])
def test_an_agent_that_registers_again_may_lose_the_claim_unless_attributes_survive(survive: bool) -> None:
    one = replace(deleted(away_at=NOW - MINUTE), check_answer=deleted().check_answer)
    step = next_step(one, attributes_survive=survive)
    assert (Unmark in kinds(step)) is survive


def test_no_other_reboot_follows_if_another_run_has_claimed_the_host() -> None:
    assert waits(next_step(old_boot(refused(), progress={"overwritten_looks": 1, "overwritten_by": "z"})))


def test_an_accepted_reboot_is_not_requested_again() -> None:
    """An inhibitor may delay a shutdown by five minutes."""
    assert Mark not in kinds(next_step(old_boot(acceptance(), minutes=10)))


def test_a_second_reboot_is_not_requested_too_early() -> None:
    assert Mark not in kinds(next_step(old_boot(refused(10), minutes=0.3)))


def test_an_answer_from_before_the_refusal_proves_nothing() -> None:
    assert Mark not in kinds(next_step(old_boot(refused(1))))


@pytest.mark.parametrize("end", [unknown_end(NOW - MINUTE), None])
def test_a_reboot_that_may_still_happen_is_not_repeated(end: RebootEnd | None) -> None:
    """An Undeliverable command may have been delivered, and an inhibitor may delay its shutdown."""
    assert Mark not in kinds(next_step(old_boot(end, minutes=7)))
    assert kinds(next_step(old_boot(end, minutes=8))) == [Mark]


def unheard(minutes: float, **changes: Any) -> Instance:
    """An old boot, and a reboot command whose SendCommand got no reply and that was never found."""
    lost = sent_reboot(NOW - minutes * MINUTE, command=CommandId(""), end_asked_at=NOW)
    return replace(old_boot(None, minutes=minutes, **changes), reboots=(lost,))


def test_a_reboot_that_may_have_been_sent_is_not_repeated_while_it_may_be_listed() -> None:
    assert Mark not in kinds(next_step(unheard(1)))


def test_a_reboot_that_may_have_been_sent_and_is_not_listed_is_claimed_once_more() -> None:
    assert kinds(next_step(unheard(2))) == [Mark]


def test_the_end_of_a_reboot_command_is_read_if_the_old_boot_answers() -> None:
    one = old_boot(None)
    unasked = replace(one.reboots[0], end_asked_at=None)
    step = next_step(replace(one, reboots=(unasked,)))
    assert (step.commands, step.wants_reboot_end, step.look_at) == ((), True, NOW)


def test_the_end_of_a_reboot_command_is_read_once_per_answer() -> None:
    assert not next_step(old_boot(None)).wants_reboot_end


def test_a_host_that_goes_down_late_gets_no_second_reboot_command() -> None:
    assert waits(next_step(old_boot(refused(), connected=False)))


def test_a_host_that_went_down_late_is_checked_when_it_is_back_and_not_rebooted_again() -> None:
    assert kinds(next_step(old_boot(refused(), away=NOW - 10 * SECOND))) == [Check]


def test_a_host_that_disconnected_between_its_claim_and_its_reboot_is_checked_first() -> None:
    """Somebody else may have rebooted it."""
    assert kinds(next_step(rebooting(away=NOW - 30 * SECOND))) == [Check]


def test_a_host_that_refuses_every_time_is_returned_to_service_and_named() -> None:
    why = failure(next_step(old_boot(refused(), reboots=REBOOT_TRIES)))
    assert (why.failure, str(why)) == (
        Failure.REBOOT_REFUSED,
        "it rejected the reboot command: Status 500 when POSTing /actions/reboot",
    )


def test_a_host_that_the_reboot_does_not_reach_is_returned_to_service_and_not_called_unwilling() -> None:
    one = old_boot(unknown_end(NOW - 7 * MINUTE), minutes=8, reboots=REBOOT_TRIES)
    assert failure(next_step(one)).failure is Failure.NEVER_REBOOTED


def test_a_host_for_which_aws_never_said_that_it_took_a_reboot_is_not_to_blame() -> None:
    sent_at = (NOW - minutes * MINUTE for minutes in (19, 18, 17))
    lost = tuple(replace(sent_reboot(at, end_asked_at=NOW), command=CommandId("")) for at in sent_at)
    one = replace(old_boot(unknown_end(NOW - 7 * MINUTE), minutes=8, reboots=REBOOT_TRIES), reboots=lost)
    assert reason(next_step(one)) is Reason.CHANGED_WHILE_DRAINING


def test_no_instance_is_returned_to_service_while_a_reboot_may_still_happen() -> None:
    """At the limit, after the last try, and if AWS denies a call."""
    short = replace(POLICY, reboot_timeout=2 * MINUTE)
    open_ = old_boot(None, minutes=3)
    tried = old_boot(unknown_end(NOW - MINUTE), minutes=7, reboots=REBOOT_TRIES)
    for one, policy, changes in ((open_, short, {}), (tried, POLICY, {}), (open_, POLICY, {"blocked": "not allowed"})):
        assert one.claim is not None
        step = proceed(one, one.claim, Pass(fleet(one, **changes), policy))
        assert Return not in kinds(step)
        assert step.look_at is not None


def test_it_is_returned_to_service_as_soon_as_none_can_strike_any_more() -> None:
    over = old_boot(None, minutes=20, asked=NOW - SECOND)
    assert kinds(next_step(over)) == [Cancel, Return, Note, Unmark]
    blocked = old_boot(None, minutes=QUIET / MINUTE, asked=NOW)
    assert kinds(next_step(blocked, blocked="not allowed")) == [Cancel, Return, Unmark]


def test_a_pending_reboot_is_cancelled_and_its_effect_awaited() -> None:
    short = replace(POLICY, reboot_timeout=2 * MINUTE)
    one = old_boot(None, minutes=3)
    assert one.claim is not None
    step = proceed(one, one.claim, Pass(fleet(one), short))
    assert (kinds(step), step.wants_reboot_end) == ([Cancel], True)
    again = replace(one, reboots=(replace(one.reboots[0], cancelled=True),))
    assert kinds(proceed(again, one.claim, Pass(fleet(again), short))) == []


def test_a_host_that_accepted_a_reboot_but_did_not_go_down_is_quarantined_at_the_limit() -> None:
    """The shutdown is pending for an unknown reason: it would kill tasks on the host."""
    command = quarantine_of(next_step(old_boot(acceptance(NOW - 19 * MINUTE), minutes=20)))
    assert str(command.why).startswith("it accepted the reboot but did not go down within 20m")


def test_a_host_whose_reboot_stalled_does_not_count_against_its_version() -> None:
    note = next_step(old_boot(acceptance(NOW - 19 * MINUTE), minutes=20)).commands[1]
    assert isinstance(note, Note)
    assert not note.backoff.rolled_back


def test_a_host_that_cannot_be_asked_any_more_is_returned_to_service_when_no_reboot_can_come() -> None:
    changes = {"blocked": "not allowed: ssm:SendCommand", "hosts_denied": True}
    away = {"away_at": NOW - 6 * MINUTE, "connected_looks": CONNECTED_LOOKS}
    for minutes, expected in ((7, []), (8, [Return, Unmark])):
        when = NOW - minutes * MINUTE
        taken = sent_reboot(when, acceptance(when), cancelled=True)
        one = sent(minutes, reboots=(taken,), progress=away)
        assert kinds(next_step(one, **changes)) == expected


def test_a_host_that_cannot_be_asked_and_was_never_seen_away_is_not_returned_to_service_after_it_accepted() -> None:
    changes = {"blocked": "not allowed: ssm:SendCommand", "hosts_denied": True}
    when = NOW - 10 * MINUTE
    one = sent(10, reboots=(sent_reboot(when, acceptance(when)),))
    assert waits(next_step(one, **changes))


@pytest.mark.parametrize("says", [staged(), available(), idle(), ready(NEWER)])
def test_a_host_whose_update_was_cancelled_is_not_rebooted_again(says: HostAnswer) -> None:
    """A cancelled update leaves the host Staged: it would boot into its old version."""
    assert reason(next_step(old_boot(refused(), says=says))) is Reason.CHANGED_WHILE_DRAINING


def test_a_reboot_that_is_pending_when_somebody_returns_the_host_is_cancelled_once() -> None:
    """Systems Manager may deliver it a minute later, when the host has tasks again."""
    assert kinds(next_step(sent(status=Status.ACTIVE))) == [Cancel]
    assert Cancel not in kinds(next_step(sent(status=Status.ACTIVE, reboots=(sent_reboot(NOW, cancelled=True),))))


def test_a_look_from_before_the_drain_cancels_no_reboot() -> None:
    just_drained = {"drain": SentDrain(NOW - POLICY.stale_at_most + SECOND)}
    assert Cancel not in kinds(next_step(sent(status=Status.ACTIVE, progress=just_drained)))


def test_a_host_that_somebody_returned_before_its_second_reboot_is_dropped() -> None:
    assert reason(next_step(old_boot(refused(), status=Status.ACTIVE))) is Reason.RETURNED_BY_OTHERS


# Verified


def back(
    says: HostAnswer | None = None, *, minutes: float = 2, looks: int = CONNECTED_LOOKS, **changes: Any
) -> Instance:
    """A host that answered from a new boot half a minute ago, and whose reboot command ended."""
    when = NOW - minutes * MINUTE
    claim = changes.pop("claim", None) or a_claim(ClaimPhase.REBOOTING, since=when)
    new_boot = {"new_boot": a_new_boot(NOW - 30 * SECOND), "connected_looks": looks}
    return rebooting(
        claim,
        sent=when,
        away=when + 10 * SECOND,
        says=says or rebooted(),
        asked=NOW - 30 * SECOND,
        progress={**new_boot, **changes.pop("progress", {})},
        **{"reboots": (sent_reboot(when, acceptance(when + SECOND)),), **changes},
    )


def test_a_verified_connected_host_on_its_target_is_returned_as_updated() -> None:
    """VerifyUpdate/success; W2, changed: verified before it is returned."""
    assert next_step(back()).commands == (
        Return(back().id, UPDATED),
        Unmark(back().id, UPDATED, took_slot=True),
    )


@pytest.mark.parametrize("status", [Status.DRAINING, Status.ACTIVE])
def test_a_host_that_registered_again_is_updated_and_not_returned(status: Status) -> None:
    """A new registration is ACTIVE. If it is DRAINING, somebody drained it since."""
    one = replace(back(status=status), claimed_arn=ContainerInstanceArn("arn:before-the-reboot"))
    step = next_step(one)
    assert kinds(step) == [Unmark]
    assert [getattr(command, "outcome", None) for command in step.commands] == [UPDATED]


def test_a_host_that_another_version_is_available_to_by_now_is_updated_anyway() -> None:
    """P18 and VerifyUpdate/another version available."""
    assert returned(next_step(back(rebooted(chosen=NEWER)))) == UPDATED


@pytest.mark.parametrize("looks", range(CONNECTED_LOOKS))
def test_an_agent_must_be_connected_over_several_looks(looks: int) -> None:
    """W4, changed: the predecessor never looked at the agent's connection."""
    step = next_step(back(looks=looks))
    assert (step.commands, is_soon(step.look_at)) == ((), True)


def test_an_agent_that_is_away_at_this_look_is_waited_for() -> None:
    assert waits(next_step(back(connected=False)))


def test_an_answer_from_before_the_reboot_was_sent_proves_nothing() -> None:
    """W3, changed: what was true before the reboot does not verify it."""
    one = back()
    assert one.check_answer is not None
    old = replace(one, check_answer=replace(one.check_answer, asked_at=NOW - HOUR))
    assert Return not in kinds(next_step(old))


def test_a_host_that_fell_back_to_its_old_version_is_returned_as_rolled_back() -> None:
    """P18 and VerifyUpdate/version same: `version == recorded` is a failed update."""
    step = next_step(back(rebooted(OLD)))
    assert str(returned(step)) == "it came back on 1.20.0: 1.21.0 did not boot, and the host rolled back"


def test_a_version_that_rolled_back_is_not_tried_again_there() -> None:
    (note,) = (one for one in next_step(back(rebooted(OLD))).commands if isinstance(one, Note))
    assert (note.backoff.version, note.backoff.rolled_back, note.backoff.why) == (NEW, True, "rolled-back")


def test_a_host_that_came_up_on_a_third_version_is_returned_and_not_called_updated() -> None:
    why = failure(next_step(back(rebooted(NEWER))))
    assert (why.failure, str(why)) == (Failure.WRONG_VERSION, "it came back on 1.22.0, but 1.21.0 was staged")


def test_a_downgrade_that_the_repository_chose_is_an_update_like_any_other() -> None:
    claim = a_claim(ClaimPhase.REBOOTING, source=NEW, target=OLD)
    found = returned(next_step(back(rebooted(OLD), claim=claim)))
    assert found == Updated(NEW, OLD)
    assert isinstance(found, Updated)
    assert found.downgrade


def test_a_host_that_came_back_into_service_by_itself_is_verified_and_its_claim_is_dropped() -> None:
    one = back(status=Status.ACTIVE)
    assert next_step(one).commands == (Unmark(one.id, UPDATED, took_slot=True),)


def test_a_host_that_came_back_without_its_claim_attribute_is_verified_anyway() -> None:
    one = back(claim_on_instance=False, progress={"claim_absent_looks": 5})
    assert returned(next_step(one)) == UPDATED


# A reboot command that never ended may run a second time


def unended(seconds: int, *, asked_end: bool = True, **changes: Any) -> Instance:
    """A verified host whose reboot command has no known end, that long after the first check."""
    new_boot = NOW - seconds * SECOND
    command = sent_reboot(NOW - 3 * MINUTE, end_asked_at=new_boot + 10 * SECOND if asked_end else None)
    return back(progress={"new_boot": a_new_boot(new_boot)}, **{"reboots": (command,), **changes})


def verified_again(one: Instance) -> Instance:
    """The same, after the host was checked again and the results of its commands were read."""
    assert one.check_answer is not None
    check_answer = replace(one.check_answer, asked_at=NOW - 5 * SECOND)
    return replace(
        one, check_answer=check_answer, reboots=tuple(replace(each, end_asked_at=NOW) for each in one.reboots)
    )


def test_the_result_of_the_reboot_command_is_read_before_the_return() -> None:
    assert next_step(unended(10, asked_end=False)).wants_reboot_end


@pytest.mark.parametrize("seconds", [10, 20, 25])
def test_a_reboot_command_that_never_ended_is_cancelled_once(seconds: int) -> None:
    one = unended(seconds)
    assert kinds(next_step(one)) == [Cancel]
    assert waits(next_step(replace(one, reboots=(replace(one.reboots[0], cancelled=True),))))


def test_the_same_boot_is_verified_twice_before_such_a_host_is_returned() -> None:
    assert kinds(next_step(unended(31))) == [Check]


def test_the_second_verification_is_half_a_minute_after_the_first_question_and_most_of_that_after_its_answer() -> None:
    assert Check not in kinds(next_step(unended(29)))
    slow = unended(40)
    for heard, expected in ((24, False), (25, True)):
        new_boot = a_new_boot(NOW - 40 * SECOND, NOW - heard * SECOND)
        progress = replace(slow.progress, new_boot=new_boot)
        assert (Check in kinds(next_step(replace(slow, progress=progress)))) is expected


def test_the_second_verification_takes_longer_if_less_is_known_about_the_sent_commands() -> None:
    taken_over = unended(50, claim=a_claim(ClaimPhase.REBOOTING, run=DEAD_RUN, since=NOW - 3 * MINUTE))
    nameless = unended(50, reboots=(sent_reboot(NOW - 3 * MINUTE, command=CommandId("")),))
    several = unended(50, claim=a_claim(ClaimPhase.REBOOTING, since=NOW - 3 * MINUTE, reboots=2))
    for one in (taken_over, nameless, several):
        assert Check not in kinds(next_step(one))


def test_the_second_verification_is_waited_for() -> None:
    assert waits(next_step(unended(70, pending=pending(DocumentKind.CHECK))))


def test_such_a_host_is_returned_after_its_second_verification() -> None:
    assert returned(next_step(verified_again(unended(90)))) == UPDATED


def test_the_results_of_its_commands_are_read_after_the_second_verification() -> None:
    one = verified_again(unended(90))
    before = replace(one, reboots=(replace(one.reboots[0], end_asked_at=NOW - 20 * SECOND),))
    step = next_step(before)
    assert (step.commands, step.wants_reboot_end, step.look_at) == ((), True, NOW)


@pytest.mark.parametrize("number", [2, 3])
def test_a_claim_with_more_than_one_reboot_gets_the_second_verification(number: int) -> None:
    """One of them may arrive late."""
    claim = a_claim(ClaimPhase.REBOOTING, since=NOW - 2 * MINUTE, reboots=number)
    assert Return not in kinds(next_step(back(claim=claim)))
    several = tuple(sent_reboot(NOW - age * MINUTE, acceptance(NOW - age * MINUTE)) for age in range(2, number + 2))
    assert Return not in kinds(next_step(back(reboots=several)))


@pytest.mark.parametrize("end", [unknown_end(NOW - MINUTE), None])
def test_a_command_with_an_unclear_result_gets_the_second_verification(
    end: RebootEnd | None,
) -> None:
    assert Return not in kinds(next_step(back(reboots=(sent_reboot(NOW - 2 * MINUTE, end),))))


def test_a_reboot_whose_worker_died_with_the_host_needs_none() -> None:
    died = acceptance(NOW - SECOND, first_run=False, succeeded=False)
    assert returned(next_step(back(reboots=(sent_reboot(NOW - 2 * MINUTE, died),)))) == UPDATED


def test_after_a_success_that_may_be_from_a_second_run_another_reboot_may_follow() -> None:
    """The agent ran the command again on the new boot: an inhibitor may delay that shutdown too."""
    for seconds, expected in ((290, []), (301, [Return, Unmark])):
        late = acceptance(NOW - seconds * SECOND, first_run=False)
        one = verified_again(unended(400, reboots=(sent_reboot(NOW - 8 * MINUTE, late),)))
        assert one.check_answer is not None
        assert kinds(next_step(replace(one, check_answer=replace(one.check_answer, asked_at=NOW)))) == expected


# The limit: quarantine


def quarantine_of(step: NextStep) -> Quarantine:
    assert kinds(step) == [Quarantine, Note]
    command = step.commands[0]
    assert isinstance(command, Quarantine)
    return command


def test_a_host_that_is_not_back_at_the_limit_is_quarantined() -> None:
    command = quarantine_of(next_step(sent(20, connected=False)))
    assert (command.claim.phase, command.claim.since) == (ClaimPhase.QUARANTINED, NOW)
    assert str(command.why) == "it did not come back within 20m after the reboot: its ECS agent did not connect"


def test_a_host_whose_checks_are_denied_is_quarantined_at_the_limit_without_blaming_the_version() -> None:
    reboots = (sent_reboot(NOW - 20 * MINUTE, acceptance(NOW - 19 * MINUTE)),)
    command, note = next_step(sent(20, reboots=reboots, send_denied="ssm:SendCommand", check_denied=True)).commands
    assert isinstance(command, Quarantine)
    assert "AWS denies update checks: ssm:SendCommand" in str(command.why)
    assert isinstance(note, Note)
    assert not note.backoff.rolled_back


def test_a_reboot_that_is_denied_returns_the_host_to_service_and_backs_off() -> None:
    denied = rebooting(send_denied="ssm:SendCommand on instance/i-a")
    step = next_step(denied)
    assert (kinds(step), reason(step)) == ([Return, Note, Unmark], Reason.SEND_DENIED)


def test_a_reboot_that_could_be_sent_only_late_has_its_time_anyway() -> None:
    late = sent(20, connected=False)
    fresh = replace(late, progress=replace(late.progress, reboot_sent_at=NOW - MINUTE))
    assert waits(next_step(fresh))


def test_a_host_whose_agent_is_back_and_which_answers_nothing_is_quarantined() -> None:
    command = quarantine_of(next_step(sent(20, away=NOW - 19 * MINUTE, says=problem(Problem.NO_ANSWER), asked=NOW)))
    assert str(command.why).endswith("its ECS agent is connected, but it answers no update check")


def test_a_host_whose_agent_flaps_until_the_limit_is_quarantined_though_it_runs_its_target() -> None:
    command = quarantine_of(next_step(back(minutes=20, looks=2)))
    assert str(command.why).endswith("it runs 1.21.0, but its ECS agent does not stay connected")


def test_a_second_verification_that_is_due_at_the_limit_has_time_to_be_answered() -> None:
    """The agent of a healthy host was disconnected for ten seconds just then, and the host was quarantined."""

    def at_the_limit(verified_ago: timedelta) -> NextStep:
        first = {"new_boot": a_new_boot(NOW - verified_ago)}
        return next_step(back(minutes=20, looks=0, reboots=(sent_reboot(NOW - 20 * MINUTE, None),), progress=first))

    assert waits(at_the_limit(MINUTE))
    assert quarantine_of(at_the_limit(2 * MINUTE)).why.failure is Failure.NOT_BACK


def test_a_quarantined_instance_backs_off_from_the_release_until_a_person_says_so() -> None:
    note = next_step(sent(20, connected=False)).commands[1]
    assert isinstance(note, Note)
    assert note.backoff.rolled_back


def test_a_question_that_is_in_progress_at_the_limit_is_waited_for() -> None:
    assert waits(next_step(sent(20, away=NOW - MINUTE, pending=pending(DocumentKind.CHECK))))


def test_a_question_that_is_never_answered_is_not_waited_for_beyond_its_time() -> None:
    asked = pending(DocumentKind.CHECK, NOW - POLICY.answer_timeout)
    assert Quarantine in kinds(next_step(sent(21, away=NOW - MINUTE, pending=asked)))


@pytest.mark.parametrize("connected", [True, False])
def test_a_host_that_is_ill_and_in_service_by_itself_is_reported_and_not_quarantined(*, connected: bool) -> None:
    one = sent(20, away=NOW - MINUTE, connected=connected, status=Status.ACTIVE, says=problem(Problem.NO_ANSWER))
    command = next_step(one).commands[0]
    assert isinstance(command, Unmark)
    assert isinstance(command.outcome, Failed)
    assert command.outcome.failure is Failure.NOT_BACK


# Finishing the reboot of a run that was killed


def resumed(minutes: float = 5, *, known: float = 1, **changes: Any) -> Instance:
    """An instance that a dead run claimed for its reboot; this run found the claim."""
    claim = a_claim(ClaimPhase.REBOOTING, run=DEAD_RUN, since=NOW - minutes * MINUTE)
    found = NOW - known * MINUTE
    progress = drained_by_us(claim, claimed_at=found)
    maybe = sent_reboot(found, command=CommandId(""), sent_by_us=False, end_asked_at=NOW)
    return claimed(
        claim=claim,
        progress=replace(progress, **changes.pop("progress", {})),
        **{"asked": NOW - HOUR, "reboots": (maybe,), **changes},
    )


def of_dead_run(minutes: float, end: RebootEnd | None, **changes: Any) -> SentReboot:
    """A reboot that the dead run had sent, as Systems Manager lists it."""
    return sent_reboot(NOW - minutes * MINUTE, end, **{"sent_by_us": False, "end_asked_at": NOW, **changes})


def test_the_host_of_a_dead_run_is_checked_for_whether_it_has_rebooted() -> None:
    assert kinds(next_step(resumed())) == [Check]


def test_the_host_of_a_dead_run_that_is_away_is_waited_for() -> None:
    assert waits(next_step(resumed(connected=False)))


def test_the_host_of_a_dead_run_that_rebooted_is_verified_and_returned() -> None:
    taken = of_dead_run(5, acceptance(NOW - 4 * MINUTE))
    one = resumed(
        says=rebooted(),
        asked=NOW - 30 * SECOND,
        reboots=(taken,),
        progress={"connected_looks": CONNECTED_LOOKS, "new_boot": a_new_boot(NOW - 30 * SECOND)},
    )
    assert returned(next_step(one)) == UPDATED
    unknown = resumed(
        says=rebooted(),
        asked=NOW - 30 * SECOND,
        progress={"connected_looks": CONNECTED_LOOKS, "new_boot": a_new_boot(NOW - 30 * SECOND)},
    )
    assert Return not in kinds(next_step(unknown))


def test_an_answer_from_before_the_claim_was_found_proves_nothing() -> None:
    assert kinds(next_step(resumed(says=rebooted(), asked=NOW - 2 * MINUTE))) == [Check]


def test_a_reboot_that_a_dead_run_may_have_sent_is_waited_for_while_it_may_be_listed() -> None:
    one = resumed(0.5, known=0.4, asked=NOW - 5 * SECOND)
    assert kinds(next_step(one)) == []


def test_a_reboot_that_no_dead_run_can_have_sent_any_more_is_claimed_as_ours() -> None:
    (mark,) = next_step(resumed(known=2, asked=NOW - 10 * SECOND)).commands
    assert isinstance(mark, Mark)
    assert (mark.claim.run, mark.claim.phase, mark.claim.reboots) == (RUN, ClaimPhase.REBOOTING, 2)


def test_limits_count_from_the_claim_and_not_from_the_run_that_finds_it() -> None:
    """Otherwise runs that die early would never reach the limit."""
    assert Quarantine in kinds(next_step(resumed(12 * 60, known=4, says=problem(Problem.NO_ANSWER))))
    assert waits(next_step(resumed(15, known=4, says=problem(Problem.NO_ANSWER), connected=False)))


def test_the_host_of_a_dead_run_is_not_quarantined_unasked() -> None:
    assert kinds(next_step(resumed(12 * 60))) == [Check]


def test_a_claim_that_is_dated_in_the_future_started_when_it_was_found() -> None:
    late = resumed(-20 * 60, known=30, connected=False, progress={"phase_seen_at": NOW - 30 * MINUTE})
    assert Quarantine in kinds(next_step(late))
    early = resumed(-20 * 60, known=1, connected=False, progress={"phase_seen_at": NOW - MINUTE})
    assert waits(next_step(early))
    look = next_step(early).look_at
    assert look is not None
    assert look < NOW + MINUTE


def test_the_host_of_a_dead_run_that_is_back_in_service_is_verified_before_it_is_dropped() -> None:
    assert kinds(next_step(resumed(status=Status.ACTIVE))) == [Check]
    taken = of_dead_run(5, acceptance(NOW - 4 * MINUTE))
    verified = resumed(
        status=Status.ACTIVE,
        says=rebooted(),
        asked=NOW,
        reboots=(taken,),
        progress={"connected_looks": CONNECTED_LOOKS},
    )
    assert next_step(verified).commands == (Unmark(verified.id, UPDATED, took_slot=True),)


def test_the_end_of_a_reboot_of_a_dead_run_is_read() -> None:
    one = resumed(says=ready(), asked=NOW - 10 * SECOND, reboots=(of_dead_run(5, None, end_asked_at=None),))
    assert next_step(one).wants_reboot_end


def test_the_host_of_such_a_reboot_is_not_checked_at_every_look() -> None:
    one = resumed(says=ready(), asked=NOW - 10 * SECOND, reboots=(of_dead_run(5, None),))
    assert waits(next_step(one))


def test_an_accepted_reboot_of_a_dead_run_is_not_requested_again() -> None:
    taken = of_dead_run(5, acceptance(NOW - 4 * MINUTE))
    assert waits(next_step(resumed(says=ready(), asked=NOW - SECOND, reboots=(taken,))))
    kept_waiting = resumed(25, known=20, says=ready(), asked=NOW - SECOND, reboots=(taken,))
    assert str(quarantine_of(next_step(kept_waiting)).why).startswith("it accepted the reboot")


def test_the_host_is_checked_again_after_the_reboot_command_ended_and_before_another_is_claimed() -> None:
    declined = of_dead_run(5, refusal(NOW - 5 * SECOND))
    assert kinds(next_step(resumed(says=ready(), asked=NOW - 40 * SECOND, reboots=(declined,)))) == [Check]
    assert kinds(next_step(resumed(says=ready(), asked=NOW - SECOND, reboots=(declined,)))) == [Mark]


def found_marked(reboots: int) -> Instance:
    """The host of a dead run, still on its old boot, with that many reboots claimed."""
    claim = a_claim(ClaimPhase.REBOOTING, run=DEAD_RUN, since=NOW - 5 * MINUTE, reboots=reboots)
    declined = of_dead_run(5, refusal(NOW - MINUTE))
    progress = drained_by_us(claim, claimed_at=NOW - MINUTE)
    return claimed(claim=claim, asked=NOW - SECOND, progress=progress, reboots=(declined,))


def test_a_host_is_not_blamed_for_runs_that_died_before_they_sent_its_reboot() -> None:
    assert kinds(next_step(found_marked(REBOOT_TRIES))) == [Mark]


def test_reboots_are_bounded_across_runs_anyway() -> None:
    assert failure(next_step(found_marked(REBOOT_MARKS))).failure is Failure.REBOOT_REFUSED


# Quarantine, and the ways out of it


def in_quarantine(
    says: HostAnswer | None = None, *, run: RunId = DEAD_RUN, known: float = 1, **changes: Any
) -> Instance:
    """An instance that an earlier run left in quarantine."""
    claim = a_claim(ClaimPhase.QUARANTINED, run=run, since=NOW - 6 * HOUR)
    progress = drained_by_us(claim, claimed_at=NOW - known * MINUTE, connected_looks=CONNECTED_LOOKS)
    return claimed(
        claim=claim,
        says=says,
        progress=replace(progress, **changes.pop("progress", {})),
        **{"asked": NOW - 10 * SECOND if says else NOW - HOUR, **changes},
    )


def test_a_quarantined_instance_is_reported_in_every_run() -> None:
    (conclusion,) = next_step(in_quarantine(connected=False)).commands
    assert isinstance(conclusion, Conclude)
    assert isinstance(conclusion.outcome, Quarantined)
    said = "an earlier run quarantined it at 2026-03-02 04:00 UTC: see that run's report for the cause"
    assert str(conclusion.outcome.why) == said


def test_a_quarantine_that_is_only_in_the_store_is_written_on_the_instance_too() -> None:
    """Found by killing a run at every call: the claim on the instance stayed in phase `rebooting` forever."""
    one = in_quarantine(connected=False)
    assert one.registration is not None
    stale = replace(one.registration, attributes=marked(a_claim(ClaimPhase.REBOOTING, run=DEAD_RUN)))
    command, note = next_step(replace(one, registration=stale)).commands
    assert isinstance(command, Quarantine)
    assert command.claim == one.claim
    assert isinstance(note, Note)
    removed = replace(one.registration, attributes={})
    assert kinds(next_step(replace(one, registration=removed))) == [Conclude]


def reported(one: Instance) -> Instance:
    why = failed(Failure.NOT_BACK, limit="20m", detail="…")
    return replace(one, progress=replace(one.progress, outcome=Quarantined(why)))


def test_it_is_reported_once_a_run() -> None:
    assert next_step(reported(in_quarantine(connected=False))).commands == ()


def test_a_quarantined_instance_that_is_away_keeps_no_run_waiting() -> None:
    assert next_step(reported(in_quarantine(connected=False))).look_at is None


def test_a_quarantined_instance_whose_agent_is_connected_is_checked() -> None:
    assert kinds(next_step(reported(in_quarantine()))) == [Check]


def test_a_quarantined_instance_without_a_report_is_not_checked_again_after_several_tries() -> None:
    silent = in_quarantine(problem(Problem.NO_ANSWER), progress={"checks_failed": CHECK_TRIES})
    step = next_step(reported(silent))
    assert (step.commands, step.look_at) == ((), None)


def test_a_quarantined_instance_that_is_healthy_again_is_returned() -> None:
    assert returned(next_step(in_quarantine(rebooted()))) == UPDATED


def test_a_quarantined_instance_is_healthy_only_when_its_agent_stays_connected() -> None:
    assert waits(next_step(reported(in_quarantine(rebooted(), progress={"connected_looks": 1}))))


def test_a_quarantined_instance_that_fell_back_is_returned_as_rolled_back() -> None:
    assert failure(next_step(in_quarantine(rebooted(OLD)))).failure is Failure.ROLLED_BACK


def test_a_quarantined_instance_that_never_rebooted_is_returned_to_service() -> None:
    assert failure(next_step(in_quarantine(ready()))).failure is Failure.NEVER_REBOOTED


def test_a_quarantined_instance_is_not_returned_to_service_while_a_reboot_of_ours_may_still_happen() -> None:
    taken = of_dead_run(6 * 60, acceptance(NOW - 6 * HOUR))
    assert next_step(reported(in_quarantine(ready(), reboots=(taken,)))).commands == ()
    yesterday = of_dead_run(30 * 60, acceptance(NOW - 30 * HOUR))
    assert Return in kinds(next_step(reported(in_quarantine(ready(), reboots=(yesterday,)))))


def test_a_quarantined_instance_that_is_back_gets_the_second_verification() -> None:
    fresh = in_quarantine(rebooted(), progress={"new_boot": a_new_boot(NOW - 10 * SECOND)})
    assert Return not in kinds(next_step(reported(fresh)))


def test_a_quarantined_instance_that_a_person_returned_is_dropped() -> None:
    assert reason(next_step(in_quarantine(status=Status.ACTIVE))) is Reason.RETURNED_BY_OTHERS


def test_a_quarantined_instance_is_never_rebooted_again() -> None:
    for says in (ready(), rebooted(), rebooted(OLD), problem(Problem.NO_ANSWER), None):
        assert Reboot not in kinds(next_step(in_quarantine(says)))
