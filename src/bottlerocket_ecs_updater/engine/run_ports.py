"""Everything that a run talks to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bottlerocket_ecs_updater.core.model.ids import OwnTask
from bottlerocket_ecs_updater.core.model.location import Location
from bottlerocket_ecs_updater.core.model.shared import ClusterStanding
from bottlerocket_ecs_updater.engine.ports import Clock, Cluster, Hosts, Lease, Recorder, Store, Successors, Survey
from bottlerocket_ecs_updater.engine.store.ledger_store import LedgerKeeping


def take_no_standing(_: ClusterStanding) -> None:
    """Do nothing with a standing."""


@dataclass(frozen=True, slots=True)
class Ports:
    """Everything that a run talks to."""

    cluster: Cluster
    hosts: Hosts
    clock: Clock
    ledger: LedgerKeeping
    lease: Lease
    recorder: Recorder
    store: Store | None = None
    survey: Survey | None = None
    own: OwnTask | None = None
    successors: Successors | None = None
    store_name: str = ""
    """Identifies the state store, so that claims of runs with another store can be recognized."""
    state: str = ""
    """The name of the cluster's state in the store; empty for the cluster's own name."""
    place: Location | None = None
    """The cluster's location, which identifies it among clusters that share the store; None if it shares nothing."""
    published: Callable[[ClusterStanding], None] = take_no_standing
    """Takes the standing that the run published at its end, before the end is recorded."""
