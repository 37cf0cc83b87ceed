"""The headline of a run's report, in one line."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence

from bottlerocket_ecs_updater.core.model.event import Event, LeaseRefused
from bottlerocket_ecs_updater.core.model.outcome import OutcomeKind, RunOutcome
from bottlerocket_ecs_updater.core.model.reasons import Hold, Reason
from bottlerocket_ecs_updater.core.model.time_text import measured_text
from bottlerocket_ecs_updater.core.model.wording import and_more, counted
from bottlerocket_ecs_updater.report.analysis.ending import Ending, needing_a_person
from bottlerocket_ecs_updater.report.analysis.summary import Summary
from bottlerocket_ecs_updater.report.analysis.withdrawals import withdrawals

WHY_IN_HEADLINE_MAX_CHARACTERS = 120
"""The maximum length of the reason in the headline of a run that could not start. The whole reason is below it."""


CODES_IN_HEADLINE_MAX = 3
"""How many reasons the headline names."""


def _nothing_updated(summary: Summary, ours: int) -> str:
    """What held all instances, if it does not pass by itself."""
    if summary.outcome is RunOutcome.STUCK and summary.why:
        why = textwrap.shorten(summary.why, WHY_IN_HEADLINE_MAX_CHARACTERS, placeholder=" …")
        return why[:1].upper() + why[1:]
    return f"Nothing was updated: {summary.counts[OutcomeKind.HELD]} of {counted(ours, 'instance')} held back"


def headline_of(summary: Summary, ending: Ending, events: Sequence[Event]) -> str:
    """What happened, in one line. A withdrawn version is named however the run ended."""
    line = _headline(summary, ending, events)
    if ending is Ending.NEEDS_A_PERSON:
        return line
    return "; ".join([line, *map(str, withdrawals(events))])


def _for_a_person(summary: Summary, ours: int, events: Sequence[Event]) -> str:
    """What a person must look at, then what was done."""
    rows = needing_a_person(summary)
    codes = and_more(sorted({row.code for row in rows}), CODES_IN_HEADLINE_MAX)
    them = [f"{counted(len(rows), 'instance needs', 'instances need')} a person ({codes})"] if rows else []
    updated = summary.counts[OutcomeKind.UPDATED]
    done = f"{updated} of {counted(ours, 'instance')} updated{_to_which(summary)}" if updated else "nothing was updated"
    return "; ".join([*map(str, withdrawals(events)), *them, done])


def _well(summary: Summary, ours: int, updated: str) -> str:
    if summary.counts[OutcomeKind.UPDATED] < ours:
        return f"{updated}, nothing failed, in {measured_text(summary.took)}"
    every = "The one instance" if ours == 1 else f"All {ours} instances"
    return f"{every} updated{_to_which(summary)}, in {measured_text(summary.took)}"


def _headline(summary: Summary, ending: Ending, events: Sequence[Event]) -> str:
    counts = summary.counts
    ours = len(summary.rows) - counts[OutcomeKind.NOT_BOTTLEROCKET]
    updated = f"{counts[OutcomeKind.UPDATED]} of {counted(ours, 'instance')} updated{_to_which(summary)}"
    trouble = _trouble_in_words(counts[OutcomeKind.QUARANTINED], counts[OutcomeKind.FAILED])
    match ending:
        case Ending.WELL:
            return _well(summary, ours, updated)
        case Ending.NEEDS_A_PERSON:
            return _for_a_person(summary, ours, events)
        case Ending.HELD | Ending.STUCK:
            return _nothing_updated(summary, ours)
        case Ending.NOTHING:
            return (
                f"Nothing to do: {counted(ours, 'instance')}, all up to date"
                if ours
                else "No Bottlerocket instances found"
            )
        case Ending.HALTED:
            return f"Halted: {trouble or 'a person must look'}; {updated}"
        case Ending.FAILURES:
            return f"{trouble or _failed_drains(summary) or 'An instance is out of service'}; {updated}"
        case Ending.STOPPED | Ending.STOPPED_AFTER_FAILURES | Ending.CUT_SHORT:
            where = " in the middle of an update" if ending is Ending.CUT_SHORT else ""
            stopped = f"Stopped{_by_what(summary)} after {measured_text(summary.took)}{where}"
            return f"{stopped}: {updated}" + (f"; {trouble}" if trouble else "")
        case Ending.ERROR if not summary.rows:
            why = textwrap.shorten(summary.why, WHY_IN_HEADLINE_MAX_CHARACTERS, placeholder=" …")
            return f"The run could not start: {why}"
        case Ending.ERROR:
            return f"The run could not continue: {updated}" + (f"; {trouble}" if trouble else "")
        case Ending.DIED:
            return f"The record of this run ends after {measured_text(summary.took)}, before the run's end: {updated}"
        case Ending.LEFT:
            holder = next((event.holder for event in events if isinstance(event, LeaseRefused)), "it did not say which")
            return f"Exited at once: another run holds the lease ({holder})"


def _failed_drains(summary: Summary) -> str:
    """Why drains failed that gave their instances back to service; empty if none did."""
    gave_back = any(isinstance(row.outcome, Hold) and row.outcome.reason in _FAILED_DRAINS for row in summary.rows)
    if not (gave_back and summary.why):
        return ""
    return textwrap.shorten(summary.why[:1].upper() + summary.why[1:], WHY_IN_HEADLINE_MAX_CHARACTERS, placeholder=" …")


_FAILED_DRAINS = frozenset({Reason.DRAIN_TIMED_OUT, Reason.GROUP_TAKES_DRAINED})


def _by_what(summary: Summary) -> str:
    """The signal that stopped the run, if it is recorded."""
    signal = re.match(r"SIG[A-Z]+\b", summary.why)
    return f" by {signal[0]}" if signal else ""


def _trouble_in_words(quarantined: int, failed: int) -> str:
    if not quarantined:
        return f"{counted(failed, 'instance')} failed" if failed else ""
    out = f"{counted(quarantined, 'instance is', 'instances are')} out of service"
    return f"{out}, {failed} failed" if failed else out


def _to_which(summary: Summary) -> str:
    targets = {row.versions[1] for row in summary.rows if row.became is OutcomeKind.UPDATED}
    return f" to {next(iter(targets))}" if len(targets) == 1 else ""
