"""`plan`: what `run` would do now. It looks and checks, and changes nothing."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from bottlerocket_ecs_updater.cli.settings import parameters
from bottlerocket_ecs_updater.cli.settings.policy_settings import RuleSettings
from bottlerocket_ecs_updater.cli.settings.settings import (
    ConfigFile,
    Documents,
    Limits,
    Output,
    OutputFormat,
    RunSettings,
    Target,
    policy_of,
)
from bottlerocket_ecs_updater.cli.wiring import Wired, wire
from bottlerocket_ecs_updater.core.model.fleet import Fleet
from bottlerocket_ecs_updater.core.planning.plan import make_plan as plan_of
from bottlerocket_ecs_updater.core.rules.policy import Policy
from bottlerocket_ecs_updater.engine.safe_recorder import DiscardEvents
from bottlerocket_ecs_updater.engine.snapshot import take_snapshot
from bottlerocket_ecs_updater.errors import UsageError
from bottlerocket_ecs_updater.report.views.plan import plan_json, plan_text


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class PlanSettings:
    """The settings of `run`, and where the fleet comes from. A saved fleet needs neither a cluster nor documents."""

    target: Target | None = None
    documents: Documents | None = None
    limits: Limits = field(default_factory=Limits)
    rules: RuleSettings = field(default_factory=RuleSettings)
    output: Output = field(default_factory=Output)
    config: ConfigFile = None
    from_: Annotated[
        Path | None, parameters.file("Plan from this saved fleet, without calling AWS.", name="--from")
    ] = None
    save: Annotated[Path | None, parameters.file("Save the fleet to this file, for `--from`.")] = None
    form: OutputFormat = "text"

    @property
    def policy(self) -> Policy:
        """The limits and rules that the plan applies."""
        return policy_of(self.limits, self.rules, self.documents)

    def of_run(self) -> RunSettings:
        """The settings of the planned run. Raises UsageError if its cluster or documents are missing."""
        if self.target is None or self.documents is None:
            missing = "cluster" if self.target is None else "check-document, apply-document and reboot-document"
            raise UsageError(f"required without --from: {missing}; as flags, variables or in the --config file")
        return RunSettings(
            target=self.target, documents=self.documents, limits=self.limits, rules=self.rules, output=self.output
        )


NO_PLAN_SETTINGS = PlanSettings()


def plan(*, settings: PlanSettings = NO_PLAN_SETTINGS) -> int:
    """Show what `run` would do, without changing anything."""
    fleet, cluster = _saved(settings.from_) if settings.from_ is not None else _looked_up(settings.of_run())
    if settings.save is not None:
        _save(settings.save, fleet, cluster)
    planned = plan_of(fleet, settings.policy)
    if settings.form == "json":
        text = json.dumps(plan_json(planned, cluster), indent=1) + "\n"
    else:
        text = plan_text(planned, cluster)
    print(text, end="")
    return 0


def look(wired: Wired, policy: Policy) -> Fleet:
    """Look at the cluster and check the hosts, as a run does when it starts.

    Changes nothing. Raises errors from AWS.
    """
    return take_snapshot(wired.ports(DiscardEvents()), policy, launches=wired.launches)


def _looked_up(settings: RunSettings) -> tuple[Fleet, str]:
    wired = wire(settings, os.environ)
    return look(wired, settings.policy), wired.cluster_name


def _saved(path: Path) -> tuple[Fleet, str]:
    from bottlerocket_ecs_updater.engine.store.fleet_file import read_fleet  # noqa: PLC0415 - slow to import

    try:
        return read_fleet(path.read_bytes(), str(path))
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}") from error
    except ValueError as error:
        # The path is not valid.
        raise UsageError(f"{str(path)!r}: {error}") from error


def _save(path: Path, fleet: Fleet, cluster: str) -> None:
    from bottlerocket_ecs_updater.engine.store.fleet_file import write_fleet  # noqa: PLC0415 - slow to import

    try:
        path.write_text(write_fleet(fleet, cluster), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}") from error
