"""What the stack installed for a cluster: its state store, documents and settings.

The stack writes them as TOML to a Systems Manager parameter that is named after the cluster, so that commands need only
`--cluster`. A run does not read it: it gets its settings from its task definition.
"""

from __future__ import annotations

import sys
import threading
import tomllib
from collections.abc import Iterator
from contextlib import suppress

from bottlerocket_ecs_updater.core.model.location import name_of
from bottlerocket_ecs_updater.errors import Denied, NotFound, UsageError

SETTINGS_FOLDER = "/bottlerocket-ecs-updater/"
SETTINGS_PARAMETER = "settings-parameter"
"""The key that names the parameter with the settings file of the stack."""

TASK_DEFINITION = "task-definition"
"""The key that names the updater's task definition, which only `doctor` looks at."""

NOT_FOR = frozenset({"run", "simulate", "fleet"})
"""Commands that get their settings elsewhere."""


def settings_parameter(cluster: str) -> str:
    """The name of the parameter that the stack writes for a cluster. The cluster is a name or an ARN."""
    return f"{SETTINGS_FOLDER}{name_of(cluster)}"


def read_installed(cluster: str, region: str | None) -> Iterator[tuple[str, str]]:
    """The parameter that the stack wrote for the cluster, and the one with its settings file, as TOML by name.

    The first overrides the second. Empty if no stack wrote one. If AWS denies the call, one line on stderr says so.
    Other errors are raised, because the command itself would fail for the same reason; also if the second one does not
    exist, because a plan without its windows and freezes would be wrong.
    """
    from bottlerocket_ecs_updater import __version__  # noqa: PLC0415 - help and version need no AWS
    from bottlerocket_ecs_updater.aws.transport.api import Api  # noqa: PLC0415
    from bottlerocket_ecs_updater.aws.transport.messages import read_parameter  # noqa: PLC0415
    from bottlerocket_ecs_updater.aws.transport.pace import CallPace, Calls  # noqa: PLC0415
    from bottlerocket_ecs_updater.aws.transport.session import Clients  # noqa: PLC0415
    from bottlerocket_ecs_updater.engine.clock import SystemClock  # noqa: PLC0415

    found: list[tuple[str, str]] = []
    clock = SystemClock(1.0, None, threading.Event())
    clients = Clients(version=__version__, region=region)
    api = Api(clock, CallPace(clock), Calls(), within=clients.within)

    def read(name: str) -> tuple[str, str]:
        return name, read_parameter(lambda: clients.ssm.looking, api, name)

    try:
        with suppress(NotFound):
            found.append(read(settings_parameter(cluster)))
        yield from found
        named = _settings_named_by(found[0][1]) if found else ""
        if named:
            yield read(named)
    except Denied as error:
        with suppress(OSError, ValueError):
            print(f"the settings of the stack were not read: {error}", file=sys.stderr)


def region_in(cluster: str) -> str | None:
    """The Region that the ARN of a cluster names; None for a name."""
    return cluster.split(":")[3] if cluster.startswith("arn:") and cluster.count(":") > 3 else None


def _settings_named_by(text: str) -> str:
    with suppress(tomllib.TOMLDecodeError):
        named = tomllib.loads(text).get(SETTINGS_PARAMETER, "")
        if isinstance(named, str):
            return named
    raise UsageError(f"the parameter that the stack wrote is not readable: {text[:80]!r}")
