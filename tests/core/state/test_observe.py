from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from tests.core.builders import (
    DEAD_RUN,
    HOUR,
    MINUTE,
    NEW,
    NOW,
    RUN,
    SECOND,
    STANDALONE,
    a_claim,
    a_new_boot,
    acceptance,
    available,
    check_answer,
    claimed,
    drained_by_us,
    ended,
    instance,
    marked,
    pending,
    problem,
    ready,
    rebooted,
    refusal,
    registration,
    sent_reboot,
    task,
)

from bottlerocket_ecs_updater.core.model.claim import CLAIM_ATTRIBUTE, FINISHED, Claim, ClaimPhase
from bottlerocket_ecs_updater.core.model.container_instance import Registration, Status
from bottlerocket_ecs_updater.core.model.host_report import HostAnswer, Problem
from bottlerocket_ecs_updater.core.model.ids import BootId, CommandId, InstanceId, RunId, ServiceArn
from bottlerocket_ecs_updater.core.model.instance import Instance
from bottlerocket_ecs_updater.core.model.reboots import FIRST_RUN, SentReboot
from bottlerocket_ecs_updater.core.model.run_command import CheckAnswer, DocumentKind
from bottlerocket_ecs_updater.core.model.run_progress import Applies, RunProgress, SentDrain
from bottlerocket_ecs_updater.core.state.acts import see_drain_sent, see_marked
from bottlerocket_ecs_updater.core.state.observe import see_missing, see_registration, see_undescribed
from bottlerocket_ecs_updater.core.state.run_commands import (
    see_cancelled,
    see_check_answer,
    see_denied,
    see_ended,
    see_reboot_end,
    see_reboot_found,
    see_reboot_sent,
    see_sent,
)

REBOOTING = a_claim(ClaimPhase.REBOOTING)
DEAD = a_claim(run=DEAD_RUN)


def seen(one: Instance, **changes: Any) -> Instance:
    return see_registration(one, registration(one.id, **changes), RUN)


def seen_with(one: Instance, claim: Claim | None, status: Status = Status.DRAINING, **changes: Any) -> Instance:
    return seen(one, attributes=marked(claim) if claim is not None else {}, status=status, **changes)


UNKNOWN = Instance(InstanceId("i-a"))


# Registrations


def test_a_description_replaces_the_one_before() -> None:
    assert seen(UNKNOWN, running_tasks=3).registration == registration("i-a", running_tasks=3)


def test_a_description_clears_the_reason_for_not_describing_it() -> None:
    assert seen(replace(UNKNOWN, undescribed="MISSING")).undescribed == ""


def test_connected_looks_are_counted_in_a_row() -> None:
    looks = [seen(UNKNOWN, connected=connected) for connected in (True,)]
    for connected in (True, False, True, True):
        looks.append(seen(looks[-1], connected=connected))
    assert [one.progress.connected_looks for one in looks] == [1, 2, 0, 1, 2]


def test_an_agent_is_away_since_the_first_look_that_missed_it_in_a_row() -> None:
    look, since = UNKNOWN, []
    for seconds, connected in enumerate((True, False, False, True, False)):
        look = seen(look, connected=connected, at=NOW + seconds * SECOND)
        since.append(look.progress.disconnected_since)
    assert since == [None, NOW + SECOND, NOW + SECOND, None, NOW + 4 * SECOND]


def test_absences_are_counted_by_the_first_look_of_each() -> None:
    look = UNKNOWN
    for connected in (True, False, False, True, False):
        look = seen(look, connected=connected)
    assert look.progress.absences == 2
    assert see_undescribed(see_undescribed(look, "?"), "?").progress.absences == 3


def test_an_inactive_instance_is_as_good_as_missing() -> None:
    assert seen(seen(UNKNOWN, status=Status.INACTIVE), status=Status.INACTIVE).progress.missing_looks == 2


def test_an_instance_that_is_seen_again_is_not_missing() -> None:
    assert seen(replace(UNKNOWN, progress=RunProgress(missing_looks=2))).progress.missing_looks == 0


def test_an_instance_that_is_missed_once_keeps_its_description() -> None:
    once = see_missing(instance())
    assert (once.registration, once.progress.missing_looks) == (instance().registration, 1)


def test_an_instance_that_is_missed_twice_has_no_description() -> None:
    assert see_missing(see_missing(instance())).registration is None


def test_an_instance_under_a_new_registration_keeps_what_we_know_of_it() -> None:
    """A lost checkpoint gives a host a new ARN; records are kept by EC2 instance id."""
    before = claimed(claim=REBOOTING)
    after = see_registration(before, registration("i-a", arn="arn:new", status=Status.ACTIVE), RUN)
    assert (after.claim, after.registration and after.registration.arn) == (REBOOTING, "arn:new")


# Claims


def test_a_claim_on_an_instance_is_found() -> None:
    found = seen_with(UNKNOWN, DEAD)
    assert (found.claim, found.claim_on_instance, found.progress.claimed_at, found.progress.claim_seen) == (
        DEAD,
        True,
        NOW,
        True,
    )


def test_a_claim_that_only_the_store_remembers_is_enough() -> None:
    found = seen_with(replace(UNKNOWN, claim=DEAD), None)
    assert (found.claim, found.claim_on_instance, found.progress.claim_absent_looks) == (DEAD, False, 0)


@pytest.mark.parametrize(
    "further",
    [
        replace(DEAD, phase=ClaimPhase.REBOOTING, reboots=1),
        replace(DEAD, phase=ClaimPhase.QUARANTINED),
        replace(DEAD, since=NOW),
    ],
)
@pytest.mark.parametrize("store_first", [True, False])
def test_the_copy_of_a_claim_that_is_further_along_counts(further: Claim, *, store_first: bool) -> None:
    known, written = (further, DEAD) if store_first else (DEAD, further)
    assert seen_with(replace(UNKNOWN, claim=known), written).claim == further


def test_this_runs_last_write_wins_over_a_stale_read() -> None:
    mine = replace(UNKNOWN, claim=a_claim())
    assert seen_with(mine, replace(DEAD, phase=ClaimPhase.REBOOTING)).claim == a_claim()


@pytest.mark.parametrize("dropped", [a_claim(), DEAD, a_claim(ClaimPhase.QUARANTINED, run=DEAD_RUN)])
def test_a_claim_that_this_run_dropped_is_not_taken_up_again(dropped: Claim) -> None:
    found = seen_with(replace(UNKNOWN, progress=RunProgress(unmarked=True)), dropped, Status.ACTIVE)
    assert (found.claim, found.claim_on_instance) == (None, False)


def test_a_claim_that_cannot_be_read_is_kept_in_its_words() -> None:
    found = seen(UNKNOWN, attributes={CLAIM_ATTRIBUTE: "2 something"})
    assert (found.claim, found.claim_on_instance) == (None, False)
    assert "2 something" in found.claim_unreadable


def test_a_claim_that_can_be_read_again_is_not_unreadable() -> None:
    assert seen_with(seen(UNKNOWN, attributes={CLAIM_ATTRIBUTE: "?"}), DEAD).claim_unreadable == ""


def test_looks_without_a_claim_that_was_seen_are_counted() -> None:
    found = seen_with(UNKNOWN, DEAD)
    absent = seen_with(seen_with(found, None), None)
    assert (found.progress.claim_absent_looks, absent.progress.claim_absent_looks, absent.claim) == (0, 2, DEAD)


@pytest.mark.parametrize("instead", [None, a_claim(run=DEAD_RUN)])
def test_looks_that_follow_closely_count_as_one_that_misses_our_claim(instead: Claim | None) -> None:
    look, counted = seen_with(replace(UNKNOWN, claim=a_claim()), a_claim()), []
    for seconds in (0, 1, 2, 3, 4):
        attributes = marked(instead) if instead is not None else {}
        again = registration("i-a", attributes=attributes, status=Status.DRAINING, at=NOW + seconds * SECOND)
        look = see_registration(look, again, RUN, doubts_apart=3 * SECOND)
        counted.append(look.progress.claim_absent_looks + look.progress.overwritten_looks)
    assert counted == [1, 1, 1, 2, 2]


def test_a_claim_that_is_seen_again_was_not_removed() -> None:
    found = seen_with(seen_with(seen_with(UNKNOWN, DEAD), None), DEAD)
    assert found.progress.claim_absent_looks == 0


def test_limits_of_a_claim_count_from_the_first_look_that_knew_it() -> None:
    found = seen_with(UNKNOWN, DEAD)
    later = seen_with(found, DEAD, at=NOW + MINUTE)
    assert later.progress.claimed_at == NOW


def test_a_drain_is_ours_only_when_we_sent_it_or_the_run_before_us_did() -> None:
    mine = replace(UNKNOWN, claim=a_claim())
    asked = replace(mine, progress=RunProgress(drain=SentDrain(NOW)))
    drained = [seen_with(one, None).progress.drain_seen for one in (mine, asked, replace(UNKNOWN, claim=DEAD))]
    assert drained == [False, True, True]


# Disconnecting and reconnecting


def away(one: Instance, at: int) -> Instance:
    return seen_with(one, REBOOTING, connected=False, at=NOW + at * SECOND)


def here(one: Instance, at: int) -> Instance:
    return seen_with(one, REBOOTING, at=NOW + at * SECOND)


SENT = claimed(claim=REBOOTING, progress=drained_by_us(REBOOTING, reboot_sent_at=NOW))


def test_a_rebooting_agent_is_noted_when_it_goes() -> None:
    assert away(away(SENT, 10), 20).progress.away_at == NOW + 10 * SECOND


def test_an_agent_that_disconnects_again_is_recorded_again() -> None:
    assert away(here(away(SENT, 10), 20), 30).progress.away_at == NOW + 30 * SECOND


def test_an_agent_that_disconnects_after_the_new_boot_was_seen_may_be_in_a_second_reboot() -> None:
    proven = see_check_answer(away(SENT, 10), check_answer(rebooted(), NOW + 20 * SECOND))
    assert away(here(proven, 25), 30).progress.away_at == NOW + 30 * SECOND


def test_another_boot_after_the_new_one_is_verified_again() -> None:
    proven = see_check_answer(away(SENT, 10), check_answer(rebooted(), NOW + 20 * SECOND))
    same = see_check_answer(proven, check_answer(rebooted(), NOW + 50 * SECOND))
    assert verified_by(same.progress) == NOW + 20 * SECOND
    again = see_check_answer(same, check_answer(replace(rebooted(), boot=BootId("a" * 32)), NOW + 80 * SECOND))
    assert again.progress.new_boot is not None
    assert (again.progress.new_boot.asked_at, again.progress.new_boot.boot) == (NOW + 80 * SECOND, "a" * 32)


def test_an_instance_that_is_listed_and_not_described_keeps_what_is_known_of_it() -> None:
    before = claimed(progress=RunProgress(missing_looks=2))
    after = see_undescribed(before, "SERVER")
    assert (after.registration, after.claim, after.progress.missing_looks) == (before.registration, before.claim, 0)
    assert after.undescribed == "SERVER"
    assert seen(after).undescribed == ""


def test_a_reboot_that_a_dead_run_may_have_sent_is_remembered_from_when_its_claim_is_found() -> None:
    found = seen_with(UNKNOWN, replace(REBOOTING, run=DEAD_RUN), at=NOW)
    (maybe,) = found.reboots
    assert (maybe.command, maybe.sent_at, maybe.sent_by_us) == ("", NOW, False)
    assert seen_with(found, replace(REBOOTING, run=DEAD_RUN), at=NOW + SECOND).reboots == (maybe,)


def test_a_reboot_that_is_found_takes_the_place_of_the_unknown_one() -> None:
    found = seen_with(UNKNOWN, replace(REBOOTING, run=DEAD_RUN), at=NOW)
    listed = SentReboot(CommandId("listed"), NOW - MINUTE, sent_by_us=False)
    (known,) = see_reboot_found(found, listed).reboots
    assert (known.command, known.sent_at) == ("listed", NOW)
    assert see_reboot_found(see_reboot_found(found, listed), listed).reboots == (known,)


def test_the_phase_of_a_claim_is_dated_by_its_first_look() -> None:
    """So that a claim from a fast clock makes no limit longer."""
    ahead = replace(REBOOTING, run=DEAD_RUN, since=NOW + 20 * HOUR)
    found = seen_with(UNKNOWN, ahead, at=NOW)
    assert found.phase_began == NOW
    assert seen_with(found, ahead, at=NOW + MINUTE).phase_began == NOW
    past = seen_with(UNKNOWN, replace(ahead, since=NOW - HOUR), at=NOW)
    assert past.phase_began == NOW - HOUR


RIVAL = replace(REBOOTING, run=RunId("rival"), store="abc")


def test_an_instance_that_another_updater_finished_is_read_again_from_the_start() -> None:
    """Otherwise it would be drained again because of its old answer."""
    before = instance(says=ready(), registered=registration("i-a", attributes=marked(RIVAL)))
    theirs = see_registration(before, registration("i-a", attributes=marked(RIVAL)), RUN, store="xyz")
    once = see_registration(theirs, registration("i-a"), RUN, store="xyz")
    assert (once.claim, once.check_answer) == (RIVAL, before.check_answer)
    twice = see_registration(once, registration("i-a"), RUN, store="xyz")
    assert (twice.claim, twice.check_answer) == (None, None)


def test_a_finished_claim_is_none() -> None:
    after = seen(UNKNOWN, attributes={CLAIM_ATTRIBUTE: FINISHED})
    assert (after.claim, after.claim_unreadable, after.claim_on_instance) == (None, "", False)


def test_an_agent_that_disconnects_before_the_reboot_command_is_no_sign_of_a_reboot() -> None:
    draining = claimed(claim=a_claim())
    assert see_registration(draining, registration("i-a", connected=False), RUN).progress.away_at is None


# Answers


def heard(one: Instance, answer: HostAnswer, at: int = 30) -> RunProgress:
    return see_check_answer(one, check_answer(answer, NOW + at * SECOND)).progress


def verified_by(progress: RunProgress) -> datetime | None:
    return progress.new_boot.asked_at if progress.new_boot is not None else None


def test_a_new_boot_is_verified_by_an_answer_that_was_asked_for_after_the_reboot() -> None:
    assert verified_by(heard(SENT, rebooted())) == NOW + 30 * SECOND


@pytest.mark.parametrize(("answer", "at"), [(ready(), 30), (rebooted(), -5), (problem(Problem.FAILED), 30)])
def test_anything_else_proves_no_boot(answer: HostAnswer, at: int) -> None:
    assert heard(SENT, answer, at).new_boot is None


def test_a_boot_is_verified_once() -> None:
    first = see_check_answer(SENT, check_answer(rebooted(), NOW + 30 * SECOND))
    assert verified_by(heard(first, rebooted(), 90)) == NOW + 30 * SECOND


def test_an_unclaimed_host_proves_nothing() -> None:
    assert heard(instance(), rebooted()).new_boot is None


def test_looks_from_before_the_reboot_do_not_count_as_connected_after_it() -> None:
    steady = replace(SENT, progress=replace(SENT.progress, connected_looks=50))
    asked = see_sent(steady, pending(DocumentKind.CHECK, NOW + 29 * SECOND))
    assert heard(asked, rebooted()).connected_looks == 1
    late = replace(asked, progress=replace(asked.progress, connected_looks=57))
    answer = CheckAnswer(rebooted(), NOW + 29 * SECOND, NOW + 29 * SECOND + FIRST_RUN)
    assert see_check_answer(late, answer).progress.connected_looks == 1


def test_looks_since_the_question_count_where_the_answer_came_at_once() -> None:
    """No host goes down and boots within the few seconds between a check and its answer."""
    asked = see_sent(replace(SENT, progress=replace(SENT.progress, connected_looks=50)), pending(DocumentKind.CHECK))
    seen = here(here(asked, 3), 6)
    assert seen.progress.connected_looks == 52
    assert see_check_answer(seen, CheckAnswer(rebooted(), NOW, NOW + 6 * SECOND)).progress.connected_looks == 3


def test_looks_from_before_a_second_boot_do_not_count_either() -> None:
    first = see_check_answer(here(here(away(SENT, 10), 20), 25), check_answer(rebooted(), NOW + 25 * SECOND))
    asked = see_sent(here(here(first, 30), 60), pending(DocumentKind.CHECK, NOW + 60 * SECOND))
    again = replace(rebooted(), boot=BootId("0" * 32))
    assert (
        see_check_answer(asked, CheckAnswer(again, NOW + 60 * SECOND, NOW + 61 * SECOND)).progress.connected_looks == 1
    )


def test_looks_since_the_agent_came_back_count() -> None:
    back = here(here(away(SENT, 10), 20), 25)
    assert heard(back, rebooted()).connected_looks == 2


def test_checks_without_a_report_are_counted_in_a_row() -> None:
    twice = see_check_answer(
        see_check_answer(instance(), check_answer(problem(Problem.FAILED))), check_answer(problem(Problem.NO_ANSWER))
    )
    assert twice.progress.checks_failed == 2
    assert see_check_answer(twice, check_answer(ready())).progress.checks_failed == 0


def test_a_held_lock_is_noted_when_it_was_first_met() -> None:
    busy = problem(Problem.BUSY)
    twice = see_check_answer(see_check_answer(instance(), check_answer(busy, NOW)), check_answer(busy, NOW + MINUTE))
    assert twice.progress.first_busy_at == NOW
    assert see_check_answer(twice, check_answer(ready())).progress.first_busy_at is None


def test_the_version_that_a_host_would_take_is_remembered_while_it_says_nothing() -> None:
    silent = see_check_answer(
        see_check_answer(instance(), check_answer(available())), check_answer(problem(Problem.NO_ANSWER))
    )
    assert silent.progress.offered == NEW


# Commands


@pytest.mark.parametrize("kind", [DocumentKind.CHECK, DocumentKind.APPLY])
def test_a_command_is_in_progress_from_its_sending_to_its_end(kind: DocumentKind) -> None:
    sent = see_sent(instance(), pending(kind))
    assert (sent.pending, see_ended(sent, ended(kind)).pending) == (pending(kind), None)


def test_applies_are_counted() -> None:
    twice = see_sent(see_sent(instance(), pending(DocumentKind.APPLY)), pending(DocumentKind.APPLY))
    assert twice.progress.applies.sent == 2


def test_the_end_of_an_apply_is_kept() -> None:
    assert see_ended(instance(), ended(DocumentKind.APPLY)).applied == ended(DocumentKind.APPLY)


def test_a_sent_reboot_is_not_a_pending_command() -> None:
    sent = see_reboot_sent(SENT, sent_reboot())
    assert (sent.pending, sent.reboots) == (None, (sent_reboot(),))


def test_the_end_of_a_reboot_is_kept() -> None:
    done = see_reboot_end(see_reboot_sent(SENT, sent_reboot()), sent_reboot().command, NOW + SECOND, acceptance())
    assert (done.reboots[0].end, done.reboots[0].end_asked_at) == (acceptance(), NOW + SECOND)
    still = see_reboot_end(done, sent_reboot().command, NOW + MINUTE, None)
    assert still.reboots[0].end == acceptance()


def test_a_new_reboot_starts_the_wait_again() -> None:
    first = sent_reboot(NOW, refusal())
    before = replace(SENT, reboots=(first,), progress=replace(SENT.progress, away_at=NOW, new_boot=a_new_boot(NOW)))
    second = sent_reboot(NOW + MINUTE)
    again = see_reboot_sent(before, second)
    progress = again.progress
    assert (progress.reboot_sent_at, progress.away_at, progress.new_boot, progress.connected_looks) == (
        NOW + MINUTE,
        None,
        None,
        0,
    )
    assert again.reboots == (first, second)


def test_only_open_reboots_are_marked_as_cancelled() -> None:
    before = replace(SENT, reboots=(sent_reboot(NOW, refusal()), sent_reboot(NOW + MINUTE)))
    assert [one.cancelled for one in see_cancelled(before).reboots] == [False, True]


@pytest.mark.parametrize("kind", DocumentKind)
def test_a_host_that_a_check_is_denied_for_is_mute(kind: DocumentKind) -> None:
    denied = see_denied(SENT, kind, "ssm:SendCommand on instance/i-a")
    assert (denied.send_denied, denied.check_denied) == ("ssm:SendCommand on instance/i-a", kind is DocumentKind.CHECK)


@pytest.mark.parametrize("kind", [DocumentKind.CHECK, DocumentKind.APPLY, DocumentKind.REBOOT])
def test_a_command_that_is_allowed_again_clears_its_denial(kind: DocumentKind) -> None:
    after = see_sent(see_denied(instance(), kind, "denied"), pending(kind))
    assert (after.send_denied, after.check_denied) == ("", False)


@pytest.mark.parametrize("kind", [DocumentKind.AFTER_REBOOT, DocumentKind.REBOOT])
def test_a_host_whose_check_is_denied_cannot_be_checked_even_if_other_commands_are_allowed(kind: DocumentKind) -> None:
    after = see_sent(see_denied(instance(), DocumentKind.CHECK, "denied"), pending(kind))
    assert (after.send_denied, after.check_denied) == ("denied", True)


# Acts


def test_a_first_claim_starts_a_new_record() -> None:
    one = instance(
        progress=RunProgress(
            applies=Applies(1), connected_looks=4, unmarked=True, drain=SentDrain(NOW), missing_looks=1
        )
    )
    after = see_marked(one, a_claim(), NOW)
    kept = RunProgress(claimed_at=NOW, phase_seen_at=NOW, claim_seen=True, applies=Applies(1), connected_looks=4)
    assert (after.claim, after.progress) == (a_claim(), kept)


@pytest.mark.parametrize("confirmed", [True, False])
def test_a_look_without_our_claim_counts_only_if_ecs_had_confirmed_the_claim_or_shown_it(confirmed: bool) -> None:
    """A person may delete it before any look has shown it. A claim whose reply was lost may never have been there."""
    marked = see_marked(instance(), a_claim(), NOW, confirmed=confirmed)
    looked = seen_with(marked, None, at=NOW + HOUR)
    assert looked.progress.claim_absent_looks == int(confirmed)


def test_the_first_look_that_misses_our_claim_is_remembered() -> None:
    marked = see_marked(instance(), a_claim(), NOW)
    first = seen_with(marked, None, at=NOW + HOUR)
    second = seen_with(first, None, at=NOW + 2 * HOUR)
    assert (second.progress.doubted_since, second.progress.doubted_at) == (NOW + HOUR, NOW + 2 * HOUR)


def test_a_claim_for_a_reboot_keeps_what_is_known_of_the_drain() -> None:
    after = see_marked(claimed(), REBOOTING, NOW)
    assert after.progress.drain == claimed().progress.drain
    assert (after.claim, after.progress.reboot_sent_at) == (REBOOTING, None)


def test_a_look_from_before_the_claim_for_the_reboot_shows_how_late_ecs_is() -> None:
    """A run that took over a drain has no drain of its own to measure by, and returned a host whose agent was down."""
    taken = see_marked(seen_with(instance(), DEAD), REBOOTING, NOW)
    old = seen_with(taken, DEAD, at=NOW + 40 * SECOND)
    assert old.progress.read_lag == 40 * SECOND
    assert seen_with(taken, REBOOTING, at=NOW + 40 * SECOND).progress.read_lag == 0 * SECOND
    again = see_marked(taken, replace(REBOOTING, reboots=2), NOW)
    assert seen_with(again, REBOOTING, at=NOW + 5 * SECOND).progress.read_lag == 5 * SECOND


def test_a_claim_for_one_more_reboot_waits_again_and_remembers_the_one_before() -> None:
    once = see_reboot_sent(SENT, sent_reboot())
    again = see_marked(once, replace(REBOOTING, reboots=2), NOW)
    assert (again.progress.reboot_sent_at, again.progress.away_at) == (None, None)
    assert again.reboots == once.reboots


def test_a_drain_remembers_what_it_has_to_move_and_what_was_lacking_before() -> None:
    one = instance(tasks=(task("web"), task("web"), task("api"), task("agent", daemon=True), STANDALONE))
    progress = see_drain_sent(one, NOW, {ServiceArn("arn:service/web"): 1}, confirmed=True).progress
    assert progress.drain is not None
    assert (progress.drain.at, progress.drain.moving, progress.drain.deficits_before) == (
        NOW,
        {"web": 2, "api": 1},
        {"arn:service/web": 1},
    )


@pytest.mark.parametrize("confirmed", [True, False])
def test_a_drain_that_ecs_confirmed_is_as_good_as_seen(*, confirmed: bool) -> None:
    assert see_drain_sent(instance(), NOW, {}, confirmed=confirmed).progress.drain_seen is confirmed


def test_a_registration_is_not_changed_by_what_is_learned_from_it() -> None:
    before: Registration = registration("i-a", attributes=marked(DEAD))
    see_registration(UNKNOWN, before, RUN)
    assert before == registration("i-a", attributes=marked(replace(DEAD, target=NEW)))
