from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from tests.core.builders import (
    MINUTE,
    NEW,
    NOW,
    OLD,
    POLICY,
    POLL,
    SECOND,
    a_return,
    claimed,
    fleet,
    instance,
    registration,
    service,
)

from bottlerocket_ecs_updater.core.decision.settling import (
    deficits,
    moving_tasks,
    never_settled,
    next_settle_look,
    see_services,
    settled,
    taken_tasks,
)
from bottlerocket_ecs_updater.core.decision.this_pass import Pass
from bottlerocket_ecs_updater.core.model.container_instance import Status
from bottlerocket_ecs_updater.core.model.ids import InstanceId, ServiceArn, Zone
from bottlerocket_ecs_updater.core.model.instance import Instance
from bottlerocket_ecs_updater.core.model.outcome import Outcome, Updated
from bottlerocket_ecs_updater.core.model.resources import DeploymentLimits
from bottlerocket_ecs_updater.core.model.run_progress import RunProgress, SentDrain, TakenOut
from bottlerocket_ecs_updater.core.model.services import Service, Services, Slot

SLOT = Slot(InstanceId("i-a"), Zone("eu-west-1a"), NOW, {})
UPDATED = Updated(OLD, NEW)
WEB, API = ServiceArn("arn:service/web"), ServiceArn("arn:service/api")


def seen(*services: Service, later: int = 0) -> Services:
    return Services(services, NOW + later * SECOND)


def moving(name: str = "i-b", **progress: Any) -> Instance:
    return claimed(name, progress=RunProgress(drain=SentDrain(NOW, moving={"web": 2}), **progress))


def test_deficits_are_what_each_service_lacks() -> None:
    looked = seen(service("web", 3, 1), service("api", 2, 2), service("batch", 1, 4))
    assert deficits(looked) == {WEB: 2}


def test_services_that_were_not_read_lack_nothing() -> None:
    assert deficits(None) == {}


# One look


def test_a_steady_cluster_is_steady_since_the_first_look_that_saw_it() -> None:
    once = see_services(SLOT, seen(service(), later=10), {})
    assert see_services(once, seen(service(), later=40), {}).steady_since == NOW + 10 * SECOND


def test_a_look_from_before_the_return_does_not_count_for_the_time_before_it() -> None:
    assert see_services(SLOT, seen(service(), later=-30), {}).steady_since == NOW


def test_a_service_that_lacks_a_task_is_named_and_unsteady() -> None:
    unsteady = see_services(SLOT, seen(service("web", 3, 2), service("api")), {})
    assert (unsteady.steady_since, unsteady.unsteady) == (None, ("web",))


def test_a_service_that_was_scaled_up_and_lost_no_task_is_steady() -> None:
    slot = replace(SLOT, running_before={WEB: 3})
    assert see_services(slot, seen(service("web", 40, 3)), {}).unsteady == ()
    assert see_services(slot, seen(service("web", 40, 2)), {}).unsteady == ("web",)
    assert see_services(slot, seen(service("web", 2, 2)), {}).unsteady == ()


def test_a_service_that_ecs_did_not_describe_is_not_steady_even_if_it_was_before() -> None:
    steady = see_services(SLOT, seen(service()), {})
    unknown = see_services(steady, seen(replace(service(), unknown="InternalError"), later=20), {})
    assert (unknown.steady_since, unknown.unsteady) == (None, ("web (ECS did not describe it: InternalError)",))


def test_a_service_that_becomes_unsteady_starts_the_settle_time_again() -> None:
    steady = see_services(SLOT, seen(service()), {})
    fell = see_services(steady, seen(service("web", 3, 2), later=20), {})
    again = see_services(fell, seen(service(), later=30), {})
    assert (fell.steady_since, again.steady_since, again.unsteady) == (None, NOW + 30 * SECOND, ())


def test_a_service_that_is_no_worse_off_than_before_the_drain_is_steady() -> None:
    before = replace(SLOT, deficits_before={WEB: 2})
    assert see_services(before, seen(service("web", 5, 3)), {}).steady_since == NOW


def test_a_service_that_lacks_one_more_than_before_is_not() -> None:
    before = replace(SLOT, deficits_before={WEB: 2})
    assert see_services(before, seen(service("web", 5, 2)), {}).unsteady == ("web",)


def test_tasks_that_another_drain_moves_explain_a_deficit() -> None:
    assert see_services(SLOT, seen(service("web", 5, 3)), {"web": 2}).steady_since == NOW


def test_more_running_than_desired_is_steady() -> None:
    assert see_services(SLOT, seen(service("web", 3, 5)), {}).steady_since == NOW


# Time without looks


def looked(slot: Slot, *looks: tuple[int, bool]) -> Slot:
    """The slot after looks at these seconds after its return, each with whether the services were steady."""
    for later, well in looks:
        slot = see_services(slot, seen(service("web", 3, 3 if well else 2), later=later), {}, policy=POLICY)
    return slot


def test_time_without_looks_is_not_time_unsteady() -> None:
    slot = looked(SLOT, (0, False), (900, False), (905, False))
    assert not never_settled(slot, Pass(fleet(slots=(slot,), at=NOW + 905 * SECOND), POLICY))


def test_time_with_looks_is_counted_before_and_after_it() -> None:
    early = tuple((second, False) for second in range(0, 301, 5))
    late = tuple((second, False) for second in range(1200, 1465, 5))
    slot = looked(SLOT, *early, *late)
    assert not never_settled(slot, Pass(fleet(slots=(slot,), at=NOW + 1460 * SECOND), POLICY))
    slot = looked(slot, *((second, False) for second in range(1465, 1480, 5)))
    assert never_settled(slot, Pass(fleet(slots=(slot,), at=NOW + 1475 * SECOND), POLICY))


def test_a_slot_is_judged_by_its_last_look_even_if_that_is_long_ago() -> None:
    slot = looked(SLOT, (0, False), (5, False))
    assert not never_settled(slot, Pass(fleet(slots=(slot,), at=NOW + 60 * MINUTE), POLICY))


def test_a_slot_without_a_look_is_not_judged() -> None:
    assert not never_settled(SLOT, Pass(fleet(slots=(SLOT,), at=NOW + 60 * MINUTE), POLICY))


def test_time_without_looks_is_not_time_steady() -> None:
    slot = looked(SLOT, (0, True), (30, True), (900, True))
    assert not settled(looked(SLOT, (0, True), (900, True)), NOW + 900 * SECOND, POLICY)
    assert settled(slot, NOW + 900 * SECOND, POLICY)


def test_looks_that_come_a_little_late_count_in_full() -> None:
    slot = looked(SLOT, (0, True), (45, True), (60, True))
    assert (slot.unseen, settled(slot, NOW + 60 * SECOND, POLICY)) == (timedelta(), True)


# When a slot is free


@pytest.mark.parametrize(("seconds", "free"), [(59, False), (60, True), (61, True)])
def test_a_slot_is_free_after_the_settle_time(seconds: int, *, free: bool) -> None:
    steady = replace(SLOT, steady_since=NOW)
    assert settled(steady, NOW + seconds * SECOND, POLICY) is free


def test_an_unsteady_slot_is_never_free() -> None:
    assert not settled(SLOT, NOW + 60 * MINUTE, POLICY)


@pytest.mark.parametrize(("minutes", "late"), [(9, False), (10, True)])
def test_a_slot_that_is_unsteady_past_the_limit_never_settled(minutes: int, *, late: bool) -> None:
    old = replace(SLOT, returned_at=NOW - minutes * MINUTE, unsteady=("web",))
    assert never_settled(old, Pass(fleet(slots=(old,)), POLICY)) is late


def test_a_slot_that_is_steady_at_the_limit_is_waited_for() -> None:
    old = replace(SLOT, returned_at=NOW - 10 * MINUTE, steady_since=NOW - 10 * SECOND)
    assert not never_settled(old, Pass(fleet(slots=(old,)), POLICY))


# When to look


def test_no_look_happens_if_nothing_settles() -> None:
    assert next_settle_look(Pass(fleet(), POLICY)) is None


def test_a_slot_that_was_just_taken_is_looked_at_at_once() -> None:
    assert next_settle_look(Pass(fleet(slots=(SLOT,)), POLICY)) == NOW


def test_an_unsteady_cluster_is_looked_at_soon() -> None:
    unsteady = replace(SLOT, unsteady=("web",))
    look = next_settle_look(Pass(fleet(slots=(unsteady,)), POLICY))
    assert look is not None
    assert NOW + POLL <= look <= NOW + 3 * POLL


def test_a_steady_cluster_is_looked_at_rarely() -> None:
    steady = replace(SLOT, steady_since=NOW)
    look = next_settle_look(Pass(fleet(slots=(steady,)), POLICY))
    assert look is not None
    assert look >= NOW + 20 * SECOND


def test_the_last_look_is_when_the_slot_is_free() -> None:
    steady = replace(SLOT, steady_since=NOW - 57 * SECOND)
    assert next_settle_look(Pass(fleet(slots=(steady,)), POLICY)) == NOW + 3 * SECOND


def test_a_look_that_is_overdue_is_due_now() -> None:
    steady = replace(SLOT, steady_since=NOW - 5 * MINUTE)
    assert next_settle_look(Pass(fleet(slots=(steady,)), POLICY)) == NOW


def test_a_slot_that_never_settled_is_waited_for_no_longer() -> None:
    old = replace(SLOT, returned_at=NOW - 10 * MINUTE, unsteady=("web",))
    assert next_settle_look(Pass(fleet(slots=(old,)), POLICY)) is None


# What drains explain


def test_drains_in_progress_explain_what_they_move() -> None:
    assert moving_tasks(fleet(moving("i-b"), moving("i-c"), instance("i-d"))) == {"web": 4}


def test_a_drain_that_was_returned_to_service_explains_nothing_any_more() -> None:
    assert moving_tasks(fleet(moving(sent_return=a_return(NOW)))) == {}


def test_a_drain_without_a_claim_is_not_ours_to_explain() -> None:
    assert moving_tasks(fleet(instance("i-b", progress=RunProgress(drain=SentDrain(NOW, moving={"web": 2}))))) == {}


# Services that lack tasks anyway


def without_room(name: str, desired: int, running: int) -> Service:
    return replace(service(name, desired, running), unplaced=True)


def test_services_without_room_may_trade_places_but_not_lose_one() -> None:
    """There is room for five of eight tasks: which service gets it changes whenever a task ends."""
    slot = replace(SLOT, deficits_before={WEB: 2, API: 1}, running_before={WEB: 2, API: 3})
    traded = see_services(slot, seen(without_room("web", 4, 3), without_room("api", 4, 2)), {})
    assert (traded.unsteady, traded.below) == ((), frozenset())
    assert see_services(slot, seen(without_room("web", 4, 2), without_room("api", 4, 2)), {}).unsteady == ("api",)
    assert see_services(slot, seen(service("web", 4, 3), service("api", 4, 2)), {}).unsteady == ("api",)


def test_a_service_may_lose_its_room_to_one_that_lacked_none() -> None:
    slot = replace(SLOT, deficits_before={WEB: 4}, running_before={WEB: 0, API: 3})
    assert see_services(slot, seen(without_room("web", 4, 1), without_room("api", 3, 2)), {}).unsteady == ()
    assert see_services(slot, seen(without_room("web", 4, 1), without_room("api", 3, 1)), {}).unsteady == ("api",)


def test_without_counts_from_before_the_drain_no_service_has_gained_a_task() -> None:
    unknown = replace(SLOT, running_before=None)
    assert see_services(unknown, seen(without_room("web", 4, 3), service("api", 4, 4)), {}).unsteady == ("web",)


def test_instances_that_others_took_away_explain_the_tasks_that_have_no_room() -> None:
    slot = replace(SLOT, running_before={WEB: 4}, drained_at=NOW - MINUTE)
    assert see_services(slot, seen(without_room("web", 4, 2)), {}, taken=2).unsteady == ()
    assert see_services(slot, seen(without_room("web", 4, 2)), {}, taken=1).unsteady == ("web",)
    assert see_services(slot, seen(service("web", 4, 2)), {}, taken=2).unsteady == ("web",)


@pytest.mark.parametrize(
    ("since", "outcome", "status", "counts"),
    [
        (NOW, None, Status.ACTIVE, True),
        (NOW - 5 * MINUTE, None, Status.ACTIVE, False),
        (NOW, UPDATED, Status.DRAINING, True),
        (NOW, UPDATED, Status.ACTIVE, False),
    ],
)
def test_an_instance_counts_as_taken_unless_our_update_may_have_disconnected_it(
    since: datetime, outcome: Outcome | None, status: Status, *, counts: bool
) -> None:
    slot = replace(SLOT, drained_at=NOW - MINUTE)
    progress = RunProgress(outcome=outcome, taken_out=TakenOut(since, 3))
    out = instance("i-b", registration=registration("i-b", status=status, connected=False), progress=progress)
    assert taken_tasks(fleet(out), slot) == (3 if counts else 0)


LIMITS = DeploymentLimits(50, 200, "web:2")


def test_a_deployment_may_stop_tasks_within_the_limits_of_its_service() -> None:
    """The run halted because a deployment with a missing image had stopped half of the tasks."""
    slot = replace(SLOT, running_before={WEB: 4})
    for failed in (False, True):
        half = replace(service("web", 4, 2), deployment=LIMITS, deploying=not failed, failed=failed)
        assert see_services(slot, seen(half), {}).unsteady == ()
        assert see_services(slot, seen(replace(half, running=1)), {}).unsteady == ("web",)
    idle = replace(service("web", 4, 2), deployment=LIMITS)
    assert see_services(slot, seen(idle), {}).unsteady == ("web",)


def test_a_service_that_was_deployed_since_the_drain_is_not_compared_with_before() -> None:
    slot = replace(SLOT, running_before={WEB: 4}, drained_at=NOW - MINUTE)
    crashes = replace(service("web", 4, 0), deployed_at=NOW)
    assert see_services(slot, seen(crashes), {}).unsteady == ()
    assert see_services(slot, seen(replace(crashes, deployed_at=NOW - 2 * MINUTE)), {}).unsteady == ("web",)
