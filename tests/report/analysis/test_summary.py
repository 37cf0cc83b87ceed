"""The end of a run's output is enough to know what is broken, why, and what to do."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.report.samples import (
    CLEAN_RUN,
    HALT,
    HALTED,
    HALTED_RUN,
    LARGE,
    LARGE_RUN,
    OLD,
    START,
    STARTED,
    events_for,
    finished,
    name,
)
from tests.report.strategies import ANY_EVENT, OUTCOMES

from bottlerocket_ecs_updater.core.model.event import Event, InstanceFailed
from bottlerocket_ecs_updater.core.model.ids import InstanceId
from bottlerocket_ecs_updater.core.model.outcome import Outcome, OutcomeKind, RunOutcome
from bottlerocket_ecs_updater.core.model.reasons import Failure, Reason, failed, hold
from bottlerocket_ecs_updater.report.analysis.summary import Summary, rows_of, summarize
from bottlerocket_ecs_updater.report.outputs.summary_text import WIDTH_MAX, last_line, summary_text
from bottlerocket_ecs_updater.report.words.colours import Paint

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.mark.parametrize(("run", "golden"), [(CLEAN_RUN, "clean"), (HALTED_RUN, "halted"), (LARGE_RUN, "large")])
def test_the_text_is_the_golden_one(run: list[Event], golden: str) -> None:
    """Look at the file if this fails: it is what people will read."""
    summary = summarize(run)
    assert summary_text(summary) + last_line(summary) + "\n" == (GOLDEN / f"{golden}.txt").read_text("utf-8")


def test_why_a_run_halted_is_the_first_thing_to_be_read() -> None:
    text = summary_text(summarize(HALTED_RUN))
    assert text.lstrip().startswith("HALTED")
    assert HALT in " ".join(text.split())


def test_a_downgrade_is_named_as_such() -> None:
    assert "1.21.0 → 1.19.5 (a downgrade" in summary_text(summarize(HALTED_RUN))


@pytest.mark.parametrize("instance", HALTED)
def test_every_instance_of_a_small_run_is_named(instance: InstanceId) -> None:
    assert instance in summary_text(summarize(HALTED_RUN))


def test_every_instance_that_needs_a_person_is_named_in_a_large_run() -> None:
    text = summary_text(summarize(LARGE_RUN))
    assert all(instance in text for instance in LARGE if instance >= name(495))


def test_five_hundred_instances_fit_on_two_screens() -> None:
    assert len(summary_text(summarize(LARGE_RUN)).splitlines()) < 60


def test_the_worst_comes_first() -> None:
    kinds = [row.became for row in summarize(HALTED_RUN).rows]
    assert kinds == sorted(kinds, key=list(OutcomeKind).index)


@given(outcomes=st.dictionaries(st.sampled_from([name(n) for n in range(9)]), OUTCOMES, max_size=9))
def test_every_instance_is_counted_once(outcomes: dict[InstanceId, Outcome]) -> None:
    summary = summarize([STARTED, finished(outcomes)])
    assert sum(summary.counts.values()) == len(outcomes) == len(summary.rows)


def test_a_run_that_died_is_summed_up_from_its_last_events() -> None:
    summary = summarize(events_for(HALTED))
    assert summary.outcome == RunOutcome.UNFINISHED
    assert summary.exit_code is None
    assert summary.took == timedelta(minutes=6) + timedelta(minutes=2)
    # No events are about instances that are up to date.
    assert {row.instance for row in summary.rows} == set(HALTED) - {name(7)}


def test_the_last_recorded_outcome_of_an_instance_counts() -> None:
    why = failed(Failure.APPLY_FAILED, detail="no route")
    events: list[Event] = [
        *events_for({name(1): hold(Reason.STANDALONE_TASK, task="a")}),
        InstanceFailed(START, name(1), why),
    ]
    assert [row.became for row in summarize(events).rows] == [OutcomeKind.FAILED]


def test_no_events_at_all_are_a_run_that_never_was() -> None:
    summary = summarize([])
    assert summary == Summary("", "", "", RunOutcome.UNFINISHED, None, "", None, None, timedelta(), (), {})
    assert summary_text(summary)


def test_the_last_line_has_its_counts_in_a_fixed_order() -> None:
    assert last_line(summarize(HALTED_RUN)) == (
        "run.finished outcome=halted updated=2 held=2 failed=1 quarantined=1 up_to_date=1 duration=24m9s"
    )


@given(events=st.lists(ANY_EVENT, max_size=12), colour=st.booleans())
def test_the_text_contains_only_our_own_colours_for_any_output_of_hosts_and_tasks(
    events: list[Event], *, colour: bool
) -> None:
    text = summary_text(summarize(events), Paint(colour=colour))
    for code in range(10) if colour else ():
        text = text.replace(f"\x1b[{code}m", "").replace(f"\x1b[3{code}m", "")
    assert all(line.isprintable() for line in text.split("\n"))


def test_no_line_of_a_run_without_endless_words_is_wider_than_the_page() -> None:
    for run in (CLEAN_RUN, HALTED_RUN, LARGE_RUN):
        lines = summary_text(summarize(run)).splitlines()
        assert max(map(len, lines)) <= WIDTH_MAX + 40, max(lines, key=len)


def test_colours_change_nothing_but_colour() -> None:
    painted = summary_text(summarize(HALTED_RUN), Paint(colour=True))
    for code in ("0", "1", "2", "31", "32", "33", "34"):
        painted = painted.replace(f"\x1b[{code}m", "")
    assert painted == summary_text(summarize(HALTED_RUN))


def test_a_row_for_an_instance_that_went_well_needs_no_reason() -> None:
    (row,) = rows_of({name(1): HALTED[name(1)]})
    assert (row.code, row.why, row.remedy, row.versions[0]) == ("", "", "", OLD)


@pytest.mark.parametrize("width", [60, 80, 100])
def test_on_a_narrow_terminal_only_a_word_that_is_too_long_passes_the_edge(width: int) -> None:
    for run in (HALTED_RUN, LARGE_RUN):
        lines = summary_text(summarize(run), width=width).splitlines()
        assert [line for line in lines if len(line) > width and len(line.split()) > 1] == []


def test_a_host_that_is_not_bottlerocket_has_no_remedy_in_the_summary() -> None:
    assert "to do: nothing" not in summary_text(summarize(HALTED_RUN))
