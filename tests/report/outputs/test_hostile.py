"""Text from hosts, tasks and repositories is shown as text everywhere: no markup, no cursor movement, no flood."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Mapping
from urllib.parse import unquote

import pytest
from tests.report.hostile import ANSI, HTML, LONG, hostile_run
from tests.report.outputs.test_messages import messages_of
from tests.report.samples import RUN

from bottlerocket_ecs_updater.report.analysis.run_report import run_report
from bottlerocket_ecs_updater.report.analysis.summary import summarize
from bottlerocket_ecs_updater.report.analysis.version_progress import RELEASES
from bottlerocket_ecs_updater.report.outputs.archive import render_report
from bottlerocket_ecs_updater.report.outputs.index import entry_of, history_text
from bottlerocket_ecs_updater.report.outputs.live import Live
from bottlerocket_ecs_updater.report.outputs.log import JsonLog, TextLog
from bottlerocket_ecs_updater.report.outputs.page.html import index_page
from bottlerocket_ecs_updater.report.outputs.summary_text import last_line, summary_text
from bottlerocket_ecs_updater.report.words.colours import PLAIN
from bottlerocket_ecs_updater.report.words.severity import Level

SHOWN_MAX_CHARACTERS = 60_000
"""The limit for one host's output of 24,000 characters, which several events repeat, and everything around it."""


class Size:
    columns, lines = 100, 40


def log_text() -> str:
    stream = io.StringIO()
    log = TextLog(stream, run=RUN, cluster=HTML, level=Level.DEBUG, paint=PLAIN)
    for event in hostile_run():
        log.record(event)
    return stream.getvalue()


def log_on_a_terminal() -> str:
    stream = io.StringIO()
    log = TextLog(stream, run=RUN, cluster=HTML, level=Level.INFO, paint=PLAIN, width=lambda: 80)
    for event in hostile_run():
        log.record(event)
    return stream.getvalue()


def log_json() -> str:
    stream = io.StringIO()
    log = JsonLog(stream, run=RUN, cluster=HTML, level=Level.DEBUG)
    for event in hostile_run():
        log.record(event)
    return stream.getvalue()


def live() -> str:
    """The text without the display's own control sequences."""
    stream = io.StringIO()

    def log(buffer: object) -> TextLog:
        return TextLog(buffer, run=RUN, cluster=HTML, level=Level.DEBUG, paint=PLAIN)  # type: ignore[arg-type]

    shown = Live(stream, log, Size, PLAIN)
    for event in hostile_run():
        shown.record(event)
    return re.sub(r"\r\x1b\[\d+A\x1b\[J", "", stream.getvalue())


def messages() -> str:
    return "\n".join(f"{message.subject}\n{message.text}" for message in messages_of(hostile_run()))


def index() -> str:
    return index_page(HTML, [entry_of(run_report(hostile_run()))])


READERS: Mapping[str, Callable[[], str]] = {
    "log as text": log_text,
    "log on a terminal": log_on_a_terminal,
    "log as JSON": log_json,
    "live": live,
    "summary": lambda: summary_text(summarize(hostile_run())) + last_line(summarize(hostile_run())),
    "page": lambda: render_report(run_report(hostile_run()), "html"),
    "Markdown": lambda: render_report(run_report(hostile_run()), "md"),
    "JSON": lambda: render_report(run_report(hostile_run()), "json"),
    "mail": messages,
    "index": index,
    "history": lambda: history_text([entry_of(run_report(hostile_run()))]),
}
HTML_READERS = ("page", "index")


@pytest.mark.parametrize("reader", READERS)
def test_no_character_moves_a_cursor_turns_the_text_around_or_hides(reader: str) -> None:
    assert {one for one in READERS[reader]() if not one.isprintable()} <= {"\n"}


@pytest.mark.parametrize("reader", READERS)
def test_a_host_that_says_24_000_characters_does_not_bury_the_rest(reader: str) -> None:
    shown = READERS[reader]()
    if reader != "JSON":  # which keeps what was said, for programs
        assert LONG not in shown
        assert len(shown) < SHOWN_MAX_CHARACTERS


@pytest.mark.parametrize("reader", HTML_READERS)
def test_markup_of_others_is_text(reader: str) -> None:
    shown = READERS[reader]()
    assert "<script" not in shown
    assert "<img" not in shown
    assert "&lt;script&gt;" in shown
    links = re.findall(r'(?:href|src)="([^"]*)"', shown)
    ours = rf"data:,|#.*|[\w%.-]+/report\.html|{re.escape(RELEASES)}[\d.]+"
    assert [link for link in links if not re.fullmatch(ours, link)] == []
    assert "<" not in "".join(map(unquote, re.findall(r'href="([^"]*)"', shown)))


def test_markup_of_others_is_code_in_markdown() -> None:
    outside = re.sub(r"(`+)(?!`).*?(?<!`)\1(?!`)", "", READERS["Markdown"]())
    assert "<script" not in outside
    assert "](" not in outside


def test_every_log_entry_stays_one_line() -> None:
    assert "\r\nsecond\u2028line" in ANSI
    assert len(log_json().splitlines()) == len(hostile_run())
    assert [json.loads(line)["event"] for line in log_json().splitlines()] == [event.name for event in hostile_run()]
