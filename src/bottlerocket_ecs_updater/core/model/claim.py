"""The claim: a record on the instance that the updater must return it to service, written before anything else is done
to it.

It is one custom ECS attribute. It never expires, is visible in the console, and a person can delete it.
Its text fits an ECS attribute value: at most 128 characters of letters, digits and `-_.@/\\: `.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import Enum

from bottlerocket_ecs_updater.core.model.ids import BootId, RunId
from bottlerocket_ecs_updater.core.model.time_text import LATEST
from bottlerocket_ecs_updater.core.model.version import Version

CLAIM_ATTRIBUTE = "bottlerocket-ecs-updater.claim"
VALUE_MAX_CHARACTERS = 128
"""The ECS limit for the value of an attribute."""

FINISHED = "1 finished"
"""Written instead of a claim when the instance is no longer claimed and AWS denies deleting the attribute."""

_FORMAT = "1"
_TEXT = re.compile(r"\S+ \S+ [A-Za-z0-9\-_.@/\\:]+ [A-Za-z0-9\-._]+ [A-Za-z0-9\-._]+ [0-9a-f]{32} \d+ \d+( [0-9a-f]+)?")
PLUS, WRITTEN_PLUS = "+", "_"
"""ECS allows no `+` in the value of an attribute, and no version has a `_`."""


class ClaimPhase(Enum):
    """How far an update got. After the reboot, the host itself shows the progress, not the claim."""

    DRAINING = "draining"
    REBOOTING = "rebooting"
    QUARANTINED = "quarantined"


@dataclass(frozen=True, slots=True)
class Claim:
    """The update in progress on an instance: everything that a later run needs to finish it."""

    phase: ClaimPhase
    run: RunId
    source: Version
    target: Version
    boot: BootId
    """The boot id before our reboot. Any other boot id shows that the host has rebooted."""
    since: datetime
    """When this phase was entered, to the second."""
    reboots: int = 0
    """How many reboots were requested; raised before each one is sent."""
    store: str = ""
    """A short name of the state store that its run shares with others; empty for a run without one."""

    def encode(self) -> str:
        """The text of the attribute. Raises ValueError if ECS would refuse it."""
        since = int(self.since.timestamp())
        parts = (
            _FORMAT,
            self.phase.value,
            self.run,
            str(self.source).replace(PLUS, WRITTEN_PLUS),
            str(self.target).replace(PLUS, WRITTEN_PLUS),
            self.boot,
            since,
            self.reboots,
            *((self.store,) if self.store else ()),
        )
        text = " ".join(str(part) for part in parts)
        if len(text) > VALUE_MAX_CHARACTERS or _TEXT.fullmatch(text) is None:
            raise ValueError(f"an ECS attribute cannot hold this claim: {text!r}")
        return text

    @classmethod
    def decode(cls, text: str) -> Claim:
        """Read an attribute's text. Raises ValueError for anything that `encode` would not have written."""
        parts = text.split(" ")
        if len(parts) not in (8, 9) or parts[0] != _FORMAT:
            raise ValueError(f"not a claim: {text[:VALUE_MAX_CHARACTERS]!r}")
        _, phase, run, source, target, boot, since, reboots, *store = parts
        try:
            when = datetime.fromtimestamp(int(since), UTC)
        except (OverflowError, OSError) as error:
            raise ValueError(f"not a time: {since!r}") from error
        if when > LATEST:
            raise ValueError(f"a time out of range: {since!r}")
        claim = cls(
            ClaimPhase(phase),
            RunId(run),
            Version.parse(source.replace(WRITTEN_PLUS, PLUS)),
            Version.parse(target.replace(WRITTEN_PLUS, PLUS)),
            BootId(boot),
            when,
            int(reboots),
            *store,
        )
        # A boot id in another form would differ from every real one, and so count as a reboot that never happened.
        if claim.encode() != text:
            raise ValueError(f"not a claim as we write it: {text[:VALUE_MAX_CHARACTERS]!r}")
        return claim

    def enter(self, phase: ClaimPhase, now: datetime, *, reboots: int | None = None) -> Claim:
        """The same claim in another phase, entered now."""
        count = self.reboots if reboots is None else reboots
        return replace(self, phase=phase, since=now.replace(microsecond=0), reboots=count)


def read_claim(text: str | None) -> Claim | None:
    """The claim in an attribute's text; None for no attribute and for a finished claim. Raises ValueError otherwise."""
    return None if text is None or text == FINISHED else Claim.decode(text)


_ORDER = (ClaimPhase.DRAINING, ClaimPhase.REBOOTING, ClaimPhase.QUARANTINED)


def furthest(claims: Iterable[Claim]) -> Claim | None:
    """The copy of a claim that is furthest along; None if there is none."""
    return max(claims, key=lambda claim: (_ORDER.index(claim.phase), claim.reboots, claim.since), default=None)
