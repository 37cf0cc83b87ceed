"""The pause switch: an object in the state store. While it exists, no run on the cluster starts an update.

It is read before an update starts if it was not read within the last 55 seconds, so none starts later than a minute
after the pause. Updates in progress are finished.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bottlerocket_ecs_updater.core.model.time_text import read_time, time_text, write_time
from bottlerocket_ecs_updater.engine.ports import Store
from bottlerocket_ecs_updater.engine.store.read_json import Unreadable, read_object, text_of

UNREADABLE = "by an object in the state store that cannot be read"

PAUSE_SHOWN_MAX_CHARACTERS = 500
"""Limit for the text of who paused and why, which is shown with every held instance."""


@dataclass(frozen=True, slots=True)
class Pause:
    """Who paused updates on a cluster, when, and why."""

    since: datetime
    who: str
    why: str

    def __str__(self) -> str:
        return f"by {self.who} since {time_text(self.since)}{': ' if self.why else ''}{self.why}"


def pause_key(cluster: str) -> str:
    """The key of a cluster's pause switch."""
    return f"clusters/{cluster}/pause.json"


def set_pause(store: Store, cluster: str, pause: Pause) -> None:
    """Pause; replaces an earlier pause. Raises what the store raises."""
    value = {"since": write_time(pause.since), "who": pause.who, "why": pause.why}
    store.put(pause_key(cluster), json.dumps(value, indent=1).encode(), None)


def clear_pause(store: Store, cluster: str) -> None:
    """Resume; does nothing if the cluster is not paused."""
    store.delete(pause_key(cluster), None)


def look_for_pause(store: Store | None, cluster: str) -> str:
    """Who paused the cluster and why, as text; empty if it is not paused. Raises what the store raises.

    An unreadable object pauses too: it was probably meant to.
    """
    key = pause_key(cluster)
    stored = store.get(key) if store is not None else None
    if stored is None:
        return ""
    try:
        return read_object(stored.data, _paused)
    except Unreadable as problem:
        return f"{UNREADABLE}, {key} ({problem}); `resume` removes it"


def _paused(value: Mapping[str, Any]) -> str:
    pause = Pause(read_time(text_of(value["since"])), text_of(value["who"]), text_of(value["why"]))
    text = str(pause)
    return text if len(text) <= PAUSE_SHOWN_MAX_CHARACTERS else f"{text[:PAUSE_SHOWN_MAX_CHARACTERS]}…"
