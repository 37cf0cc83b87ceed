"""Where the events of a run go: the log, the terminal, metrics, the record, reports, people, programs."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, TextIO, cast

from bottlerocket_ecs_updater.cli.settings.parameters import Place, StoreBucket
from bottlerocket_ecs_updater.cli.settings.settings import Messages, Output, RunSettings, Target
from bottlerocket_ecs_updater.cli.wiring import Wired
from bottlerocket_ecs_updater.core.model.location import name_of
from bottlerocket_ecs_updater.core.model.shared import ClusterStanding
from bottlerocket_ecs_updater.core.model.time_text import write_time
from bottlerocket_ecs_updater.core.rules.policy import OwnHost
from bottlerocket_ecs_updater.engine.ports import Clock, Recorder, Successors
from bottlerocket_ecs_updater.engine.run_ports import take_no_standing
from bottlerocket_ecs_updater.report.analysis.suggested_commands import Reach
from bottlerocket_ecs_updater.report.outputs.archive import Archive, report_key
from bottlerocket_ecs_updater.report.outputs.fleet_page import FleetPage
from bottlerocket_ecs_updater.report.outputs.live import Live
from bottlerocket_ecs_updater.report.outputs.log import TextLog, log_to
from bottlerocket_ecs_updater.report.outputs.messages import EventChannel, Messenger, PeopleChannel
from bottlerocket_ecs_updater.report.outputs.metrics import Metrics
from bottlerocket_ecs_updater.report.record.record import Record
from bottlerocket_ecs_updater.report.record.recorders import Faults, SummaryLast, Tee
from bottlerocket_ecs_updater.report.words.colours import Paint
from bottlerocket_ecs_updater.report.words.sanitize import sanitize
from bottlerocket_ecs_updater.report.words.severity import level_named

if TYPE_CHECKING:
    from types_boto3_events import EventBridgeClient
    from types_boto3_secretsmanager import SecretsManagerClient
    from types_boto3_sns import SNSClient
    from types_boto3_ssm import SSMClient


@dataclass(frozen=True, slots=True)
class Outputs:
    """All outputs of a run, as one recorder."""

    recorder: Recorder
    record: Record | None
    """The record in the state store, which is written before each act; None without a store."""
    clock: Clock
    published: Callable[[ClusterStanding], None]
    """Takes the standing that the run published."""
    _live: Live | None
    _metrics: Metrics | None

    def tick(self) -> None:
        """Update displays and gauges, which also change without an event, and write events that have waited."""
        now = self.clock.now()
        if self.record is not None:
            self.record.tick(now)
        for reader in (self._live, self._metrics):
            if reader is not None:
                with suppress(Exception):  # a display that fails must not prevent the call that follows
                    reader.tick(now)

    def close(self) -> None:
        """Restore the terminal."""
        if self._live is not None:
            with suppress(Exception):
                self._live.close()


def open_outputs(settings: RunSettings, wired: Wired, stream: TextIO) -> Outputs:
    """Open all outputs that the settings name."""
    output, store, about = settings.output, wired.store, _About(wired.run, wired.cluster_name)
    as_json = output.log_format == "json" or (output.log_format == "auto" and not stream.isatty())
    live = _live(output, about, stream)
    level = level_named(output.level)
    form = output.log_format
    log = live or log_to(
        stream,
        run=about.run,
        cluster=about.cluster,
        form=form,
        level=level,
        colour=colour_of(os.environ),
        width=_columns,
    )
    wanted = settings.messages.metrics
    metrics = None
    if wanted == "on" or (wanted == "auto" and as_json):
        metrics = Metrics(stream, run=about.run, cluster=about.cluster)
    warn = _warner(wired.clock, about, stream, live, as_json=as_json)
    reach = reach_of(settings.target)
    record = Record(store, wired.state, wired.run) if store is not None else None
    fleet = FleetPage(store, warn, wired.clock.sleep) if store is not None else None
    archive = Archive(store, wired.state, wired.run, warn, reach, fleet) if store is not None else None
    messenger = _messenger(settings, wired, warn)
    # The reports show people's acts as they were read for the page of all clusters. Messages come last, because they
    # name the report.
    others = [one for one in (metrics, record, fleet, archive, messenger) if one is not None]
    faults = Faults()
    faults.listener = SummaryLast(log, Tee(others, faults.note), faults.note)
    published = fleet.keep if fleet is not None else take_no_standing
    return Outputs(faults.listener, record, wired.clock, published, live, metrics)


@dataclass(frozen=True, slots=True)
class _About:
    """The run and cluster of every log line."""

    run: str
    cluster: str


def _live(output: Output, about: _About, stream: TextIO) -> Live | None:
    """The live display, if stderr is a capable terminal and `--quiet` was not given."""
    capable = stream.isatty() and os.environ.get("TERM", "dumb") != "dumb"
    if not capable or output.quiet or output.log_format == "json":
        return None
    paint, level = Paint(colour=colour_of(os.environ) is None), level_named(output.level)

    def log(buffer: TextIO) -> Recorder:
        return TextLog(buffer, run=about.run, cluster=about.cluster, level=level, paint=paint, width=_columns)

    return Live(stream, log, shutil.get_terminal_size, paint)


def colour_of(environ: Mapping[str, str]) -> bool | None:
    """Whether to use colours: False with NO_COLOR, else None, which means only on a terminal. Source: no-color.org."""
    return False if environ.get("NO_COLOR") else None


def _columns() -> int:
    return shutil.get_terminal_size().columns


def _warner(clock: Clock, about: _About, stream: TextIO, live: Live | None, *, as_json: bool) -> Callable[[str], None]:
    """Prints warnings that are not events of the run, such as a report that could not be written."""

    def warn(text: str) -> None:
        if as_json:
            head = {"time": write_time(clock.now()), "level": "warning", "event": "output.failed"}
            entry = {**head, "run": about.run, "cluster": about.cluster, "why": sanitize(text)}
            line = json.dumps(entry, separators=(",", ":"))
        else:
            line = f"warning: {sanitize(text)}"
        with suppress(Exception):
            if live is not None:
                live.say(line)
            else:
                stream.write(f"{line}\n")
                stream.flush()

    return warn


def _messenger(settings: RunSettings, wired: Wired, warn: Callable[[str], None]) -> Messenger | None:
    people, programs = _people(settings.messages, wired), _programs(settings.messages, wired)
    if not people and not programs:
        return None
    report = report_place(settings.target.state, wired) if settings.target.state is not None else ""
    return Messenger(
        people,
        programs,
        run=wired.run,
        cluster=wired.cluster_name,
        report=report,
        warn=warn,
        reach=reach_of(settings.target),
    )


def reach_of(target: Target) -> Reach:
    """The flags with which a suggested command finds this cluster."""
    state = str(target.state) if target.state is not None else ""
    return Reach(name_of(target.cluster), target.region_named or "", state)


def report_place(state: Place, wired: Wired) -> str:
    """Where the report of the run is, or will be."""
    key = report_key(wired.state, wired.run, "html")
    return f"{state}{key}" if isinstance(state, StoreBucket) else f"{state}/{key}"


def _people(messages: Messages, wired: Wired) -> list[PeopleChannel]:
    from bottlerocket_ecs_updater.aws.transport.messages import Topic, Webhook  # noqa: PLC0415 - few runs send any

    ways: list[PeopleChannel] = []
    if messages.notify_topic is not None:
        arn = messages.notify_topic
        ways.append(Topic(lambda: cast("SNSClient", _client(wired, "sns", arn)), wired.own_api, arn))
    if messages.webhook_secret is not None:
        name = messages.webhook_secret
        ways.append(Webhook(lambda: _secret(wired, name)))
    return ways


def _programs(messages: Messages, wired: Wired) -> list[EventChannel]:
    from bottlerocket_ecs_updater.aws.transport.messages import Bus  # noqa: PLC0415 - few runs send any

    if messages.event_bus is None:
        return []
    name = messages.event_bus
    return [Bus(lambda: cast("EventBridgeClient", _client(wired, "events", name)), wired.own_api, name)]


def successors(settings: RunSettings, wired: Wired) -> Successors | None:
    """How this run starts another one; None if it never has to."""
    if wired.own is None or settings.policy.own_host is not OwnHost.HAND_OVER:
        return None
    from bottlerocket_ecs_updater.aws.successors import DEFAULT_BUS, CalledSuccessors  # noqa: PLC0415 - the same
    from bottlerocket_ecs_updater.aws.transport.messages import Bus  # noqa: PLC0415 - few runs send any

    # The stack's rule listens on the default bus, even if `--event-bus` names another one. The call is guarded by the
    # lease: a run that lost it starts no other run.
    bus = Bus(lambda: cast("EventBridgeClient", _client(wired, "events", DEFAULT_BUS)), wired.api, DEFAULT_BUS)
    return CalledSuccessors(bus, wired.own_family, wired.own.task, wired.cluster_name, wired.run)


def _secret(wired: Wired, name: str) -> str:
    from bottlerocket_ecs_updater.aws.transport.messages import read_parameter, read_secret  # noqa: PLC0415

    if ":secretsmanager:" in name:
        client = lambda: cast("SecretsManagerClient", _client(wired, "secretsmanager", name))  # noqa: E731
        return read_secret(client, wired.own_api, name)
    return read_parameter(lambda: cast("SSMClient", _client(wired, "ssm", name)), wired.own_api, name)


def _client(wired: Wired, service: str, name: str) -> object:
    """A client in the Region of the ARN, or in that of the run."""
    region = name.split(":")[3] if name.startswith("arn:") else None
    return wired.clients.in_region(service, region)
