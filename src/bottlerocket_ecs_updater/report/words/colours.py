"""Terminal colours by meaning. Without colours, text is returned unchanged."""

from __future__ import annotations

from dataclasses import dataclass

from bottlerocket_ecs_updater.core.model.outcome import OutcomeKind
from bottlerocket_ecs_updater.report.words.severity import Level

_RESET = "\x1b[0m"
_STRONG, _FAINT = "\x1b[1m", "\x1b[2m"
_RED, _GREEN, _YELLOW, _BLUE = "\x1b[31m", "\x1b[32m", "\x1b[33m", "\x1b[34m"

_BY_BECAME = {
    OutcomeKind.QUARANTINED: _STRONG + _RED,
    OutcomeKind.FAILED: _RED,
    OutcomeKind.UPDATED: _GREEN,
    OutcomeKind.HELD: _YELLOW,
    OutcomeKind.UP_TO_DATE: _BLUE,
    OutcomeKind.NOT_BOTTLEROCKET: _FAINT,
}
_BY_LEVEL = {Level.DEBUG: _FAINT, Level.INFO: "", Level.WARNING: _YELLOW, Level.ERROR: _RED}


@dataclass(frozen=True, slots=True)
class Paint:
    """Adds colours if `colour` is true."""

    colour: bool

    def strong(self, text: str) -> str:
        """The most important text."""
        return self._with(_STRONG, text)

    def faint(self, text: str) -> str:
        """The least important text."""
        return self._with(_FAINT, text)

    def bad(self, text: str) -> str:
        """Text that a person must not miss."""
        return self._with(_STRONG + _RED, text)

    def good(self, text: str) -> str:
        """Text about success."""
        return self._with(_GREEN, text)

    def became(self, became: OutcomeKind, text: str) -> str:
        """The outcome of an instance."""
        return self._with(_BY_BECAME[became], text)

    def level(self, level: Level, text: str) -> str:
        """A log line of that level."""
        return self._with(_BY_LEVEL[level], text)

    def _with(self, code: str, text: str) -> str:
        return f"{code}{text}{_RESET}" if self.colour and code else text


PLAIN = Paint(colour=False)
