"""Picks one registration for an EC2 instance that has several in the cluster."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from bottlerocket_ecs_updater.core.model.container_instance import Registration, Status
from bottlerocket_ecs_updater.core.model.ids import InstanceId


def one_per_instance(registrations: Iterable[Registration]) -> Iterable[Registration]:
    """One registration per EC2 instance: after a lost checkpoint, an old one stays behind, disconnected."""
    best: dict[InstanceId, Registration] = {}
    for registration in registrations:
        other = best.get(registration.id)
        if other is None or _rank(registration) > _rank(other):
            best[registration.id] = registration
    return best.values()


def _rank(registration: Registration) -> tuple[bool, bool, datetime]:
    in_service = registration.status in (Status.ACTIVE, Status.DRAINING)
    return in_service, registration.connected, registration.registered_at
