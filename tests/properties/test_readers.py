"""Whatever is in the state store, in a file or in a setting, every reader returns a value or raises its own error."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.report.samples import CLEAN_RUN
from tests.support.memory_store import MemoryStore
from tests.support.people import pause

from bottlerocket_ecs_updater.aws.identity import Identity, Unidentified, identify
from bottlerocket_ecs_updater.cli.app import build_app
from bottlerocket_ecs_updater.cli.settings.parsing import parse
from bottlerocket_ecs_updater.core.model.claim import Claim, ClaimPhase
from bottlerocket_ecs_updater.core.model.fleet import Fleet
from bottlerocket_ecs_updater.core.model.ids import BootId, ContainerInstanceArn, InstanceId, RunId
from bottlerocket_ecs_updater.core.model.outcome import Backoff
from bottlerocket_ecs_updater.core.model.version import Version
from bottlerocket_ecs_updater.core.state.ledger import (
    Ledger,
    with_backoff,
    with_claim,
    with_duration,
    with_sighting,
    with_update,
)
from bottlerocket_ecs_updater.engine.lease.lease_note import LONGEST_TERM, read_lease
from bottlerocket_ecs_updater.engine.ports import Stored
from bottlerocket_ecs_updater.engine.store.first_seen import FirstSeen
from bottlerocket_ecs_updater.engine.store.fleet_file import read_fleet, write_fleet
from bottlerocket_ecs_updater.engine.store.ledger_store import LedgerBroken, ledger_key, read_ledger, write_ledger
from bottlerocket_ecs_updater.engine.store.read_json import Unreadable, read_json
from bottlerocket_ecs_updater.engine.store.shared_state import ACTS_KEY, look_for_acts
from bottlerocket_ecs_updater.errors import UsageError
from bottlerocket_ecs_updater.report.analysis.run_report import run_report
from bottlerocket_ecs_updater.report.outputs.archive import FORMS, render_report
from bottlerocket_ecs_updater.report.outputs.data_block import with_data
from bottlerocket_ecs_updater.report.outputs.index import (
    Index,
    enter,
    entries_of,
    entry_of,
    history_text,
    index_json,
    index_key,
    read_index,
)
from bottlerocket_ecs_updater.report.outputs.page.html import index_page
from bottlerocket_ecs_updater.report.record.codec import UnreadableLine as UnreadableEvent
from bottlerocket_ecs_updater.report.record.codec import decode, encode
from bottlerocket_ecs_updater.report.record.record import read_batches

NOW = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
OLD, NEW = Version(1, 20, 0), Version(1, 21, 0)
ONE, TWO = InstanceId("i-1"), InstanceId("i-2")
CLAIM = Claim(ClaimPhase.DRAINING, RunId("r1"), OLD, NEW, BootId("0b" * 16), NOW)

ODD: Mapping[str, bytes] = {
    "empty": b"",
    "blank": b" \n",
    "half": b'{"format": 1, ',
    "no UTF-8": b"\xff\xfe{}",
    "UTF-16": '{"format": 1}'.encode("utf-16"),
    "a byte order mark": b'\xef\xbb\xbf{"format": 1}',
    "nested lists": b"[" * 200_000,
    "nested objects": b'{"a":' * 200_000,
    "closed nesting": b"[" * 500 + b"]" * 500,
    "a raw half of a character": b'{"who": "\xed\xa0\x80"}',
    "null": b"null",
    "a number": b"7",
    "a text": b'"x"',
    "true": b"true",
    "a list": b"[]",
    "a bare object": b"{}",
    "not a number": b"NaN",
    "twice": b'{"format": 1, "format": 2}',
    "digits": b"9" * 5000,
}
"""Objects that are unreadable as a whole."""

VALUES: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    1.5,
    10**17,
    10**400,
    1e300,
    "",
    "x",
    "\ud800",
    "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59-14:00",
    "2026-01-05T09:00:00",
    "2026-02-30T00:00:00Z",
    "1 draining r1 1.20.0 1.21.0 " + "0b" * 16 + " 253402300799 0",
    "1 draining r1 1.20.0 1.21.0 " + "0b" * 16 + " 99999999999999999999 0",
    "1.21.0" * 50,
    "٣",
    "x" * 5000,
    [],
    [[]],
    {},
    {"a": {"b": []}},
    [1, "a", None],
)
"""Values that may appear anywhere in an otherwise readable object."""

LEDGER = with_update(
    with_duration(
        with_sighting(
            with_backoff(
                with_claim(Ledger(), ONE, CLAIM, ContainerInstanceArn("arn:x")), TWO, Backoff(NEW, 1, NOW, "why", True)
            ),
            NEW,
            NOW,
        ),
        drain=timedelta(seconds=9),
    ),
    ONE,
    NEW,
    NOW,
)
FLEET = Fleet(run=RunId("r1"), started_at=NOW, at=NOW, full_at=NOW, instances={})


def _acts() -> bytes:
    store = MemoryStore()
    pause(store, NOW, cluster="web")
    stored = store.get(ACTS_KEY)
    assert stored is not None
    return stored.data


GOOD: Mapping[str, bytes] = {
    "acts": _acts(),
    "lease": json.dumps(
        {"holder": "me", "epoch": 3, "since": NOW.isoformat(), "term_seconds": 60, "released": False}
    ).encode(),
    "ledger": write_ledger(LEDGER, {"run": "r1", "write": 3, "beside": {"a": [1]}}),
    "sighting": b'{"first_seen": "2026-01-05T09:00:00Z"}',
    "index": json.dumps(index_json(Index((entry_of(run_report(CLEAN_RUN)),), "20260104-0900"))).encode(),
    "fleet": write_fleet(FLEET, "web").encode(),
    "task": b'{"Family": "updater", "Cluster": "web", "TaskARN": "arn:x"}',
    **{f"event {number}": encode(event).encode() for number, event in enumerate(CLEAN_RUN)},
}
"""An object of each kind as the program writes it."""


def _read_acts(data: bytes) -> None:
    store = MemoryStore()
    store.put(ACTS_KEY, data, None)
    assert len(look_for_acts(store).paused_by("web")) < 1000


def _read_lease(data: bytes) -> None:
    note = read_lease(Stored(data, "tag"))
    assert note is not None
    assert timedelta() < note.term <= LONGEST_TERM
    assert note.since is None or note.since.tzinfo is not None
    assert len(f"{note.holder}{note.epoch + 1}") < 1000


T = TypeVar("T")


def tried(read: Callable[[], T], *own: type[Exception]) -> tuple[T | None, str]:
    """The reader's result, or its own error."""
    try:
        return read(), ""
    except own as error:
        return None, str(error)


def _read_ledger(data: bytes) -> None:
    key = ledger_key("web")
    read, said = tried(lambda: read_ledger(data, key), LedgerBroken)
    if read is None:
        assert key in said
        assert "delete it" in said
        assert len(said) < 1000
        return
    ledger, beside = read
    again, _ = read_ledger(write_ledger(ledger, beside), key)
    assert again == ledger
    for claim in ledger.claims.values():
        assert claim.claim.since + timedelta(days=36500) > NOW
    for rest in ledger.backoffs.values():
        assert rest.until - timedelta(days=700) < rest.until


def _read_sighting(data: bytes) -> None:
    store = MemoryStore()
    store.put(f"first-seen/{NEW}.json", data, None)
    sightings = FirstSeen(store)
    seen = sightings.note(NEW, NOW)
    assert seen <= NOW
    assert all(f"first-seen/{NEW}.json" == key for key, _ in sightings.take_unreadable())
    assert sightings.look(NEW) is None or seen + timedelta(days=36500) > NOW


def _read_index(data: bytes) -> None:
    stored = b'<body><template id="data">' + data + b"</template></body>"
    entries = list(read_index(stored).entries)
    page = with_data(index_page("web", entries), index_json(Index(tuple(entries))))
    assert list(read_index(page).entries) == entries
    assert history_text(entries)
    store = MemoryStore()
    store.put(index_key("web"), stored, None)
    assert entries_of(store, "web") == entries
    ours = entry_of(run_report(CLEAN_RUN))
    assert ours in enter(store, "web", ours, lambda _: "").entries


def _read_event(data: bytes) -> None:
    past = read_batches([("events-001.jsonl", data)])
    assert all(text.startswith("events-001.jsonl line ") for text in past.unreadable)
    report = run_report([*past.events, *CLEAN_RUN], past.unreadable, cluster="web")
    assert all(render_report(report, form).encode() for form in FORMS)


def _read_fleet(data: bytes) -> None:
    read, said = tried(lambda: read_fleet(data, "fleet.json"), UsageError)
    assert read is not None or "fleet.json" in said


def _read_task(data: bytes) -> None:
    found = identify({"ECS_CONTAINER_METADATA_URI_V4": "http://x"}, lambda _: data)
    assert isinstance(found, Identity | Unidentified)


READERS: Mapping[str, Callable[[bytes], None]] = {
    "acts": _read_acts,
    "lease": _read_lease,
    "ledger": _read_ledger,
    "sighting": _read_sighting,
    "index": _read_index,
    "fleet": _read_fleet,
    "task": _read_task,
    "event": _read_event,
}


def reader_of(kind: str) -> Callable[[bytes], None]:
    return READERS[kind.split(maxsplit=1)[0]]


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("kind", READERS)
def test_each_unreadable_object_has_its_documented_effect(kind: str, name: str) -> None:
    reader_of(kind)(ODD[name])


@pytest.mark.parametrize("kind", GOOD)
def test_an_object_as_it_was_written_is_read(kind: str) -> None:
    reader_of(kind)(GOOD[kind])


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path] if path else []
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return found + [place for key, part in parts for place in _places(part, (*path, key))]


def _with(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = _with(value[path[0]], path[1:], new)
    return copy


@pytest.mark.parametrize("kind", [kind for kind in GOOD if not kind.startswith("event")])
def test_any_value_in_any_place_of_an_object_raises_only_expected_errors(kind: str) -> None:
    whole = json.loads(GOOD[kind])
    for place in _places(whole):
        for value in VALUES:
            reader_of(kind)(json.dumps(_with(whole, place, value)).encode())


@given(data=st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_value_in_any_place_of_an_event_raises_only_expected_errors(data: st.DataObject) -> None:
    whole = json.loads(data.draw(st.sampled_from([text for kind, text in GOOD.items() if kind.startswith("event")])))
    place = data.draw(st.sampled_from(_places(whole)))
    _read_event(json.dumps(_with(whole, place, data.draw(st.sampled_from(VALUES)))).encode())


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from([v for v in VALUES if v != []]),
    lambda parts: st.lists(parts, max_size=4) | st.dictionaries(st.text(max_size=8), parts, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize("kind", READERS)
@given(data=st.binary(max_size=200) | ANYTHING.map(lambda value: json.dumps(value).encode()))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_bytes_raise_only_expected_errors(kind: str, data: bytes) -> None:
    reader_of(kind)(data)


@given(data=st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_the_reader_itself_raises_nothing_else(data: bytes) -> None:
    _, said = tried(lambda: read_json(data), Unreadable)
    assert len(said) < 300
    assert "\n" not in said


def test_the_programs_own_json_is_nested_far_less_than_the_limit() -> None:
    nested = json.dumps(json.loads(GOOD["ledger"]))
    assert read_json(b"[" * 50 + nested.encode() + b"]" * 50)


@given(line=st.binary(max_size=100) | ANYTHING.map(lambda value: json.dumps(value).encode()))
def test_a_line_of_a_record_is_an_event_or_its_own_error(line: bytes) -> None:
    _, said = tried(lambda: decode(line), UnreadableEvent)
    assert len(said) < 300


# Files and variables

TOML: Mapping[str, bytes] = {
    "nested": b"settle = " + b"[" * 5000,
    "digits": b"max-failures = " + b"9" * 5000,
    "no calendar's date": b"windows = 2026-02-30T00:00:00Z",
    "the first year": b"windows = 0001-01-01T00:00:00+14:00",
    "not a number": b"state = nan",
    "a half of a character": b'settle = "\\ud800"',
    "no UTF-8": b"\xff\xfe",
    "twice": b"settle = '5s'\nsettle = '6s'",
    "a table": b"[settle]\na = 1",
}


@pytest.mark.parametrize("name", TOML)
def test_a_settings_file_that_cannot_be_read_is_a_usage_error_that_names_it(name: str, tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    path.write_bytes(TOML[name])
    with pytest.raises(UsageError, match=r"settings\.toml"):
        parse(build_app({}), ["status", "--cluster", "web", "--config", str(path)])


@pytest.mark.parametrize("name", [name for name in TOML if b"\xff" not in TOML[name]])
def test_so_is_one_in_a_variable(name: str) -> None:
    environ = {"BOTTLEROCKET_ECS_UPDATER_CONFIG_TEXT": TOML[name].decode()}
    with pytest.raises(UsageError, match="CONFIG_TEXT"):
        parse(build_app(environ), ["status", "--cluster", "web"])


def test_a_path_that_no_file_can_have_is_a_usage_error() -> None:
    with pytest.raises(UsageError):
        parse(build_app({}), ["status", "--cluster", "web", "--config", "a\0b"])
