"""The newest published version of a Bottlerocket variant, as named in a public parameter of Systems Manager."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from bottlerocket_ecs_updater.core.model.version import Version


@dataclass(frozen=True, slots=True)
class Published:
    """The parameter was read."""

    version: Version
    read_at: datetime


@dataclass(frozen=True, slots=True)
class PublishedUnread:
    """The newest published version is not known."""

    why: str


PublishedState = Published | PublishedUnread


@dataclass(frozen=True, slots=True)
class NewestPublished:
    """The newest version that a parameter has ever named, since this cluster reads it."""

    version: Version
    seen_at: datetime
    """When it was first read there."""
    back_at: datetime | None = None
    """When the parameter was first found to name an older version; None while it does not."""


def see_published(before: NewestPublished | None, found: Published) -> NewestPublished:
    """The newest version that a parameter ever named, after it was read."""
    if before is None or found.version > before.version or (found.version == before.version and before.back_at):
        seen = before.seen_at if before is not None and found.version == before.version else found.read_at
        return NewestPublished(found.version, seen)
    if found.version == before.version or before.back_at is not None:
        return before
    return NewestPublished(before.version, before.seen_at, found.read_at)
