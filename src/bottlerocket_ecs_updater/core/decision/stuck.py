"""A run that could begin nothing: whether that passes by itself, or has to be said.

What rules or people have chosen is no failure. What passes by itself is none either, until it has kept run after run
from beginning anything. Everything else stays until somebody does something, and is never reported as plain success.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta

from bottlerocket_ecs_updater.core.decision.backoff import UNTIL_CLEARED
from bottlerocket_ecs_updater.core.decision.blockers import REPEATED
from bottlerocket_ecs_updater.core.model.fleet import Fleet
from bottlerocket_ecs_updater.core.model.history import Waiting
from bottlerocket_ecs_updater.core.model.ids import InstanceId
from bottlerocket_ecs_updater.core.model.instance import Instance
from bottlerocket_ecs_updater.core.model.outcome import Outcome, Updated, UpToDate
from bottlerocket_ecs_updater.core.model.reasons import Hold, Passing, Reason, passing
from bottlerocket_ecs_updater.core.model.time_text import has_passed, time_text

WAITED_FOR = frozenset({Reason.SERVICE_DEPLOYING, Reason.UNWELL, Reason.SETTLING, Reason.BUDGET, Reason.ZONE_BUDGET})
"""What a run waits for, up to its `settle-timeout`: what outlasts that in two runs in a row is stuck.

A budget that is full at the end of a run is filled by others: what is out of service may be back for the next one.
"""

DATED = frozenset(
    {
        Reason.WINDOW_CLOSED,
        Reason.CUTOFF,
        Reason.FROZEN,
        Reason.CALENDAR_CLOSED,
        Reason.CALENDAR_CUTOFF,
        Reason.VERSION_TOO_YOUNG,
        Reason.VERSION_NEW,
        Reason.NOT_PROMOTED,
        Reason.CHECKPOINT_WAIT,
        Reason.CHECKPOINT_FULL,
        Reason.DAILY_LIMIT,
        Reason.BACKING_OFF,
        Reason.DRAIN_BLOCKED,
    }
)
"""What ends at a known time, or when others are done: however many runs it holds, nobody has to do anything."""

RUNS_IN_A_ROW = 2
STUCK_AFTER = timedelta(days=1)
"""Everything else that should pass by itself, such as a batch task or an instance refresh, has this long."""


def begun(instances: Iterable[Instance]) -> bool:
    """Whether the run took any host, or finished what another run had begun."""
    return any(one.claim is not None or one.progress.claimed_at is not None for one in instances)


def stuck_on(outcomes: Mapping[InstanceId, Outcome], fleet: Fleet) -> Hold | None:
    """The reason for which a run could begin nothing and that does not pass by itself; None where it is no failure."""
    if begun(fleet.instances.values()):
        return None
    held = _that_count(outcomes, fleet)
    if not held or not all(_lasts(why, fleet) for why in held):
        return None
    code, _ = Counter(why.reason.code for why in held).most_common(1)[0]
    return next(why for why in held if why.reason.code == code)


def _that_count(outcomes: Mapping[InstanceId, Outcome], fleet: Fleet) -> Collection[Hold]:
    """The holds of hosts that have an update; of all hosts, where not one of the cluster is up to date.

    One host that cannot be asked keeps no other from its update, and is in the summary and in `status`.
    """
    held = {
        id_: one for id_, one in outcomes.items() if isinstance(one, Hold) and passing(one.reason) is not Passing.CHOSEN
    }
    offered = [one for id_, one in held.items() if _has_update(fleet.instances.get(id_))]
    if offered or any(isinstance(one, Updated | UpToDate) for one in outcomes.values()):
        return offered
    return list(held.values())


def _has_update(instance: Instance | None) -> bool:
    report = instance.check_answer.report if instance is not None and instance.check_answer is not None else None
    return report is not None and report.target is not None


def _lasts(why: Hold, fleet: Fleet) -> bool:
    """Whether a hold has lasted for so long that it counts as one that does not pass by itself."""
    facts = dict(why.facts)
    if passing(why.reason) is Passing.NEVER:
        return True
    if why.reason is Reason.BACKING_OFF:
        return facts.get("until") == UNTIL_CLEARED
    if why.reason is Reason.DRAIN_BLOCKED:
        one = fleet.past.blockers.get(facts.get("what", ""))
        return one is not None and one.times >= REPEATED
    if why.reason in DATED:
        return False
    known = fleet.past.waiting.get(why.reason.code)
    return known is not None and _too_long(why.reason, known, fleet.at)


def _too_long(reason: Reason, known: Waiting, now: datetime) -> bool:
    in_a_row = known.runs + 1 >= RUNS_IN_A_ROW
    return in_a_row and (reason in WAITED_FOR or has_passed(known.since, STUCK_AFTER, now))


def waiting_codes(outcomes: Mapping[InstanceId, Outcome], fleet: Fleet) -> Collection[str]:
    """The codes of what kept this run from beginning anything, and should pass by itself; to be remembered."""
    if begun(fleet.instances.values()):
        return ()
    reasons = {why.reason for why in _that_count(outcomes, fleet)}
    return sorted(one.code for one in reasons if passing(one) is Passing.BY_ITSELF and one not in DATED)


def said(why: Hold, fleet: Fleet) -> str:
    """The reason, as the first words of the summary."""
    known = fleet.past.waiting.get(why.reason.code)
    again = f", since {time_text(known.since)}, in {known.runs + 1} runs in a row" if known is not None else ""
    return f"nothing could be begun: {why}{again}"


def drains_in_vain(outcomes: Mapping[InstanceId, Outcome], fleet: Fleet) -> str:
    """What kept a drain of this run from its end as it did one of an earlier run; empty where nothing did."""
    timed_out = [id_ for id_, one in outcomes.items() if isinstance(one, Hold) and one.reason is Reason.DRAIN_TIMED_OUT]
    again = sorted(
        group
        for group, one in fleet.past.blockers.items()
        if one.times >= REPEATED and one.last >= fleet.started_at and timed_out
    )
    if not again:
        return ""
    one = fleet.past.blockers[again[0]]
    names = ", ".join(again)
    return f"tasks of {names} kept a drain from its end, as in {one.times} runs in a row since {time_text(one.first)}"
