"""A version that is blocked or withdrawn during a run is not booted any more. The simulator would report it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.support.promises import broken_promises
from tests.support.store_stories import BLOCK
from tests.support.story import Harm, Harmed, Played, Story, play

from bottlerocket_ecs_updater.core.model.outcome import Updated
from bottlerocket_ecs_updater.core.model.reasons import Hold, Reason
from bottlerocket_ecs_updater.core.rules.policy import Limit, Policy
from bottlerocket_ecs_updater.simulator.ecs import ServiceSpec, Workload
from bottlerocket_ecs_updater.simulator.scenarios import NEW, row
from bottlerocket_ecs_updater.simulator.world.world import World

HOSTS = 6
HOUR = timedelta(hours=1)
SLOW = ServiceSpec("slow", HOSTS, Workload(deregistration_delay=timedelta(minutes=6)), load_balanced=True)
"""Its tasks take minutes to stop, so that much happens while a host drains."""


def reasons(played: Played) -> set[Reason]:
    """The holds that the first run ended with."""
    finished = played.endings[0].finished
    assert finished is not None
    return {one.reason for one in finished.outcomes.values() if isinstance(one, Hold)}


def updated(played: Played) -> int:
    """How many hosts the first run updated."""
    finished = played.endings[0].finished
    assert finished is not None
    return sum(isinstance(one, Updated) for one in finished.outcomes.values())


@pytest.mark.parametrize("minutes", [3, 8, 10, 12, 14])
@pytest.mark.parametrize("number", [1, 3])
def test_no_other_host_gets_a_version_that_is_blocked_during_a_run(number: int, minutes: int) -> None:
    """It is taken once the block is removed."""
    block = Harm(Harmed.ACTS, BLOCK, timedelta(minutes=minutes), 2 * HOUR)
    story = Story(row(HOSTS, services=(SLOW,)), Policy(Limit(number=number)), harms=(block,), spacing=3 * HOUR)
    played = play(story)
    assert broken_promises(played) == []
    assert updated(played) < HOSTS
    assert reasons(played) == {Reason.BLOCKED}
    assert set(played.findings.versions.values()) == {NEW}


@pytest.mark.parametrize("minutes", [3, 5, 6, 7, 12])
@pytest.mark.parametrize("number", [1, 3])
def test_no_other_host_gets_a_version_that_is_withdrawn_while_hosts_drain_for_it(number: int, minutes: int) -> None:
    def withdraw(world: World) -> None:
        world.clock.after(timedelta(minutes=minutes), lambda: world.repository.retract(NEW))

    played = play(Story(row(HOSTS, services=(SLOW,)), Policy(Limit(number=number)), runs_max=2), withdraw)
    assert played.findings.clean
    assert updated(played) < HOSTS
