"""How far a rollout is: each instance is done, failed or in progress, and is counted once."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.builders import (
    HOUR,
    MINUTE,
    NEW,
    NEWER,
    NOW,
    OLD,
    a_claim,
    available,
    claimed,
    fleet,
    idle,
    instance,
    ready,
    registration,
)
from tests.core.strategies import fleets
from tests.support.rules import parse_checkpoints

from bottlerocket_ecs_updater.core.decision.this_pass import Pass
from bottlerocket_ecs_updater.core.decision.unclaimed.eligibility import newly_found, rollout_of, started_lately
from bottlerocket_ecs_updater.core.model.claim import ClaimPhase
from bottlerocket_ecs_updater.core.model.container_instance import Status
from bottlerocket_ecs_updater.core.model.fleet import Fleet
from bottlerocket_ecs_updater.core.model.history import History, PastUpdate
from bottlerocket_ecs_updater.core.model.ids import InstanceId
from bottlerocket_ecs_updater.core.model.instance import Instance
from bottlerocket_ecs_updater.core.rules.checkpoints import Checkpoints, RolloutState
from bottlerocket_ecs_updater.core.rules.policy import Policy
from bottlerocket_ecs_updater.core.rules.ruleset import Rules
from bottlerocket_ecs_updater.core.rules.selection import Selection, parse_selector

EARLIER = NOW - 2 * HOUR
ONE, TWO = InstanceId("i-a"), InstanceId("i-b")
STEPS = Policy(rules=Rules(checkpoints=Checkpoints(parse_checkpoints("1,100%"), HOUR)))


def came(at: datetime = EARLIER) -> PastUpdate:
    return PastUpdate(NEW, at)


def failed_on(*ids: str) -> History:
    return History(failed_on={NEW: frozenset(map(InstanceId, ids))})


def quarantined(name: str = "i-a") -> Instance:
    return claimed(name, a_claim(ClaimPhase.QUARANTINED))


def counted(past: History, *instances: Instance, policy: Policy = STEPS) -> tuple[int, int, int, int]:
    """How many are done, failed and in progress, and the total."""
    rollout = rollout_of(NEW, Pass(fleet(*instances, past=past), policy))
    return len(rollout.done), rollout.failed, rollout.in_progress, rollout.total


# One state


def test_a_quarantined_instance_counts_as_failed_and_not_as_in_progress() -> None:
    assert counted(History(), quarantined()) == (0, 1, 0, 1)
    assert counted(failed_on("i-a"), quarantined()) == (0, 1, 0, 1)


def test_a_failed_instance_that_is_retried_counts_as_in_progress() -> None:
    assert counted(failed_on("i-a"), claimed("i-a")) == (0, 0, 1, 1)


def test_an_instance_that_failed_after_it_was_done_counts_as_failed() -> None:
    past = replace(failed_on("i-a"), updated={ONE: came()})
    assert counted(past, instance("i-a")) == (0, 1, 0, 1)


def test_a_done_instance_that_is_updated_again_counts_as_in_progress() -> None:
    assert counted(History(updated={ONE: came()}), claimed("i-a")) == (0, 0, 1, 1)


def test_a_version_that_a_person_declared_good_has_not_failed_on_those_that_are_still_out() -> None:
    out = quarantined()
    assert out.claim is not None
    before, since = out.claim.since - MINUTE, out.claim.since + MINUTE
    assert counted(History(released={NEW: since}), out) == (0, 0, 0, 1)
    assert counted(History(released={NEW: before}), out) == (0, 1, 0, 1)


def test_claims_and_records_of_other_versions_do_not_count() -> None:
    past = History(updated={ONE: PastUpdate(OLD, EARLIER)}, failed_on={NEWER: frozenset({TWO})})
    assert counted(past, instance("i-a"), claimed("i-b", a_claim(target=NEWER))) == (0, 0, 0, 2)


def test_failures_count_even_if_only_their_number_is_known() -> None:
    saved = fleet(instance("i-a"), suspects={NEW: 2})
    assert rollout_of(NEW, Pass(saved, STEPS)).failed == 2


ids = st.sampled_from([InstanceId(f"i-{number}") for number in range(8)])
pasts = st.builds(
    History,
    updated=st.dictionaries(ids, st.builds(PastUpdate, st.sampled_from([OLD, NEW]), st.just(EARLIER))),
    found_on=st.dictionaries(ids, st.builds(PastUpdate, st.sampled_from([OLD, NEW]), st.just(NOW))),
    failed_on=st.dictionaries(st.sampled_from([OLD, NEW]), st.frozensets(ids)),
    released=st.dictionaries(st.sampled_from([OLD, NEW]), st.sampled_from([EARLIER, NOW])),
)


@given(fleets(), pasts)
def test_no_instance_is_counted_twice_and_none_that_nothing_came_to(a_fleet: Fleet, past: History) -> None:
    whole = replace(a_fleet, past=past, suspects={version: len(ids) for version, ids in past.failed_on.items()})
    rollout = rollout_of(NEW, Pass(whole, STEPS))
    everyone = {*whole.instances, *past.updated, *past.found_on, *past.failed_on.get(NEW, ())}
    assert len(rollout.done) + rollout.failed + rollout.in_progress <= len(everyone)
    assert rollout.total <= len(everyone)
    assert all(at <= whole.at for at in rollout.done)


# Instances that left, and instances that are not selected


@pytest.mark.parametrize(
    "there", [(), (instance("i-a", registered=registration("i-a", status=Status.INACTIVE, connected=False)),)]
)
def test_a_terminated_canary_still_counts_as_done(there: tuple[Instance, ...]) -> None:
    past = History(updated={ONE: came()})
    assert counted(past, instance("i-b", available()), *there) == (1, 0, 0, 2)


def test_a_terminated_instance_that_failed_counts_as_failed() -> None:
    assert counted(failed_on("i-a"), instance("i-b", available())) == (0, 1, 0, 2)


def test_only_failures_count_for_instances_that_are_not_selected() -> None:
    rules = replace(STEPS.rules, selection=Selection(exclude=(parse_selector("attribute:odd exists"),)))
    past = replace(failed_on("i-c"), updated={ONE: came()})
    odd = {name: instance(name, registered=registration(name, attributes={"odd": "1"})) for name in ("i-a", "i-c")}
    assert counted(past, *odd.values(), instance("i-b"), policy=replace(STEPS, rules=rules)) == (0, 1, 0, 1)


# Instances that already run it


def test_an_instance_on_the_version_without_an_update_is_done_from_when_it_was_found() -> None:
    launched = instance("i-a", idle(NEW))
    assert rollout_of(NEW, Pass(fleet(launched), STEPS)).done == (NOW,)
    assert rollout_of(NEW, Pass(fleet(launched, past=History(found_on={ONE: came()})), STEPS)).done == (EARLIER,)


@pytest.mark.parametrize("change", [{"status": Status.DRAINING}, {"connected": False}])
def test_an_instance_on_the_version_that_is_not_in_service_does_not_count_as_done(change: dict[str, object]) -> None:
    out = instance("i-a", idle(NEW), registered=registration("i-a", **change))
    assert counted(History(), out) == (0, 0, 0, 1)
    assert newly_found(fleet(out, instance("i-b", available())), STEPS) == {}


def test_an_instance_that_no_longer_runs_the_version_is_not_done() -> None:
    past = History(updated={ONE: came()}, found_on={TWO: came()})
    assert counted(past, instance("i-a", available()), instance("i-b", ready())) == (0, 0, 0, 2)


def test_an_instance_that_did_not_answer_has_its_recorded_outcome() -> None:
    assert counted(History(updated={ONE: came()}), instance("i-a")) == (1, 0, 0, 1)


def test_only_what_others_are_offered_is_written_down_and_only_once() -> None:
    there = (instance("i-a", idle(NEW)), instance("i-b", available()), instance("i-c", idle(OLD)))
    assert newly_found(fleet(*there), STEPS) == {ONE: NEW}
    assert newly_found(fleet(*there, past=History(found_on={ONE: came()})), STEPS) == {}
    assert newly_found(fleet(*there, past=History(updated={ONE: came()})), STEPS) == {}
    assert newly_found(fleet(*there), Policy()) == {}


# Started today


def test_an_instance_that_is_claimed_and_one_that_was_drained_are_started_once_each() -> None:
    claim = a_claim()
    past = History(started={ONE: NOW - MINUTE / 2, TWO: EARLIER})
    drained, other = claimed("i-a", claim), claimed("i-c", claim)
    assert sorted(started_lately(fleet(drained, other, past=past))) == [EARLIER, claim.since, NOW - MINUTE / 2]


def test_an_update_that_is_started_again_counts_from_its_new_claim() -> None:
    claim = a_claim()
    assert started_lately(fleet(claimed("i-a", claim), past=History(started={ONE: EARLIER}))) == (claim.since,)


@pytest.mark.parametrize("phase", [ClaimPhase.REBOOTING, ClaimPhase.QUARANTINED])
def test_an_update_past_its_drain_counts_from_the_drain(phase: ClaimPhase) -> None:
    assert started_lately(fleet(claimed("i-a", a_claim(phase)))) == ()


def test_starts_without_an_instance_id_count_too() -> None:
    assert started_lately(fleet(past=History(started_nameless=(EARLIER, NOW)))) == (EARLIER, NOW)


def test_a_rollout_that_was_not_started_is_empty() -> None:
    assert rollout_of(NEW, Pass(fleet(instance("i-a", available())), STEPS)) == RolloutState(NEW, 1)
