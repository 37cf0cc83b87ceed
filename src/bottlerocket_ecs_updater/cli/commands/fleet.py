"""`fleet`: all clusters of an account and Region, or all that share a state store."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

from cyclopts import Parameter

from bottlerocket_ecs_updater.aws.clusters import TaskCallback, find_clusters
from bottlerocket_ecs_updater.cli.acts import Why, act_on
from bottlerocket_ecs_updater.cli.app import settings_of_all
from bottlerocket_ecs_updater.cli.settings import parameters
from bottlerocket_ecs_updater.cli.settings.parameters import Place
from bottlerocket_ecs_updater.cli.settings.parsing import CONFIG_TEXT, PREFIX, arguments_of
from bottlerocket_ecs_updater.cli.settings.sections import FLEET, Sections, fleet_rules, read_sections, take_apart
from bottlerocket_ecs_updater.cli.settings.settings import ConfigFile, OutputFormat, RunSettings, load
from bottlerocket_ecs_updater.cli.wiring import WiredStore, wire_region, wire_store
from bottlerocket_ecs_updater.core.model.location import Location
from bottlerocket_ecs_updater.core.model.wording import counted
from bottlerocket_ecs_updater.core.planning.waves import (
    CLUSTERS_MAX,
    STATE_MAX_BYTES,
    FoundCluster,
    Wave,
    state_bytes,
    waves_json,
    waves_of,
)
from bottlerocket_ecs_updater.engine.store.audit_entry import AuditEntry
from bottlerocket_ecs_updater.engine.store.shared_state import (
    change_acts,
    forget_standing,
    look_for_acts,
    standing_at,
    standings_of,
    with_forgotten,
    with_history,
)
from bottlerocket_ecs_updater.errors import UpdaterError, UsageError
from bottlerocket_ecs_updater.report.analysis.fleet_overview import FleetOverview, overview_of
from bottlerocket_ecs_updater.report.outputs.fleet_page import (
    PAGE_KEY,
    overview_json,
    overview_text,
    refresh_fleet_page,
)
from bottlerocket_ecs_updater.report.words.sanitize import sanitize

if TYPE_CHECKING:
    from bottlerocket_ecs_updater.aws.clusters import _States

CALLBACK_VARIABLE = "WAVES_TASK_TOKEN"
"""The variable with the task token of the state machine, which waits for `fleet waves`.

It is not a setting, so it has no prefix.
"""


@Parameter(name="*", group="Fleet")
@dataclass(frozen=True, slots=True, kw_only=True)
class FleetSettings:
    """Where the clusters are, and how they are shown."""

    region: Annotated[
        str | None,
        parameters.text(
            "Region of the clusters. Default: the AWS configuration.",
            r"[a-z]{2,}(-[a-z0-9]+)+",
            "the name of a region, such as eu-central-1",
            "REGION",
        ),
    ] = None
    state: Annotated[
        Place | None, parameters.place("The state store that the clusters share: s3://BUCKET/PREFIX or a folder.")
    ] = None
    config: ConfigFile = None
    form: OutputFormat = "text"
    why: Why = ""


NO_FLEET_SETTINGS = FleetSettings()
DOCUMENTS = ("check-document", "apply-document", "reboot-document")


def fleet(
    action: Annotated[
        Literal["status", "plan", "page", "forget", "waves"],
        Parameter(help="status, plan, page (write fleet/index.html again), forget (a cluster that is gone), or waves."),
    ],
    cluster: Annotated[str, Parameter(help="For forget: ACCOUNT/REGION/NAME.", show_default=False)] = "",
    /,
    *,
    settings: FleetSettings = NO_FLEET_SETTINGS,
) -> int:
    """Look at all clusters that share a state store, or at those of this account and Region.

    status shows the clusters, worst first; plan shows the waves, and the state of each cluster; waves answers the state
    machine of stacks/fleet.yaml.
    """
    match action:
        case "status":
            _show(settings, _overview(settings))
        case "plan":
            sys.stdout.write(_plan_text(settings))
        case "page":
            wired = _store(settings)
            shown = refresh_fleet_page(wired.store, wired.clock.now(), sleep=wired.clock.sleep)
            sys.stdout.write(f"{shown.headline}.\nWritten: {str(settings.state).rstrip('/')}/{PAGE_KEY}\n")
        case "forget":
            _forget(settings, cluster)
        case "waves":
            _answer(settings)
    return 0


def _answer(settings: FleetSettings) -> None:
    """Send the waves to the state machine, or print them if there is none."""
    token = os.environ.get(CALLBACK_VARIABLE, "")
    wired = wire_region(settings.region)
    callback = TaskCallback(
        lambda: cast("_States", wired.clients.in_region("stepfunctions", settings.region)), wired.api, token
    )
    try:
        waves = find_waves(settings, find_clusters(wired.clients.ecs, wired.api), os.environ)
        if token:
            callback.succeed(waves_json(waves))
    except UpdaterError as error:
        if token:
            callback.fail(str(error))
        raise
    sys.stdout.write(json.dumps(waves_json(waves), indent=1) + "\n" if settings.form == "json" else waves_text(waves))


def _store(settings: FleetSettings) -> WiredStore:
    if settings.state is None:
        raise UsageError("the standing of each cluster is in the state store: give --state")
    return wire_store(settings.state, settings.region)


def _overview(settings: FleetSettings) -> FleetOverview:
    wired = _store(settings)
    standings, unreadable = standings_of(wired.store)
    return overview_of(standings, unreadable, look_for_acts(wired.store), wired.clock.now())


def _show(settings: FleetSettings, shown: FleetOverview) -> None:
    as_json = settings.form == "json"
    sys.stdout.write(json.dumps(overview_json(shown), indent=1) + "\n" if as_json else overview_text(shown))


def _plan_text(settings: FleetSettings) -> str:
    wired = wire_region(settings.region)
    there = find_clusters(wired.clients.ecs, wired.api)
    waves = find_waves(settings, there, os.environ)
    if settings.state is None:
        return waves_text(waves)
    # Other accounts and Regions that share the store may have clusters with the same names.
    rows = {row.name: row for row in _overview(settings).rows if row.location in there}
    lines = []
    for wave in waves:
        lines.append(waves_text([wave]).partition("\n")[0])
        for name in wave.clusters:
            row = rows.get(name)
            how = "has not reported yet" if row is None else row.state_text
            why = f": {row.why[0]}" if row is not None and row.why else ""
            lines.append(f"  {name}  {how}{sanitize(why, 160)}")
    return "\n".join(lines or ["No cluster matches."]) + "\n"


def _forget(settings: FleetSettings, about: str) -> None:
    """Remove the standing of a deleted cluster, so that no cluster waits for it."""
    parts = about.split("/")
    if len(parts) != 3 or not all(parts):
        raise UsageError(f"write the cluster to forget as ACCOUNT/REGION/NAME, not {about[:80]!r}")
    wired, place = _store(settings), Location(*parts)
    made = act_on(wired, settings.state, settings.why)
    done = "removed its standing: no cluster waits for it"
    entry = AuditEntry(made.at, made.who, "fleet forget", about, made.why, done)
    change_acts(wired.store, lambda acts: with_history(with_forgotten(acts, place, made), entry), wired.clock.sleep)
    # Without the act, the clusters that waited for it would report that it lost its standing.
    there = forget_standing(wired.store, place)
    refresh_fleet_page(wired.store, wired.clock.now(), sleep=wired.clock.sleep)
    said = "is forgotten" if there else "had no standing; no cluster waits for it"
    sys.stdout.write(f"{about} {said}. Its next run adds it again.\n")


def find_waves(
    settings: FleetSettings, there: Mapping[Location, Mapping[str, str]], environ: Mapping[str, str]
) -> Sequence[Wave]:
    """The clusters to update, by wave, each with its settings. Raises UsageError for wrong settings.

    `there` are the tags of the clusters of one account and Region.
    """
    sections, source = _sections(settings.config, environ)
    rules = fleet_rules(sections, source)
    places = {place.name: place for place, tags in there.items() if rules.takes(place.name, tags)}
    names = sorted(places)
    if len(names) > CLUSTERS_MAX:
        raise UsageError(f"{len(names)} clusters match, but the limit is {CLUSTERS_MAX}: leave some out")
    # Clusters with the same sections have the same settings: one of them is checked for all.
    for name in {sections.patterns_of(name): name for name in reversed(names)}.values():
        check(name, settings.config, {**_of_the_stack(sections.of(name), settings), **environ})
    waves = waves_of((FoundCluster(name, sections.wave_of(name)) for name in names), rules)
    waves = _with_news(waves, places, settings)
    if state_bytes(waves) > STATE_MAX_BYTES:
        raise UsageError(f"the names of {len(names)} clusters are too long for one state machine: leave some out")
    return waves


def _with_news(waves: Sequence[Wave], places: Mapping[str, Location], settings: FleetSettings) -> Sequence[Wave]:
    """Leave out questions about waves in which no update is known to wait."""
    asked = [name for wave in waves if wave.approve for name in wave.clusters]
    if settings.state is None or not asked:
        return waves
    try:
        store = _store(settings).store
        known = {name: one for name in asked if (one := standing_at(store, places[name])) is not None}
    except UpdaterError as error:
        sys.stderr.write(f"A person is asked about every wave in `approve`: {sanitize(str(error), 300)}\n")
        return waves
    return tuple(wave.with_news(known) for wave in waves)


def _of_the_stack(given: Mapping[str, Any], settings: FleetSettings) -> Mapping[str, str]:
    """Stand-ins for what the stack gives its tasks, so that a person can check a file that leaves it out."""
    state = str(settings.state) if settings.state is not None else "/state-of-the-stack"
    own = {name: f"{name}-of-the-stack" for name in DOCUMENTS} | {"state": state}
    return {
        f"{PREFIX}{name.upper().replace('-', '_')}": value
        for name, value in own.items()
        if name not in {key.replace("_", "-") for key in given}
    }


def check(cluster: str, config: Path | None, environ: Mapping[str, str]) -> RunSettings:
    """The settings of a run on one cluster. Raises UsageError, naming the cluster."""
    given = ["--cluster", cluster, *(["--config", str(config)] if config is not None else [])]
    try:
        return load(given, environ, settings_of_all)
    except UsageError as error:
        raise UsageError(f"settings of the cluster {cluster}: {error}") from error


def _sections(config: Path | None, environ: Mapping[str, str]) -> tuple[Sections, str]:
    known = {argument.name.lstrip("-") for argument in arguments_of(RunSettings)}
    if config is not None:
        try:
            return read_sections(config.read_text(encoding="utf-8"), str(config), known), str(config)
        except OSError as error:
            raise UsageError(f"{config}: {error.strerror or error}") from error
    text = environ.get(CONFIG_TEXT, "")
    return (read_sections(text, CONFIG_TEXT, known) if text else take_apart({}, FLEET, known)), CONFIG_TEXT


def waves_text(waves: Sequence[Wave]) -> str:
    """The waves as text."""
    if not waves:
        return "No cluster matches.\n"
    lines = []
    for wave in waves:
        asked = ", after a person has approved" if wave.approve else ", nothing to approve" if wave.finish_only else ""
        count = counted(len(wave.clusters), "cluster")
        fail = "fails" if wave.stop_after == 1 else "fail"
        lines.append(
            f"wave {wave.number}: {count}, {min(wave.concurrency, len(wave.clusters))} at once{asked}; later waves do "
            f"not start if {wave.stop_after} {fail}\n  {', '.join(wave.clusters)}\n"
        )
    return "".join(lines)
