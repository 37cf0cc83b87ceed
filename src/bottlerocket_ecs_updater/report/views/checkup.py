"""The findings of `doctor` as text and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bottlerocket_ecs_updater.core.model.finding import Finding, Grade
from bottlerocket_ecs_updater.core.model.wording import counted
from bottlerocket_ecs_updater.report.words.colours import Paint
from bottlerocket_ecs_updater.report.words.sanitize import sanitize

CHECKUP_SCHEMA = 1
INDENT = " " * 6
INSTANCE = "instance"
"""The check that is made for each instance."""


def checkup_text(findings: Sequence[Finding], paint: Paint) -> str:
    """One line for each finding with its remedy below, and a last line with counts."""
    lines = [line for finding in findings for line in _lines(finding, paint)]
    counts = {grade: sum(finding.grade is grade for finding in findings) for grade in Grade}
    numbers = ", ".join(f"{counts[grade]} {grade.value}" for grade in Grade)
    return "\n".join([*lines, "", f"{_conclusion(findings)} {numbers}."]) + "\n"


def _conclusion(findings: Sequence[Finding]) -> str:
    """Whether a run would work. An instance that fails does not stop a run from updating the others."""
    failed = [finding for finding in findings if finding.grade is Grade.FAIL]
    if any(not _of_one_instance(finding) for finding in failed):
        return "A run would not work."
    if not failed:
        return "A run would work."
    broken = {finding.about for finding in failed}
    if broken == {finding.about for finding in findings if _of_one_instance(finding)}:
        return "A run would update nothing."
    return f"A run would work, but not update {counted(len(broken), 'instance')}."


def _of_one_instance(finding: Finding) -> bool:
    return finding.check == INSTANCE and finding.about.startswith("i-")


def _lines(finding: Finding, paint: Paint) -> list[str]:
    word = f"{finding.grade.value:<4}"
    painted = {Grade.OK: paint.good, Grade.WARN: paint.strong, Grade.FAIL: paint.bad}[finding.grade](word)
    head = f"{painted}  {finding.check} {sanitize(finding.about)}: {sanitize(finding.said)}"
    return [head, f"{INDENT}{sanitize(finding.remedy)}."] if finding.remedy else [head]


def checkup_json(findings: Sequence[Finding], cluster: str) -> dict[str, Any]:
    """The same as JSON values."""
    return {
        "schema": CHECKUP_SCHEMA,
        "cluster": cluster,
        "ok": not any(finding.grade is Grade.FAIL for finding in findings),
        "findings": [
            {
                "grade": finding.grade.value,
                "check": finding.check,
                "about": finding.about,
                "said": finding.said,
                "remedy": finding.remedy,
            }
            for finding in findings
        ],
    }
