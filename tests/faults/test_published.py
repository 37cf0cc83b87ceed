"""The public parameters with the newest published versions (F46)."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from tests.policy.test_published_stories import HOUR, story_of, the_hold
from tests.policy.test_stories import updated
from tests.support.simulated import NEW, OLD, row

from bottlerocket_ecs_updater.core.model.reasons import Hold, Reason
from bottlerocket_ecs_updater.simulator.faults import FaultPlan, Placed, PublicationMoves


def test_f46_a_parameter_that_names_a_version_late(tmp_path: Path) -> None:
    plan = FaultPlan((Placed(PublicationMoves(OLD)), Placed(PublicationMoves(NEW, HOUR))))
    world = row(2, plan=plan)
    story = story_of(world, tmp_path)
    assert the_hold(story).reason is Reason.NOT_PUBLISHED
    world.clock.sleep(HOUR)
    assert updated(story.run()) == 2


def test_f46_a_parameter_that_goes_back_in_a_run(tmp_path: Path) -> None:
    world = row(6, plan=FaultPlan((Placed(PublicationMoves(OLD, timedelta(minutes=8))),)))
    finished = story_of(world, tmp_path).run()
    assert 0 < updated(finished) < 6
    held = {why.reason for why in finished.outcomes.values() if isinstance(why, Hold)}
    assert held == {Reason.VERSION_WITHDRAWN}


def test_f46_a_parameter_that_is_missing(tmp_path: Path) -> None:
    world = row(2, plan=FaultPlan((Placed(PublicationMoves(None)),)))
    assert the_hold(story_of(world, tmp_path)).reason is Reason.PUBLISHED_UNKNOWN
