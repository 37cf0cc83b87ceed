"""The page of a run: complete, safe with any text, and with the same facts as the other formats."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.report.hostile import ALL, LONG, hostile_run
from tests.report.runs import died, events_of
from tests.report.samples import CLEAN_RUN, HALTED_RUN
from tests.report.strategies import ANY_EVENT

from bottlerocket_ecs_updater.core.model.event import Claimed, Event, Returned, RunFinished
from bottlerocket_ecs_updater.core.model.ids import InstanceId, RunId
from bottlerocket_ecs_updater.core.model.outcome import Quarantined, RunOutcome
from bottlerocket_ecs_updater.core.model.reasons import Failure, failed
from bottlerocket_ecs_updater.report.analysis.run_report import run_report
from bottlerocket_ecs_updater.report.analysis.version_progress import RELEASES
from bottlerocket_ecs_updater.report.outputs.archive import FORMS, render_report
from bottlerocket_ecs_updater.report.outputs.markdown import code, escaped
from bottlerocket_ecs_updater.report.outputs.page.lanes import DRAWING_WIDTH, draw

GOLDEN = Path(__file__).parents[1] / "golden"

QUARANTINED_EARLIER: list[Event] = [
    Returned(at=datetime(2026, 3, 2, 12, tzinfo=UTC), instance=InstanceId("i-1"), out_of_service=None),
    RunFinished(
        at=datetime(2026, 3, 2, 13, tzinfo=UTC),
        run=RunId("r1"),
        outcome=RunOutcome.FAILURES,
        exit_code=3,
        counts={"quarantined": 2},
        took=timedelta(hours=1),
        why="",
        outcomes={
            InstanceId(f"i-{old}"): Quarantined(failed(Failure.ROLLED_BACK, target="1.20.1", version=f"1.{old}.0"))
            for old in (18, 19)
        },
        calls={},
    ),
]
"""A run without events about how two instances were quarantined: an earlier run did it."""

KNOWN_TAGS = {
    "html head meta title link style body div header nav a span h1 h2 h3 ul li b main section article p time details",
    "summary table thead tbody tr th td caption pre code svg desc defs pattern rect line text path g footer i br",
}
VOID = {"br", "meta", "link", "rect", "line", "path"}


class Page(HTMLParser):
    """A parsed page: its elements, their attributes, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes something else"

    def handle_data(self, data: str) -> None:
        self.text += data


def page_of(events: Sequence[Event]) -> str:
    return render_report(run_report(events), "html")


RUNS = ["clean", "broken", "halted"]


@pytest.mark.parametrize("run", RUNS)
def test_every_element_is_closed_and_of_a_known_kind(run: str) -> None:
    page = Page(page_of(events_of(run)))
    assert page.open == []
    assert set(page.tags) <= set(" ".join(KNOWN_TAGS).split())


@pytest.mark.parametrize("run", RUNS)
def test_a_page_loads_nothing_and_runs_nothing(run: str) -> None:
    html = page_of(events_of(run))
    page = Page(html)
    assert not {"script", "img", "iframe", "object", "embed"} & set(page.tags)
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    links = {value for name, value in page.attributes if name in ("href", "src")}
    assert {link for link in links if not link.startswith(("#", RELEASES))} == {"data:,"}
    assert not re.search(r"url\((?!#)|@import", html)


@pytest.mark.parametrize("run", RUNS)
def test_every_link_of_a_page_leads_to_a_place_on_it(run: str) -> None:
    page = Page(page_of(events_of(run)))
    places = [value for name, value in page.attributes if name == "id"]
    assert {value[1:] for name, value in page.attributes if name == "href" and value[0] == "#"} <= set(places)
    assert len(places) == len(set(places))


def test_only_a_page_that_lies_beside_the_index_links_it() -> None:
    report = run_report(events_of("clean"))
    assert 'href="../index.html"' in render_report(report, "html", index="../index.html")
    assert "index.html" not in render_report(report, "html")


def test_a_command_is_in_sight_and_not_folded_away() -> None:
    broken = page_of(events_of("broken")).partition('id="broken"')[2].partition("</section>")[0]
    assert "<details" not in broken
    assert "bottlerocket-ecs-updater release i-" in broken


def test_a_run_over_midnight_says_the_day_of_every_time() -> None:
    late = [replace(event, at=event.at + timedelta(hours=14, minutes=55)) for event in events_of("clean")]
    html = page_of(late)
    assert re.search(r"<b>2026-01-05</b>, 23:56:00 to 2026-01-06, 00:0\d:\d\d UTC", html)
    assert '<td class="num">06 Jan 00:0' in html
    assert "05 Jan" not in page_of(events_of("clean"))


def test_commands_in_a_remedy_are_code_and_ids_are_not_wrapped() -> None:
    html = page_of(events_of("halted"))
    assert "<code>release 1.53.1</code>" in html
    assert '<span class="one">i-' in html


def test_a_run_that_succeeded_is_marked_as_good() -> None:
    assert '<span class="pill good">success</span>' in page_of(CLEAN_RUN)


def test_the_page_begins_with_what_is_broken() -> None:
    html = page_of(events_of("halted"))
    places = [html.index(heading) for heading in ("<h1>", "What is broken", 'class="tiles"', "Timeline</h2>")]
    assert places == sorted(places)


def test_a_run_that_went_well_has_no_section_for_trouble() -> None:
    assert "What is broken" not in page_of(events_of("clean"))


def test_every_instance_is_in_the_table_with_its_outcome_in_words() -> None:
    table = page_of(events_of("broken")).partition('<h2 id="instances">')[2]
    for row in run_report(events_of("broken")).summary.rows:
        (line,) = [line for line in table.split("<tr>") if row.instance in line]
        assert f">{row.became.words}</td>" in line
        assert f">{row.code}</td>" in line


def test_the_output_of_hosts_is_on_the_page() -> None:
    assert "No space left on device (os error 28)" in Page(page_of(events_of("broken"))).text


def test_every_lane_says_in_words_what_it_shows_in_colours() -> None:
    drawing = draw(run_report(events_of("broken")))
    assert drawing is not None
    for lane in drawing.lanes:
        assert {bar.part for bar in lane.bars} <= set(re.findall(r"[a-z]+", lane.title))


@pytest.mark.parametrize("run", [*RUNS, "large"])
def test_nothing_is_drawn_outside_of_the_drawing_or_over_another_lane(run: str) -> None:
    drawing = draw(run_report(events_of(run)))
    assert drawing is not None
    below = 0.0
    for lane in drawing.lanes:
        assert lane.y >= below - 0.2
        below = lane.y + lane.height
        for bar in lane.bars:
            assert drawing.left <= bar.x
            assert bar.x + bar.width <= drawing.right + 0.1
            assert lane.y <= bar.y
            assert bar.y + bar.height <= below + 0.1
    assert below <= drawing.height
    assert drawing.right < DRAWING_WIDTH


def test_among_hundreds_of_lanes_failed_instances_keep_their_names() -> None:
    """Ten of them fail at the end."""
    *before, end = events_of("large")
    assert isinstance(end, RunFinished)
    bad = sorted(end.outcomes)[:10]
    failing = replace(
        end, outcomes={**end.outcomes, **dict.fromkeys(bad, failed(Failure.NEVER_REBOOTED, times="once"))}
    )
    drawing = draw(run_report([*before, failing]))
    assert drawing is not None
    assert [lane.label for lane in drawing.lanes if lane.label] == sorted(bad, key=lambda id_: _taken(before, id_))
    assert len(drawing.lanes) == 300
    assert drawing.height < 2000


def _taken(events: Sequence[Event], instance: str) -> tuple[object, str]:
    return next((event.at, instance) for event in events if isinstance(event, Claimed) and event.instance == instance)


def test_a_page_of_three_hundred_instances_stays_small() -> None:
    assert len(page_of(events_of("large"))) < 500_000


def test_a_run_that_died_has_its_page() -> None:
    text = Page(page_of(died("clean"))).text
    assert "before the run's end" in text
    assert "in the middle of an update" in text


# Hostile text


def test_hostile_text_is_text_on_the_page() -> None:
    html = page_of(hostile_run())
    page = Page(html)
    assert set(page.tags) <= set(" ".join(KNOWN_TAGS).split())
    assert "<script>fetch" in page.text
    assert not [value for _, value in page.attributes if value.startswith("javascript:")]


@pytest.mark.parametrize("form", FORMS)
def test_no_control_character_reaches_a_reader(form: str) -> None:
    text = render_report(run_report(hostile_run()), form)
    assert [character for character in text if not character.isprintable() and character != "\n"] == []


@pytest.mark.parametrize("form", ["html", "md"])
def test_a_whole_output_is_cut_and_says_so(form: str) -> None:
    text = render_report(run_report(hostile_run()), form)
    assert len(text) < 120_000
    assert re.search(r"more characters", text)
    assert LONG not in text


def test_json_keeps_texts_unchanged() -> None:
    shown = json.loads(render_report(run_report(hostile_run()), "json"))
    (quarantined,) = [one for one in shown["instances"] if one["became"] == "quarantined"]
    assert ALL in quarantined["why"]


@given(text=st.text(max_size=60))
def test_code_in_markdown_ends_where_it_should(text: str) -> None:
    shown = code(text)
    fence = re.match(r"`+", shown)
    assert fence is not None
    inside = shown[len(fence[0]) : -len(fence[0])]
    assert shown.endswith(fence[0])
    assert fence[0] not in re.findall(r"`+", inside)
    assert "\n" not in shown


@given(text=st.text(max_size=60))
def test_text_in_markdown_starts_no_markup_but_code(text: str) -> None:
    assert not re.search(r"(?<!\\)[*_\[<]", escaped(text).replace("\\\\", ""))


@settings(max_examples=50)
@example(events=QUARANTINED_EARLIER)
@given(events=st.lists(ANY_EVENT, max_size=15))
def test_every_form_can_be_written_for_any_events(events: list[Event]) -> None:
    report = run_report(sorted(events, key=lambda event: event.at))
    page = Page(render_report(report, "html"))
    assert page.open == []
    assert set(page.tags) <= set(" ".join(KNOWN_TAGS).split())
    assert json.loads(render_report(report, "json"))["headline"] == report.headline
    assert render_report(report, "md").startswith("# ")


# Golden files


@pytest.mark.parametrize(("run", "golden"), [(CLEAN_RUN, "clean"), (HALTED_RUN, "halted")])
@pytest.mark.parametrize("form", ["md", "json"])
def test_the_text_forms_are_the_golden_ones(run: list[Event], golden: str, form: str) -> None:
    """Look at the file if this fails: it is what people and programs will read."""
    assert render_report(run_report(run), form) == (GOLDEN / f"{golden}.{form}").read_text("utf-8")
