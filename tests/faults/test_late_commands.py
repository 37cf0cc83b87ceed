"""Systems Manager loses a host around each command, and delivers pending commands late, up to their expiry."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.support.simulated import OLD, Tape, Updater, at_most, instance_id, row

from bottlerocket_ecs_updater.core.model.event import CommandSent, Event
from bottlerocket_ecs_updater.core.model.ids import InstanceId
from bottlerocket_ecs_updater.core.model.reasons import Failed
from bottlerocket_ecs_updater.core.model.run_command import DocumentKind
from bottlerocket_ecs_updater.simulator import faults as f
from bottlerocket_ecs_updater.simulator.ssm import SsmTiming
from bottlerocket_ecs_updater.simulator.world.world import World

FIRST = InstanceId(instance_id(0))
APPLY_SENT_AT = 128
"""Age of the world at which the agent is disconnected just when the apply is sent, in seconds."""
STARTED = 120
"""Age of the world when the run starts, in seconds."""
LATE = SsmTiming(delivers_until_expiry=True)
IN_TIME = SsmTiming()


def town(at: int, lasts: int, timing: SsmTiming) -> World:
    """Two hosts; the agent of the first is disconnected for a while."""
    away = f.SsmUnreachable(f.OutOfReach.CONNECTION_LOST, at=timedelta(seconds=at), lasts=timedelta(seconds=lasts))
    return row(2, services=1, faults={0: (away,)}, ssm_timing=timing)


@pytest.mark.parametrize("lasts", [45, 120, 300, 1200])
def test_no_invariant_breaks_with_any_late_deliveries(lasts: int) -> None:
    for at in range(0, 400, 25):
        world = town(at, lasts, LATE)
        Updater(world, at_most(1)).run()
        world.clock.sleep(timedelta(hours=1))
        seen = world.findings()
        assert (seen.violations, seen.tasks_killed, seen.stranded) == ((), (), ()), at


class Returning(Tape):
    """A person returns a host to service seconds after its reboot was sent."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world
        self.began = world.clock.now()
        self.sent: list[tuple[InstanceId, float]] = []

    def record(self, event: Event) -> None:
        super().record(event)
        if isinstance(event, CommandSent) and event.kind is DocumentKind.REBOOT and not self.sent:
            self.sent.append((event.instance, (event.at - self.began).total_seconds()))
            self.world.operator_activate(event.instance)


def test_a_reboot_that_is_not_delivered_yet_is_cancelled_when_a_person_returns_the_host() -> None:
    """It was delivered a minute later, and killed the tasks that ECS had placed there."""
    plain = row(2, services=1)
    first = Returning(plain)
    Updater(plain, at_most(1), tape=first).run()
    ((host, sent_at),) = first.sent
    assert host == FIRST
    world = town(STARTED + round(sent_at) - 1, 80, LATE)
    second = Returning(world)
    Updater(world, at_most(1), tape=second).run()
    assert second.sent[0][0] == FIRST
    assert world.findings().tasks_killed == ()


@pytest.mark.parametrize("timing", [IN_TIME, LATE])
@pytest.mark.parametrize("lasts", [960, 1200, 1900])
def test_an_apply_without_a_result_is_cancelled_and_its_host_is_not_checked_meanwhile(
    lasts: int, timing: SsmTiming
) -> None:
    world = town(APPLY_SENT_AT, lasts, timing)
    finished = Updater(world, at_most(1)).run()
    assert isinstance(finished.outcomes[FIRST], Failed)
    assert world.calls.by_action["ssm:CancelCommand"] == 1
    world.clock.sleep(timedelta(hours=1))
    assert world.findings().violations == ()
    assert world.hosts[FIRST].running == OLD


@pytest.mark.parametrize("timing", [IN_TIME, LATE])
def test_the_next_run_updates_the_host(timing: SsmTiming) -> None:
    world = town(APPLY_SENT_AT, 1200, timing)
    Updater(world, at_most(1)).run()
    world.clock.sleep(timedelta(hours=8))
    Updater(world, at_most(1), "run-2").run()
    assert world.findings().clean
    assert world.hosts[FIRST].running != OLD
