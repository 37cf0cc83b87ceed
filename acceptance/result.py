"""The result of a check, and the form of a check."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from acceptance.ground import Ground


class Verdict(Enum):
    """How a check ended."""

    PASS = "PASS"
    FAIL = "FAIL"
    RECORDED = "RECORDED"
    """There is no right answer: the page records what AWS does."""
    SKIPPED = "SKIPPED"


@dataclass
class Notes:
    """The observations of a running check: facts for the page, and the ids of the requests behind them."""

    facts: list[str] = field(default_factory=list)
    recorded: bool = False

    def fact(self, text: str, request: str = "") -> None:
        """Record an observation."""
        self.facts.append(f"{text} (request {request})" if request else text)

    def record(self, text: str, request: str = "") -> None:
        """Record the answer to an open question."""
        self.recorded = True
        self.fact(text, request)


class Wrong(AssertionError):
    """The check failed; the text says what was expected and what was seen."""


class Skipped(Exception):
    """The check cannot run here; the text says why."""


@dataclass(frozen=True)
class Check:
    """One of the fifteen checks."""

    number: int
    title: str
    at_most: timedelta
    run: Callable[[Ground, Notes], None]


@dataclass(frozen=True)
class Result:
    """One line of the page, with its details."""

    check: Check
    verdict: Verdict
    took: timedelta
    why: str
    facts: tuple[str, ...]
    requests: tuple[tuple[str, str], ...] = ()
    """Changes: operations, and the ids of their requests."""


def expect(seen: object, wanted: object, what: str) -> None:
    """Raises Wrong unless both are equal."""
    if seen != wanted:
        raise Wrong(f"{what}: {seen!r} instead of {wanted!r}")
