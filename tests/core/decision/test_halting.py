from __future__ import annotations

from dataclasses import replace

import pytest
from tests.core.builders import (
    DEAD_RUN,
    HOUR,
    MINUTE,
    NEW,
    NOW,
    OLD,
    POLICY,
    RUN,
    SECOND,
    a_claim,
    a_return,
    claimed,
    drained_by_us,
    fleet,
    instance,
    policy,
    rebooted,
    registration,
)

from bottlerocket_ecs_updater.core.decision.decide import decide
from bottlerocket_ecs_updater.core.decision.halting import find_halt
from bottlerocket_ecs_updater.core.decision.this_pass import Pass
from bottlerocket_ecs_updater.core.model.claim import CLAIM_ATTRIBUTE, ClaimPhase
from bottlerocket_ecs_updater.core.model.fleet import Halt
from bottlerocket_ecs_updater.core.model.ids import InstanceId, Zone
from bottlerocket_ecs_updater.core.model.instance import Instance
from bottlerocket_ecs_updater.core.model.outcome import Outcome, Quarantined, Updated
from bottlerocket_ecs_updater.core.model.reasons import Failure, Reason, failed, hold
from bottlerocket_ecs_updater.core.model.run_progress import RunProgress, SentDrain
from bottlerocket_ecs_updater.core.model.services import Slot
from bottlerocket_ecs_updater.core.rules.policy import CONNECTED_LOOKS, Limit
from bottlerocket_ecs_updater.core.state.observe import see_registration

ROLLED_BACK = failed(Failure.ROLLED_BACK, version=OLD, target=NEW)
NOT_BACK = failed(Failure.NOT_BACK, limit="20m", detail="its ECS agent did not connect")
NEVER = failed(Failure.NEVER_REBOOTED, times="once")
REFUSED = failed(Failure.REBOOT_REFUSED, detail="Status 500")
WRONG = failed(Failure.WRONG_VERSION, version=OLD, target=NEW)
APPLY = failed(Failure.APPLY_FAILED, detail="no space left on device")


def ended_as(name: str, outcome: Outcome, *, drained: bool = True) -> Instance:
    """An instance with this outcome in the run."""
    return instance(name, progress=RunProgress(outcome=outcome, drain=SentDrain(NOW - MINUTE) if drained else None))


def why(*instances: Instance, max_failures: int = 2) -> str:
    """Why a run with a budget of nine halts; empty if it does not."""
    halt = find_halt(Pass(fleet(*instances), policy(9, max_failures=max_failures)))
    return "" if halt is None else halt.why


def in_quarantine(name: str, *, connected: bool = False) -> Instance:
    claim = a_claim(ClaimPhase.QUARANTINED, run=DEAD_RUN, since=NOW - HOUR)
    return claimed(name, claim, connected=connected, progress=drained_by_us(claim))


# Failures


@pytest.mark.parametrize("outcome", [ROLLED_BACK, NOT_BACK, NEVER, REFUSED, Quarantined(NOT_BACK)])
def test_failures_after_the_drain_started_halt_the_run(outcome: Outcome) -> None:
    assert why(ended_as("i-a", outcome), ended_as("i-b", ROLLED_BACK))


@pytest.mark.parametrize("outcome", [APPLY, WRONG, Updated(OLD, NEW), hold(Reason.DRAIN_TIMED_OUT)])
def test_failures_that_drained_nothing_do_not(outcome: Outcome) -> None:
    assert not why(ended_as("i-a", outcome), ended_as("i-b", ROLLED_BACK))


@pytest.mark.parametrize(("count", "limit", "halts"), [(1, 2, False), (2, 2, True), (1, 1, True), (2, 3, False)])
def test_the_run_halts_at_its_own_limit(count: int, limit: int, *, halts: bool) -> None:
    bad = [ended_as(f"i-{number}", ROLLED_BACK) for number in range(count)]
    assert bool(why(*bad, max_failures=limit)) is halts


def test_no_run_halts_without_failures_under_any_limit() -> None:
    assert not why(instance(), max_failures=0)


def test_a_failure_counts_before_its_instance_is_back_in_service() -> None:
    on_its_way = claimed("i-b", progress=drained_by_us(a_claim(), sent_return=a_return(NOW, ROLLED_BACK)))
    assert why(ended_as("i-a", ROLLED_BACK), on_its_way)


def test_the_halt_names_who_failed_and_how() -> None:
    text = why(ended_as("i-b", Quarantined(NOT_BACK)), ended_as("i-a", ROLLED_BACK))
    assert text == (
        "i-a, i-b failed after the drain started; "
        "i-a: it came back on 1.20.0: 1.21.0 did not boot, and the host rolled back"
    )
    assert why(ended_as("i-a", ROLLED_BACK), max_failures=1) == (
        "i-a failed after the drain started: it came back on 1.20.0: 1.21.0 did not boot, and the host rolled back"
    )


def test_a_failure_of_what_a_dead_run_started_counts_too() -> None:
    assert why(ended_as("i-a", ROLLED_BACK, drained=False), ended_as("i-b", ROLLED_BACK, drained=False))


def test_a_failure_that_an_earlier_run_left_in_quarantine_is_not_one_of_this_run() -> None:
    claim = a_claim(ClaimPhase.QUARANTINED, run=DEAD_RUN, since=NOW - HOUR)
    progress = RunProgress(outcome=Quarantined(NOT_BACK), claimed_at=NOW - MINUTE, found_in_quarantine=True)
    assert not why(claimed("i-b", claim, progress=progress), ended_as("i-a", ROLLED_BACK))


def test_a_claim_found_in_quarantine_is_distinguished_from_a_later_quarantine() -> None:
    before = a_claim(ClaimPhase.QUARANTINED, run=DEAD_RUN)
    found = see_registration(instance(), registration(attributes={CLAIM_ATTRIBUTE: before.encode()}), RUN)
    assert found.progress.found_in_quarantine
    dead = a_claim(ClaimPhase.REBOOTING, run=DEAD_RUN)
    resumed = see_registration(instance(), registration(attributes={CLAIM_ATTRIBUTE: dead.encode()}), RUN)
    assert not resumed.progress.found_in_quarantine


# Quarantine


def test_quarantined_instances_that_fill_the_budget_halt_the_run() -> None:
    halt = find_halt(Pass(fleet(in_quarantine("i-a"), in_quarantine("i-b")), policy(2)))
    assert halt == Halt("quarantined instances fill the budget of 2: i-a, i-b; repair, replace or `release` them")


def test_quarantined_instances_that_leave_room_do_not() -> None:
    assert find_halt(Pass(fleet(in_quarantine("i-a")), policy(2))) is None


def test_a_percentage_is_filled_by_what_it_comes_to() -> None:
    others = [instance(f"i-{number}", registered=registration(f"i-{number}")) for number in range(19)]
    tenth = replace(POLICY, max_unavailable=Limit(percent=10))
    assert find_halt(Pass(fleet(in_quarantine("i-a"), *others), tenth)) is None
    assert find_halt(Pass(fleet(in_quarantine("i-a"), *others[:10]), tenth)) is not None


def test_an_empty_quarantine_halts_no_run_with_any_budget() -> None:
    assert find_halt(Pass(fleet(instance()), replace(POLICY, max_unavailable=Limit(number=0)))) is None


def test_a_quarantined_instance_that_is_away_halts_the_run_at_once() -> None:
    assert decide(fleet(in_quarantine("i-a")), policy()).halt is not None


def test_a_quarantined_instance_is_checked_before_the_run_halts_for_it() -> None:
    assert decide(fleet(in_quarantine("i-a", connected=True)), policy()).halt is None


def test_a_quarantined_instance_that_is_healthy_again_halts_no_run() -> None:
    claim = a_claim(ClaimPhase.QUARANTINED, run=DEAD_RUN, since=NOW - HOUR)
    progress = drained_by_us(claim, claimed_at=NOW - MINUTE, connected_looks=CONNECTED_LOOKS)
    well = claimed("i-a", claim, rebooted(), asked=NOW - SECOND, progress=progress)
    assert decide(fleet(well), policy()).halt is None


# Settling


def test_services_that_never_settle_halt_the_run_and_are_named() -> None:
    slot = Slot(InstanceId("i-a"), Zone("eu-west-1a"), NOW - 10 * MINUTE, {}, unsteady=("web", "api"))
    halt = find_halt(Pass(fleet(instance(), slots=(slot,)), policy()))
    assert halt == Halt("not steady within 10m after i-a was returned: api, web")


# A halt lasts


def test_a_halt_stays_for_the_rest_of_the_run() -> None:
    before = Halt("two failed")
    assert find_halt(Pass(fleet(instance(), halt=before), policy())) == before


def test_a_healthy_run_does_not_halt() -> None:
    assert find_halt(Pass(fleet(instance(), ended_as("i-b", Updated(OLD, NEW))), policy())) is None
