"""Two stacks with separate state stores, and so with separate leases, on one cluster.

Whenever the second one starts, no task is killed, no host is stranded or rebooted twice, no budget is exceeded, and the
cluster is up to date in the end. Usually one run acts and the other exits; what they cannot see in time does no harm.
"""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.support.story import Played, Story, play

from bottlerocket_ecs_updater.core.model.reasons import Hold, Reason
from bottlerocket_ecs_updater.core.rules.policy import Limit, Policy
from bottlerocket_ecs_updater.simulator import faults as f
from bottlerocket_ecs_updater.simulator.faults import FaultPlan, Placed
from bottlerocket_ecs_updater.simulator.scenarios import NEW, row

NEED_A_COMMON_LEASE = (7, 12)
"""The invariants that may be violated: that only one run acts, and that no host is checked while the other run's apply
command runs on it. A check then finds the lock held, and is repeated.
"""

SHARES = 4


def met(second_begins: float, *, latency: float = 0, after_death_of: int | None = None) -> Played:
    """The second stack's run starts that many seconds after the first one's."""
    faults: list[f.Fault] = [f.SecondUpdater(timedelta(seconds=second_begins))]
    faults += [f.UpdaterDies(after_death_of)] if after_death_of is not None else []
    scenario = row(4, faults=FaultPlan(tuple(map(Placed, faults))))
    return play(
        Story(
            scenario,
            Policy(max_unavailable=Limit(number=1)),
            latency=timedelta(seconds=latency),
            rivals_have_own_stores=True,
            spacing=timedelta(minutes=20),
        )
    )


def harm(played: Played) -> list[str]:
    seen = played.findings
    found = [f"{each}" for each in seen.violations if each.invariant not in NEED_A_COMMON_LEASE]
    found += [f"killed {each}" for each in seen.tasks_killed if each.by_updater]
    found += [f"stranded {each}" for each in seen.stranded]
    found += [f"{name} booted {boots} times" for name, boots in seen.boots.items() if boots != 1]
    found += [f"{name} runs {version}" for name, version in seen.versions.items() if version != NEW]
    return [*found, *played.lies]


@pytest.mark.parametrize("share", range(SHARES))
def test_whenever_the_second_stack_starts_it_does_no_harm(share: int) -> None:
    seconds = [each / 2 for each in range(0, 480, 7)][share::SHARES]
    assert {second: found for second in seconds if (found := harm(met(second, latency=0.05)))} == {}


def test_a_second_stack_that_finds_a_run_at_work_says_which_and_leaves() -> None:
    played = met(90)
    refused = [
        outcome
        for ending in played.endings
        if ending.finished is not None
        for outcome in ending.finished.outcomes.values()
        if isinstance(outcome, Hold) and outcome.reason is Reason.ANOTHER_RUN
    ]
    assert refused
    assert "which uses another state store, is working on this cluster" in str(refused[0])
    assert harm(played) == []


def test_the_other_stacks_unfinished_update_is_finished_when_its_claim_is_older_than_any_phase() -> None:
    played = met(40 * 60, after_death_of=90)
    assert played.endings[0].exit_code is None
    assert harm(played) == []
