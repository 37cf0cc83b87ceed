"""An entry of the audit trail."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """What a person did."""

    at: datetime
    who: str
    """The caller's AWS ARN, the user and the machine, if known."""
    verb: str
    """The command: `pause`, `resume`, `release`, …"""
    about: str
    """The subject, such as an instance or a version; empty for the whole cluster."""
    why: str
    """In the person's words; empty if no reason was given."""
    done: str = ""
    """What was done, as a sentence without its full stop. Older versions recorded none of acts on versions."""

    @property
    def command(self) -> str:
        """The command in short form, such as `release i-0abc`."""
        return f"{self.verb} {self.about}".strip()
