"""Findings of `doctor`: one line for each thing that was checked."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Grade(Enum):
    """How serious a finding is."""

    OK = "OK"
    WARN = "WARN"
    """Runs work, but not as well as they could, or the check itself could not be made."""
    FAIL = "FAIL"
    """Runs cannot work, or cannot update this instance, until it is fixed."""


@dataclass(frozen=True, slots=True)
class Finding:
    """The result for one thing that was checked."""

    grade: Grade
    check: str
    """What kind of thing, in one word: `store`, `document`, `permission`, …"""
    about: str
    """What was checked: a name, an ARN, an IAM action."""
    said: str
    """One sentence, without a full stop."""
    remedy: str = ""
    """What a person can do, in the imperative; empty if nothing is wrong."""


def fine(check: str, about: str, said: str) -> Finding:
    """Nothing is wrong."""
    return Finding(Grade.OK, check, about, said)


def warn(check: str, about: str, said: str, remedy: str) -> Finding:
    """It works but could be better, or it is not known."""
    return Finding(Grade.WARN, check, about, said, remedy)


def fail(check: str, about: str, said: str, remedy: str) -> Finding:
    """It does not work."""
    return Finding(Grade.FAIL, check, about, said, remedy)
