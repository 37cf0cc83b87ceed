"""The explanation of an instance whose facts change with time, or whose claim keeps it out of service."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.core.builders import HOUR, NEW, NOW, a_claim, claimed, instance
from tests.core.builders import fleet as a_fleet

from bottlerocket_ecs_updater.core.model.claim import ClaimPhase
from bottlerocket_ecs_updater.core.model.instance import Instance
from bottlerocket_ecs_updater.core.model.outcome import Backoff
from bottlerocket_ecs_updater.core.planning.explain import explain_instance
from bottlerocket_ecs_updater.core.planning.plan import make_plan
from bottlerocket_ecs_updater.core.rules.policy import Policy
from bottlerocket_ecs_updater.report.views.explanation import explanation_text
from bottlerocket_ecs_updater.report.views.plan import plan_text


def explained(one: Instance) -> str:
    fleet = a_fleet(one)
    return explanation_text(explain_instance(one, fleet, Policy()), fleet, "web")


@pytest.mark.parametrize(("until", "word"), [(NOW + HOUR, "backing off"), (NOW - HOUR, "backed off")])
def test_a_backoff_that_is_over_is_reported_as_over(until: object, word: str) -> None:
    backoff = Backoff(NEW, 1, until, "apply-failed")  # type: ignore[arg-type]  # both are times
    text = explained(replace(instance("i-a"), backoff=backoff))
    assert f"  {word:<16} until " in text


def test_a_quarantined_instance_is_explained_with_its_failure_and_what_to_do() -> None:
    backoff = Backoff(NEW, 1, NOW + HOUR, "not-back")
    one = replace(claimed("i-q", a_claim(ClaimPhase.QUARANTINED)), backoff=backoff)
    text = explained(one)
    assert "It is quarantined" in text
    assert ": not-back. To do: read that run's report; repair or replace the host" in text
    planned = plan_text(make_plan(a_fleet(one), Policy()), "web")
    assert "Finished first" not in planned
    assert "Out of service until they are healthy or a person acts: 1\n" in planned
    assert ": not-back\n      i-q\n    to do: read that run's report" in planned


def test_an_update_in_progress_is_explained_with_its_run() -> None:
    text = explained(claimed("i-d", a_claim(ClaimPhase.DRAINING)))
    assert "It is draining, updating from " in text
    assert "If that run has ended, the next one finishes it first." in text
