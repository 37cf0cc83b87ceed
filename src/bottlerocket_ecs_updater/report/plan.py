"""A plan as a person reads it, and as a program does."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from bottlerocket_ecs_updater.core.forecast import Forecast
from bottlerocket_ecs_updater.core.plan import Plan, Update
from bottlerocket_ecs_updater.core.reasons import Failed, Hold
from bottlerocket_ecs_updater.core.waiting import spell
from bottlerocket_ecs_updater.engine.times import write_time
from bottlerocket_ecs_updater.report.advice import advice_json, advice_lines
from bottlerocket_ecs_updater.report.text import visible

SCHEMA = 1
"""The version of the JSON form: it grows by keys, and counts up when a key changes its meaning."""


def plan_text(plan: Plan, cluster: str) -> str:
    """The plan in lines: what is finished first, what is updated in which order, what is left alone and why."""
    return "\n".join(_lines(plan, cluster)) + "\n"


def _lines(plan: Plan, cluster: str) -> Iterator[str]:
    yield f"Plan for cluster {cluster}, as of {plan.at:%Y-%m-%d %H:%M} UTC. Nothing was changed."
    if plan.unfinished:
        yield "\nFinished first, begun by an earlier run:"
        for each in plan.unfinished:
            claim = each.claim
            yield (
                f"  {each.instance}  {each.phase.value:<12} {claim.source} → {claim.target}, "
                f"run {claim.run}, since {claim.since:%Y-%m-%d %H:%M} UTC"
            )
    yield from _updates(plan)
    yield from _failing(plan)
    yield from _held(plan)
    if plan.current:
        yield f"\nUp to date: {len(plan.current)}"
        for id_, version in plan.current:
            yield f"  {id_}  {version}"
    yield from advice_lines(plan.advice)


def _updates(plan: Plan) -> Iterator[str]:
    if plan.updates:
        yield f"\nWould be updated: {len(plan.updates)}, in this order"
    else:
        yield "\nNothing would be updated now."
    if plan.later:
        yield f"Held until their time comes, and then updated: {len(plan.later)}"
    if not plan.updates and not plan.later:
        return
    yield f"Forecast: {_when(plan.forecast)}"
    by_id = {update.instance: update for update in (*plan.updates, *plan.later)}
    for number, batch in enumerate(plan.forecast.batches, 1):
        took = spell(timedelta(seconds=round((batch.ends - batch.begins).total_seconds())))
        yield f"  batch {number}: about {took}, from {batch.begins:%Y-%m-%d %H:%M} UTC"
        for id_ in batch.instances:
            yield f"    {_update(by_id[id_])}"


def _update(update: Update) -> str:
    staged = "staged" if update.staged else "to be staged"
    back = ", a downgrade: its release was withdrawn" if update.downgrade else ""
    tasks = f"{update.tasks} task{'' if update.tasks == 1 else 's'} to move"
    return f"{update.instance}  {update.zone}  {update.source} → {update.target}  {staged}, {tasks}{back}"


def _when(forecast: Forecast) -> str:
    if not forecast.batches:
        return "at no time that can be told"
    ends = forecast.batches[-1].ends
    windows = f", over {forecast.windows} windows" if forecast.windows > 1 else ""
    return f"done by about {ends:%Y-%m-%d %H:%M} UTC{windows}"


def _failing(plan: Plan) -> Iterator[str]:
    if plan.failing:
        yield f"\nFailing: {len(plan.failing)}"
    for id_, failed in plan.failing:
        yield from _reason(id_, failed.failure.code, failed)


def _held(plan: Plan) -> Iterator[str]:
    if plan.held:
        yield f"\nWould be left alone: {len(plan.held)}"
    for id_, hold in plan.held:
        yield from _reason(id_, hold.reason.code, hold)


def _reason(id_: str, code: str, why: Hold | Failed) -> Iterator[str]:
    yield f"  {visible(id_)}  {code}: {visible(str(why))}"
    yield f"  {' ' * len(id_)}  to do: {visible(why.remedy)}"


def plan_json(plan: Plan, cluster: str) -> dict[str, Any]:
    """The plan as values that JSON knows; times are RFC 3339 in UTC, spans are seconds."""
    forecast = plan.forecast
    return {
        "schema": SCHEMA,
        "cluster": cluster,
        "at": write_time(plan.at),
        "unfinished": [
            {
                "instance": each.instance,
                "phase": each.phase.value,
                "run": each.claim.run,
                "source": str(each.claim.source),
                "target": str(each.claim.target),
                "since": write_time(each.claim.since),
            }
            for each in plan.unfinished
        ],
        "updates": [
            {
                "instance": update.instance,
                "zone": update.zone,
                "source": str(update.source),
                "target": str(update.target),
                "staged": update.staged,
                "downgrade": update.downgrade,
                "tasks": update.tasks,
            }
            for update in plan.updates
        ],
        "later": [update.instance for update in plan.later],
        "forecast": {
            "ends": write_time(forecast.ends) if forecast.ends is not None else None,
            "windows": forecast.windows,
            "batches": [
                {"instances": list(batch.instances), "begins": write_time(batch.begins), "ends": write_time(batch.ends)}
                for batch in forecast.batches
            ],
            "never": list(forecast.left),
        },
        "failing": [_held_json(id_, why.failure.code, why) for id_, why in plan.failing],
        "held": [_held_json(id_, why.reason.code, why) for id_, why in plan.held],
        "current": [{"instance": id_, "version": str(version)} for id_, version in plan.current],
        "advice": advice_json(plan.advice),
    }


def _held_json(id_: str, code: str, why: Hold | Failed) -> dict[str, Any]:
    return {"instance": id_, "reason": code, "why": str(why), "to_do": why.remedy, "facts": dict(why.facts)}
