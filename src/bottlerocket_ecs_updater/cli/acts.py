"""The audit trail of what people do with commands: who did what, when and why."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import Annotated, Protocol, cast

from bottlerocket_ecs_updater.aws.transport.api import Api
from bottlerocket_ecs_updater.aws.transport.operation import Operation
from bottlerocket_ecs_updater.aws.transport.session import Clients
from bottlerocket_ecs_updater.cli.local_user import local_user
from bottlerocket_ecs_updater.cli.settings import parameters
from bottlerocket_ecs_updater.cli.wiring import Wired, WiredStore
from bottlerocket_ecs_updater.core.model.shared import Act
from bottlerocket_ecs_updater.engine.ports import Store
from bottlerocket_ecs_updater.engine.store.audit_entry import AuditEntry
from bottlerocket_ecs_updater.engine.store.shared_state import Acts, change_acts, with_history, with_pause
from bottlerocket_ecs_updater.errors import UpdaterError, UsageError
from bottlerocket_ecs_updater.report.outputs.archive import refresh_index_page


class _Tokens(Protocol):
    """What of a client of Security Token Service is used."""

    def get_caller_identity(self) -> dict[str, str]: ...


_LINE = r"[^\x00-\x1f\x7f]{1,200}"

Why = Annotated[str, parameters.text("Reason, for the audit trail.", _LINE, "a line of at most 200 characters", "TEXT")]
"""The reason for an action; every command that changes something takes it as `--why`."""


def caller(wired: Wired) -> str:
    """The caller: the ARN from AWS, if it can be read, and the user and machine."""
    return caller_of(wired.clients, wired.own_api)


def act_on(wired: WiredStore, state: parameters.Place | None, why: str) -> Act:
    """An action that a person takes now on shared state. For a folder, AWS does not know who it is."""
    who = caller_of(wired.clients, wired.api) if isinstance(state, parameters.StoreBucket) else local_user()
    return Act(who, wired.clock.now(), why)


def caller_of(clients: Clients, api: Api) -> str:
    """The caller of a command that is not about one cluster."""
    try:
        client = cast("_Tokens", clients.in_region("sts", None))
        arn = api.look(Operation.GET_CALLER_IDENTITY, "", client.get_caller_identity)["Arn"]
    except UpdaterError:
        return local_user()
    return f"{arn} ({local_user()})"


def record(wired: Wired, verb: str, about: str, why: str, done: str) -> None:
    """Add an action that was just taken to the audit trail and the index page.

    Never raises UpdaterError: the action was taken. A failed write is a warning on stderr.
    """
    if wired.store is None:
        return
    act = AuditEntry(wired.clock.now(), caller(wired), verb, about, why, done, wired.state)
    try:
        change_acts(wired.store, lambda acts: with_history(acts, act), wired.clock.sleep)
        refresh_index_page(wired.store, wired.state)
    except UpdaterError as error:
        print(f"warning: this could not be added to the audit trail: {error}", file=sys.stderr)


def set_pause(wired: Wired, pause: Act | None, why: str) -> tuple[Store, Act | None]:
    """Pause updates on a cluster, or resume them. Returns the store, and the pause until now.

    Raises what the store raises, and UsageError without a store.
    """
    store, before = wired.store, None
    if store is None:
        raise UsageError("pauses are kept in the state store: give --state")

    def change(acts: Acts) -> Acts:
        nonlocal before
        before = acts.paused.get(wired.state)
        after = with_pause(acts, wired.state, pause)
        return after if after == acts else with_history(after, _entry(wired, before, pause, why))

    change_acts(store, change, wired.clock.sleep)
    with suppress(UpdaterError):
        # The page of the next run shows it too.
        refresh_index_page(store, wired.state)
    return store, before


def _entry(wired: Wired, before: Act | None, pause: Act | None, why: str) -> AuditEntry:
    if pause is None:
        done = f"resumed the updates, which were paused {before}"
        return AuditEntry(wired.clock.now(), caller(wired), "resume", "", why, done, wired.state)
    done = f"paused the updates, replacing the pause {before}" if before else "paused the updates"
    return AuditEntry(pause.at, pause.who, "pause", "", why, done, wired.state)
