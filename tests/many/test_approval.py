"""A wave needs approval if it has an update to start. A run without approval starts no update."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest
from tests.many.test_fleet_page import standing
from tests.policy.test_plans import left_by_a_dead_run
from tests.support.many import Cluster, Clusters, reasons, updated
from tests.support.simulated import Updater, row

from bottlerocket_ecs_updater.core.model.claim import CLAIM_ATTRIBUTE
from bottlerocket_ecs_updater.core.model.event import CommandSent
from bottlerocket_ecs_updater.core.model.outcome import Updated
from bottlerocket_ecs_updater.core.model.passing import Passing, passing
from bottlerocket_ecs_updater.core.model.reasons import Reason
from bottlerocket_ecs_updater.core.model.run_command import DocumentKind
from bottlerocket_ecs_updater.core.model.shared import ClusterStanding, HeldFor
from bottlerocket_ecs_updater.core.planning.waves import UNFINISHED, Wave, may_start, waves_json
from bottlerocket_ecs_updater.core.rules.policy import Limit, Policy
from bottlerocket_ecs_updater.core.rules.promotion import Requirement, StageRules
from bottlerocket_ecs_updater.core.rules.ruleset import Rules
from bottlerocket_ecs_updater.engine.store.shared_state import read_standing, standing_key
from bottlerocket_ecs_updater.simulator.clock import ScaledClock
from bottlerocket_ecs_updater.simulator.ecs.model import InstanceStatus
from bottlerocket_ecs_updater.simulator.scenarios import NEW, OLD
from bottlerocket_ecs_updater.simulator.scenarios import row as scenario
from bottlerocket_ecs_updater.simulator.waves.fleet import simulated_fleet
from bottlerocket_ecs_updater.simulator.world.world import World

ONLY_FINISH = Rules(finish_only=True)


def standing_of(one: Cluster) -> ClusterStanding:
    stored = one.store.get(standing_key(one.place))
    assert stored is not None
    return read_standing(stored.data, one.place)


def claimed(world: World) -> set[str]:
    return {one.ec2_instance_id for one in world.cluster.instances.values() if CLAIM_ATTRIBUTE in one.custom}


def wave(*clusters: str, approve: bool = True) -> Wave:
    return Wave(3, clusters, 2, 1, timedelta(), approve)


def test_a_run_that_only_finishes_starts_nothing_and_says_so() -> None:
    shop = Clusters().add("shop", "production")
    finished = shop.run(Rules(finish_only=True, stages=shop.rules.stages))
    assert (updated(finished), reasons(finished), finished.exit_code) == (0, {"finish-only"}, 0)
    sent = [event.kind for event in shop.updaters[0].tape.events if isinstance(event, CommandSent)]
    assert set(sent) == {DocumentKind.CHECK}
    assert may_start(standing_of(shop))
    assert updated(shop.run()) == 3
    assert not may_start(standing_of(shop))


@pytest.mark.parametrize("calls", [60, 80, 95, 110])
def test_a_run_that_only_finishes_finishes_the_updates_of_a_dead_run(calls: int) -> None:
    world, limit = row(6, budget=2), Limit(number=2)
    left_by_a_dead_run(world, Policy(max_unavailable=limit), calls)
    begun = claimed(world)
    world.clock.sleep(timedelta(minutes=5))
    finished = Updater(world, Policy(max_unavailable=limit, rules=ONLY_FINISH), name="run-2").run()
    assert {one.status for one in world.cluster.instances.values()} == {InstanceStatus.ACTIVE}
    assert claimed(world) == set()
    done = {id_ for id_, one in finished.outcomes.items() if isinstance(one, Updated)}
    assert done <= begun
    assert world.findings().violations == ()


def test_a_version_that_another_rule_holds_needs_no_approval() -> None:
    waits = Rules(finish_only=True, stages=StageRules("production", (Requirement.parse("staging for 7d"),)))
    shop = Clusters().add("shop")
    assert reasons(shop.run(waits)) == {"not-promoted"}
    assert not may_start(standing_of(shop))


def test_a_person_is_asked_only_about_a_wave_that_may_start_an_update() -> None:
    news, none = (
        standing(name, held=(HeldFor(code, 1, "why"),)) for name, code in (("a", "finish-only"), ("b", "frozen"))
    )
    known = {"a": news, "b": none}
    assert wave("b").with_news(known).approve is False
    assert wave("a", "b").with_news(known).approve is True
    assert wave("b", "c").with_news(known).approve is True, "c has not reported"
    assert wave("b", approve=False).with_news({"b": news}) == wave("b", approve=False)


def test_a_run_that_could_not_go_on_leaves_the_question_open() -> None:
    assert may_start(standing("a", outcome="error", code=1))


@pytest.mark.parametrize("reason", [one for one in Reason if one in UNFINISHED])
def test_an_update_that_waited_for_its_turn_only_is_asked_about_again(reason: Reason) -> None:
    assert may_start(standing("a", held=(HeldFor(reason.code, 1, "why"),)))
    assert passing(reason) is not Passing.NEVER


def test_only_runs_in_a_wave_without_updates_get_finish_only() -> None:
    quiet = wave("b").with_news({"b": standing("b")})
    commands = [one["command"] for one in json.loads(json.dumps(waves_json([wave("a"), quiet])))["waves"]]
    plain = ["run", "--lease-wait", "12h"]
    assert commands == [plain, [*plain, "--finish-only"]]


SETTINGS = 'max-unavailable = 2\nsettle = "10s"\n[fleet]\napprove = [1]\n'


def test_the_second_execution_asks_for_no_approval_and_still_runs(tmp_path: Path) -> None:
    with simulated_fleet({"shop": scenario(2)}, ScaledClock(90), SETTINGS, tmp_path / "state") as fleet:
        fleet.follow(fleet.start(), approve=False)
        assert fleet.versions() == {"shop": {OLD}}
        assert "was not approved" in str(fleet.states.messages.sent[-1]["Message"])
        fleet.follow(fleet.start(), approve=True)
        assert fleet.versions() == {"shop": {NEW}}
        before = len(fleet.states.messages.sent)
        fleet.follow(fleet.start(), approve=False)
        [message] = fleet.states.messages.sent[before:]
        assert "Clusters run: 1. None failed." in str(message["Message"])
        assert ["--finish-only" in task.command for task in fleet.processes.of("shop")] == [False, True]
