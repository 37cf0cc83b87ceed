"""The live display shows what is in progress, what is left, and when the run is likely to end."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.report.hostile import hostile_run
from tests.report.runs import RUN, events_of
from tests.report.samples import HALTED_RUN, NEW, OLD, START, STARTED, name
from tests.report.strategies import ANY_EVENT

from bottlerocket_ecs_updater.core.model.event import Claimed, ClaimFound, Event, LookPostponed, RunFinished, Settled
from bottlerocket_ecs_updater.core.model.ids import RunId
from bottlerocket_ecs_updater.report.analysis.progress import Progress
from bottlerocket_ecs_updater.report.outputs.live import Live
from bottlerocket_ecs_updater.report.outputs.log import TextLog
from bottlerocket_ecs_updater.report.words.colours import PLAIN
from bottlerocket_ecs_updater.report.words.severity import Level


@dataclass(frozen=True)
class Size:
    columns: int = 100
    lines: int = 40


class Screen(io.StringIO):
    """A terminal that knows only the control sequences that the display may use."""

    _MOVE = re.compile(r"\r\x1b\[(\d+)A\x1b\[J")
    """To the first column before going up: somebody may have pressed Ctrl-C, and the terminal has echoed ^C."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def write(self, text: str) -> int:
        while (found := self._MOVE.search(text)) is not None:
            self._append(text[: found.start()])
            del self.lines[len(self.lines) - int(found[1]) :]
            text = text[found.end() :]
        self._append(text)
        return len(text)

    def _append(self, text: str) -> None:
        assert "\x1b" not in text
        assert not text or text.endswith("\n"), "whole lines only: the next erasure counts them"
        self.lines += text.splitlines()


def live_on(screen: io.StringIO, size: Size = Size()) -> Live:
    def log(buffer: io.TextIOBase) -> TextLog:
        return TextLog(buffer, run=RUN, cluster="demo", level=Level.INFO, paint=PLAIN)  # type: ignore[arg-type]

    return Live(screen, log, lambda: size, PLAIN)  # type: ignore[arg-type]


def shown(events: Iterable[Event], size: Size = Size()) -> list[str]:
    screen = Screen()
    live = live_on(screen, size)
    for event in events:
        live.record(event)
    return screen.lines


def block(lines: list[str]) -> list[str]:
    last = max(n for n, line in enumerate(lines) if line.startswith("───"))
    return lines[last + 1 :]


def until(run: str, minutes: float) -> list[Event]:
    events = events_of(run)
    return [event for event in events if event.at - events[0].at <= timedelta(minutes=minutes)]


def test_every_instance_in_progress_has_a_line_with_its_phase() -> None:
    counts, *hands = block(shown(until("clean", 1.5)))
    assert counts.startswith("demo: 6 instances, 0 updated, 4 to come, after ")
    assert [re.split(r"\s{2,}", hand.strip())[1] for hand in hands] == ["rebooting", "rebooting"]
    assert all("1.52.0 → 1.53.1" in hand for hand in hands)


def test_the_log_scrolls_above_and_the_block_is_there_once() -> None:
    lines = shown(until("clean", 4))
    assert sum(1 for line in lines if line.startswith("───")) == 1
    assert any("rebooted into 1.53.1" in line for line in lines[:-4])


def test_at_the_end_nothing_is_left_but_the_log() -> None:
    lines = shown(events_of("clean"))
    assert not [line for line in lines if line.startswith("───")]
    assert lines[-1].startswith("run.finished outcome=ok")


def test_the_halt_is_shown_until_the_end() -> None:
    lines = block(shown([event for event in HALTED_RUN if not isinstance(event, RunFinished)]))
    assert lines[1].startswith("HALTED: 2 instances failed")


def test_an_outage_is_shown_while_it_lasts() -> None:
    waiting = [STARTED, LookPostponed(START, "Throttled", timedelta(seconds=5))]
    assert "waiting for AWS: Throttled" in block(shown(waiting))
    assert len(block(shown([*waiting, Claimed(START, name(1), OLD, NEW, downgrade=False)]))) == 2


@pytest.mark.parametrize("minutes", [5, 15, 25, 40, 50])
def test_the_forecast_of_a_run_is_right_within_a_fifth_of_what_is_left(minutes: float) -> None:
    events = events_of("large")
    progress, end, now = Progress(), events[-1].at, events[0].at + timedelta(minutes=minutes)
    for event in until("large", minutes):
        progress.note(event)
    forecast = progress.ends_at(now)
    assert forecast is not None
    assert abs(forecast - end) <= max((end - now) / 5, timedelta(minutes=2))


def test_there_is_no_forecast_before_there_is_anything_to_judge_by() -> None:
    progress = Progress()
    for event in until("clean", 2):
        progress.note(event)
    assert progress.ends_at(START) is None


def test_hundreds_in_progress_leave_room_for_the_log() -> None:
    claims = [Claimed(START, name(n), OLD, NEW, downgrade=False) for n in range(200)]
    lines = block(shown([STARTED, *claims], Size(lines=30)))
    assert len(lines) == 11
    assert lines[-1] == "  … and 191 more in progress"


def test_time_that_passes_without_an_event_is_shown() -> None:
    screen = Screen()
    live = live_on(screen)
    live.record(STARTED)
    live.record(Claimed(START, name(1), OLD, NEW, downgrade=False))
    live.tick(START + timedelta(minutes=7))
    assert "7m" in block(screen.lines)[-1]


def test_a_line_from_elsewhere_scrolls_by_and_the_block_stays() -> None:
    screen = Screen()
    live = live_on(screen)
    live.record(STARTED)
    live.say("warning: the webhook does not answer")
    assert "warning: the webhook does not answer" in screen.lines
    assert screen.lines[-1].startswith("demo") or screen.lines[-1].startswith("web")


def test_closing_leaves_the_log() -> None:
    screen = Screen()
    live = live_on(screen)
    live.record(STARTED)
    live.close()
    assert len(screen.lines) == 1


@given(events=st.lists(ANY_EVENT, max_size=20), columns=st.integers(20, 200), height=st.integers(5, 60))
def test_no_line_of_the_block_is_ever_wrapped_by_the_terminal(events: list[Event], columns: int, height: int) -> None:
    lines = shown([STARTED, *[event for event in events if not isinstance(event, RunFinished)]], Size(columns, height))
    if any(line.startswith("───") for line in lines):
        assert all(len(line) < columns for line in block(lines))


def test_hostile_text_moves_no_cursor() -> None:
    assert shown(hostile_run())


def test_a_slot_is_taken_until_its_cluster_has_settled() -> None:
    progress = Progress()
    for event in events_of("clean"):
        progress.note(event)
        if isinstance(event, Settled):
            assert event.instance not in progress.in_progress
    assert progress.in_progress == {}
    assert len(progress.slot_spans) == 6


def test_on_a_narrow_terminal_the_likely_end_has_its_own_line() -> None:
    wide, narrow = (block(shown(until("large", 15), Size(columns))) for columns in (200, 80))
    assert "; expected to end at " in wide[0]
    assert re.fullmatch(r"expected to end at \d\d:\d\dZ, in \d+m(\d+s)?", narrow[1])
    assert max(map(len, narrow)) < 80


def test_updates_of_an_earlier_run_do_not_distort_the_predicted_end() -> None:
    progress = Progress()
    old = ClaimFound(START, name(1), "rebooting", RunId("20260101-0900-0000"), START - timedelta(days=4))
    first: list[Event] = [STARTED, old, Settled(START + timedelta(minutes=3), name(1), timedelta(minutes=1))]
    for event in first:
        progress.note(event)
    assert progress.ends_at(START + timedelta(minutes=3)) is None
    taken = Claimed(START + timedelta(minutes=3), name(2), OLD, NEW, downgrade=False)
    second: list[Event] = [taken, Settled(START + timedelta(minutes=6), name(2), timedelta(minutes=1))]
    for event in second:
        progress.note(event)
    assert progress.ends_at(START + timedelta(minutes=6)) == START + timedelta(minutes=6)
