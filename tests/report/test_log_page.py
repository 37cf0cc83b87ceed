"""What the documentation says of the log is so: its events, their fields, and its queries on real lines."""

from __future__ import annotations

import io
import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from tests.report.runs import RUN, events_of

from bottlerocket_ecs_updater.report.codec import EVENTS
from bottlerocket_ecs_updater.report.level import Level
from bottlerocket_ecs_updater.report.log import JsonLog

PAGE = (Path(__file__).parents[2] / "docs" / "operate" / "log.md").read_text("utf-8")
QUERIES = [query for query in re.findall(r"```\n(.*?)```", PAGE, re.DOTALL) if "filter" in query]
ROWS = {
    row[0]: set(re.findall(r"`(\w+)`", row[1]))
    for row in re.findall(r"^\| `([\w.]+)` \| [^|]+ \| [^|]+ \| ([^|]*) \|$", PAGE, re.MULTILINE)
    if "." in row[0]
}
EXAMPLE = "i-0123456789abcdef0"


@cache
def lines() -> tuple[dict[str, Any], ...]:
    """Every line of two runs, at the finest level."""
    stream = io.StringIO()
    for run in ("broken", "halted"):
        log = JsonLog(stream, run=RUN, cluster="demo", level=Level.DEBUG)
        for event in events_of(run):
            log.record(event)
    return tuple(json.loads(line) for line in stream.getvalue().splitlines())


def chosen(query: str) -> list[dict[str, Any]]:
    """The lines that a query's filter lets pass, any instance standing for the example's."""
    found = re.search(r"filter (.*)", query)
    assert found is not None
    one = re.search(r'event = "([^"]+)"', found[1])
    many = re.search(r"event in \[([^\]]+)\]", found[1])
    names = {one[1]} if one else set(re.findall(r'"([^"]+)"', many[1])) if many else set()
    return [line for line in lines() if line["event"] in names]


def fields(query: str) -> set[str]:
    named = re.findall(r"(?:^|\| )(?:fields|sort) ([^\n|]+)", query, re.MULTILINE)
    counted = re.findall(r"(?:avg|max)\((\w+)\)|by (\w+)", query)
    words = {word for text in named for word in re.findall(r"\w+", text)} - {"desc"}
    return words | {word for pair in counted for word in pair if word}


def test_every_event_is_documented_and_no_other() -> None:
    assert set(ROWS) == set(EVENTS)


def test_the_fields_of_events_that_happened_are_those_that_are_documented() -> None:
    always = {"time", "level", "event", "run", "cluster", "instance"}
    for line in lines():
        if line["event"] != "run.finished":
            told = {name for name, value in line.items() if value is not None}
            assert told - always <= ROWS[line["event"]], line


def test_there_is_a_query_for_each_common_question() -> None:
    assert len(QUERIES) == 4


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_finds_lines_that_have_every_field_it_names(query: str) -> None:
    found = chosen(query)
    assert found
    assert fields(query) <= {name for line in found for name in line}


def test_the_example_of_an_instance_id_has_the_form_of_one() -> None:
    assert EXAMPLE in PAGE
    assert re.fullmatch(r"i-[0-9a-f]{17}", EXAMPLE)
