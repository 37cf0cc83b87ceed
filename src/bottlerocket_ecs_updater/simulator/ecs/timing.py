"""How slow ECS is, and what it forgets when an agent registers again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class EcsTiming:
    """The delays of the service, and what nobody outside AWS could verify about it, as switches."""

    scheduler_tick: timedelta = timedelta(seconds=1)
    """From a change until the service scheduler has looked at the services that it concerns."""
    retry_placement: timedelta = timedelta(seconds=15)
    """How often a service that finds no room tries again when nothing else wakes it."""
    provisioning: timedelta = timedelta(seconds=1)
    start_shortest: timedelta = timedelta(seconds=4)
    start_longest: timedelta = timedelta(seconds=9)
    """PENDING until RUNNING: the image is pulled and the containers start."""
    deprovisioning: timedelta = timedelta(seconds=1)
    stopped_visible: timedelta = timedelta(hours=1)
    """How long a stopped task can still be described."""
    disconnect_lag: timedelta = timedelta(seconds=15)
    """From the end of an agent until `agentConnected` says so; an agent that is back sooner never shows."""
    connect_lag: timedelta = timedelta(seconds=1)
    deregister_terminated: timedelta = timedelta(seconds=45)
    """From an instance's termination until it is INACTIVE."""
    flap_every: timedelta | None = None
    """Healthy agents lose their connection now and then, on the average this often each; None for never."""
    flap_lasts: timedelta = timedelta(seconds=10)
    attributes_survive: bool = True
    """Whether attributes set through the API outlast the agent's registration after a boot."""
    draining_survives: bool = True
    """Whether DRAINING does; otherwise the instance comes back ACTIVE by itself."""
