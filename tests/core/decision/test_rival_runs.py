"""Runs with another state store."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from tests.core.builders import (
    HOUR,
    MINUTE,
    NOW,
    POLICY,
    RUN,
    SECOND,
    a_claim,
    claimed,
    drained_by_us,
    fleet,
    instance,
    marked,
    ready,
    registration,
)

from bottlerocket_ecs_updater.core.decision.claimed.rival_claim import OVERWRITTEN_LOOKS
from bottlerocket_ecs_updater.core.decision.decide import decide
from bottlerocket_ecs_updater.core.model.claim import CLAIM_ATTRIBUTE, Claim, ClaimPhase
from bottlerocket_ecs_updater.core.model.command import Reboot, Unmark
from bottlerocket_ecs_updater.core.model.fleet import Fleet
from bottlerocket_ecs_updater.core.model.ids import InstanceId, RunId
from bottlerocket_ecs_updater.core.model.instance import Instance
from bottlerocket_ecs_updater.core.model.reasons import Reason
from bottlerocket_ecs_updater.core.state.acts import see_marked
from bottlerocket_ecs_updater.core.state.observe import see_registration

ELDER, YOUNGER = RunId("a-run-before-this"), RunId("younger-run")
OUR_STORE, THEIR_STORE = "aaaaaa", "bbbbbb"


def theirs(run: RunId = ELDER, since: datetime = NOW - MINUTE, store: str = THEIR_STORE) -> Instance:
    """An instance that a run with another store has claimed."""
    claim = a_claim(run=run, since=since, store=store)
    return claimed("i-x", claim, progress=replace(drained_by_us(a_claim(run=ELDER)), claimed_at=NOW))


def seen(*instances: Instance) -> Fleet:
    return fleet(*instances, store=OUR_STORE)


def why(of: str, cluster: Fleet) -> Reason | None:
    held = decide(cluster, POLICY).steps[InstanceId(of)].hold
    return held.reason if held is not None else None


def test_a_run_that_finds_the_claim_of_an_older_run_changes_nothing_and_ends() -> None:
    cluster = seen(theirs(), instance(says=ready()), instance("i-b"))
    decision = decide(cluster, POLICY)
    assert [why(name, cluster) for name in ("i-x", "i-a", "i-b")] == [Reason.ANOTHER_RUN] * 3
    assert (list(decision.commands), decision.look_at) == ([], None)


def test_a_claim_with_a_time_in_the_future_counts_as_a_live_runs() -> None:
    assert why("i-x", seen(theirs(since=NOW + MINUTE))) is Reason.ANOTHER_RUN
    assert why("i-x", seen(theirs(since=NOW + POLICY.longest_phase))) is None


def test_it_finishes_its_own_updates() -> None:
    mine = claimed("i-a", a_claim(store=OUR_STORE))
    assert list(decide(seen(theirs(), mine), POLICY).commands)


def test_it_leaves_updates_of_a_dead_run_with_the_same_store_to_the_next_run() -> None:
    dead = claimed("i-a", a_claim(run=RunId("dead-run"), store=OUR_STORE))
    assert why("i-a", seen(theirs(), dead)) is Reason.ANOTHER_RUN


def test_a_run_leaves_an_instance_with_the_claim_of_a_newer_run_alone_and_continues() -> None:
    cluster = seen(theirs(YOUNGER), instance("i-b"))
    assert why("i-x", cluster) is Reason.ANOTHER_RUN
    assert list(decide(cluster, POLICY).commands)


@pytest.mark.parametrize(
    ("since", "store"),
    [(NOW - HOUR, THEIR_STORE), (NOW + 24 * HOUR, THEIR_STORE), (NOW - MINUTE, OUR_STORE)],
    ids=["older than any phase", "of a clock that is wrong", "of the same store"],
)
def test_the_claim_of_a_dead_run_is_taken_over(since: datetime, store: str) -> None:
    assert why("i-x", seen(theirs(since=since, store=store))) is not Reason.ANOTHER_RUN


# Two runs that claim one instance


def shown(one: Instance, claim: Claim, times: int = 1) -> Instance:
    """The instance after looks that find this claim on it."""
    for count in range(times):
        look = replace(registration(attributes=marked(claim)), at=NOW + count * SECOND)
        one = see_registration(one, look, RUN)
    return one


def test_a_claim_that_another_run_wrote_over_is_dropped_when_two_looks_agree() -> None:
    rival = a_claim(run=YOUNGER, store=THEIR_STORE)
    mine = a_claim(ClaimPhase.REBOOTING, store=OUR_STORE)
    progress = drained_by_us(mine)
    once, twice = (shown(claimed("i-a", mine, progress=progress), rival, times) for times in (1, OVERWRITTEN_LOOKS))
    assert list(decide(seen(once), POLICY).commands) == []
    (command,) = decide(seen(twice), POLICY).commands
    assert isinstance(command, Unmark)


def test_no_reboot_is_sent_where_the_last_look_found_another_runs_claim() -> None:
    mine = a_claim(ClaimPhase.REBOOTING, store=OUR_STORE)
    free = claimed("i-a", mine, progress=drained_by_us(mine))
    assert [type(command) for command in decide(seen(free), POLICY).commands] == [Reboot]
    rival = replace(free, progress=replace(free.progress, overwritten_looks=1))
    assert list(decide(seen(rival), POLICY).commands) == []


def test_a_reader_that_still_shows_the_claim_that_was_taken_over_is_no_rival() -> None:
    before = a_claim(run=ELDER, store=OUR_STORE)
    taken = see_marked(claimed("i-a", before), a_claim(ClaimPhase.REBOOTING, store=OUR_STORE), NOW)
    assert shown(taken, before, 3).progress.overwritten_looks == 0


def test_a_claim_names_the_store_of_its_run() -> None:
    text = a_claim(store=OUR_STORE).encode()
    assert text.endswith(f" 0 {OUR_STORE}")
    assert see_registration(instance(), registration(attributes={CLAIM_ATTRIBUTE: text}), RUN).claim == a_claim(
        store=OUR_STORE
    )


@pytest.mark.parametrize("after_reboot", [False, True])
def test_a_run_whose_reboot_was_sent_late_is_alive_until_the_document_after_it_may_have_ended(
    after_reboot: bool,
) -> None:
    limits = replace(POLICY, after_reboot=after_reboot)
    lasts = 2 * limits.reboot_timeout + (limits.hook_timeout if after_reboot else timedelta(0))
    late = claimed("i-x", a_claim(ClaimPhase.REBOOTING, run=YOUNGER, since=NOW - lasts, store=THEIR_STORE))
    step = decide(seen(late), limits).steps[InstanceId("i-x")]
    assert (step.commands, step.hold and step.hold.reason) == ((), Reason.ANOTHER_RUN)


def test_no_phase_lasts_longer_than_its_limit() -> None:
    assert POLICY.longest_phase > max(POLICY.drain_timeout, POLICY.reboot_timeout)
    assert POLICY.longest_phase < timedelta(hours=1)
