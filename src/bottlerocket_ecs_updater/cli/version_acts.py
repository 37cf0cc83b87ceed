"""What `promote`, `block`, `expedite` and their opposites share: they apply to all clusters of a state store.

Each action records who, when and why, and its opposite undoes it. Runs in progress see it within a minute, others when
they start.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from cyclopts import Parameter

from bottlerocket_ecs_updater.cli.acts import Why, act_on
from bottlerocket_ecs_updater.cli.settings import parameters
from bottlerocket_ecs_updater.cli.settings.parameters import Place
from bottlerocket_ecs_updater.cli.settings.settings import ConfigFile
from bottlerocket_ecs_updater.cli.wiring import WiredStore, wire_store
from bottlerocket_ecs_updater.core.model.shared import Act
from bottlerocket_ecs_updater.core.model.version import Version
from bottlerocket_ecs_updater.engine.store.audit_entry import AuditEntry
from bottlerocket_ecs_updater.engine.store.shared_state import Acts, change_acts, with_history
from bottlerocket_ecs_updater.errors import UsageError

VersionWord = Annotated[str, Parameter(help="A version of Bottlerocket, such as 1.26.1.", metavar="VERSION")]
"""What the commands are about."""


@Parameter(name="*", group="State store")
@dataclass(frozen=True, slots=True, kw_only=True)
class StoreSettings:
    """The state store that the clusters share, and why."""

    state: Annotated[
        Place, parameters.place("The state store that the clusters share: s3://BUCKET/PREFIX or a folder.")
    ]
    region: Annotated[
        str | None,
        parameters.text(
            "Region of the bucket. Default: the AWS configuration.",
            r"[a-z]{2,}(-[a-z0-9]+)+",
            "the name of a region, such as eu-central-1",
            "REGION",
        ),
    ] = None
    config: ConfigFile = None

    def wired(self) -> WiredStore:
        """The clients, the clock and the store for such a command."""
        return wire_store(self.state, self.region)


@Parameter(name="*", group="Act")
@dataclass(frozen=True, slots=True, kw_only=True)
class ActSettings:
    """Where, and why."""

    store: StoreSettings
    why: Why = ""


def read_version(word: str) -> Version:
    """Read a version. Raises UsageError if the word is not one."""
    try:
        return Version.parse(word)
    except ValueError as error:
        raise UsageError(f"{word[:60]!r} is not a version; write it as 1.26.1") from error


def act(
    settings: ActSettings,
    verb: str,
    version: Version,
    result: str,
    step: Callable[[Acts, Act], Acts],
    said: Callable[[Act], str],
    there: Callable[[Acts], Act | None] = lambda _: None,
) -> int:
    """Take the action, record who took it and its `result`, and print the effect and what it replaces.

    Raises UpdaterError if the recorded actions cannot be read.
    """
    wired = settings.store.wired()
    made = act_on(wired, settings.store.state, settings.why)
    before: list[Acts] = []

    def change(acts: Acts) -> Acts:
        before[:] = [acts]
        after = step(acts, made)
        instead = f", replacing an earlier one {replaced}" if (replaced := there(acts)) else ""
        entry = AuditEntry(made.at, made.who, verb, str(version), made.why, f"{result}{instead}")
        return after if after == acts else with_history(after, entry)

    after = change_acts(wired.store, change, wired.clock.sleep)
    if after == before[0]:
        print("Nothing to undo; nothing was changed.")
        return 0
    print(said(made))
    if replaced := there(before[0]):
        print(f"This replaces an earlier action: {replaced}.")
    return 0
