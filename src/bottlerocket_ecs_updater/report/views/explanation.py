"""An explanation of why an instance is or is not updated, as text and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from bottlerocket_ecs_updater.core.decision.claimed.let_go import left_in_warm_pool
from bottlerocket_ecs_updater.core.decision.claimed.quarantine import still_quarantined
from bottlerocket_ecs_updater.core.decision.unclaimed.assess import Finished
from bottlerocket_ecs_updater.core.decision.unclaimed.rule_answers import RuleAnswer
from bottlerocket_ecs_updater.core.model.auto_scaling import InGroup, NoGroup
from bottlerocket_ecs_updater.core.model.claim import Claim
from bottlerocket_ecs_updater.core.model.fleet import Fleet
from bottlerocket_ecs_updater.core.model.host_report import HostReport, UpdateState
from bottlerocket_ecs_updater.core.model.instance import Instance
from bottlerocket_ecs_updater.core.model.outcome import UNTIL_CLEARED, UpToDate
from bottlerocket_ecs_updater.core.model.phase import Phase, phase_of
from bottlerocket_ecs_updater.core.model.reasons import Failed, Hold
from bottlerocket_ecs_updater.core.model.time_text import time_text, write_time
from bottlerocket_ecs_updater.core.model.version import Version
from bottlerocket_ecs_updater.core.model.wording import counted
from bottlerocket_ecs_updater.core.planning.behind import behind
from bottlerocket_ecs_updater.core.planning.explain import Explanation
from bottlerocket_ecs_updater.report.words.sanitize import sanitize

GIVEN = ("ecs.", "com.amazonaws.", "bottlerocket.variant")
"""Attributes that ECS and the agent set on every instance. Nobody selects by them."""

EXPLANATION_SCHEMA = 1
"""The version of the JSON format. New keys do not change it; a key that changes its meaning does."""

LabelledFact = tuple[str, str]

ASKS = {
    "reach": "it is in service and reachable",
    "block": "the version is not blocked",
    "record": "it is not backing off, and the version is not suspect",
    "staged": "its update repository still offers the version that is staged on it, or none is staged",
    "claim": "a claim can be written to it",
    "pause": "updates are not paused",
    "selection": "your rules select it",
    "auto-scaling": "its Auto Scaling group is not replacing or terminating it",
    "version": "your rules allow the version",
    "check": "it answered its update check",
    "published": "the version is published for its variant",
    "promotion": "the stages that it waits for have finished the version, or it waits for none",
    "window": "updates are allowed now, and there is enough time",
    "calendar": "all change calendars are open for long enough",
    "own-host": "the updater's own task does not run on it, or another run can update it",
    "tasks": "its tasks can be moved",
    "finish-only": "this run starts updates, and does not only finish those that were started",
    "health": "all health checks pass",
    "pace": "neither a checkpoint nor the daily limit is reached",
    "services": "ECS describes every service with tasks on it",
    "drains": "no service on it blocked an earlier drain",
    "deployments": "no deployment is in progress",
    "room": "its tasks have room elsewhere",
    "budget": "the budget has a free slot",
}
"""The text of a rule that allows the update."""


def explanation_text(explanation: Explanation, fleet: Fleet, cluster: str) -> str:
    """The answer, the known facts, and the result of each rule."""
    return "\n".join(_lines(explanation, fleet, cluster)) + "\n"


def _lines(explanation: Explanation, fleet: Fleet, cluster: str) -> Iterator[str]:
    instance = explanation.instance
    yield f"{instance.id} in cluster {cluster}, as of {time_text(fleet.at)}"
    yield f"\n{_conclusion(explanation)}"
    yield "\nKnown:"
    for name, value in _known(explanation, fleet):
        yield f"  {name:<16} {sanitize(value)}"
    width = max((len(answer.rule) for answer in explanation.answers), default=0)
    if explanation.answers:
        yield "\nRules, in order:"
    for answer in explanation.answers:
        yield f"  {_allows(answer):<4} {answer.rule:<{width}}  {_why(answer)}".rstrip()
        yield from (f"       note: {sanitize(note)}" for note in answer.notes)
        if answer.hold is not None:
            yield f"       to do: {sanitize(answer.hold.remedy)}"


def _allows(answer: RuleAnswer) -> str:
    if answer.unchecked:
        return "?"
    return "yes" if answer.hold is None else "no"


def _why(answer: RuleAnswer) -> str:
    """Why the rule holds the instance or was not checked, or what it checks if it allows the update."""
    if answer.unchecked:
        return sanitize(answer.unchecked)
    if answer.hold is None:
        return ASKS.get(answer.rule, "")
    return f"{answer.hold.reason.code}: {sanitize(str(answer.hold))}"


def _conclusion(explanation: Explanation) -> str:
    claim, pooled = explanation.instance.claim, left_in_warm_pool(explanation.instance)
    if pooled is not None:
        return f"It is held: {sanitize(str(pooled))}. To do: {sanitize(pooled.remedy)}."
    if claim is not None:
        return _claimed(explanation.instance, claim)
    outcome = explanation.outcome
    if outcome is None and isinstance(explanation.candidate, Finished):
        return "A run has just finished updating it."
    match outcome:
        case UpToDate(version=version):
            return f"It is up to date: it runs {version}, and the repository offers it no update."
        case Hold():
            return f"It is held: {sanitize(str(outcome))}."
        case Failed():
            return f"It failed: {sanitize(str(outcome))}."
        case None:
            return _may_go(explanation)


def _claimed(instance: Instance, claim: Claim) -> str:
    """What an update in progress leads to, or one that failed and keeps the instance out of service."""
    phase = phase_of(instance)
    update = f"It is {phase.value}, updating from {claim.source} to {claim.target}"
    if phase is Phase.QUARANTINED:
        why = still_quarantined(instance, claim)
        return f"{update}: {sanitize(str(why))}. To do: {why.remedy}."
    since = f"since {time_text(claim.since)}, by run {claim.run}"
    return f"{update}, {since}. If that run has ended, the next one finishes it first."


def _may_go(explanation: Explanation) -> str:
    target, position = explanation.target, explanation.position
    to = f" to {target}" if target is not None else ""
    if position is None:
        return f"Nothing holds it: a run would update it{to}, after the instances ahead of it."
    when = f", about {time_text(position.begins)}" if position.begins is not None else ""
    return f"Nothing holds it: a run would update it{to}, as number {position.number} of {position.of}{when}."


def _known(explanation: Explanation, fleet: Fleet) -> Iterator[LabelledFact]:
    instance = explanation.instance
    registration = instance.registration
    if registration is not None:
        yield "zone", instance.zone or "unknown"
        yield "status in ECS", f"{registration.status.value}, agent {_connected(registration.connected)}"
        yield "health in ECS", _health(instance)
        yield "variant", registration.variant or "none: not a Bottlerocket host"
        yield "provider", registration.capacity_provider or "no capacity provider"
        yield from _group(instance)
        for name, value in sorted(registration.attributes.items()):
            if not name.startswith(GIVEN):
                yield "attribute", f"{name} = {value}" if value else name
        if registration.remaining is not None:
            left = registration.remaining
            yield "room left", f"{left.cpu} CPU units, {left.memory} MiB{f', {left.gpus} GPU(s)' if left.gpus else ''}"
    yield "Systems Manager", instance.ping or instance.reach.value
    yield from _last_check(instance, explanation.target, fleet)
    yield from _history(instance, fleet)
    for task in dict.fromkeys((*instance.tasks_left, *instance.tasks_stopping)):
        kind = "daemon" if task.daemon else "service" if task.of_service else "standalone"
        yield "task", f"{task.group or task.family or task.arn} ({kind}, {task.last_status.value})"


def _health(instance: Instance) -> str:
    registration, progress = instance.registration, instance.progress
    health = registration.health if registration is not None else None
    if health is None:
        return "not reported by its agent"
    since = f", since {time_text(progress.impaired_since)} or earlier" if progress.impaired_since is not None else ""
    return f"{health}{since}"


def _group(instance: Instance) -> Iterator[LabelledFact]:
    match instance.membership:
        case InGroup(group=group, state=state, refreshing=refreshing):
            yield (
                "Auto Scaling",
                f"{group}, {state.value}{', an instance refresh is in progress' if refreshing else ''}",
            )
        case NoGroup():
            yield "Auto Scaling", "in no group"
        case None:
            yield "Auto Scaling", "not known"


def _connected(connected: bool) -> str:  # noqa: FBT001 - one fact
    return "connected" if connected else "disconnected"


def _last_check(instance: Instance, target: Version | None, fleet: Fleet) -> Iterator[LabelledFact]:
    check = instance.check_answer
    if check is None:
        return
    if not isinstance(check.answer, HostReport):
        yield "its check", f"{check.answer.problem.value}: {check.answer.detail}"
        return
    report = check.answer
    yield "runs", str(report.running)
    late = behind(report.running, report.target, fleet.past.first_seen)
    if late is not None:
        yield "behind", f"{late.since_when(fleet.at)}: a newer version was first seen {time_text(late.since)}"
    yield "says", report.state.value
    if report.state is UpdateState.READY and report.staged is not None:
        yield "staged", f"{report.staged}{', no longer offered by its update repository' if report.withdrawn else ''}"
    target = target or report.target
    if target is not None:
        yield "would take", f"{target}{_since(fleet.past.first_seen.get(target))}"
        failed = fleet.suspects.get(target, 0)
        if failed:
            yield "failures", f"{target} failed on {counted(failed, 'instance')} of this cluster"


def _since(at: datetime | None) -> str:
    return f", first seen {time_text(at)}" if at is not None else ""


def _history(instance: Instance, fleet: Fleet) -> Iterator[LabelledFact]:
    update = fleet.past.updated.get(instance.id)
    if update is not None:
        yield "last updated", f"to {update.version}, {time_text(update.at)}"
    rest = instance.backoff
    if rest is not None:
        until = UNTIL_CLEARED if rest.rolled_back else time_text(rest.until)
        tries = counted(rest.attempts, "attempt")
        word = "backing off" if rest.until > fleet.at else "backed off"
        yield word, f"until {until}, after {tries} at {rest.version}: {rest.why}"


def _code(outcome: Hold | Failed | UpToDate | None) -> str | None:
    match outcome:
        case Hold(reason=reason):
            return reason.code
        case Failed(failure=failure):
            return failure.code
        case _:
            return None


def explanation_json(explanation: Explanation, fleet: Fleet, cluster: str) -> dict[str, Any]:
    """The explanation as JSON values."""
    outcome = left_in_warm_pool(explanation.instance) or explanation.outcome
    return {
        "schema": EXPLANATION_SCHEMA,
        "cluster": cluster,
        "instance": explanation.instance.id,
        "at": write_time(fleet.at),
        "conclusion": _conclusion(explanation),
        "reason": _code(outcome),
        "phase": phase_of(explanation.instance).value if explanation.instance.claim is not None else None,
        "turn": None
        if explanation.position is None
        else {
            "number": explanation.position.number,
            "of": explanation.position.of,
            "begins": write_time(explanation.position.begins) if explanation.position.begins is not None else None,
        },
        "known": [{"what": name, "is": value} for name, value in _known(explanation, fleet)],
        "asked": [
            {
                "rule": answer.rule,
                "allows": answer.hold is None,
                "reason": answer.hold.reason.code if answer.hold is not None else None,
                "why": str(answer.hold) if answer.hold is not None else None,
                "to_do": answer.hold.remedy if answer.hold is not None else None,
                "notes": list(answer.notes),
                "unchecked": answer.unchecked or None,
            }
            for answer in explanation.answers
        ],
    }
