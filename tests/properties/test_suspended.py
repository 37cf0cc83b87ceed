"""A run that is suspended at any wait until its lease has expired, while other runs take over."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.support.promises import broken_promises
from tests.support.story import Nap, Story, play

from bottlerocket_ecs_updater.simulator import faults as f
from bottlerocket_ecs_updater.simulator.faults import FaultPlan, Placed
from bottlerocket_ecs_updater.simulator.scenarios import row

SLEEPS, SHARES = 48, 3
"""The waits of a run over two instances, for the next look or for the rate limit, and into how many tests they are
split.
"""

RIVALS = tuple(Placed(f.SecondUpdater(timedelta(seconds=second))) for second in (45, 120, 210, 330))


@pytest.mark.parametrize("share", range(SHARES))
def test_a_run_that_was_suspended_past_its_lease_does_nothing_more(share: int) -> None:
    wrong = {}
    for sleep in range(1 + share, SLEEPS + 1, SHARES):
        nap = Nap(0, sleep, timedelta(minutes=4), monotonic_stops=sleep % 2 == 0)
        played = play(Story(row(2, faults=FaultPlan(RIVALS)), naps=(nap,)))
        acted_again = [each for each in played.findings.violations if each.invariant == 7]
        if found := [*broken_promises(played), *acted_again]:
            wrong[sleep] = found
    assert wrong == {}
