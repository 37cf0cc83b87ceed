"""Messages to people, and events to other programs.

People get at most one message of each kind in a run, and none if nothing happened, because nobody reads a message that
comes every night. Programs get every important event as it happens.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from bottlerocket_ecs_updater.core.model.event import (
    Claimed,
    Event,
    InstanceEvent,
    InstanceFailed,
    InstanceQuarantined,
    InstanceUpdated,
    RunFinished,
    RunHalted,
    RunStarted,
)
from bottlerocket_ecs_updater.core.model.time_text import time_text
from bottlerocket_ecs_updater.errors import UpdaterError
from bottlerocket_ecs_updater.report.analysis.ending import Ending
from bottlerocket_ecs_updater.report.analysis.run_report import RunReport, run_report
from bottlerocket_ecs_updater.report.analysis.suggested_commands import (
    Reach,
    SuggestedCommands,
    for_failure,
    for_halt,
    for_quarantine,
)
from bottlerocket_ecs_updater.report.analysis.troubles import Group, Trouble
from bottlerocket_ecs_updater.report.analysis.withdrawals import withdrawals
from bottlerocket_ecs_updater.report.outputs.log import last_facts
from bottlerocket_ecs_updater.report.words.event_fields import Field, event_fields
from bottlerocket_ecs_updater.report.words.event_text import event_text
from bottlerocket_ecs_updater.report.words.sanitize import sanitize

LINE_WIDTH = 100
NAMED_IN_MESSAGE = 20
"""How many instances of one problem a message names. The report has all of them."""

TEXT_MAX_CHARACTERS = 30_000
"""The longest message, in characters. SNS takes 256 KB, but nobody reads that much in an email."""

NOTICES_MAX = 10
"""How many events are sent together: the limit of EventBridge for one call."""

LISTED_IN_FULL = (
    RunStarted,
    Claimed,
    InstanceUpdated,
    InstanceFailed,
    InstanceQuarantined,
    RunHalted,
    RunFinished,
)
"""Events that are sent to programs."""


class Occasion(Enum):
    """The occasion of a message."""

    STARTED = "started"
    """The run took its first instance out of service."""
    FAILED = "failure"
    QUARANTINED = "quarantine"
    HALTED = "halt"
    FINISHED = "finish"


@dataclass(frozen=True, slots=True)
class Message:
    """A message for people."""

    occasion: Occasion
    cluster: str
    run: str
    subject: str
    """A short line of ASCII. SNS takes up to 100 characters as a subject."""
    text: str
    facts: Mapping[str, Field]
    """The same for programs."""


@dataclass(frozen=True, slots=True)
class Notice:
    """A message for programs: one event, or the end of a run."""

    name: str
    facts: Mapping[str, Field]


class PeopleChannel(Protocol):
    """A way to reach people: a topic, a chat."""

    def send(self, message: Message) -> None:
        """Send it. Raises UpdaterError if that fails."""


class EventChannel(Protocol):
    """A way to reach programs: an event bus."""

    def put(self, notices: Sequence[Notice]) -> None:
        """Send them. Raises UpdaterError if that fails."""


class Messenger:
    """Decides which messages are sent to whom. A message that cannot be sent causes a warning, nothing else."""

    def __init__(
        self,
        people: Sequence[PeopleChannel],
        programs: Sequence[EventChannel],
        *,
        run: str,
        cluster: str,
        report: str,
        warn: Callable[[str], None],
        reach: Reach | None = None,
    ) -> None:
        self._people = people
        self._programs = programs
        self._run, self._cluster, self._report = run, cluster, report
        self._warn = warn
        self._reach = reach or Reach(cluster)
        self._past: list[Event] = []
        self._sent: set[Occasion] = set()
        self._notices: list[Notice] = []

    def record(self, event: Event) -> None:
        self._past.append(event)
        try:
            self._notify_people(event)
            self._send_notices(event)
        except UpdaterError as error:
            self._warn(f"not all messages were sent: {error}")

    def _notify_people(self, event: Event) -> None:
        occasion = _OCCASIONS.get(type(event))
        if occasion is None or occasion in self._sent or not self._people:
            return
        if occasion is Occasion.FINISHED and not self._is_worth_a_message():
            return
        self._sent.add(occasion)
        message = self._message(occasion, event)
        for way in self._people:
            try:
                way.send(message)
            except UpdaterError as error:
                self._warn(f"no message about the {occasion.value} could be sent: {error}")

    def _send_notices(self, event: Event) -> None:
        if self._programs and isinstance(event, LISTED_IN_FULL):
            self._notices.append(self._notice(event))
            if len(self._notices) >= NOTICES_MAX or not isinstance(event, Claimed | InstanceUpdated):
                self._hand_over()

    def _is_worth_a_message(self) -> bool:
        """Whether anything happened: an update started, something failed, or a version was withdrawn.

        Holds that wait for a person are no news: they last from run to run, and nobody reads the same message daily.
        """
        report = run_report(self._past, cluster=self._cluster, reach=self._reach)
        if self._sent or (report.ending.bad and report.ending is not Ending.NEEDS_A_PERSON):
            return True
        began = report.summary.began
        return began is not None and any(one.since >= began for one in withdrawals(self._past))

    def _message(self, occasion: Occasion, event: Event) -> Message:
        if occasion is Occasion.FINISHED:
            report = run_report(self._past, cluster=self._cluster, reach=self._reach)
            subject, text, facts = (
                finish_subject(report),
                finish_text(report, self._report),
                last_facts(report.summary),
            )
        else:
            subject, text, facts = (
                _subject(occasion, event),
                _text(occasion, event, (self._report, self._reach.line("report", self._run, "--open")), self._reach),
                event_fields(event),
            )
        head: dict[str, Field] = {"cluster": self._cluster, "run": self._run}
        line = ascii_line(f"[{self._cluster}] {subject}")
        return Message(occasion, self._cluster, self._run, line, text, head | facts)

    def _notice(self, event: Event) -> Notice:
        head: dict[str, Field] = {"cluster": self._cluster, "run": self._run}
        if isinstance(event, RunFinished):
            report = run_report(self._past, cluster=self._cluster, reach=self._reach)
            facts = last_facts(report.summary) | {"headline": report.headline, "report": self._report}
            return Notice(event.name, head | facts)
        return Notice(event.name, head | event_fields(event))

    def _hand_over(self) -> None:
        notices, self._notices = self._notices, []
        for way in self._programs:
            try:
                way.put(notices)
            except UpdaterError as error:
                self._warn(f"{len(notices)} events could not be sent to the event bus: {error}")


_OCCASIONS: Mapping[type[Event], Occasion] = {
    Claimed: Occasion.STARTED,
    InstanceFailed: Occasion.FAILED,
    InstanceQuarantined: Occasion.QUARANTINED,
    RunHalted: Occasion.HALTED,
    RunFinished: Occasion.FINISHED,
}


def finish_subject(report: RunReport) -> str:
    """A subject that says what happened."""
    word = f"{report.ending.value}: " if report.ending is Ending.FAILURES else ""
    return f"{word}{report.headline}"


def finish_text(report: RunReport, place: str) -> str:
    """The digest of a run: first what is broken and what to do, then the outcomes."""
    parts = [_line(report.headline if report.headline.endswith("…") else f"{report.headline}.")]
    parts += [_trouble(trouble) for trouble in report.troubles]
    if report.holds:
        parts.append("\n".join(["Held back:", *(line for group in report.holds for line in _held(group))]))
    text = "\n\n".join(parts)
    if len(text) > TEXT_MAX_CHARACTERS:
        text = f"{text[:TEXT_MAX_CHARACTERS]}\n… cut here; the report has all of it."
    return f"{text}\n\n{_foot(place, report.reach.line('report', report.summary.run, '--open'), 'Report')}"


def _held(group: Group) -> Iterator[str]:
    yield _line(f"  {len(group.rows)}  {group.label}: {group.why}")
    if group.needs_a_person:
        names = [sanitize(row.instance, 40) for row in group.rows]
        left = len(names) - NAMED_IN_MESSAGE
        yield _line(f"    {' '.join(names[:NAMED_IN_MESSAGE])}{f' … and {left} more' if left > 0 else ''}")
        yield _line(f"    To do: {group.to_do}")
        yield from typed_text(group.commands)


def _trouble(trouble: Trouble) -> str:
    since = f" (since {time_text(trouble.since)})" if trouble.since is not None else ""
    lines = [f"{trouble.what}{since}"]
    if trouble.said:
        lines += [f"  {instance}  {why}" for instance, why in trouble.said[:NAMED_IN_MESSAGE]]
        left = len(trouble.said) - NAMED_IN_MESSAGE
    else:
        lines += [f"  {trouble.why}"] if trouble.why else []
        lines += [f"  {lane.instance}" for lane in trouble.lanes[:NAMED_IN_MESSAGE]]
        left = len(trouble.lanes) - NAMED_IN_MESSAGE
    if left > 0:
        lines.append(f"  … and {left} more")
    block = [*map(_line, lines), _line(f"To do: {trouble.to_do}"), *typed_text(trouble.commands)]
    return "\n".join(block)


def typed_text(commands: Sequence[SuggestedCommands]) -> list[str]:
    """Commands on lines of their own, never wrapped, so that they can be copied."""
    return [
        line for one in commands for line in (_line(f"{one.purpose}:"), *(f"    {sanitize(it)}" for it in one.lines))
    ]


def _subject(occasion: Occasion, event: Event) -> str:
    who = event.instance if isinstance(event, InstanceEvent) else ""
    match event:
        case Claimed(source=source, target=target):
            return f"update from {source} to {target} started"
        case InstanceFailed(failure=failure):
            return f"{who} failed: {failure.failure.code}"
        case InstanceQuarantined(failure=failure):
            return f"{who} is out of service: {failure.failure.code}"
        case RunHalted():
            return "the run halted, and a person must look at it"
        case _:
            return occasion.value


def _text(occasion: Occasion, event: Event, place: tuple[str, str], reach: Reach) -> str:
    """Join the parts of a message. `place` is where the report is, and the command that opens it."""
    said = event_text(event)
    if isinstance(event, InstanceEvent):
        said = f"{event.instance}: {said}"
    commands = "\n".join(typed_text(_typed_for(event, reach)))
    parts = [f"{_line(said)}.", _line(_WHAT_NEXT[occasion]), *([commands] if commands else []), _foot(*place)]
    return "\n\n".join(parts)


def _typed_for(event: Event, reach: Reach) -> Sequence[SuggestedCommands]:
    match event:
        case InstanceFailed(instance=instance, failure=failure):
            return for_failure(failure.failure.code, [instance], reach)
        case InstanceQuarantined(instance=instance, failure=failure):
            return for_quarantine(failure.failure.code, [instance], reach)
        case RunHalted():
            return for_halt(reach)
        case _:
            return ()


_WHAT_NEXT = {
    Occasion.STARTED: "There is nothing to do. Another message follows when the run ends.",
    Occasion.FAILED: "The run continues with the others. The message at the end of the run lists further failures.",
    Occasion.QUARANTINED: "The run continues within its budget. The instance stays out of service until it is healthy "
    "again or a person releases it.",
    Occasion.HALTED: "No more updates start. Updates in progress are finished, and the message at the end of the run "
    "lists everything that needs a person.",
}


def _foot(place: str, opens: str, what: str = "Report, when the run has ended") -> str:
    if not place:
        return "This run has no state store, so there is no report."
    return f"{what}: {place}\n    {opens}"


def _line(text: str) -> str:
    """Sanitized, wrapped and indented."""
    indent = " " * (len(text) - len(text.lstrip()))
    return textwrap.fill(
        sanitize(text.strip()),
        LINE_WIDTH,
        initial_indent=indent,
        subsequent_indent=indent + "  ",
        break_long_words=False,
        break_on_hyphens=False,
    )


SUBJECT_MAX_CHARACTERS = 100
"""Source: `Subject` of SNS Publish: ASCII, no line breaks or control characters, less than 100 characters."""


def ascii_line(text: str) -> str:
    """A subject that SNS and email accept."""
    plain = sanitize(text).replace("→", "->").replace("…", "...").encode("ascii", "replace").decode()
    return plain if len(plain) < SUBJECT_MAX_CHARACTERS else plain[: SUBJECT_MAX_CHARACTERS - 4] + "..."
