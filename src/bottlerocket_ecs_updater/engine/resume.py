"""What a run knows before its first look: what earlier runs left in the store."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import partial

from bottlerocket_ecs_updater.core.model.ids import ContainerInstanceArn
from bottlerocket_ecs_updater.core.model.location import elsewhere, location_of
from bottlerocket_ecs_updater.core.state.ledger import Ledger, without_future
from bottlerocket_ecs_updater.engine.look.looker import Looker
from bottlerocket_ecs_updater.engine.run_state import RunState
from bottlerocket_ecs_updater.engine.store.ledger_store import LedgerKeeping
from bottlerocket_ecs_updater.errors import UpdaterError


@dataclass
class ForeignState(UpdaterError):
    """Ask again differently: what is remembered in the state store is of another cluster."""


def remember(known: RunState, ledger: LedgerKeeping) -> None:
    """Take what outlasted earlier runs: open claims, rests, suspect releases."""
    state = without_future(ledger.load(), known.at)
    known.rests = state.rests
    known.attributes_survive = state.attributes_survive
    for id_, record in state.claims.items():
        known.learn(replace(known.instance(id_), claim=record.claim, claimed_arn=record.arn))
        known.arns[record.arn] = id_
    known.suspects = state.suspects
    known.past = state.past


def begin_afresh(known: RunState, looking: Looker, ledger: LedgerKeeping) -> None:
    """What follows the first look, and the first after the right to act had an end. Raises ForeignState."""
    registrations = (one.registration for one in known.instances.values())
    refuse_foreign(ledger.value, (one.arn for one in registrations if one is not None))
    ledger.change(partial(without_future, now=known.at))
    looking.adopt_commands()


def refuse_foreign(ledger: Ledger, listed: Iterable[ContainerInstanceArn]) -> None:
    """See that the ledger is of the cluster that was listed. Raises ForeignState.

    Else every instance that it remembers a claim of has left, as it seems, and the claim would be dropped.
    """
    here = [place for arn in listed if (place := location_of(arn)) is not None]
    theirs = elsewhere((one.arn for one in ledger.claims.values()), here)
    if theirs is not None:
        raise ForeignState(
            f"the state that was read belongs to {theirs.words}, and this is {here[0].words}: nothing was done, and "
            "nothing was changed. Give each cluster a state store, or a prefix in it, of its own"
        )
