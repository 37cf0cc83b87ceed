"""Instances that leave the cluster during a run: right after their update, or while others settle."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

import pytest
from tests.support.simulated import NEW, Updater, at_most, instance_id, row

from bottlerocket_ecs_updater.core.model.event import InstanceLost
from bottlerocket_ecs_updater.core.model.ids import InstanceId
from bottlerocket_ecs_updater.core.model.outcome import Updated
from bottlerocket_ecs_updater.core.model.reasons import Hold, Reason
from bottlerocket_ecs_updater.report.analysis.run_report import run_report
from bottlerocket_ecs_updater.report.outputs.summary_text import summary_text
from bottlerocket_ecs_updater.report.words.event_text import event_text
from bottlerocket_ecs_updater.simulator.ecs import ServiceSpec, Workload
from bottlerocket_ecs_updater.simulator.world.world import World


def take_when_updated(world: World, id_: str, after: timedelta) -> None:
    """A scale-in terminates it that long after it is back on the new version."""
    instance = world.instance(id_)
    back = world.hosts[id_].running == NEW and instance.agent_connected and str(instance.status) == "ACTIVE"
    then, wait = (world.terminate_instance, after) if back else (None, timedelta(seconds=5))
    again = partial(then, id_) if then is not None else partial(take_when_updated, world, id_, after)
    world.clock.after(wait, again)


def test_an_updated_instance_that_is_terminated_while_its_services_settle_is_reported_once() -> None:
    world = row(4, services=1)
    updater = Updater(world, at_most(1))
    taken = instance_id(0)
    take_when_updated(world, taken, timedelta(seconds=20))
    finished = updater.run()
    [lost] = updater.tape.of(InstanceLost)
    assert (lost.instance, str(lost.version)) == (InstanceId(taken), NEW)
    assert lost.after < timedelta(minutes=15)
    assert "keep the AMI" in event_text(lost)
    said = summary_text(run_report(updater.tape.events).summary)
    assert f"left since        {taken}, after the update" in said
    assert isinstance(finished.outcomes[InstanceId(taken)], Updated)
    assert world.findings().violations == ()


def test_without_a_lost_instance_nothing_is_reported() -> None:
    world = row(4, services=1)
    updater = Updater(world, at_most(1))
    updater.run()
    assert updater.tape.of(InstanceLost) == []


@pytest.mark.parametrize("seconds", [36, 90, 150, 210])
def test_a_host_that_others_take_away_while_another_settles_halts_no_run(seconds: int) -> None:
    """A spot interruption or a scale-in. The tasks of that host have no room, and the run was said to be the cause."""
    world = row(4, services=0)
    web = ServiceSpec("web", desired=8, workload=Workload(cpu=600, memory=600), minimum_healthy_percent=50)
    world.add_service(web)
    world.add_service(ServiceSpec("api", desired=4))
    world.clock.sleep(timedelta(minutes=2))

    def take() -> None:
        world.terminate_instance(next(id_ for id_ in sorted(world.hosts) if world.instance(id_).accepts_tasks))

    world.clock.after(timedelta(seconds=seconds), take)
    finished = Updater(world, at_most(1)).run()
    assert (finished.exit_code, finished.counts["updated"] > 0) == (0, True)
    assert Reason.NO_ROOM in {one.reason for one in finished.outcomes.values() if isinstance(one, Hold)}
    assert world.findings().violations == ()
