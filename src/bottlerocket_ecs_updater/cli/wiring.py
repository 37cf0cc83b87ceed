"""Wires the packages together: from settings to everything that a command uses."""

from __future__ import annotations

import hashlib
import secrets
import socket
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from bottlerocket_ecs_updater import __version__
from bottlerocket_ecs_updater.aws.cluster_location import find_place
from bottlerocket_ecs_updater.aws.ecs import EcsCluster
from bottlerocket_ecs_updater.aws.identity import FamilyTask, Identity, Unidentified, identify, running_tasks_of_family
from bottlerocket_ecs_updater.aws.launches import AwsLaunches
from bottlerocket_ecs_updater.aws.s3_store import S3Store
from bottlerocket_ecs_updater.aws.ssm import SsmHosts
from bottlerocket_ecs_updater.aws.survey import AwsSurvey
from bottlerocket_ecs_updater.aws.transport.api import Api
from bottlerocket_ecs_updater.aws.transport.pace import CallPace, Calls
from bottlerocket_ecs_updater.aws.transport.session import Clients
from bottlerocket_ecs_updater.cli.settings.parameters import Folder, StoreBucket
from bottlerocket_ecs_updater.cli.settings.settings import Documents, Limits, RunSettings, Target
from bottlerocket_ecs_updater.core.model.ids import OwnTask, RunId
from bottlerocket_ecs_updater.core.model.location import Location, name_of
from bottlerocket_ecs_updater.core.model.shared import ClusterStanding
from bottlerocket_ecs_updater.engine.clock import SystemClock
from bottlerocket_ecs_updater.engine.lease.run_lease import RunLease
from bottlerocket_ecs_updater.engine.lease.single_task import SingleTask
from bottlerocket_ecs_updater.engine.lease.store_lease import StoreLease, lease_key
from bottlerocket_ecs_updater.engine.lease.task_lease import NoLease, RunningTask, TaskLease
from bottlerocket_ecs_updater.engine.ports import Recorder, Store, Successors
from bottlerocket_ecs_updater.engine.run_ports import Ports, take_no_standing
from bottlerocket_ecs_updater.engine.store.folder_store import FolderStore
from bottlerocket_ecs_updater.engine.store.ledger_store import KeptLedger, LedgerKeeping, UnkeptLedger
from bottlerocket_ecs_updater.engine.waits import Wait, Waits
from bottlerocket_ecs_updater.report.words.sanitize import sanitize

NO_DOCUMENT = "none"

STORE_NAME_DIGITS = 6
"""Digits of the store's name. Enough to tell the few stores of one cluster apart; a claim has little room."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wired:
    """Everything that a command uses."""

    run: RunId
    cluster_name: str
    place: Location | None
    """Account, Region and name of the cluster; None without a store."""
    clock: SystemClock
    api: Api
    calls: Calls
    cluster: EcsCluster
    hosts: SsmHosts
    survey: AwsSurvey
    launches: AwsLaunches
    store: Store | None
    ledger: LedgerKeeping
    lease: RunLease
    clients: Clients
    own: OwnTask | None
    """The ECS task of this process; None outside ECS."""
    own_family: Callable[[], Sequence[FamilyTask]]
    """The tasks of its family; empty outside ECS."""
    own_api: Api
    """For calls that need no lease: the store, the lease itself, messages."""
    waits: Waits
    """Reports waits for AWS, the store and the lease."""
    store_name: str
    """A short name of the store or task family. Runs that exclude each other have the same one."""

    @property
    def state(self) -> str:
        """The name under which the state of the cluster is stored."""
        return str(self.place) if self.place is not None else self.cluster_name

    def ports(
        self,
        recorder: Recorder,
        successors: Successors | None = None,
        published: Callable[[ClusterStanding], None] = take_no_standing,
    ) -> Ports:
        """What the engine talks to."""
        return Ports(
            cluster=self.cluster,
            hosts=self.hosts,
            clock=self.clock,
            ledger=self.ledger,
            lease=self.lease,
            recorder=recorder,
            store=self.store,
            survey=self.survey,
            own=self.own,
            successors=successors,
            store_name=self.store_name,
            state=self.state,
            place=self.place,
            published=published,
        )


def wire(
    settings: RunSettings,
    environ: Mapping[str, str],
    interrupted: threading.Event | None = None,
    *,
    ask: bool = True,
    waits: Waits | None = None,
) -> Wired:
    """Wire a run.

    With a store, it reads the cluster's identity from AWS, and raises AWS's errors. Without `ask`, AWS is not called
    and there is no store. Waits are printed to stderr, unless `waits` is given.
    """
    waits = waits or Waits(_print_wait)
    limits = settings.limits
    clock = SystemClock(settings.target.time_scale, settings.target.time_origin, interrupted or threading.Event())
    run = new_run_id(clock.now())
    clients = Clients(
        version=__version__, region=settings.target.region_named, lease=limits.lease / settings.target.time_scale
    )
    calls = Calls()
    pace = CallPace(clock)
    api = Api(clock, pace, calls, within=clients.within, waits=waits)
    # The calls that renew the lease must not require it.
    own = Api(clock, pace, calls, within=clients.within, waits=waits)
    cluster, who = settings.target.cluster, identify(environ)
    comment = f"bottlerocket-ecs-updater {__version__} run {run}"
    family = _family(who, cluster, clients, own)
    store = _store(settings, clients, own) if ask else None
    place = find_place(cluster, clients, own, settings.target.region_named) if store is not None else None
    return Wired(
        run=run,
        cluster_name=name_of(cluster),
        place=place,
        clock=clock,
        api=api,
        calls=calls,
        cluster=EcsCluster(clients.ecs, api, clock, cluster, services_listed_every=timedelta(minutes=10)),
        hosts=SsmHosts(clients.ssm, api, settings.documents.by_kind, comment),
        survey=AwsSurvey(clients, api, cluster),
        launches=AwsLaunches.of(clients, api),
        store=store,
        ledger=KeptLedger(store, str(place), run) if store is not None else UnkeptLedger(),
        lease=_lease_in_store(settings, who, clock, store, run, place, waits)
        if store is not None and place is not None
        else _lease_of_tasks(settings, who, family, clock, waits),
        clients=clients,
        own=OwnTask(who.task, who.family) if isinstance(who, Identity) and who.task is not None else None,
        own_family=family,
        own_api=own,
        waits=waits,
        store_name=_store_name(settings, environ),
    )


def wire_read_only(target: Target, environ: Mapping[str, str], lease: timedelta = timedelta(seconds=60)) -> Wired:
    """Wire a command that sends nothing to hosts, so it needs no documents."""
    documents = Documents(check_document=NO_DOCUMENT, apply_document=NO_DOCUMENT, reboot_document=NO_DOCUMENT)
    return wire(RunSettings(target=target, documents=documents, limits=Limits(lease=lease)), environ)


def _print_wait(wait: Wait) -> None:
    """Print a wait for a person."""
    until = f", until {wait.until:%H:%M:%S}Z at most" if wait.until is not None else ""
    line = sanitize(f"waiting for {wait.what} (since {wait.since:%H:%M:%S}Z{until})")
    with suppress(OSError, ValueError):
        print(line, file=sys.stderr, flush=True)


def new_run_id(now: datetime) -> RunId:
    """A unique id that sorts by time: `20260105-0900-3f9c`."""
    return RunId(f"{now:%Y%m%d-%H%M}-{secrets.token_hex(2)}")


def began_at(run: RunId) -> datetime | None:
    """When a run began, from its id; None for an id in another form."""
    try:
        return datetime.strptime(run[: len("20260105-0900")], "%Y%m%d-%H%M").replace(tzinfo=UTC)
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class WiredRegion:
    """Everything that a command about an account and Region uses."""

    clock: SystemClock
    clients: Clients
    api: Api


@dataclass(frozen=True, slots=True)
class WiredStore(WiredRegion):
    """The same, with the shared state store."""

    store: Store


def wire_region(region: str | None) -> WiredRegion:
    """Wire a command about an account and Region. Does not call AWS."""
    clock = SystemClock(1.0, None, threading.Event())
    clients = Clients(version=__version__, region=region)
    return WiredRegion(clock, clients, Api(clock, CallPace(clock), Calls(), within=clients.within))


def wire_store(state: StoreBucket | Folder, region: str | None) -> WiredStore:
    """Wire a command that needs only the state store. Does not call AWS."""
    wired = wire_region(region)
    return WiredStore(wired.clock, wired.clients, wired.api, store_at(state, wired.clients, wired.api))


def _store(settings: RunSettings, clients: Clients, api: Api) -> Store | None:
    return store_at(settings.target.state, clients, api) if settings.target.state is not None else None


def store_at(state: StoreBucket | Folder, clients: Clients, api: Api) -> Store:
    """The state store that settings name."""
    match state:
        case Folder(path=path):
            return FolderStore(path)
        case StoreBucket(name=bucket, prefix=prefix):
            return S3Store(clients.s3, api, bucket, prefix)


def _store_name(settings: RunSettings, environ: Mapping[str, str]) -> str:
    """Six digits that identify the state store; without one, the task's family. Empty without both."""
    match settings.target.state:
        case Folder(path=path):
            what = f"folder {path.resolve()}"
        case StoreBucket(name=bucket, prefix=prefix):
            what = f"bucket {bucket}/{prefix.strip('/')}"
        case None:
            who = identify(environ)
            what = f"family {who.family}" if isinstance(who, Identity) else ""
    return hashlib.sha256(what.encode()).hexdigest()[:STORE_NAME_DIGITS] if what else ""


def _family(
    who: Identity | Unidentified, cluster: str, clients: Clients, api: Api
) -> Callable[[], Sequence[FamilyTask]]:
    if not isinstance(who, Identity):
        return tuple
    where, family = who.cluster or cluster, who.family
    return lambda: running_tasks_of_family(clients.ecs, api, where, family)


def _lease_in_store(
    settings: RunSettings,
    who: Identity | Unidentified,
    clock: SystemClock,
    store: Store,
    run: RunId,
    place: Location,
    waits: Waits,
) -> RunLease:
    holder = str(who.task) if isinstance(who, Identity) and who.task else socket.gethostname()
    return StoreLease(store, lease_key(str(place)), holder, run, settings.limits.lease, clock, clock.monotonic, waits)


def _lease_of_tasks(
    settings: RunSettings,
    who: Identity | Unidentified,
    family: Callable[[], Sequence[FamilyTask]],
    clock: SystemClock,
    waits: Waits,
) -> RunLease:
    """Without a store: the oldest-task rule, or outside ECS only a warning."""
    term = settings.limits.lease
    if not isinstance(who, Identity):
        return NoLease()

    def running() -> list[RunningTask]:
        return [RunningTask(task.arn, task.created_at) for task in family()]

    if who.task is None:
        return SingleTask(running)
    return TaskLease(who.task, running, term, clock, clock.monotonic, waits)
