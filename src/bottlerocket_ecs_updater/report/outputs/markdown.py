"""The report of a run as Markdown, for a ticket, a chat, or a pull request.

It has the same facts as the page, in short. Text from others is in code spans, where Markdown and HTML have no effect.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime

from bottlerocket_ecs_updater.core.model.outcome import OutcomeKind
from bottlerocket_ecs_updater.core.model.time_text import measured_text, rough_text
from bottlerocket_ecs_updater.core.model.wording import counted
from bottlerocket_ecs_updater.engine.store.audit_entry import AuditEntry
from bottlerocket_ecs_updater.report.analysis.run_report import RunReport
from bottlerocket_ecs_updater.report.analysis.troubles import Group, Trouble
from bottlerocket_ecs_updater.report.analysis.version_progress import release_notes
from bottlerocket_ecs_updater.report.outputs.page.lanes import durations
from bottlerocket_ecs_updater.report.words.sanitize import sanitize

NAMED_IN_SUMMARY = 50
"""How many instances of a group are named."""


def markdown(report: RunReport) -> str:
    """The report as Markdown."""
    return "\n".join(_lines(report)) + "\n"


def _lines(report: RunReport) -> Iterator[str]:
    summary = report.summary
    yield f"# {escaped(report.headline)}"
    yield ""
    yield f"- outcome: **{report.ending.value}**"
    yield f"- cluster: {code(summary.cluster)}, run: {code(summary.run)}, updater {escaped(summary.updater_version)}"
    if summary.began is not None and summary.ended is not None:
        yield f"- from {_when(summary.began)} to {_when(summary.ended)}, {measured_text(summary.took)}"
    counted = [f"{summary.counts[became]} {became.words}" for became in OutcomeKind if summary.counts[became]]
    if counted:
        yield f"- {', '.join(counted)}"
    yield from _out_of_service(report)
    if report.troubles:
        yield from ("", "## What is broken, and what to do")
        for trouble in report.troubles:
            yield from _trouble(trouble)
    if report.unchecked:
        yield from ("", "## What was not checked", "")
        yield from (f"- {escaped(one)}" for one in report.unchecked)
    yield from _versions(report)
    yield from _by_version(report)
    if report.holds:
        yield from ("", "## Held back", "", "instances | why | what to do", "---:|---|---")
        for group in report.holds:
            yield _hold(group)
    if report.acts:
        yield from ("", "## What people did", "", "when | command | who | why | what it did", "---|---|---|---|---")
        yield from (_act(act) for act in report.acts)
    yield from _costs(report)


def _act(act: AuditEntry) -> str:
    why = code(act.why) if act.why else "no reason given"
    done = code(act.done) if act.done else ""
    return " | ".join(map(_cell, (_when(act.at), code(act.command), code(act.who), why, done)))


def _out_of_service(report: RunReport) -> Iterator[str]:
    if report.median_out_of_service is not None:
        middle, longest = measured_text(report.median_out_of_service), measured_text(report.out_of_service[-1])
        yield f"- out of service: {middle} median, {longest} longest; at most {report.most_out_at_once} at once"
    if report.moved is not None:
        yield f"- tasks moved: {report.moved}"


def _trouble(trouble: Trouble) -> Iterator[str]:
    yield from ("", f"### {trouble.what}", "")
    yield f"- since: {_when(trouble.since) if trouble.since is not None else 'an unknown time'}"
    if trouble.why and not trouble.said:
        yield f"- why: {code(trouble.why)}"
    yield f"- **to do**: {escaped(trouble.to_do)}"
    if trouble.said:
        yield from (f"- {code(instance)}: {code(why)}" for instance, why in trouble.said[:NAMED_IN_SUMMARY])
        if len(trouble.said) > NAMED_IN_SUMMARY:
            yield f"- … and {len(trouble.said) - NAMED_IN_SUMMARY} more"
    elif trouble.lanes:
        yield f"- {_named([lane.instance for lane in trouble.lanes])}"
    yield from (f"- {one.purpose}: {', '.join(map(code, one.lines))}" for one in trouble.commands)


def _versions(report: RunReport) -> Iterator[str]:
    if report.moves:
        yield from ("", "## Versions", "", "version | before | after", "---|---:|---:")
        yield from (f"{move.version} | {move.before} | {move.after}" for move in reversed(report.moves))


def _by_version(report: RunReport) -> Iterator[str]:
    if report.versions:
        yield from ("", "## Time from first seen to updated", "")
        yield from ("version | first seen | updated | median | longest | left", "---|---|---:|---:|---:|---:")
        for one in report.versions:
            median, longest = (rough_text(one.median), rough_text(one.took[-1])) if one.median is not None else ("", "")
            notes = release_notes(one.version)
            name = f"[{one.version}]({notes})" if notes else str(one.version)
            yield f"{name} | {_when(one.first_seen)} | {len(one.took)} | {median} | {longest} | {one.left}"


def _hold(group: Group) -> str:
    example = "" if group.alike else "for example: "
    why = f"{group.label}: {example}{code(group.why)}; {_named([row.instance for row in group.rows])}"
    typed = "".join(f"; {one.purpose}: {', '.join(map(code, one.lines))}" for one in group.commands)
    return f"{len(group.rows)} | {_cell(why)} | {_cell(escaped(group.to_do) + typed)}"


def _costs(report: RunReport) -> Iterator[str]:
    rows = durations(report)
    if rows:
        yield from ("", "## Durations", "", "step | count | shortest | median | longest", "---|---:|---:|---:|---:")
        yield from (f"{one.part} | {one.times} | {one.shortest} | {one.median} | {one.longest}" for one in rows)
    verified = report.summary.reboots
    if verified:
        seen, unseen, twice = (verified.get(way, 0) for way in ("seen_to_begin", "over_unseen", "proven_twice"))
        yield from (
            "",
            f"{counted(seen + unseen, 'reboot')} verified; {unseen} finished before a look saw them, {twice} verified "
            f"twice.",
        )
    calls = report.summary.calls
    if calls:
        throttled = f", {report.summary.throttles} of them throttled" if report.summary.throttles else ""
        yield from ("", f"{counted(sum(calls.values()), 'call')} to AWS{throttled}.")


def _named(instances: Sequence[str]) -> str:
    more = f" … and {len(instances) - NAMED_IN_SUMMARY} more" if len(instances) > NAMED_IN_SUMMARY else ""
    return " ".join(_codes(instances[:NAMED_IN_SUMMARY])) + more


def _codes(texts: Iterable[str]) -> Iterator[str]:
    return map(code, texts)


def code(text: str) -> str:
    """The text as a code span, also if it contains back-ticks."""
    shown = sanitize(text).strip() or " "
    longest = max((len(run) for run in _ticks(shown)), default=0)
    fence = "`" * (longest + 1)
    pad = " " if shown[0] == "`" or shown[-1] == "`" else ""
    return f"{fence}{pad}{shown}{pad}{fence}"


def _ticks(text: str) -> Iterator[str]:
    run = ""
    for character in text + " ":
        if character == "`":
            run += character
        elif run:
            yield run
            run = ""


def escaped(text: str) -> str:
    """Escape Markdown and HTML, except code spans: our own remedies name commands in back-ticks."""
    shown = sanitize(text).replace("&", "&amp;").replace("<", "&lt;")
    return "".join(f"\\{character}" if character in "\\*_[]#|~" else character for character in shown)


def _cell(text: str) -> str:
    """Escape bars, which end a table cell even in code. GitHub removes the escape."""
    return text.replace("\\|", "|").replace("|", "\\|")


def _when(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
