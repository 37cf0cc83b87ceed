"""What a person did, for the audit trail: who it was, and the line in the state store."""

from __future__ import annotations

import sys
from typing import Annotated, Protocol, cast

from bottlerocket_ecs_updater.aws.transport.api import Api
from bottlerocket_ecs_updater.aws.transport.operation import Operation
from bottlerocket_ecs_updater.aws.transport.session import Clients
from bottlerocket_ecs_updater.cli.settings import parameters as kinds
from bottlerocket_ecs_updater.cli.whoever import whoever
from bottlerocket_ecs_updater.cli.wiring import Wired
from bottlerocket_ecs_updater.engine.store.audit import Act, note_act
from bottlerocket_ecs_updater.errors import UpdaterError
from bottlerocket_ecs_updater.report.outputs.archive import refresh_index_page


class _Tokens(Protocol):
    """What of a client of Security Token Service is used."""

    def get_caller_identity(self) -> dict[str, str]: ...


_LINE = r"[^\x00-\x1f\x7f]{1,200}"

Why = Annotated[str, kinds.text("Reason, for the audit trail.", _LINE, "a line of at most 200 characters", "TEXT")]
"""The reason that a person gives with an act; every command that acts takes it as `--why`."""


def caller(wired: Wired) -> str:
    """Who calls: the ARN that AWS knows them by, and the user and machine; as much of it as can be found out."""
    return caller_of(wired.clients, wired.own_api)


def caller_of(clients: Clients, api: Api) -> str:
    """The same, for a command that is about no cluster."""
    try:
        client = cast("_Tokens", clients.in_region("sts", None))
        arn = api.look(Operation.GET_CALLER_IDENTITY, "", client.get_caller_identity)["Arn"]
    except UpdaterError:
        return whoever()
    return f"{arn} ({whoever()})"


def record(wired: Wired, verb: str, about: str, why: str, done: str, who: str = "") -> None:
    """Put an act that was just done into the audit trail, and on the index page.

    `who` is for a caller who has asked already. Never raises: what was done is done, and a trail that could not be
    written is said on stderr.
    """
    if wired.store is None:
        return
    act = Act(wired.clock.now(), who or caller(wired), verb, about, why, done)
    try:
        note_act(wired.store, wired.state, act)
        refresh_index_page(wired.store, wired.state)
    except UpdaterError as error:
        print(f"warning: this could not be added to the audit trail: {error}", file=sys.stderr)  # noqa: T201 - to a person
