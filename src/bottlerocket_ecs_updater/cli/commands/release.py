"""`release`: return a quarantined instance, clear its backoff, mark a version as good, or forget a blocked drain."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated

from cyclopts import Parameter

from bottlerocket_ecs_updater.cli.acts import Why, record
from bottlerocket_ecs_updater.cli.printing import print_line
from bottlerocket_ecs_updater.cli.settings import parameters
from bottlerocket_ecs_updater.cli.settings.settings import ConfigFile, Target
from bottlerocket_ecs_updater.cli.wiring import Wired, wire_read_only
from bottlerocket_ecs_updater.core.model.container_instance import FAMILY_GROUP, SERVICE_GROUP
from bottlerocket_ecs_updater.core.model.ids import InstanceId
from bottlerocket_ecs_updater.core.model.version import Version
from bottlerocket_ecs_updater.engine.lease.lease_note import LONGEST_TERM
from bottlerocket_ecs_updater.engine.lease.run_lease import HeldBy
from bottlerocket_ecs_updater.engine.manual_release import (
    ManualRelease,
    consider_instance,
    consider_tasks,
    consider_version,
    perform,
)
from bottlerocket_ecs_updater.errors import UpdaterError, UsageError


@Parameter(name="*", group="Release")
@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseSettings:
    """What to release, and where."""

    target: Target
    config: ConfigFile = None
    why: Why = ""
    yes: Annotated[bool, parameters.switch("Do not ask for confirmation.", "y")] = False
    lease: Annotated[
        timedelta,
        parameters.duration("If the command does not renew its lease for this long, it loses it.", most=LONGEST_TERM),
    ] = timedelta(seconds=60)


def release(
    what: Annotated[
        str,
        Parameter(help="An EC2 instance id, a version of Bottlerocket, or tasks, as in service:web.", metavar="WHAT"),
    ],
    /,
    *,
    settings: ReleaseSettings,
) -> int:
    """Return a quarantined instance, clear its backoff, mark a version as good, or forget that tasks blocked a drain.

    Shows what it would do, and asks for confirmation. If that has changed by the time you confirm, it does nothing.
    """
    wired = wire_read_only(settings.target, os.environ, settings.lease)
    planned = _consider(what, wired)
    steps = planned.steps()
    if not steps:
        print_line(f"{what} is not quarantined, backing off, suspect or blocking: there is nothing to release.")
        return 0
    print_line("This would:")
    for step in steps:
        print_line(f"  {step}")
    if not settings.yes and not _agreed():
        print_line("Nothing was changed.")
        return 0
    return _perform(planned, wired, what, settings.why)


def _consider(what: str, wired: Wired) -> ManualRelease:
    if what.startswith(("i-", "mi-")):
        return consider_instance(InstanceId(what), wired.cluster, wired.ledger, wired.survey)
    if wired.store is None:
        raise UsageError("failed versions and blocked drains are recorded in the state store: give --state")
    if what in wired.ledger.load().blockers or what.startswith((SERVICE_GROUP, FAMILY_GROUP)):
        return consider_tasks(what, wired.ledger)
    try:
        version = Version.parse(what)
    except ValueError as error:
        raise UsageError(f"{what!r} is neither an EC2 instance id, a version, nor tasks (as in service:web)") from error
    return consider_version(version, wired.ledger)


def _agreed() -> bool:
    if not sys.stdin.isatty():
        raise UsageError("cannot ask for confirmation without a terminal: give --yes")
    try:
        return input("Do it? [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        return False


def _perform(planned: ManualRelease, wired: Wired, what: str, why: str) -> int:
    answer = wired.lease.acquire()
    if isinstance(answer, HeldBy):
        raise UpdaterError(f"run {answer.holder} holds the lease of this cluster; try again when it has ended")
    try:
        wired.api.before_call = lambda acting: wired.lease.check_before_act() if acting else None
        wired.ledger.ask_first(wired.lease.check_before_act)
        perform(planned, wired.cluster, wired.ledger, wired.clock, wired.survey)
    finally:
        wired.lease.release()
    record(wired, "release", what, why, "; ".join(planned.steps()))
    print_line("Done.")
    return 0
