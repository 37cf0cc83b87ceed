"""The audit trail: what people did, with who, when, why, and the result.

    runs/<cluster>/acts/<month>/<time>-<four digits>.json      on one cluster: one object an act, never changed
    fleet/acts.json                                            on versions, for all clusters: see `shared_state`

Every command with which a person changes what runs do belongs in it, such as `pause`, `resume` and `release`. The
command calls `cli.acts.record` after it acted, with its name, the subject, the reason, and the result in one sentence.
`history`, the index and the page of the next run then show it. An act that was refused, or that changed nothing, leaves
no entry.

The trail is for people, and no decision reads it. If an entry is lost, no one can look up who did it, but nothing else
changes.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from bottlerocket_ecs_updater.core.model.time_text import read_time, write_time
from bottlerocket_ecs_updater.engine.ports import ABSENT, Store
from bottlerocket_ecs_updater.engine.store.audit_entry import AuditEntry
from bottlerocket_ecs_updater.engine.store.read_json import Unreadable, read_object, text_of
from bottlerocket_ecs_updater.engine.store.shared_state import look_for_acts
from bottlerocket_ecs_updater.errors import Denied

AUDIT_FORMAT = 1

ACTS_MAX = 500
"""How many acts are read, newest first: acts are rare, and each is one read."""


def acts_prefix(cluster: str) -> str:
    """The key prefix of a cluster's acts."""
    return f"runs/{cluster}/acts/"


def note_act(store: Store, cluster: str, act: AuditEntry) -> None:
    """Add an act. Raises what the store raises."""
    value = {
        "format": AUDIT_FORMAT,
        "at": write_time(act.at),
        "who": act.who,
        "verb": act.verb,
        "about": act.about,
        "why": act.why,
        "done": act.done,
    }
    key = f"{acts_prefix(cluster)}{_stamp(act.at)}-{secrets.token_hex(2)}.json"
    store.put(key, json.dumps(value, indent=1).encode(), ABSENT)


def acts_of(store: Store, cluster: str, since: datetime | None = None) -> Sequence[AuditEntry]:
    """The acts on a cluster and on versions, oldest first, optionally only those since a time.

    Raises what the store raises. Unreadable entries are left out, because no decision depends on them.
    """
    prefix = acts_prefix(cluster)
    after = f"{prefix}{_stamp(since)}" if since is not None else ""
    keys = [key for key in store.keys(prefix, after) if key.endswith(".json")][-ACTS_MAX:]
    found = [stored.data for key in keys if (stored := store.get(key)) is not None]
    own = [act for data in found if (act := _read(data)) is not None]
    shared = [act for act in _on_versions(store) if since is None or act.at >= since]
    return tuple(sorted((*own, *shared), key=lambda act: act.at))


def _on_versions(store: Store) -> Sequence[AuditEntry]:
    try:
        return look_for_acts(store).history
    except Denied:
        # An older stack may not read them.
        return ()


def _stamp(at: datetime) -> str:
    """A time in a form that sorts in order."""
    return f"{at.astimezone(UTC):%Y-%m/%Y%m%dT%H%M%S.%fZ}"


def _read(data: bytes) -> AuditEntry | None:
    try:
        return read_object(data, _act)
    except Unreadable:
        return None


def _act(value: Mapping[str, Any]) -> AuditEntry:
    if value.get("format") != AUDIT_FORMAT:
        raise Unreadable(f"format {value.get('format')!r}")
    who, verb, about, why, done = (text_of(value[name]) for name in ("who", "verb", "about", "why", "done"))
    return AuditEntry(read_time(text_of(value["at"])), who, verb, about, why, done)
