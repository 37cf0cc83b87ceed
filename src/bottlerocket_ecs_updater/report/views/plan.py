"""A plan as text and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from bottlerocket_ecs_updater.core.model.ids import InstanceId
from bottlerocket_ecs_updater.core.model.reasons import Failed, Hold
from bottlerocket_ecs_updater.core.model.time_text import rough_text, time_text, write_time
from bottlerocket_ecs_updater.core.model.wording import counted
from bottlerocket_ecs_updater.core.planning.forecast import Batch
from bottlerocket_ecs_updater.core.planning.plan import ForecastBasis, Plan, Unfinished, Update
from bottlerocket_ecs_updater.report.views.advice import advice_json, advice_lines
from bottlerocket_ecs_updater.report.words.grouping import grouped, id_lines
from bottlerocket_ecs_updater.report.words.sanitize import sanitize

PLAN_SCHEMA = 1
"""The version of the JSON format. New keys do not change it; a key that changes its meaning does."""


def plan_text(plan: Plan, cluster: str) -> str:
    """The plan as text: what is finished first, what is updated in which order, and what is left alone and why."""
    return "\n".join(_lines(plan, cluster)) + "\n"


def _lines(plan: Plan, cluster: str) -> Iterator[str]:
    yield f"Plan for cluster {cluster}, as of {time_text(plan.at)}. Nothing was changed."
    yield from _unfinished([one for one in plan.unfinished if one.quarantined is None])
    yield from _quarantined(plan)
    yield from _updates(plan)
    above = {update.instance for update in plan.later}
    yield from _reasons("Failing", [(id_, why.failure.code, why) for id_, why in plan.failing], above)
    held = [(id_, why.reason.code, why) for id_, why in plan.held]
    yield from _reasons("Held for now", [one for one in held if one[0] in above], above)
    yield from _reasons("Would be left alone", [one for one in held if one[0] not in above], above, plan.behind)
    if plan.current:
        yield f"\nUp to date: {len(plan.current)}"
        for version, some in grouped(plan.current, lambda pair: pair[1]).items():
            yield from id_lines([id_ for id_, _ in some], "  ", str(version))
    yield from _held_and_behind(plan)
    yield from advice_lines(plan.advice)


def _held_and_behind(plan: Plan) -> Iterator[str]:
    """How far behind the instances are that would not be updated now; the others say it in their batch."""
    in_batches = {update.instance for update in (*plan.updates, *plan.later)}
    late = [(id_, days) for id_, days in plan.days_behind.items() if days and id_ not in in_batches]
    if late:
        yield f"\nBehind and not in the forecast: {len(late)}"
    for days, some in sorted(grouped(late, lambda pair: pair[1]).items(), reverse=True):
        yield from id_lines([id_ for id_, _ in some], "  ", counted(days, "day"))


def _unfinished(unfinished: list[Unfinished]) -> Iterator[str]:
    if unfinished:
        yield "\nFinished first, started by an earlier run:"
    for each in unfinished:
        claim = each.claim
        yield (
            f"  {each.instance}  {each.phase.value:<12} {claim.source} → {claim.target}, "
            f"run {claim.run}, since {time_text(claim.since)}"
        )


def _quarantined(plan: Plan) -> Iterator[str]:
    rows = [(one.instance, one.phase.value, one.quarantined) for one in plan.unfinished if one.quarantined is not None]
    yield from _reasons("Out of service until they are healthy or a person acts", rows, set())


def _updates(plan: Plan) -> Iterator[str]:
    if plan.updates:
        yield f"\nWould be updated: {len(plan.updates)}, in this order"
    else:
        yield "\nNothing would be updated now."
    if plan.later:
        yield f"Held for now, and updated later in the forecast: {len(plan.later)}"
    if not plan.updates and not plan.later:
        return
    yield f"Forecast: {_when(plan)}"
    yield from _basis(plan.basis)
    by_id = {update.instance: update for update in (*plan.updates, *plan.later)}
    for number, batch in enumerate(plan.forecast.batches, 1):
        yield from _batch(number, batch, [by_id[id_] for id_ in batch.instances])


def _when(plan: Plan) -> str:
    forecast = plan.forecast
    if not forecast.batches:
        return "no end can be predicted"
    ends = forecast.batches[-1].ends
    batches = counted(len(forecast.batches), "batch", "batches")
    windows = f" and {counted(forecast.windows, 'maintenance window')}" if plan.windowed else ""
    never = f"; {len(forecast.left)} cannot be scheduled" if forecast.left else ""
    return (
        f"done by about {time_text(ends)}, in {rough_text(ends - plan.at)}, {batches}{windows}, if nothing fails{never}"
    )


def _basis(basis: ForecastBasis) -> Iterator[str]:
    pace = basis.pace
    parts = {
        "to stage": (pace.stage, basis.stages),
        "to drain": (pace.drain, basis.drains),
        "to reboot and verify": (pace.reboot, basis.reboots),
    }
    spans = ", ".join(f"{rough_text(span)} {what}" for what, (span, _) in parts.items())
    yield f"  based on {spans}, {rough_text(pace.settle)} to settle"
    recorded = {what: count for what, (_, count) in parts.items() if count}
    stated = [what for what in parts if what not in recorded]
    if recorded:
        medians = ", ".join(f"{count} {what}" for what, count in recorded.items())
        yield f"  medians of this cluster's recorded updates: {medians}"
    if stated:
        whole = (
            "all of these are defaults" if not recorded else f"default{'s' * (len(stated) > 1)}: {', '.join(stated)}"
        )
        yield f"  {whole}, because nothing is recorded"


def _batch(number: int, batch: Batch, updates: list[Update]) -> Iterator[str]:
    ends = f"{batch.ends:%H:%M}" if batch.ends.date() == batch.begins.date() else f"{batch.ends:%Y-%m-%d %H:%M}"
    yield (
        f"  batch {number}: {counted(len(updates), 'instance')}, {batch.begins:%Y-%m-%d %H:%M} to {ends} UTC, "
        f"about {rough_text(batch.ends - batch.begins)}"
    )
    for what, alike in grouped(updates, _what).items():
        yield f"    {what}"
        for zone, some in grouped(alike, lambda update: update.zone).items():
            yield from id_lines([update.instance for update in some], "      ", sanitize(zone))


def _what(update: Update) -> str:
    staged = "staged" if update.staged else "to be staged"
    back = ", a downgrade: its version was withdrawn" if update.downgrade else ""
    late = f", {counted(update.days_behind, 'day')} behind" if update.days_behind else ""
    return f"{update.source} → {update.target}{late}, {staged}, {counted(update.tasks, 'task')} to move{back}"


def _reasons(
    title: str,
    rows: Sequence[tuple[InstanceId, str, Hold | Failed]],
    above: set[InstanceId],
    behind: Mapping[InstanceId, Hold] = MappingProxyType({}),
) -> Iterator[str]:
    """Holds grouped by remedy, so that remedies and reasons are shown once.

    Instances that are already listed in a batch of the forecast are only counted.
    """
    if rows:
        yield f"\n{title}: {len(rows)}"
    for (code, remedy), alike in grouped(rows, lambda one: (one[1], one[2].remedy)).items():
        yield f"  {code}: {len(alike)}"
        for why, some in grouped(alike, lambda one: str(one[2])).items():
            yield f"    {sanitize(why)}"
            named = [id_ for id_, _, _ in some if id_ not in above]
            if len(named) < len(some):
                yield f"      {counted(len(some) - len(named), 'instance')} of the forecast above"
            yield from id_lines(named, "      ")
            for then, those in grouped([id_ for id_ in named if id_ in behind], lambda id_: behind[id_]).items():
                which = "" if len(those) == len(named) else f" ({', '.join(those)})"
                yield f"      then still held{which}: {then.reason.code}: {sanitize(str(then))}"
        yield f"    to do: {sanitize(remedy)}"


def plan_json(plan: Plan, cluster: str) -> dict[str, Any]:
    """The plan as JSON values. Times are RFC 3339 in UTC, durations are seconds."""
    forecast = plan.forecast
    return {
        "schema": PLAN_SCHEMA,
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
        "updates": [_update_json(update) for update in plan.updates],
        "later": [_update_json(update) for update in plan.later],
        "forecast": {
            "ends": write_time(forecast.ends) if forecast.ends is not None else None,
            "windows": forecast.windows,
            "batches": [
                {"instances": list(batch.instances), "begins": write_time(batch.begins), "ends": write_time(batch.ends)}
                for batch in forecast.batches
            ],
            "never": list(forecast.left),
            "basis": _basis_json(plan.basis),
        },
        "failing": [_held_json(id_, why.failure.code, why) for id_, why in plan.failing],
        "held": [
            _held_json(id_, why.reason.code, why)
            | {"then": _then_json(plan.behind.get(id_)), "days_behind": plan.days_behind.get(id_, 0)}
            for id_, why in plan.held
        ],
        "current": [{"instance": id_, "version": str(version)} for id_, version in plan.current],
        "advice": advice_json(plan.advice),
    }


def _update_json(update: Update) -> dict[str, Any]:
    return {
        "instance": update.instance,
        "zone": update.zone,
        "source": str(update.source),
        "target": str(update.target),
        "staged": update.staged,
        "downgrade": update.downgrade,
        "tasks": update.tasks,
        "days_behind": update.days_behind,
    }


def _basis_json(basis: ForecastBasis) -> dict[str, Any]:
    pace = basis.pace
    return {
        "stage": {"seconds": pace.stage.total_seconds(), "recorded": basis.stages},
        "drain": {"seconds": pace.drain.total_seconds(), "recorded": basis.drains},
        "reboot": {"seconds": pace.reboot.total_seconds(), "recorded": basis.reboots},
        "settle": {"seconds": pace.settle.total_seconds(), "recorded": 0},
    }


def _then_json(then: Hold | None) -> str | None:
    return then.reason.code if then is not None else None


def _held_json(id_: str, code: str, why: Hold | Failed) -> dict[str, Any]:
    return {"instance": id_, "reason": code, "why": str(why), "to_do": why.remedy, "facts": dict(why.facts)}
