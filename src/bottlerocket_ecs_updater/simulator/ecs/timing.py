"""ECS delays, and what ECS loses when an agent registers again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum


class Order(StrEnum):
    """In which order the service scheduler processes services that changed together. ECS does not document it."""

    WOKEN = "woken"
    """The one that changed first."""
    REVERSED = "reversed"
    SHUFFLED = "shuffled"


@dataclass(frozen=True, slots=True)
class EcsTiming:
    """The service's delays, and switches for behavior that cannot be verified from outside AWS."""

    scheduler_tick: timedelta = timedelta(seconds=1)
    """From a change until the service scheduler processes the affected services."""
    order: Order = Order.WOKEN
    retry_placement: timedelta = timedelta(seconds=15)
    """How often a service without room retries if nothing else wakes it."""
    provisioning: timedelta = timedelta(seconds=1)
    start_shortest: timedelta = timedelta(seconds=4)
    start_longest: timedelta = timedelta(seconds=9)
    """From PENDING to RUNNING: image pull and container start."""
    deprovisioning: timedelta = timedelta(seconds=1)
    stopped_visible: timedelta = timedelta(hours=1)
    """How long a stopped task can still be described."""
    disconnect_lag: timedelta = timedelta(seconds=15)
    """From an agent's disconnect until `agentConnected` shows it. A faster reconnect never shows."""
    connect_lag: timedelta = timedelta(seconds=1)
    deregister_terminated: timedelta = timedelta(seconds=45)
    """From an instance's termination until it is INACTIVE."""
    describes_deregistered: bool = True
    """Whether a deregistered instance is still described, as INACTIVE. AWS promises that for no time."""
    flap_every: timedelta | None = None
    """Average time between random disconnects of a healthy agent; None for never."""
    flap_lasts: timedelta = timedelta(seconds=10)
    attributes_survive: bool = True
    """Whether attributes set through the API survive the agent's registration after a boot."""
    draining_survives: bool = True
    """Whether DRAINING survives it; otherwise the instance returns as ACTIVE by itself."""
