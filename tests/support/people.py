"""What people decide, as their commands write it to the state store."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from bottlerocket_ecs_updater.core.model.shared import Act
from bottlerocket_ecs_updater.engine.ports import Store
from bottlerocket_ecs_updater.engine.store.audit_entry import AuditEntry
from bottlerocket_ecs_updater.engine.store.shared_state import change_acts, with_history, with_pause


def pause(store: Store, at: datetime, who: str = "ann", why: str = "a holiday", cluster: str = "demo") -> None:
    """Somebody pauses the updates of a cluster."""
    change_acts(store, lambda acts: with_pause(acts, cluster, Act(who, at, why)))


def resume(store: Store, cluster: str = "demo") -> None:
    """Somebody resumes the updates of a cluster."""
    change_acts(store, lambda acts: with_pause(acts, cluster, None))


def note_act(store: Store, cluster: str, act: AuditEntry) -> None:
    """Somebody did something on a cluster."""
    change_acts(store, lambda acts: with_history(acts, replace(act, cluster=cluster)))
