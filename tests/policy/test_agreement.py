"""Explain, plan, status, log and page always agree about an instance, in generated fleets and worlds."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from tests.core.builders import NOW, a_claim, claimed
from tests.core.builders import fleet as fleet_of
from tests.core.strategies import PURE, fleets, policies
from tests.policy.test_plans import story_in
from tests.policy.test_stories import Story
from tests.support.invented import Dice, story_of_faults
from tests.support.story import world_of

import bottlerocket_ecs_updater
from bottlerocket_ecs_updater.core.decision.claimed.let_go import left_in_warm_pool
from bottlerocket_ecs_updater.core.model.auto_scaling import InGroup, LifecycleState
from bottlerocket_ecs_updater.core.model.claim import ClaimPhase
from bottlerocket_ecs_updater.core.model.fleet import Fleet
from bottlerocket_ecs_updater.core.model.ids import RunId
from bottlerocket_ecs_updater.core.model.instance import SurveyedFacts
from bottlerocket_ecs_updater.core.model.reasons import Reason
from bottlerocket_ecs_updater.core.planning.explain import explain_instance
from bottlerocket_ecs_updater.core.planning.plan import make_plan
from bottlerocket_ecs_updater.core.rules.policy import Policy
from bottlerocket_ecs_updater.core.state.ledger import Ledger
from bottlerocket_ecs_updater.engine.store.ledger_store import KeptLedger
from bottlerocket_ecs_updater.report.analysis.run_report import run_report
from bottlerocket_ecs_updater.report.outputs.json_report import report_object
from bottlerocket_ecs_updater.report.outputs.log import TextLog
from bottlerocket_ecs_updater.report.views.explanation import ASKS, explanation_json, explanation_text
from bottlerocket_ecs_updater.report.views.plan import plan_json, plan_text
from bottlerocket_ecs_updater.report.views.status import ClusterStatus, status_json, status_text
from bottlerocket_ecs_updater.report.words.colours import Paint
from bottlerocket_ecs_updater.report.words.severity import Level

LASTING = frozenset(
    reason.code
    for reason in (
        Reason.NOT_BOTTLEROCKET,
        Reason.TOO_OLD,
        Reason.STANDALONE_TASK,
        Reason.DRAINED_BY_OTHERS,
        Reason.END_OF_LIFE_VARIANT,
        Reason.UNKNOWN_TO_SSM,
        Reason.OPTED_OUT,
        Reason.EXCLUDED,
        Reason.VERSION_DENIED,
    )
)
"""Reasons that do not pass by themselves: a plan right after the run gives the same reasons."""

SEEDS = range(16)

SOURCE = Path(bottlerocket_ecs_updater.__file__).parent
RULE_OF = re.compile(r'Answer\(\s*"([a-z-]+)"(?: if .*? else "([a-z-]+)")?')


def reasons_of(shown: Mapping[str, Any]) -> dict[str, str | None]:
    """Why a plan leaves each instance alone, from its JSON; None for instances that are current or would be updated."""
    held = {one["instance"]: one["reason"] for one in (*shown["held"], *shown["failing"])}
    free = {one["instance"]: None for one in (*shown["updates"], *shown["current"])}
    return free | held


def assert_that_each_is_explained_as_planned(fleet: Fleet, policy: Policy) -> dict[str, str | None]:
    planned = make_plan(fleet, policy)
    shown = reasons_of(plan_json(planned, "demo"))
    updates = [update.instance for update in planned.updates]
    for id_, reason in shown.items():
        explanation = explain_instance(fleet.instances[id_], fleet, policy)  # type: ignore[index]  # ids as JSON has them
        said = explanation_json(explanation, fleet, "demo")
        assert said["reason"] == reason, id_
        assert (said["turn"] is not None) == (id_ in updates)
        text = explanation_text(explanation, fleet, "demo")
        assert said["conclusion"] in text
        if reason is not None:
            assert said["conclusion"].startswith(("It is held: ", "It failed: "))
        if id_ in updates:
            assert said["conclusion"].startswith("Nothing holds it: a run would update it to ")
        holds = [one["reason"] for one in said["asked"] if not one["allows"]]
        pooled = reason == Reason.WARM_POOL_DRAINED.code
        assert reason is None or reason in holds or pooled or said["conclusion"].startswith("It failed")
    return shown


@PURE
@given(fleets(), policies)
def test_an_explanation_and_a_plan_say_the_same_of_every_instance(fleet: Fleet, policy: Policy) -> None:
    # Only a run has slots, and reasons to start no more updates.
    fleet = replace(fleet, slots=(), halt=None, stopping="")
    shown = assert_that_each_is_explained_as_planned(fleet, policy)
    assert_that_claimed_instances_are_told_alike(fleet, policy)
    for id_, instance in fleet.instances.items():
        if instance.claim is not None:
            assert shown.get(id_) == (Reason.WARM_POOL_DRAINED.code if left_in_warm_pool(instance) else None)
            assert explain_instance(instance, fleet, policy).outcome is None


def assert_that_claimed_instances_are_told_alike(fleet: Fleet, policy: Policy) -> None:
    """All three show the same phase, and none says that it would finish the update of a quarantined one."""
    planned = make_plan(fleet, policy)
    text = plan_text(planned, "demo")
    first = text.partition("\nFinished first")[2].partition("\n\n")[0]
    unfinished = {one["instance"]: one for one in plan_json(planned, "demo")["unfinished"]}
    status = ClusterStatus("demo", fleet, Ledger(), None, None, kept=True)
    shown, said = status_text(status), {one["instance"]: one for one in status_json(status)["instances"]}
    pooled = {id_ for id_, one in fleet.instances.items() if left_in_warm_pool(one) is not None}
    assert set(unfinished) == {id_ for id_, one in said.items() if one["phase"] is not None} - pooled
    for id_, one in unfinished.items():
        explained = explanation_json(explain_instance(fleet.instances[id_], fleet, policy), fleet, "demo")
        assert explained["phase"] == one["phase"] == said[id_]["phase"]
        quarantined = one["phase"] == "quarantined"
        assert quarantined == (f"  QUARANTINED  {id_} " in shown)
        assert quarantined == (f"  {id_}" not in first)
        assert quarantined != ("the next one finishes it" in explained["conclusion"])
        assert id_ in text


def test_an_update_that_waits_in_a_warm_pool_is_not_said_to_be_finished_by_the_next_run() -> None:
    around = SurveyedFacts(NOW, InGroup("web", LifecycleState.WARMED))
    pooled = replace(claimed("i-a", a_claim(ClaimPhase.REBOOTING)), around=around)
    planned = make_plan(fleet_of(pooled), Policy())
    assert (planned.unfinished, [(id_, why.reason) for id_, why in planned.held]) == (
        (),
        [("i-a", Reason.WARM_POOL_DRAINED)],
    )
    said = explanation_json(explain_instance(pooled, fleet_of(pooled), Policy()), fleet_of(pooled), "demo")
    assert said["reason"] == Reason.WARM_POOL_DRAINED.code
    assert "start a run after the group puts it into service again" in said["conclusion"]


def test_each_rule_that_allows_an_update_says_what_it_found() -> None:
    rules = {
        rule
        for path in (SOURCE / "core").rglob("*.py")
        for found in RULE_OF.findall(path.read_text(encoding="utf-8"))
        for rule in found
        if rule
    }
    assert set(ASKS) == rules


def status_of(story: Story, fleet: Fleet) -> ClusterStatus:
    ledger = KeptLedger(story.store, story.cluster, RunId("status")).load()
    return ClusterStatus("demo", fleet, ledger, None, None, kept=True)


@pytest.mark.parametrize("seed", SEEDS)
def test_four_commands_and_a_page_say_the_same_of_every_instance(seed: int, tmp_path: Path) -> None:
    invented = story_of_faults(Dice(seed))
    world = world_of(invented)
    story, _ = story_in(world, tmp_path, invented.policy.rules, invented.policy)
    updater = story.updater()
    updater.run()
    fleet = story.picture()
    shown = assert_that_each_is_explained_as_planned(fleet, story.policy)
    assert_that_claimed_instances_are_told_alike(fleet, story.policy)

    # Status and the rules agree about suspect versions and backoffs.
    status = status_of(story, fleet)
    said, text = status_json(status), status_text(status)
    for id_, reason in shown.items():
        instance = fleet.instances[id_]  # type: ignore[index]  # ids as JSON has them
        asked = {
            one.hold.reason for one in explain_instance(instance, fleet, story.policy).answers if one.hold is not None
        }
        report = instance.check_answer.report if instance.check_answer is not None else None
        if Reason.VERSION_SUSPECT in asked:
            assert report is not None
            assert str(report.target) in said["suspects"]
            assert f"  SUSPECT      {report.target} " in text
        if Reason.BACKING_OFF in asked:
            assert f"  {id_}  " in text.partition("\nBacking off\n")[2]
        assert reason != Reason.BACKING_OFF.code or id_ in said["backoffs"]
    for version in said["suspects"]:
        takers = [
            one
            for one in fleet.instances.values()
            if one.claim is None
            and one.backoff is None
            and one.check_answer is not None
            and one.check_answer.report is not None
            and str(one.check_answer.report.target) == version
            and one.id in shown
            and shown[one.id] not in LASTING
        ]
        for one in takers:
            assert shown[one.id] is not None, f"{version} is suspect, and {one.id} would take it"

    # The log and the page of the run agree with a plan right after it, for reasons that do not pass by themselves.
    events = updater.tape.events
    page = report_object(run_report(events))
    ended = {one["instance"]: one["reason"] for one in page["instances"]}
    log = StringIO()
    writer = TextLog(log, run="run-1", cluster="demo", level=Level.DEBUG, paint=Paint(False))
    for event in events:
        writer.record(event)
    for id_, reason in shown.items():
        if reason in LASTING or ended.get(id_) in LASTING:
            assert ended.get(id_) == reason, id_
    for held in page["held"]:
        assert held["reason"] in log.getvalue()
