"""The page that an acceptance run leaves: what was verified, with its evidence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime

from acceptance.result import Result, Verdict
from bottlerocket_ecs_updater import __version__


def page(results: Sequence[Result], *, simulated: bool, region: str, image: str) -> str:
    """Markdown that can be committed."""
    today = datetime.now(UTC).date()  # noqa: TID251 - the page says when it was made
    counts = Counter(result.verdict for result in results)
    where = "a simulated account: this page proves that the checks work, and nothing about AWS" if simulated else region
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
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
