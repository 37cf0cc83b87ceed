"""A record is read back as it was written, by this version and later ones."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from tests.report.strategies import ANY_EVENT

from bottlerocket_ecs_updater.core.model import event as events
from bottlerocket_ecs_updater.core.model.event import (
    Event,
    HostChecked,
    InstanceHeld,
    InstanceUpdated,
    LookPostponed,
    OutputFailed,
    RunFinished,
)
from bottlerocket_ecs_updater.core.model.host_report import HostReport, UpdateState
from bottlerocket_ecs_updater.core.model.ids import BootId, InstanceId, RunId
from bottlerocket_ecs_updater.core.model.outcome import Outcome, Quarantined, RunOutcome, Updated
from bottlerocket_ecs_updater.core.model.reasons import Failure, Reason, failed, hold
from bottlerocket_ecs_updater.core.model.version import Version
from bottlerocket_ecs_updater.report.record.codec import EVENTS, UnreadableLine, decode, encode

AT = datetime(2026, 1, 5, 9, 24, 11, tzinfo=UTC)
ONE = InstanceId("i-1")
OLD, NEW = Version(1, 20, 0), Version(1, 21, 0)


@given(event=ANY_EVENT)
def test_every_event_is_read_as_it_was_written(event: Event) -> None:
    assert decode(encode(event)) == event


@given(event=ANY_EVENT)
def test_every_event_is_one_line_of_plain_ascii(event: Event) -> None:
    line = encode(event)
    assert line.isascii()
    assert line.isprintable()


@given(event=ANY_EVENT)
def test_a_key_that_a_newer_updater_added_is_passed_over(event: Event) -> None:
    value = json.loads(encode(event))
    assert decode(json.dumps({**value, "mood": "good"})) == event


def test_a_reason_whose_sentence_has_grown_since_it_was_recorded_can_still_be_said() -> None:
    recorded = InstanceHeld(AT, ONE, hold(Reason.CHECKPOINT_FULL, limit=1, total=4, version=NEW, done=0, under_way=1))
    read = decode(encode(recorded))
    assert isinstance(read, InstanceHeld)
    assert "0 done, ? failed, 1 in progress, ? next in line" in str(read.hold)


def test_no_event_is_left_out() -> None:
    public = {kind for kind in vars(events).values() if isinstance(kind, type) and issubclass(kind, Event)}
    assert public - set(EVENTS.values()) == {Event, events.InstanceEvent}


def test_two_events_never_share_a_name() -> None:
    kinds = [kind for kind in vars(events).values() if isinstance(kind, type) and issubclass(kind, Event) and kind.name]
    assert len({kind.name for kind in kinds}) == len(kinds)


@pytest.mark.parametrize(
    ("event", "form"),
    [
        (
            InstanceUpdated(AT, ONE, OLD, NEW, downgrade=False),
            {"instance": "i-1", "source": "1.20.0", "target": "1.21.0", "downgrade": False},
        ),
        (
            InstanceHeld(AT, ONE, hold(Reason.STANDALONE_TASK, task="batch")),
            {"instance": "i-1", "hold": {"reason": "standalone-task", "facts": {"task": "batch"}}},
        ),
        (
            HostChecked(AT, ONE, HostReport(BootId("ab"), UpdateState.READY, OLD, None, NEW)),
            {
                "instance": "i-1",
                "answer": {
                    "answer": "report",
                    "boot": "ab",
                    "state": "Ready",
                    "running": "1.20.0",
                    "chosen": None,
                    "staged": "1.21.0",
                    "withdrawn": False,
                },
            },
        ),
        (
            LookPostponed(AT, "Throttled", timedelta(seconds=2.5), AT),
            {"why": "Throttled", "for": 2.5, "since": "2026-01-05T09:24:11Z", "until": None},
        ),
    ],
)
def test_the_form_of_an_event_does_not_change(event: Event, form: dict[str, object]) -> None:
    """A change to one of these requires a new format number: records of earlier versions must stay readable."""
    assert json.loads(encode(event)) == {"format": 1, "event": event.name, "at": "2026-01-05T09:24:11Z", **form}


def test_the_outcomes_of_a_run_name_the_result_for_each_instance() -> None:
    outcomes: dict[InstanceId, Outcome] = {
        ONE: Updated(OLD, NEW),
        InstanceId("i-2"): Quarantined(failed(Failure.NOT_BACK, limit="20m", detail="silence")),
    }
    finished = RunFinished(AT, RunId("r"), RunOutcome.FAILURES, 3, {"updated": 1}, timedelta(hours=1), "", outcomes, {})
    assert json.loads(encode(finished))["outcomes"] == {
        "i-1": {"became": "updated", "source": "1.20.0", "target": "1.21.0"},
        "i-2": {
            "became": "quarantined",
            "why": {"failure": "not-back", "facts": {"limit": "20m", "detail": "silence"}},
        },
    }


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("", "not JSON"),
        ("[]", "object"),
        ("{}", "format"),
        ('{"format":2,"event":"instance.drained"}', "format 2"),
        ('{"format":1,"event":"moon.landed","at":"2026-01-05T09:24:11Z"}', "moon.landed"),
        ('{"format":1,"event":"instance.drained","at":"2026-01-05T09:24:11Z"}', "instance"),
        ('{"format":1,"event":"instance.drained","at":"yesterday","instance":"i-1"}', "at"),
        (
            '{"format":1,"event":"instance.held","at":"2026-01-05T09:24:11Z","instance":"i-1","hold":{"reason":"mood"}}',
            "mood",
        ),
    ],
)
def test_an_unreadable_line_raises_an_error_with_its_reason(line: str, says: str) -> None:
    with pytest.raises(UnreadableLine, match=says):
        decode(line)


NOW = datetime(2026, 1, 5, 9, tzinfo=UTC)


def test_names_of_earlier_versions_are_read() -> None:
    failed = encode(OutputFailed(NOW, "the log", "disk full")).replace("output.failed", "telling.failed")
    assert decode(failed) == OutputFailed(NOW, "the log", "disk full")
    held = hold(Reason.VERSION_SUSPECT, version="1.53.1", count="2")
    suspect = encode(InstanceHeld(NOW, InstanceId("i-1"), held)).replace("version-suspect", "release-suspect")
    assert decode(suspect) == InstanceHeld(NOW, InstanceId("i-1"), held)


# The page that describes the format

PAGE = (Path(__file__).parents[3] / "docs" / "develop" / "events.md").read_text("utf-8")
FIELDS = {
    row[0]: dict(re.findall(r"`(\w+)`: ((?:(?!; `| \().)+)", row[1]))
    for row in re.findall(r"^\| `([\w.]+)` \| [^|]+ \| (.+) \|$", PAGE, re.MULTILINE)
}
OF_AN_INSTANCE = set(re.findall(r"^\| `([\w.]+)` \| [^|]+ \| \*of an instance\*", PAGE, re.MULTILINE))


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _answer(value: Any) -> bool:
    keys = value.keys() - {"answer"}
    return f'"answer": "{value["answer"]}"' in PAGE and all(f'"{key}": …' in PAGE for key in keys)


FORMS: Mapping[str, Callable[[Any], bool]] = {
    "text": lambda value: isinstance(value, str),
    "number": _number,
    "seconds": _number,
    "true or false": lambda value: isinstance(value, bool),
    "time": lambda value: bool(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", value)),
    "version": lambda value: str(Version.parse(value)) == value,
    "phase": lambda value: f"`{value}`" in PAGE,
    "hold": lambda value: bool(value.keys() == {"reason", "facts"}),
    "failure": lambda value: bool(value.keys() == {"failure", "facts"}),
    "answer": _answer,
    "outcome": lambda value: f"`{value['became']}`" in PAGE,
}


def fits(value: Any, form: str) -> bool:
    """Whether a JSON value has the form that the page describes."""
    if form.endswith(" or null"):
        return value is None or fits(value, form.removesuffix(" or null"))
    if form.startswith("object of "):
        return isinstance(value, dict) and all(fits(one, form.removeprefix("object of ")) for one in value.values())
    return f"`{value}`" in form if form.startswith("one of ") else FORMS[form](value)


def test_the_page_has_every_event() -> None:
    assert set(FIELDS) == set(EVENTS)


@given(event=ANY_EVENT)
def test_an_event_has_the_fields_that_the_page_says_in_the_form_that_it_says(event: Event) -> None:
    value = json.loads(encode(event))
    head = {"format", "event", "at"} | ({"instance"} if event.name in OF_AN_INSTANCE else set())
    assert value.keys() - head == FIELDS[event.name].keys()
    assert [name for name, form in FIELDS[event.name].items() if not fits(value[name], form)] == []


def test_the_line_that_the_page_shows_can_be_read() -> None:
    (line,) = re.findall(r"```json\n(.*)\n```", PAGE)
    assert encode(decode(line)) == line
