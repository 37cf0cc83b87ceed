"""The log has one line for each important event, safe to show, and the end of the run last."""

from __future__ import annotations

import io
import json
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.report.samples import ANY_WORDS, CLEAN_RUN, HALTED, HALTED_RUN, LARGE_RUN, NEW, RUN, STANDALONE, START, name
from tests.report.strategies import ANY_EVENT

from bottlerocket_ecs_updater.core.model.event import (
    CommandSent,
    Event,
    HostChecked,
    InstanceHeld,
    LeaseTaken,
    LookPostponed,
    PhaseEntered,
    Rebooted,
    StandingPublished,
)
from bottlerocket_ecs_updater.core.model.host_report import HostProblem, Problem
from bottlerocket_ecs_updater.core.model.passing import HAS_A_PERSON, NEEDS_A_PERSON, NEVER_PASSES
from bottlerocket_ecs_updater.core.model.phase import Phase
from bottlerocket_ecs_updater.core.model.reasons import Reason, hold
from bottlerocket_ecs_updater.core.model.run_command import DocumentKind
from bottlerocket_ecs_updater.report.outputs.log import LogForm, log_to
from bottlerocket_ecs_updater.report.record.recorders import Collected, Tee
from bottlerocket_ecs_updater.report.words.event_fields import event_fields
from bottlerocket_ecs_updater.report.words.event_text import event_text
from bottlerocket_ecs_updater.report.words.sanitize import sanitize
from bottlerocket_ecs_updater.report.words.severity import ROUTINE, Level, level_named, level_of

ONE = name(1)


def test_a_retry_says_since_when_and_when_the_run_gives_up() -> None:
    minute = timedelta(minutes=1)
    event = LookPostponed(START, "Throttled", timedelta(seconds=4), START, START + minute)
    since, until = (at.strftime("%H:%M:%SZ") for at in (START, START + minute))
    assert event_text(event) == f"no progress since {since}; retrying in 4s, giving up at {until}: Throttled"
    assert (
        event_text(LookPostponed(START, "Throttled", timedelta(seconds=4))) == "no progress; retrying in 4s: Throttled"
    )


def test_the_log_says_what_other_clusters_see() -> None:
    event = StandingPublished(START, "canary", NEW, None, None, None, "1.53.1 failed on 1 instance")
    assert event_text(event) == (
        f"reported to other clusters, as a cluster of stage canary: every instance runs {NEW} or newer; "
        "not healthy: 1.53.1 failed on 1 instance"
    )


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def logged(
    events: list[Event],
    form: LogForm = "json",
    level: Level = Level.INFO,
    stream: io.StringIO | None = None,
    **more: Any,
) -> str:
    stream = stream if stream is not None else io.StringIO()
    log = log_to(stream, run=RUN, cluster="web", form=form, level=level, **more)
    for event in events:
        log.record(event)
    return stream.getvalue()


def objects(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


# Formats


def test_a_pipe_gets_json_and_a_terminal_gets_sentences() -> None:
    assert logged(CLEAN_RUN, "auto").startswith("{")
    assert "started on cluster web" in logged(CLEAN_RUN, "auto", stream=Terminal()).splitlines()[0]


def test_a_terminal_gets_colours_by_default() -> None:
    assert "\x1b[" in logged(CLEAN_RUN, "auto", stream=Terminal())
    assert "\x1b[" not in logged(CLEAN_RUN, "auto", stream=Terminal(), colour=False)


def test_sentences_in_a_pipe_are_not_coloured() -> None:
    assert "\x1b[" not in logged(CLEAN_RUN, "text")


# Levels


def test_a_quiet_log_has_problems_and_the_end_only() -> None:
    lines = objects(logged(HALTED_RUN, level=Level.WARNING))
    assert [line["event"] for line in lines] == [
        "instance.quarantined",
        "instance.failed",
        "run.halted",
        "run.finished",
    ]


def test_even_the_quietest_log_of_a_clean_run_has_its_end() -> None:
    assert [line["event"] for line in objects(logged(CLEAN_RUN, level=Level.ERROR))] == ["run.finished"]


def test_a_verbose_log_has_every_event() -> None:
    assert len(objects(logged(LARGE_RUN, level=Level.DEBUG))) == len(LARGE_RUN)


def test_only_a_verbose_terminal_gets_hundreds_of_holds() -> None:
    assert len(objects(logged(LARGE_RUN))) < 200


def test_a_lease_that_protects_from_nothing_is_a_warning() -> None:
    assert level_of(LeaseTaken(START, 0, "", "nothing protects")) is Level.WARNING
    assert level_of(LeaseTaken(START, 1, "")) is Level.INFO


def test_no_reason_is_both_routine_and_a_matter_for_a_person() -> None:
    assert not ROUTINE & NEEDS_A_PERSON


@pytest.mark.parametrize("reason", [one for one in Reason if one in NEVER_PASSES - HAS_A_PERSON])
def test_a_hold_that_never_passes_is_a_warning(reason: Reason) -> None:
    assert level_of(InstanceHeld(START, ONE, hold(reason, **ANY_WORDS))) is Level.WARNING


@pytest.mark.parametrize("word", ["error", "warning", "info", "debug"])
def test_every_level_of_the_settings_is_known(word: str) -> None:
    assert level_named(word).word == word


# JSON


def test_a_line_carries_time_level_event_run_and_cluster_and_then_facts() -> None:
    (line,) = objects(logged([Rebooted(START, ONE, NEW, timedelta(seconds=95))]))
    assert line == {
        "time": "2026-01-05T09:00:00Z",
        "level": "info",
        "event": "host.rebooted",
        "run": RUN,
        "cluster": "web",
        "instance": ONE,
        "version": "1.21.0",
        "took_seconds": 95.0,
    }


def test_a_hold_is_its_code_with_its_facts() -> None:
    (line,) = objects(logged([InstanceHeld(START, ONE, STANDALONE)]))
    assert (line["hold"], line["facts"]) == ("standalone-task", {"task": "batch/42"})


def test_a_name_ends_with_its_unit() -> None:
    assert event_fields(LookPostponed(START, "Throttled", timedelta(seconds=4))) == {
        "why": "Throttled",
        "for_seconds": 4.0,
        "since": None,
        "until": None,
    }


def test_the_last_object_is_the_summary_and_names_the_instances_that_need_a_person() -> None:
    last = objects(logged(HALTED_RUN))[-1]
    assert last["event"] == "run.finished"
    assert {
        key: last[key] for key in ("outcome", "exit_code", "updated", "held", "failed", "quarantined", "up_to_date")
    } == {
        "outcome": "halted",
        "exit_code": 4,
        "updated": 2,
        "held": 2,
        "failed": 1,
        "quarantined": 1,
        "up_to_date": 1,
    }
    assert [row["instance"] for row in last["needs_a_person"]] == [name(3), name(4)]
    assert last["held_by_reason"] == {"standalone-task": 1, "halted": 1}


def test_the_last_object_fits_into_one_log_event_with_any_number_of_failures() -> None:
    from tests.report.samples import finished  # noqa: PLC0415

    from bottlerocket_ecs_updater.core.model.reasons import Failure, failed  # noqa: PLC0415

    said = failed(Failure.NOT_BACK, limit="20m", detail="\u202e" * 24_000)
    text = logged([finished({name(n): said for n in range(500)})])
    assert len(text) < 1024 * 1024


@given(events=st.lists(ANY_EVENT, min_size=1, max_size=6))
def test_a_json_log_is_ascii_lines_of_objects_for_any_text(events: list[Event]) -> None:
    text = logged(events, level=Level.DEBUG)
    lines = text.split("\n")
    assert lines.pop() == ""
    assert all(line.isascii() and line.isprintable() for line in lines)
    assert len(objects(text)) == len(events)


# Sentences


def test_the_end_of_a_text_log_is_the_canonical_line() -> None:
    assert logged(CLEAN_RUN, "text").splitlines()[-1] == (
        "run.finished outcome=ok updated=2 held=0 failed=0 quarantined=0 up_to_date=1 duration=24m9s"
    )


def test_a_failure_says_what_to_do() -> None:
    text = logged(HALTED_RUN, "text")
    assert "To do: check its console output" in text


@given(event=ANY_EVENT)
def test_every_event_has_its_own_sentence(event: Event) -> None:
    said = event_text(event)
    assert said
    assert not said.startswith(event.name)


@given(events=st.lists(ANY_EVENT.filter(lambda event: event.name != "run.finished"), min_size=1, max_size=6))
def test_a_text_log_has_one_printable_line_for_each_event_for_any_text(events: list[Event]) -> None:
    lines = logged(events, "text", Level.DEBUG).split("\n")
    assert len(lines) == len(events) + 1
    assert all(line.isprintable() for line in lines)


def test_output_of_a_host_cannot_colour_the_terminal_or_forge_a_line() -> None:
    evil = HostChecked(START, ONE, HostProblem(Problem.FAILED, "\x1b]0;owned\x07\x1b[2J\n09:00:00Z  all is well"))
    text = logged([evil], "text", Level.DEBUG)
    assert text.count("\n") == 1
    assert "\x1b" not in text
    assert r"\x1b]0;owned\x07\x1b[2J\n" in text


def test_a_very_long_text_is_cut_and_says_so() -> None:
    shown = sanitize("x" * 24_000)
    assert len(shown) < 1100
    assert "23000 more characters" in shown


@given(text=st.text(max_size=50))
def test_shown_text_is_always_printable(text: str) -> None:
    assert sanitize(text).isprintable()


def test_text_that_hides_nothing_is_shown_as_it_is() -> None:
    assert sanitize("Größe 5 µs → 10 €") == "Größe 5 µs → 10 €"


# Recorders


def test_every_recorder_of_a_fan_gets_every_event_in_order() -> None:
    one, two = Collected(), Collected()
    fan = Tee([one, two])
    for event in CLEAN_RUN:
        fan.record(event)
    assert one.events == two.events == CLEAN_RUN


def test_a_command_is_reported_with_its_id() -> None:
    assert event_fields(CommandSent(START, ONE, DocumentKind.CHECK, "c-1")) == {
        "instance": ONE,
        "kind": "check",
        "command": "c-1",
    }


def test_an_ordinary_hold_is_quiet_and_one_that_wants_a_person_is_not() -> None:
    assert level_of(InstanceHeld(START, ONE, hold(Reason.SETTLING, instance="i-2"))) is Level.DEBUG
    assert level_of(InstanceHeld(START, ONE, hold(Reason.CHECK_FAILED, detail="no route"))) is Level.WARNING


def test_the_samples_have_an_instance_for_every_kind_of_end() -> None:
    assert len({type(outcome) for outcome in HALTED.values()}) == 5


# On a terminal


def lines_of_width(columns: int) -> list[str]:
    stream = Terminal()
    log = log_to(stream, run=RUN, cluster="web", width=lambda: columns, colour=False)
    for event in HALTED_RUN:
        log.record(event)
    return stream.getvalue().partition("\n\n")[0].splitlines()


def test_on_a_terminal_a_long_sentence_continues_below_its_start() -> None:
    lines = lines_of_width(80)
    assert max(map(len, lines)) <= 80
    assert any(line.startswith(" " * 32) and line[32] != " " for line in lines)


def test_a_word_that_is_too_long_stays_whole_to_be_copied() -> None:
    arn = "arn:aws:ecs:us-east-1:123456789012:task/demo/36a112912eca6b0a6187d05a6241b7c6"
    stream = Terminal()
    log_to(stream, run=RUN, cluster="web", width=lambda: 80).record(
        InstanceHeld(START, ONE, hold(Reason.STANDALONE_TASK, task=arn))
    )
    assert arn in stream.getvalue()


def test_outside_a_terminal_even_a_long_event_is_one_line() -> None:
    text = logged(HALTED_RUN, form="text")
    held = [line for line in text.splitlines() if "QUARANTINED" in line]
    assert held[0].endswith("or replace it")
    assert len(lines_of_width(40)) == len(lines_of_width(1000))


def held_alike(count: int, stream: io.StringIO, level: Level = Level.INFO) -> list[str]:
    """Several instances held for one reason, then several for another."""
    log = log_to(stream, run=RUN, cluster="web", form="text", level=level, width=lambda: 100, colour=False)
    opted_out = hold(Reason.OPTED_OUT, attribute="updates")
    for number in range(count):
        log.record(InstanceHeld(START, name(number), opted_out))
        log.record(PhaseEntered(START, name(number), Phase.AVAILABLE, Phase.UNKNOWN, None))
    log.record(InstanceHeld(START, ONE, STANDALONE))
    return stream.getvalue().splitlines()


def test_hundreds_of_equal_lines_are_shown_for_a_few_and_counted() -> None:
    lines = held_alike(300, Terminal())
    assert ["opted out" in line for line in lines] == [True] * 5 + [False] * 2
    assert lines[5].strip() == "… and the same of 295 more"
    assert "batch/42" in lines[6]


def test_a_few_equal_lines_are_not_counted() -> None:
    assert len(held_alike(5, Terminal())) == 6


def test_a_file_and_a_verbose_terminal_get_every_line() -> None:
    assert len(held_alike(300, io.StringIO())) == 301
    assert len(held_alike(300, Terminal(), Level.DEBUG)) == 601


def test_the_end_of_a_run_counts_what_was_folded_first() -> None:
    stream = Terminal()
    log = log_to(stream, run=RUN, cluster="web", width=lambda: 100, colour=False)
    for number in range(7):
        log.record(InstanceHeld(START, name(number), hold(Reason.OPTED_OUT, attribute="updates")))
    log.record(HALTED_RUN[-1])
    before, _, after = stream.getvalue().partition("… and the same of 2 more\n")
    assert before.count("opted out") == 5
    assert "run.finished outcome=halted" in after
