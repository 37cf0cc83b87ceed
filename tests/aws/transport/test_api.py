"""The steps of every AWS request: rate limit, lease check, call and retries."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.aws.fakes import UNPACED, FakeClock, refusal

from bottlerocket_ecs_updater.aws.transport.api import ACT_ATTEMPTS, LOOK_ATTEMPTS, Api
from bottlerocket_ecs_updater.aws.transport.operation import Operation
from bottlerocket_ecs_updater.aws.transport.pace import CallPace, Calls
from bottlerocket_ecs_updater.aws.transport.translate import NeverSent
from bottlerocket_ecs_updater.engine.waits import Wait, Waits
from bottlerocket_ecs_updater.errors import Denied, LeaseLost, Throttled, Unreachable, UpdaterError


class Scripted:
    """A method that raises the given errors, and then returns the number of the call."""

    def __init__(self, *troubles: BaseException) -> None:
        self.troubles = list(troubles)
        self.called = 0

    def __call__(self) -> int:
        self.called += 1
        if self.troubles:
            raise self.troubles.pop(0)
        return self.called


class Way:
    """An Api with its clock and its counts."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.calls = Calls()
        self.acting: list[bool] = []
        self.api = Api(self.clock, CallPace(self.clock, rates=UNPACED), self.calls, self.acting.append)

    def look(self, method: Scripted) -> int:
        return self.api.look(Operation.LIST_TASKS, "web", method)

    def act(self, method: Scripted) -> int:
        return self.api.act(Operation.PUT_ATTRIBUTES, "web", method)


THROTTLED = refusal("ThrottlingException", "Rate exceeded")
BROKEN = refusal("ServerException", status=500)


@pytest.mark.parametrize("trouble", [THROTTLED, BROKEN])
def test_a_look_is_repeated_until_it_is_answered(trouble: BaseException) -> None:
    way = Way()
    assert way.look(Scripted(trouble, trouble)) == 3


def test_a_look_is_repeated_a_limited_number_of_times() -> None:
    method = Scripted(*[BROKEN] * 9)
    with pytest.raises(Unreachable):
        Way().look(method)
    assert method.called == LOOK_ATTEMPTS


def test_a_look_without_an_answer_is_reported_after_some_seconds_and_once() -> None:
    way, shown = Way(), list[Wait]()

    class Hanging(Scripted):
        def __call__(self) -> int:
            way.clock.sleep(timedelta(seconds=6))
            return super().__call__()

    way.api = Api(way.clock, CallPace(way.clock, rates=UNPACED), way.calls, waits=Waits(shown.append))
    began = way.clock.now()
    way.look(Hanging(BROKEN, BROKEN, BROKEN))
    assert [(wait.since, "ServerException" in wait.what) for wait in shown] == [(began, True)]


def test_a_look_that_is_answered_within_seconds_is_no_wait() -> None:
    way, shown = Way(), list[Wait]()
    way.api = Api(way.clock, CallPace(way.clock, rates=UNPACED), way.calls, waits=Waits(shown.append))
    way.look(Scripted(BROKEN, BROKEN))
    assert shown == []


def test_pauses_between_repeats_grow() -> None:
    way = Way()
    way.look(Scripted(BROKEN, BROKEN, BROKEN))
    assert way.clock.slept == [timedelta(milliseconds=pause) for pause in (500, 1_000, 2_000)]


def test_a_signal_ends_the_repeats() -> None:
    way = Way()
    way.clock.interrupted = True
    method = Scripted(THROTTLED)
    with pytest.raises(Throttled):
        way.look(method)
    assert method.called == 1


def test_a_denied_look_is_not_repeated() -> None:
    method = Scripted(refusal("AccessDeniedException"))
    with pytest.raises(Denied):
        Way().look(method)
    assert method.called == 1


def test_an_act_that_was_refused_for_its_rate_is_sent_again() -> None:
    way = Way()
    assert way.act(Scripted(THROTTLED, THROTTLED)) == 3
    assert way.acting == [True, True, True]


def test_an_act_is_refused_for_its_rate_only_so_often() -> None:
    method = Scripted(*[THROTTLED] * 9)
    with pytest.raises(Throttled):
        Way().act(method)
    assert method.called == ACT_ATTEMPTS


def test_a_call_that_may_have_taken_effect_is_sent_once() -> None:
    method = Scripted(BROKEN)
    with pytest.raises(Unreachable):
        Way().act(method)
    assert method.called == 1


def test_the_hook_learns_before_every_request_whether_it_acts() -> None:
    way = Way()
    way.look(Scripted(BROKEN))
    way.act(Scripted())
    assert way.acting == [False, False, True]


def test_an_error_of_the_hook_stops_the_request() -> None:
    way = Way()

    def lost(_: bool) -> None:
        raise LeaseLost("gone")

    way.api.before_call = lost
    method = Scripted()
    with pytest.raises(LeaseLost):
        way.act(method)
    assert method.called == 0
    assert dict(way.calls) == {}


@pytest.mark.parametrize("trouble", [Unreachable("the store is silent"), Throttled("SlowDown")])
def test_if_the_hook_gets_no_answer_the_request_is_never_sent(trouble: UpdaterError) -> None:
    way, method = Way(), Scripted()

    def secure(_: bool) -> None:
        raise trouble

    way.api.before_call = secure
    with pytest.raises(NeverSent, match="ecs:PutAttributes was not sent"):
        way.act(method)
    assert method.called == 0
    assert dict(way.calls) == {}


def test_every_attempt_counts_and_so_does_every_refusal_for_the_rate() -> None:
    way = Way()
    way.look(Scripted(THROTTLED, BROKEN))
    assert dict(way.calls) == {"ecs:ListTasks": 3}
    assert way.calls.throttled == 1
