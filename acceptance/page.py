"""The page of an acceptance run: what was verified, with its evidence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime

from acceptance.result import Result, Verdict
from bottlerocket_ecs_updater import __version__

REQUESTS_SHOWN = 20
"""The number of listed requests of each check, from the first on."""


def page(results: Sequence[Result], *, where: str, image: str, denials: Sequence[str] | None) -> str:
    """The page as Markdown, which can be committed. `denials` is None if CloudTrail was not read."""
    today = datetime.now(UTC).date()  # noqa: TID251 - the page says when it was made
    counts = Counter(result.verdict for result in results)
    lines = [
        "# Verified on AWS",
        "",
        f"Version {__version__}, image `{image}`, on {today}, in {where}.",
        ", ".join(f"{counts[verdict]} {verdict.value}" for verdict in Verdict) + ".",
        "",
        "| check | what | result |",
        "|---|---|---|",
        *(f"| {result.check.number} | {result.check.title} | {result.verdict.value} |" for result in results),
    ]
    for result in results:
        lines += [
            "",
            f"## {result.check.number}. {result.check.title}",
            "",
            f"{result.verdict.value}, {result.took.total_seconds():.0f} s.",
        ]
        lines += ["", _cell(result.why)] if result.why else []
        lines += ["", *(f"- {_cell(fact)}" for fact in result.facts)] if result.facts else []
        lines += ["", _requests(result.requests)] if result.requests else []
    return "\n".join([*lines, *_denials(denials)]) + "\n"


def _denials(denials: Sequence[str] | None) -> list[str]:
    lines = ["", "## Denials in CloudTrail", ""]
    if denials is None:
        return [*lines, "CloudTrail was not asked."]
    note = "Of the updater's roles. Events of the last quarter of an hour may be missing, and S3 has none for objects."
    return [*lines, note, "", *(f"- {_cell(each)}" for each in denials or ("none",))]


def _requests(requests: Sequence[tuple[str, str]]) -> str:
    shown = ", ".join(f"{operation} `{id_}`" for operation, id_ in requests[:REQUESTS_SHOWN])
    more = len(requests) - REQUESTS_SHOWN
    return f"Requests: {shown}" + (f", and {more} more." if more > 0 else ".")


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
