"""An instance that leaves the cluster right after its update is reported once."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

from tests.support.simulated import NEW, Updater, at_most, instance_id, row

from bottlerocket_ecs_updater.core.model.event import InstanceLost
from bottlerocket_ecs_updater.core.model.ids import InstanceId
from bottlerocket_ecs_updater.core.model.outcome import Updated
from bottlerocket_ecs_updater.report.analysis.run_report import run_report
from bottlerocket_ecs_updater.report.outputs.summary_text import summary_text
from bottlerocket_ecs_updater.report.words.event_text import event_text
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
