"""Whether a run that could start no update is stuck, or only has to wait.

A hold that rules or people chose is not a failure. Neither is a hold that passes by itself, until it has stopped
several runs in a row. Every other hold stays until somebody acts, and is never reported as success.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from datetime import timedelta

from bottlerocket_ecs_updater.core.decision.affected import deploys_since
from bottlerocket_ecs_updater.core.decision.blockers import REPEATED
from bottlerocket_ecs_updater.core.decision.not_counted import is_kept_warm
from bottlerocket_ecs_updater.core.model.fleet import Fleet
from bottlerocket_ecs_updater.core.model.history import ANY_REASON, UNLISTED, LastingHold
from bottlerocket_ecs_updater.core.model.ids import InstanceId
from bottlerocket_ecs_updater.core.model.instance import Instance
from bottlerocket_ecs_updater.core.model.outcome import UNTIL_CLEARED, Outcome, Updated, UpToDate
from bottlerocket_ecs_updater.core.model.passing import Passing, dated, never_passes, passing
from bottlerocket_ecs_updater.core.model.reasons import Hold, Reason
from bottlerocket_ecs_updater.core.model.time_text import has_passed, time_text

WAITED_FOR = frozenset(
    {
        Reason.SERVICE_DEPLOYING,
        Reason.UNWELL,
        Reason.SETTLING,
        Reason.BUDGET,
        Reason.ZONE_BUDGET,
        Reason.NOT_DESCRIBED,
    }
)
"""Holds that a run waits for: most up to its `settle-timeout`. One that outlasts it in two runs in a row is stuck.

If the budget is full at the end of a run, others took those instances out of service; they may be back by the next run.
"""

UNTRIED = frozenset(
    {
        Reason.WINDOW_CLOSED,
        Reason.CUTOFF,
        Reason.FROZEN,
        Reason.CALENDAR_CLOSED,
        Reason.CALENDAR_CUTOFF,
        Reason.PAUSED,
        Reason.FINISH_ONLY,
    }
)
"""Holds under which a run does not try to start an update. It says nothing about what stopped earlier runs.

With a nightly window, runs by day are between those that count.
"""

RUNS_IN_A_ROW = 2
STUCK_AFTER = timedelta(days=1)
"""How long any other hold that should pass by itself may last, such as a batch task or an instance refresh."""


def has_started(instances: Iterable[Instance]) -> bool:
    """Whether the run started an update, or finished one that another run started."""
    return any(_update_started(one) for one in instances)


def _update_started(instance: Instance) -> bool:
    """An update that has to wait in a warm pool may wait for months: other holds must not stay unnoticed until then."""
    if instance.claim is not None and is_kept_warm(instance):
        return instance.progress.drain is not None
    return instance.claim is not None or instance.progress.claimed_at is not None


def stuck_on(outcomes: Mapping[InstanceId, Outcome], fleet: Fleet) -> Hold | None:
    """The hold that stopped every update and does not pass by itself; None if that is not a failure."""
    if has_started(fleet.instances.values()):
        return None
    held = _that_count(outcomes, fleet)
    if not held or not (_saw_nothing(held, outcomes) or all(_lasts(why, fleet) for why in held)):
        return None
    code, _ = Counter(why.reason.code for why in held).most_common(1)[0]
    return next(why for why in held if why.reason.code == code)


def _saw_nothing(held: Collection[Hold], outcomes: Mapping[InstanceId, Outcome]) -> bool:
    """Whether ECS lists instances but describes none, so that the run knows nothing about the cluster."""
    return len(held) == len(outcomes) and all(why.reason is Reason.NOT_DESCRIBED for why in held)


def _that_count(outcomes: Mapping[InstanceId, Outcome], fleet: Fleet) -> Collection[Hold]:
    """The holds of hosts with an update; the holds of all hosts if no host of the cluster is up to date.

    A host that cannot be checked does not stop other updates; the summary and `status` name it.
    """
    held = {
        id_: one for id_, one in outcomes.items() if isinstance(one, Hold) and passing(one.reason) is not Passing.CHOSEN
    }
    offered = [one for id_, one in held.items() if _has_update(fleet.instances.get(id_))]
    well = any(isinstance(one, Updated | UpToDate) for one in outcomes.values())
    counted = offered if offered or well else list(held.values())
    # One that waits for others that are held themselves waits for as long as they do.
    return [one for one in counted if not _waits_for_others(one)] or counted


def _waits_for_others(why: Hold) -> bool:
    """Whether an instance is held only until others, which come first, are done or in progress."""
    if why.reason is Reason.DAILY_LIMIT:
        return dict(why.facts).get("begun") == "0"
    return why.reason in (Reason.STAGING_AHEAD, Reason.CHECKPOINT_FULL)


def _has_update(instance: Instance | None) -> bool:
    report = instance.report if instance is not None else None
    return report is not None and report.target is not None


def _lasts(why: Hold, fleet: Fleet) -> bool:
    """Whether a hold does not pass by itself, or has lasted so long that it counts as one that does not."""
    facts = dict(why.facts)
    if never_passes(why):
        return True
    if why.reason is Reason.UNWELL and fleet.health is not None and fleet.health.denied:
        return True
    if why.reason is Reason.BACKING_OFF:
        return facts.get("until") == UNTIL_CLEARED
    if why.reason in (Reason.DRAIN_BLOCKED, Reason.TASKS_UNLISTED):
        one = fleet.past.blockers.get(facts.get("blocker", ""))
        return one is not None and one.times >= REPEATED
    if dated(why):
        return False
    if _holds_too_long(why.reason, fleet):
        return True
    # ECS reports since when a deployment has been in progress, even if no earlier run recorded it.
    since = deploys_since(why, fleet) if why.reason is Reason.SERVICE_DEPLOYING else None
    return since is not None and has_passed(since, STUCK_AFTER, fleet.at)


def _holds_too_long(reason: Reason, fleet: Fleet) -> bool:
    """Whether a hold outlasted the runs that waited for it, or no update could start for a day, for any reason."""
    waiting = fleet.past.waiting
    if reason in WAITED_FOR and _is_repeated(waiting.get(reason.code)):
        return True
    for_any_reason = waiting.get(ANY_REASON)
    if for_any_reason is None or not _is_repeated(for_any_reason):
        return False
    return has_passed(for_any_reason.since, STUCK_AFTER, fleet.at)


def _is_repeated(known: LastingHold | None) -> bool:
    return known is not None and known.runs + 1 >= RUNS_IN_A_ROW


def waiting_codes(outcomes: Mapping[InstanceId, Outcome], fleet: Fleet) -> Collection[str] | None:
    """The reason codes to record: they stopped this run from starting any update, but should pass by themselves.

    None to keep what earlier runs recorded: this run did not try.
    """
    if has_started(fleet.instances.values()):
        return ()
    held = _that_count(outcomes, fleet)
    untried = [one for one in outcomes.values() if isinstance(one, Hold) and one.reason in UNTRIED]
    if untried and all(why.reason in UNTRIED for why in held):
        return None
    return sorted({why.reason.code for why in held if passing(why.reason) is Passing.BY_ITSELF and not dated(why)})


def said(why: Hold, fleet: Fleet) -> str:
    """The reason as the first line of the summary."""
    again = _again(why, fleet.past.waiting)
    undescribed = [one for one in fleet.instances.values() if one.undescribed]
    if why.reason is Reason.NOT_DESCRIBED and len(undescribed) == len(fleet.instances) > 1:
        of_all = f"ECS lists {len(undescribed)} container instances and described none of them"
        return f"no update could start: {of_all}: {dict(why.facts)['why']}{again}"
    return f"no update could start: {why}{again}"


def _again(why: Hold, waiting: Mapping[str, LastingHold]) -> str:
    """Since when, and in how many runs, as the end of a sentence; empty if this is the first run."""
    known, for_any_reason = waiting.get(why.reason.code), waiting.get(ANY_REASON)
    if for_any_reason is not None and (known is None or known.since > for_any_reason.since):
        since, runs = time_text(for_any_reason.since), for_any_reason.runs + 1
        return f"; none has started since {since}, in {runs} runs in a row, for this and other reasons"
    if known is None:
        return ""
    return f"; none has started since {time_text(known.since)}, in {known.runs + 1} runs in a row"


def _took_drained(outcome: Outcome) -> bool:
    return isinstance(outcome, Hold) and outcome.reason is Reason.GROUP_TAKES_DRAINED


def failed_drains(outcomes: Mapping[InstanceId, Outcome], fleet: Fleet) -> str:
    """Which drains failed for a reason that another run will meet too, as text; empty if none did.

    Tasks made a drain time out in this run and in an earlier one, or a group took away what this run had drained.
    """
    taken = next((one for one in outcomes.values() if _took_drained(one)), None)
    if taken is not None:
        return str(taken).removeprefix("its ")
    timed_out = [id_ for id_, one in outcomes.items() if isinstance(one, Hold) and one.reason is Reason.DRAIN_TIMED_OUT]
    again = sorted(
        group
        for group, one in fleet.past.blockers.items()
        if one.times >= REPEATED and one.last >= fleet.started_at and timed_out
    )
    if not again:
        return ""
    one = fleet.past.blockers[again[0]]
    names = ", ".join(again) if again != [UNLISTED] else "no service that ECS names"
    return f"tasks of {names} made a drain time out, for {one.times} runs in a row since {time_text(one.first)}"
