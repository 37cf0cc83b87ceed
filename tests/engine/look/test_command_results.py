"""Pending commands are polled often while a result is due, and rarely once it is late."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st
from tests.core.builders import NOW, RUN, instance
from tests.support.simulated import Tape

from bottlerocket_ecs_updater.core.model.fleet import Fleet
from bottlerocket_ecs_updater.core.model.ids import CommandId, InstanceId
from bottlerocket_ecs_updater.core.model.run_command import CommandStatus, DocumentKind, PendingCommand
from bottlerocket_ecs_updater.core.rules.policy import Policy
from bottlerocket_ecs_updater.engine.look.command_answers import CommandAnswers
from bottlerocket_ecs_updater.engine.look.command_results import CommandResults
from bottlerocket_ecs_updater.engine.look.context import LookContext
from bottlerocket_ecs_updater.engine.look.denials import DeniableCalls
from bottlerocket_ecs_updater.engine.look.reboot_results import RebootResults
from bottlerocket_ecs_updater.engine.ports import Answer
from bottlerocket_ecs_updater.engine.run_state import RunState

COMMAND, HOST = CommandId("c-1"), InstanceId("i-a")
POLICY = Policy()
POLL = POLICY.poll_interval


class Silent:
    """Hosts that answer a command after a while, or never. Records when each poll came, counted from the sending."""

    def __init__(self, after: timedelta | None = None) -> None:
        self.after = after
        self.at = NOW
        self.polls: list[timedelta] = []

    def answers_to(
        self, commands: Mapping[CommandId, DocumentKind], along: Mapping[CommandId, DocumentKind]
    ) -> Mapping[CommandId, Mapping[InstanceId, Answer]]:
        if not commands:
            return {}
        self.polls.append(self.at - NOW)
        ended = self.after is not None and self.at - NOW >= self.after
        answer = Answer(CommandStatus.FAILED if ended else None, 1, "", "refused", "")
        return {command: {HOST: answer} for command in {**commands, **along}}


def polled(looks: list[timedelta], after: timedelta | None = None) -> tuple[list[timedelta], RunState]:
    """When a command was polled, if looks come at these times after it was sent."""
    known, hosts = RunState(Fleet(RUN, NOW, NOW, NOW, {})), Silent(after)
    known.learn(instance(HOST, pending=PendingCommand(DocumentKind.CHECK, COMMAND, NOW)))
    calls = DeniableCalls(known)
    context = LookContext(known, POLICY, Tape(), calls)
    port = cast("Any", hosts)
    results = CommandResults(context, port, CommandAnswers(port, calls), RebootResults(context, port))
    for look in looks:
        hosts.at = NOW + look
        known.fleet = replace(known.fleet, at=hosts.at)
        results.read(())
    return hosts.polls, known


def every(seconds: float, until: float) -> list[timedelta]:
    return [timedelta(seconds=seconds * number) for number in range(1, int(until / seconds) + 1)]


def test_a_late_command_is_polled_less_and_less_often_by_the_looks_at_others() -> None:
    polls, _ = polled(every(2.5, 30))
    assert [poll.total_seconds() for poll in polls] == [2.5, 5, 7.5, 12.5, 20, 30]


def test_an_answer_that_comes_in_time_is_read_by_the_first_look_after_it() -> None:
    polls, known = polled(every(2.5, 10), after=timedelta(seconds=2))
    assert len(polls) == 1
    assert known.instance(HOST).pending is None


@given(
    looks=st.lists(st.floats(0.1, 60), min_size=1, max_size=60).map(sorted),
    after=st.floats(0.5, 25),
)
def test_whenever_looks_come_no_answer_waits_longer_than_half_its_age_and_a_look(
    looks: list[float], after: float
) -> None:
    """`wait` is the time from the first look that could have read the result."""
    times = [timedelta(seconds=look) for look in looks]
    polls, known = polled(times, timedelta(seconds=after))
    could = next((look for look in times if look >= timedelta(seconds=after)), None)
    if known.instance(HOST).pending is None and could is not None and polls[-1].total_seconds() >= after:
        limit = min(max(could / 2, POLL / 2), 2 * POLL)
        earlier = [look for look in times if could <= look < polls[-1]]
        assert all(look - could <= limit for look in earlier)
