from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.builders import NOW, a_claim, claimed, fleet, instance, policy, registration

from bottlerocket_ecs_updater.core.decision.halting import in_quarantine
from bottlerocket_ecs_updater.core.decision.this_pass import Pass
from bottlerocket_ecs_updater.core.decision.unclaimed.budget import count_budget, left_out_of_service
from bottlerocket_ecs_updater.core.model.claim import ClaimPhase
from bottlerocket_ecs_updater.core.model.container_instance import NAMELESS, Status
from bottlerocket_ecs_updater.core.model.ids import InstanceId, Zone
from bottlerocket_ecs_updater.core.model.instance import Instance
from bottlerocket_ecs_updater.core.model.reasons import Reason, hold
from bottlerocket_ecs_updater.core.model.services import Slot
from bottlerocket_ecs_updater.core.rules.policy import Limit, Policy

A, B = Zone("eu-west-1a"), Zone("eu-west-1b")


def other(name: str, **changes: object) -> Instance:
    """An instance of the fleet whose registration differs from a healthy one."""
    return instance(name, registered=registration(name, **changes))


def slot(name: str, zone: Zone = A) -> Slot:
    return Slot(InstanceId(name), zone, NOW, {})


def reason(budget_of: Policy, *instances: Instance, zone: Zone = A, **changes: object) -> Reason | None:
    refusal = count_budget(Pass(fleet(*instances, **changes), budget_of)).refusal(zone)
    return None if refusal is None else refusal.reason


# Limits


@pytest.mark.parametrize(
    ("limit", "total", "expected"),
    [
        (Limit(number=1), 100, 1),
        (Limit(number=7), 3, 7),
        (Limit(percent=10), 100, 10),
        (Limit(percent=10), 19, 1),
        (Limit(percent=25), 7, 1),
        (Limit(percent=25), 8, 2),
        (Limit(percent=1), 3, 1),
        (Limit(percent=100), 3, 3),
        (Limit(percent=50), 0, 1),
        (Limit(), 10, 1),
    ],
)
def test_a_percentage_is_rounded_down_and_never_less_than_one(limit: Limit, total: int, expected: int) -> None:
    assert limit.of(total) == expected


@pytest.mark.parametrize(("limit", "text"), [(Limit(number=3), "3"), (Limit(percent=10), "10%")])
def test_a_limit_is_written_as_it_is_set(limit: Limit, text: str) -> None:
    assert str(limit) == text


def test_a_percentage_is_of_the_bottlerocket_instances_only() -> None:
    others = [other(f"i-other{n}", variant=None) for n in range(90)]
    ours = [other(f"i-{n}") for n in range(10)]
    assert count_budget(Pass(fleet(*others, *ours), Policy(max_unavailable=Limit(percent=20)))).limit == 2


# What counts


def test_a_cluster_in_service_takes_no_budget() -> None:
    assert reason(policy(), other("i-a"), other("i-b")) is None


def test_an_instance_that_somebody_else_drained_counts() -> None:
    assert reason(policy(), other("i-a", status=Status.DRAINING), other("i-b")) is Reason.BUDGET


def test_a_disconnected_instance_counts() -> None:
    assert reason(policy(), other("i-a", connected=False), other("i-b")) is Reason.BUDGET


@pytest.mark.parametrize("phase", ClaimPhase)
def test_a_claimed_instance_counts_in_every_phase(phase: ClaimPhase) -> None:
    assert reason(policy(), claimed("i-a", a_claim(phase)), other("i-b")) is Reason.BUDGET


def test_a_claimed_instance_that_is_in_service_counts_still() -> None:
    assert reason(policy(), claimed("i-a", status=Status.ACTIVE), other("i-b")) is Reason.BUDGET


def test_a_claimed_instance_that_ecs_lists_no_more_counts_still() -> None:
    assert reason(policy(), claimed("i-a", registration=None), other("i-b")) is Reason.BUDGET


def test_a_draining_instance_of_another_operating_system_does_not_count() -> None:
    assert reason(policy(), other("i-a", variant=None, status=Status.DRAINING), other("i-b")) is None


def test_an_instance_that_was_terminated_is_no_capacity_any_more() -> None:
    gone = other("i-a", connected=False, status=Status.INACTIVE)
    assert reason(policy(), gone, other("i-b")) is None
    half = Policy(max_unavailable=Limit(percent=50))
    assert count_budget(Pass(fleet(gone, other("i-b"), other("i-c"), other("i-d")), half)).limit == 1


NOT_OUT = (Status.ACTIVE, Status.INACTIVE, Status.REGISTRATION_FAILED)
OUT = [status for status in Status if status not in NOT_OUT]


@pytest.mark.parametrize("status", OUT)
def test_every_status_but_active_takes_no_tasks_and_counts(status: Status) -> None:
    down = other("i-a", status=status)
    assert reason(policy(), down, other("i-b")) is Reason.BUDGET
    assert reason(policy(3, per_zone=1), down, other("i-b"), zone=A) is Reason.ZONE_BUDGET


@pytest.mark.parametrize("status", OUT)
def test_an_instance_with_an_unknown_status_counts_in_percentages_too(status: Status) -> None:
    half = Policy(max_unavailable=Limit(percent=50))
    two = [other("i-a", status=status), other("i-b", status=status)]
    assert reason(half, *two, other("i-c"), other("i-d")) is Reason.BUDGET


def test_an_instance_whose_registration_failed_counts_only_if_it_has_tasks() -> None:
    """It was in service then, so its capacity is missed."""
    failed = other("i-a", status=Status.REGISTRATION_FAILED)
    assert reason(policy(), failed, other("i-b")) is None
    assert failed.registration is not None
    busy = replace(failed, registration=replace(failed.registration, running_tasks=1))
    assert reason(policy(), busy, other("i-b")) is Reason.BUDGET


@pytest.mark.parametrize("described_before", [True, False])
def test_an_instance_that_ecs_lists_but_does_not_describe_counts(*, described_before: bool) -> None:
    seen = other("i-a", zone=B) if described_before else Instance(InstanceId("i-a"))
    dark = replace(seen, undescribed="SERVER: try again")
    assert reason(policy(), dark, other("i-b")) is Reason.BUDGET
    # In an unknown zone, it may be in any zone.
    in_that_zone = None if described_before else Reason.ZONE_BUDGET
    assert reason(policy(3, per_zone=1), dark, other("i-b"), zone=A) is in_that_zone


@pytest.mark.parametrize("why", ["", NAMELESS])
def test_an_instance_that_is_not_there_is_not_unknown(why: str) -> None:
    gone = Instance(InstanceId("i-a"), undescribed=why)
    assert reason(policy(), gone, other("i-b")) is None


def test_an_instance_that_was_gone_at_its_last_description_takes_no_slot() -> None:
    gone = replace(other("i-a", status=Status.INACTIVE, connected=False), undescribed="MISSING")
    assert reason(policy(), gone, other("i-b")) is None


def test_an_instance_of_another_operating_system_that_is_not_described_does_not_count() -> None:
    foreign = replace(other("i-a", variant=None), undescribed="SERVER")
    assert reason(policy(), foreign, other("i-b")) is None


def test_an_instance_that_is_down_in_two_ways_counts_once() -> None:
    assert reason(policy(2), other("i-a", connected=False, status=Status.DRAINING), other("i-b")) is None


def test_a_slot_that_has_not_settled_counts() -> None:
    assert reason(policy(), other("i-a"), slots=(slot("i-a"),)) is Reason.SETTLING


def test_a_settling_instance_that_is_down_again_counts_once() -> None:
    assert reason(policy(2), other("i-a", connected=False), slots=(slot("i-a"),)) is None


def test_it_is_the_budget_where_settling_alone_would_not_fill_it() -> None:
    down = [other("i-a", connected=False), other("i-b")]
    assert reason(policy(1), *down, slots=(slot("i-b"),)) is Reason.BUDGET


def test_taking_an_instance_takes_its_place() -> None:
    budget = count_budget(Pass(fleet(other("i-a"), other("i-b")), policy(1)))
    assert budget.take(other("i-a")).refusal(A) is not None


# Zones


def test_a_zone_that_is_full_refuses_its_own_only() -> None:
    down, free = other("i-a", connected=False), other("i-b", zone=B)
    both = (policy(3, per_zone=1), down, free)
    assert (reason(*both, zone=A), reason(*both, zone=B)) == (Reason.ZONE_BUDGET, None)


def test_a_percentage_per_zone_is_of_that_zones_instances() -> None:
    eight = [other(f"i-{n}", zone=A) for n in range(8)] + [other(f"i-b{n}", zone=B) for n in range(3)]
    limits = Policy(max_unavailable=Limit(number=9), max_unavailable_per_zone=Limit(percent=25))
    assert count_budget(Pass(fleet(*eight), limits)).limit_per_zone == {A: 2, B: 1}


def test_an_instance_whose_zone_is_unknown_counts_in_every_zone() -> None:
    assert reason(policy(3, per_zone=1), claimed("i-a", registration=None), other("i-b")) is Reason.ZONE_BUDGET


def test_an_instance_in_an_unknown_zone_counts_in_every_zone() -> None:
    lost, free = other("i-x", zone=Zone("")), other("i-b", zone=B)
    down = other("i-a", connected=False, zone=A)
    assert reason(policy(3, per_zone=1), lost, free, down, zone=Zone("")) is Reason.ZONE_BUDGET
    assert reason(policy(3, per_zone=1), lost, free, other("i-a"), zone=Zone("")) is None


@given(st.lists(st.tuples(st.sampled_from([A, B, Zone("")]), st.booleans()), max_size=6))
def test_an_instance_in_an_unknown_zone_respects_the_budget_of_every_zone(
    others: list[tuple[Zone, bool]],
) -> None:
    there = [other(f"i-{n}", zone=zone, connected=up) for n, (zone, up) in enumerate(others)]
    for true in (A, B):
        known = reason(policy(9, per_zone=1), *there, other("i-x", zone=true), zone=true)
        if known is not None:
            assert reason(
                policy(9, per_zone=1), *there, other("i-x", zone=Zone("")), other("i-y", zone=true), zone=Zone("")
            )


def test_a_settling_slot_fills_its_zone() -> None:
    assert reason(policy(3, per_zone=1), other("i-a"), slots=(slot("i-a"),)) is Reason.SETTLING


# Texts


def test_a_full_budget_names_who_fills_it() -> None:
    refusal = count_budget(Pass(fleet(*[other(f"i-{n}", connected=False) for n in range(5)]), policy(2))).refusal(A)
    assert str(refusal) == "the budget is full: 5 unavailable, limit 2: " + "".join(
        f"i-{number} (its agent is disconnected)" + end for number, end in enumerate((", ", ", ", " and 2 more"))
    )


def test_a_full_zone_names_who_fills_it() -> None:
    refusal = count_budget(Pass(fleet(other("i-a", connected=False)), policy(2, per_zone=1))).refusal(A)
    assert str(refusal) == "the budget of eu-west-1a is full: 1 unavailable, limit 1: i-a (its agent is disconnected)"


def test_a_full_zone_that_has_no_name_is_said_to_have_none() -> None:
    refusal = count_budget(Pass(fleet(other("i-a", zone=Zone(""), connected=False)), policy(2, per_zone=1))).refusal(
        Zone("")
    )
    assert "the budget of an unknown zone is full" in str(refusal)


def test_a_settling_cluster_names_after_whom() -> None:
    refusal = count_budget(Pass(fleet(other("i-a"), slots=(slot("i-a"),)), policy())).refusal(A)
    assert str(refusal) == "the cluster is settling after i-a returned"


def test_only_quarantined_instances_are_in_quarantine() -> None:
    both = fleet(claimed("i-a"), claimed("i-b", a_claim(ClaimPhase.QUARANTINED)), other("i-c"))
    assert in_quarantine(both) == ("i-b",)


def test_an_instance_that_left_the_cluster_takes_no_place() -> None:
    left = other("i-left", status=Status.INACTIVE, connected=False)
    assert reason(policy(), left, other("i-a")) is None


def test_an_instance_that_is_found_gone_is_not_left_out_of_service() -> None:
    """An earlier run had left it to its group, which terminated it: the run exited with 3 and could not say why."""
    left = other("i-left", status=Status.DRAINING)
    left = replace(left, left_claim=a_claim(), claimed_arn=registration("i-left").arn)
    gone = replace(left, progress=replace(left.progress, outcome=hold(Reason.GONE, why="ECS does not find it")))
    assert left_out_of_service(Pass(fleet(left), policy())) == ("i-left",)
    assert left_out_of_service(Pass(fleet(gone), policy())) == ()
