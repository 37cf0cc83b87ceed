from __future__ import annotations

from datetime import UTC, datetime, timedelta

from bottlerocket_ecs_updater.core.decision.decide import Decision
from bottlerocket_ecs_updater.core.model.command import Drain, NextStep
from bottlerocket_ecs_updater.core.model.ids import InstanceId
from bottlerocket_ecs_updater.engine.look.schedule import LookSchedule

NOW = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
SECOND, MILLISECOND = timedelta(seconds=1), timedelta(milliseconds=1)
POLL = 5 * SECOND
ONE, OTHER = InstanceId("i-1"), InstanceId("i-2")


def decision(**look_at: datetime | None) -> Decision:
    named = {"one": ONE, "other": OTHER}
    return Decision({named[name]: NextStep(look_at=at) for name, at in look_at.items()}, None, None)


def agenda(first: Decision) -> LookSchedule:
    made = LookSchedule(POLL)
    made.take(first, [ONE, OTHER], [], NOW)
    return made


def test_a_promised_look_is_not_put_off_by_a_pass_for_another() -> None:
    promised = agenda(decision(one=NOW + 6 * SECOND))
    promised.take(decision(one=NOW + 9 * SECOND), [ONE], [OTHER], NOW + 3 * SECOND)
    assert promised.next(None) == NOW + 6 * SECOND


def test_a_look_that_was_kept_makes_room_for_the_next_promise() -> None:
    promised = agenda(decision(one=NOW + 6 * SECOND))
    promised.take(decision(one=NOW + 12 * SECOND), [ONE], [ONE], NOW + 6 * SECOND)
    assert promised.next(None) == NOW + 12 * SECOND


def test_an_act_makes_an_earlier_promise_void() -> None:
    promised = agenda(decision(one=NOW + 6 * SECOND))
    acted = Decision({ONE: NextStep((Drain(ONE),), look_at=NOW + 40 * SECOND)}, None, None)
    promised.take(acted, [ONE], [], NOW)
    assert promised.next(None) == NOW + 40 * SECOND


def test_nothing_is_due_for_an_instance_that_is_no_longer_ours() -> None:
    promised = agenda(decision(one=NOW + 6 * SECOND))
    promised.take(decision(one=NOW + 6 * SECOND), [], [], NOW)
    assert promised.next(None) is None


def test_an_instance_is_not_read_before_its_look_is_due() -> None:
    assert agenda(decision(one=NOW, other=NOW + 50 * MILLISECOND)).due(NOW) == {ONE, OTHER}
    assert agenda(decision(one=NOW, other=NOW + SECOND)).due(NOW) == {ONE}


def test_an_instance_without_further_steps_is_described_only_with_others() -> None:
    promised = agenda(decision(one=NOW + POLL, other=None))
    assert (promised.due(NOW), promised.due(NOW + POLL)) == (set(), {ONE, OTHER})


def test_a_promised_look_at_the_services_is_not_put_off_either() -> None:
    promised = LookSchedule(POLL)
    promised.take_services(NOW + 6 * SECOND, kept=False)
    promised.take_services(NOW + 9 * SECOND, kept=False)
    assert (promised.services_due(NOW + 5 * SECOND), promised.services_due(NOW + 6 * SECOND)) == (False, True)


def test_services_without_a_waiting_slot_are_no_longer_due() -> None:
    promised = LookSchedule(POLL)
    promised.take_services(NOW + 6 * SECOND, kept=False)
    promised.take_services(None, kept=False)
    assert promised.next(None) is None
