"""Records every decision of a scenario's runs: each must be repeatable, with a reason for every skipped instance."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from bottlerocket_ecs_updater.core.decision.claimed.let_go import RETURNS_AFTER_ANSWER
from bottlerocket_ecs_updater.core.decision.decide import Decision, decide
from bottlerocket_ecs_updater.core.model.command import Return
from bottlerocket_ecs_updater.core.model.fleet import Fleet
from bottlerocket_ecs_updater.core.model.instance import Instance
from bottlerocket_ecs_updater.core.rules.policy import Policy

PASSES_AT_ONE_MOMENT_MAX = 100
"""The number of decisions that may follow each other while no time passes; more means that a run spins."""

TWICE_EVERY = 4
"""One in this many decisions is made twice, because deciding takes a third of a scenario's time."""

PASSES_MAX = 5000
"""The limit of decisions in a run; over a few instances it takes some hundreds."""


class Spins(AssertionError):
    """A run decides again and again without an end."""


@contextmanager
def overheard(said: list[str]) -> Iterator[None]:
    """Within the context, report every problem of a decision. Raises Spins if a run would never end."""
    passes: dict[tuple[object, object], int] = {}

    def decide_aloud(fleet: Fleet, policy: Policy) -> Decision:
        decision = decide(fleet, policy)
        if passes.get((fleet.run, None), 0) % TWICE_EVERY == 0 and decide(fleet, policy) != decision:
            said.append(f"{fleet.run} decides otherwise when it decides again at {fleet.at}")
        said.extend(f"{fleet.run} at {fleet.at}: {text}" for text in _unreasoned(fleet, decision))
        moment = (fleet.run, fleet.at)
        passes[moment] = passes.get(moment, 0) + 1
        passes[fleet.run, None] = passes.get((fleet.run, None), 0) + 1
        if passes[moment] > PASSES_AT_ONE_MOMENT_MAX or passes[fleet.run, None] > PASSES_MAX:
            raise Spins(f"{fleet.run} at {fleet.at}, over and over: {_open(decision)}")
        return decision

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bottlerocket_ecs_updater.engine.run.decide", decide_aloud)
        yield


def _unreasoned(fleet: Fleet, decision: Decision) -> Iterator[str]:
    for instance in fleet.instances.values():
        findings = decision.steps.get(instance.id)
        if findings is None:
            yield f"{instance.id} is left out of the decision"
        elif any(isinstance(command, Return) for command in findings.commands) and not _group_known(instance, fleet):
            yield f"{instance.id} is returned, and its Auto Scaling group was not asked"
        elif findings.hold is not None:
            if not str(findings.hold) or not findings.hold.remedy:
                yield f"{instance.id} is held for a reason without words"
        elif not (findings.commands or findings.look_at or _asks(findings) or _settled(instance)):
            yield f"{instance.id} is passed over without a reason"


def _group_known(instance: Instance, fleet: Fleet) -> bool:
    """Whether its group was read a moment ago, or did not answer: no other instance is set ACTIVE."""
    around = instance.around
    if not fleet.surveyed:
        return True
    if around is None or around.group_at is None:
        return around is not None and around.group_missed_since is not None
    return around.group_missed_since is not None or fleet.at - around.group_at <= RETURNS_AFTER_ANSWER


def _asks(findings: object) -> bool:
    return any(getattr(findings, want) for want in ("wants_tasks", "wants_reboot_end", "wants_listing"))


def _settled(instance: Instance) -> bool:
    return instance.progress.outcome is not None or instance.pending is not None


def _open(decision: Decision) -> str:
    due = [(id_, findings) for id_, findings in decision.steps.items() if findings.look_at == decision.look_at]
    services = f"services at {decision.services_at}, "
    return services + "; ".join(f"{id_} {findings}" for id_, findings in due[:3])
