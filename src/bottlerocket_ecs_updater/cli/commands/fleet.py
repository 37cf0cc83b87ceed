"""`fleet`: all clusters of an account and Region, or all that share a state store, together."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, cast

from cyclopts import Parameter

from bottlerocket_ecs_updater.aws.clusters import Asker, find_clusters
from bottlerocket_ecs_updater.cli.settings import parameters as kinds
from bottlerocket_ecs_updater.cli.settings.parsing import CONFIG_TEXT, arguments_of
from bottlerocket_ecs_updater.cli.settings.sections import FLEET, Sections, fleet_rules, read_sections, take_apart
from bottlerocket_ecs_updater.cli.settings.settings import ConfigFile, RunSettings, load
from bottlerocket_ecs_updater.cli.wiring import WiredRegion, wire_region
from bottlerocket_ecs_updater.core.planning.waves import CLUSTERS_MAX, Found, Wave, waves_json, waves_of
from bottlerocket_ecs_updater.errors import UpdaterError, UsageError

if TYPE_CHECKING:
    from bottlerocket_ecs_updater.aws.clusters import _States

ASKED_WITH = "WAVES_TASK_TOKEN"
"""Set by the state machine that waits for the answer of `fleet waves`; no setting, so without their prefix."""


@Parameter(name="*", group="Fleet")
@dataclass(frozen=True, slots=True, kw_only=True)
class FleetSettings:
    """Where the clusters are, and how they are shown."""

    region: Annotated[
        str | None,
        kinds.text(
            "Region of the clusters; else the one of the standard AWS configuration.",
            r"[a-z]{2,}(-[a-z0-9]+)+",
            "the name of a region, such as eu-central-1",
            "REGION",
        ),
    ] = None
    config: ConfigFile = None
    form: Annotated[Literal["text", "json"], kinds.choice("Form.", "text", "json", name="--format")] = "text"


NO_SETTINGS = FleetSettings()


def fleet(
    action: Annotated[Literal["waves"], Parameter(help="What to do.")],
    /,
    *,
    settings: FleetSettings = NO_SETTINGS,
) -> int:
    """Find the clusters of this account and Region, and put them into waves, as the settings file has them."""
    assert action == "waves"
    token = os.environ.get(ASKED_WITH, "")
    wired = wire_region(settings.region)
    asker = Asker(lambda: cast("_States", wired.clients.in_region("stepfunctions", settings.region)), wired.api, token)
    try:
        waves = find_waves(settings, wired, os.environ)
        if token:
            asker.tell(waves_json(waves))
    except UpdaterError as error:
        if token:
            asker.fail(str(error))
        raise
    sys.stdout.write(waves_text(waves))
    return 0


def find_waves(settings: FleetSettings, wired: WiredRegion, environ: Mapping[str, str]) -> Sequence[Wave]:
    """The clusters that are gone through, by wave; the settings of each are read. Raises UsageError for wrong ones."""
    sections, source = _sections(settings.config, environ)
    rules = fleet_rules(sections, source)
    there = find_clusters(wired.clients.ecs, wired.api)
    names = sorted(name for name, tags in there.items() if rules.takes(name, tags))
    if len(names) > CLUSTERS_MAX:
        raise UsageError(f"{len(names)} clusters match, and at most {CLUSTERS_MAX} are gone through: leave some out")
    for name in names:
        check(name, settings.config, environ)
    return waves_of((Found(name, sections.wave_of(name)) for name in names), rules)


def check(cluster: str, config: Path | None, environ: Mapping[str, str]) -> RunSettings:
    """The settings of a run on one cluster. Raises UsageError, naming the cluster."""
    given = ["--cluster", cluster, *(["--config", str(config)] if config is not None else [])]
    try:
        return load(given, environ)
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
    """The waves for people."""
    if not waves:
        return "No cluster matches.\n"
    lines = []
    for wave in waves:
        asked = ", after a person has approved" if wave.approve else ""
        count = f"{len(wave.clusters)} cluster{'' if len(wave.clusters) == 1 else 's'}"
        lines.append(
            f"wave {wave.number}: {count}, {min(wave.concurrency, len(wave.clusters))} at once, the rest is stopped "
            f"after {wave.stop_after} failed{asked}\n  {', '.join(wave.clusters)}\n"
        )
    return "".join(lines)
