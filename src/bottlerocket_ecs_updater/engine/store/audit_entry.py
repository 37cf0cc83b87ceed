"""The audit trail: what people did, with who, when, why, and the result.

Every command with which a person changes what runs do adds an entry to people's acts (`shared_state`), after it acted.
`history`, the index and the page of the next run then show it. An act that was refused, or that changed nothing, leaves
no entry. The trail is for people, and no decision reads it.
"""

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
    """What was done, as a sentence without its full stop."""
    cluster: str = ""
    """The cluster that it was about, as `ACCOUNT/REGION/NAME`; empty if it was about all clusters of the store."""

    @property
    def command(self) -> str:
        """The command in short form, such as `release i-0abc`."""
        return f"{self.verb} {self.about}".strip()
