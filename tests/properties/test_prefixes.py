"""A run may die at any call: the next run finishes what it left.

The test is exhaustive. It counts the calls of a whole run. For each call, it plays a scenario in which the run dies
before the call takes effect; for each act, also one in which the run dies afterwards without seeing the reply. A read
changes nothing. Then another run, which knows only what is in the store and on the instances, continues to the end.
Scenarios in which only one of the two copies of a claim is left, or in which more or less time passes, are played for
acts only.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from functools import cache

import pytest
from tests.support.promises import broken_promises
from tests.support.story import Played, Story, play

from bottlerocket_ecs_updater.core.rules.policy import Limit, Policy
from bottlerocket_ecs_updater.simulator import faults as f
from bottlerocket_ecs_updater.simulator.ecs import EcsTiming, ServiceSpec, Strategy, Workload
from bottlerocket_ecs_updater.simulator.faults import FaultPlan, Placed
from bottlerocket_ecs_updater.simulator.scenarios import NEW, OLD, Scenario, row

SHARES = 4
"""Each scenario is split into this many tests, so that workers share it."""

ACTS = {"PutObject", "PutAttributes", "DeleteAttributes", "UpdateContainerInstancesState", "SendCommand"}

HEALTHY, BAD, STANDALONE, THEIRS = range(4)
"""The hosts: one has an update, one fails in its update, one has a standalone task, and somebody drained one."""

WEB = ServiceSpec("web", 3, Workload(cpu=128, memory=256, shutdown=timedelta(seconds=3)))
AGENT = ServiceSpec("agent", workload=Workload(cpu=64, memory=128), strategy=Strategy.DAEMON)


def cluster(trouble: f.Fault, *, attributes_survive: bool = True) -> Scenario:
    """Four hosts, one of each kind."""
    scenario = row(4, services=(WEB, AGENT))
    members = list(scenario.members)
    members[STANDALONE] = replace(members[STANDALONE], standalone=Workload(cpu=128, memory=256))
    members[THEIRS] = replace(members[THEIRS], drained_by_operator=True)
    return replace(
        scenario,
        members=tuple(members),
        faults=FaultPlan((Placed(trouble, members[BAD].host.instance_id),)),
        ecs_timing=EcsTiming(attributes_survive=attributes_survive),
    )


# The host that somebody drained takes a slot in the budget, so there is one for the updater.
POLICY = Policy(max_unavailable=Limit(number=2), settle=timedelta(seconds=30))

ROLLS_BACK = Story(cluster(f.RollsBack()), POLICY)
EVERY_CALL = "rolls back"
STORIES = {
    EVERY_CALL: ROLLS_BACK,
    # An instance that stays out of service must not fill the budget.
    "never comes back": Story(cluster(f.BootHangs()), replace(POLICY, max_unavailable=Limit(number=3))),
    "a download outlasts the dead run": Story(cluster(f.SlowDownload(timedelta(minutes=5))), POLICY),
    "attributes are lost in a boot": replace(ROLLS_BACK, scenario=cluster(f.RollsBack(), attributes_survive=False)),
    "the store forgets": replace(ROLLS_BACK, store_forgets_claims=True),
    "an hour passes": replace(ROLLS_BACK, spacing=timedelta(hours=1)),
    "at once": replace(ROLLS_BACK, spacing=timedelta(seconds=2)),
}


@cache
def deaths_of(name: str) -> list[tuple[int, bool]]:
    """The calls of a whole run, to AWS and to the store, at which it dies, each with whether it dies after the call.

    Between two calls at the same time a run changes nothing outside itself. So to die after the first of them is to die
    before the second, which is played already.
    """
    played = play(STORIES[name])
    assert broken_promises(played) == []
    made = [call for call in played.world.calls.recent if call.caller == "run-0"]
    assert [call.number for call in made] == list(range(1, len(made) + 1))
    acts = {call.number for call in made if call.operation in ACTS}
    before = {call.number for call in made if name == EVERY_CALL or call.number in acts}
    at = {call.number: call.at for call in made}
    after = {number for number in acts if number + 1 not in before or at[number + 1] != at[number]}
    return sorted([*((number, False) for number in before), *((number, True) for number in after)])


def dies(name: str, call: int, *, after: bool) -> Played:
    """The scenario in which the first run dies at that call."""
    story = STORIES[name]
    plan = story.scenario.faults
    death = Placed(f.UpdaterDies(call, after))
    return play(replace(story, scenario=replace(story.scenario, faults=replace(plan, faults=(*plan.faults, death)))))


def what_is_wrong(played: Played) -> list[str]:
    """The broken promises; none if the crash was safe."""
    seen, ids = played.findings, [member.host.instance_id for member in played.story.scenario.members]
    boots = [seen.boots[id_] for id_ in ids]
    wrong = broken_promises(played)
    if not seen.clean:
        wrong.append(f"{seen.violations} {seen.tasks_killed} {seen.stranded}")
    if (seen.versions[ids[HEALTHY]], boots[HEALTHY]) != (NEW, 1):
        wrong.append(f"the healthy one runs {seen.versions[ids[HEALTHY]]} after {boots[HEALTHY]} boots")
    if boots[BAD] > 1 or boots[STANDALONE] or boots[THEIRS]:
        wrong.append(f"boots: {boots}")
    if played.endings[0].exit_code is not None:
        wrong.append("nobody died")
    if len(played.endings) > 3:
        wrong.append(f"{len(played.endings)} runs")
    return wrong


@pytest.mark.parametrize("share", range(SHARES))
@pytest.mark.parametrize("name", STORIES)
def test_a_run_may_die_at_any_of_its_calls(name: str, share: int) -> None:
    deaths = deaths_of(name)[share::SHARES]
    assert len(deaths) > 10
    wrong = {
        f"dies {'after' if after else 'before'} call {call}": found
        for call, after in deaths
        if (found := what_is_wrong(dies(name, call, after=after)))
    }
    assert wrong == {}


def test_the_cluster_of_these_stories_has_one_of_each() -> None:
    """One instance that is updated, one that fails, and two that are left alone."""
    played = play(ROLLS_BACK)
    ids = [member.host.instance_id for member in ROLLS_BACK.scenario.members]
    assert [played.findings.versions[id_] for id_ in ids] == [NEW, OLD, OLD, OLD]
    assert [played.findings.boots[id_] for id_ in ids] == [1, 1, 0, 0]
    assert played.endings[0].exit_code == 3
