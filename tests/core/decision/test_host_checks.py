from __future__ import annotations

from datetime import timedelta

import pytest
from tests.core.builders import (
    DEAD_RUN,
    HOUR,
    MINUTE,
    NOW,
    POLICY,
    a_claim,
    claimed,
    drained_by_us,
    fleet,
    instance,
    is_soon,
    pending,
    problem,
    ready,
)

from bottlerocket_ecs_updater.core.decision.claimed.next_step import proceed
from bottlerocket_ecs_updater.core.decision.host_checks import ask_host
from bottlerocket_ecs_updater.core.decision.this_pass import Pass
from bottlerocket_ecs_updater.core.model.claim import ClaimPhase
from bottlerocket_ecs_updater.core.model.command import Check
from bottlerocket_ecs_updater.core.model.host_report import Problem
from bottlerocket_ecs_updater.core.model.ids import CommandId
from bottlerocket_ecs_updater.core.model.instance import Instance
from bottlerocket_ecs_updater.core.model.run_command import DocumentKind, PendingCommand
from bottlerocket_ecs_updater.core.model.run_progress import RunProgress

PASS = Pass(fleet(), POLICY)


def test_a_host_without_a_report_is_checked() -> None:
    assert ask_host(instance(), PASS).commands == (Check(instance().id),)


def test_a_host_that_gave_a_report_may_be_checked_again_at_once() -> None:
    one = instance(says=ready())
    assert ask_host(one, PASS).commands == (Check(one.id),)


@pytest.mark.parametrize("kind", [DocumentKind.CHECK, DocumentKind.APPLY])
def test_a_host_is_not_checked_while_a_command_of_ours_may_run_on_it(kind: DocumentKind) -> None:
    step = ask_host(instance(pending=pending(kind)), PASS)
    assert (step.commands, is_soon(step.look_at)) == ((), True)


@pytest.mark.parametrize(("failed", "spacings"), [(1, 1), (2, 2), (4, 4), (50, 4)])
def test_a_host_that_gave_no_report_is_left_alone_for_longer_each_time(failed: int, spacings: int) -> None:
    one = instance(says=problem(Problem.BUSY), progress=RunProgress(checks_failed=failed))
    step = ask_host(one, PASS)
    assert (step.commands, step.look_at) == ((), NOW + spacings * POLICY.retry_spacing)


def found(phase: ClaimPhase) -> Instance:
    """An instance of a dead run on which an apply of that run may still be running."""
    claim = a_claim(phase, run=DEAD_RUN, since=NOW - HOUR)
    progress = drained_by_us(claim, claimed_at=NOW - MINUTE)
    return claimed(claim=claim, asked=NOW - 2 * HOUR, progress=progress, pending=pending(DocumentKind.APPLY))


@pytest.mark.parametrize("phase", ClaimPhase)
def test_the_host_of_a_dead_run_is_not_checked_while_its_apply_may_run(phase: ClaimPhase) -> None:
    one = found(phase)
    assert one.claim is not None
    assert Check not in [type(command) for command in proceed(one, one.claim, Pass(fleet(one), POLICY)).commands]


def test_a_late_answer_is_polled_less_and_less_often() -> None:
    sent, now, looks = NOW, NOW, []
    while now < sent + timedelta(minutes=1):
        asked = PendingCommand(DocumentKind.CHECK, CommandId("c"), sent)
        look_at = ask_host(instance(pending=asked), Pass(fleet(at=now), POLICY)).look_at
        assert look_at is not None
        looks.append(look_at - now)
        now = look_at
    assert looks == sorted(looks)
    assert looks[0] == POLICY.poll_interval / 2
    assert looks[-1] == 2 * POLICY.poll_interval
    assert len(looks) <= 10
