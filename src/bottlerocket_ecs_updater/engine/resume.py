"""Loads what earlier runs left in the store, before the first look."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import partial

from bottlerocket_ecs_updater.core.model.ids import ContainerInstanceArn
from bottlerocket_ecs_updater.core.model.location import elsewhere, location_of
from bottlerocket_ecs_updater.core.state.ledger import Ledger
from bottlerocket_ecs_updater.core.state.ledger_upkeep import without_future
from bottlerocket_ecs_updater.engine.look.looker import Looker
from bottlerocket_ecs_updater.engine.run_state import RunState
from bottlerocket_ecs_updater.engine.store.ledger_store import LedgerKeeping
from bottlerocket_ecs_updater.errors import UpdaterError


@dataclass
class ForeignState(UpdaterError):
    """The settings are wrong: the state in the store belongs to another cluster."""


def load_earlier_runs(known: RunState, ledger: LedgerKeeping) -> None:
    """Load what earlier runs left: open claims, backoffs, suspect versions, usual durations."""
    state = without_future(ledger.load(), known.fleet.at)
    known.first_run = state == Ledger()
    known.backoffs = state.backoffs
    known.left = state.left
    known.fleet = replace(known.fleet, attributes_survive=state.attributes_survive)
    known.learn_ledger(state)
    known.expect(state.recorded)
    for id_, record in state.claims.items():
        instance = known.instance(id_)
        progress = replace(instance.progress, health_before=record.health_before)
        known.learn(replace(instance, claim=record.claim, claimed_arn=record.arn, progress=progress))
        known.arns[record.arn] = id_


def after_first_look(known: RunState, looker: Looker, ledger: LedgerKeeping) -> None:
    """Do what follows the first look, and the first look after the lease lapsed. Raises ForeignState."""
    registrations = (one.registration for one in known.instances.values())
    refuse_foreign(ledger.value, (one.arn for one in registrations if one is not None))
    ledger.change(partial(without_future, now=known.fleet.at))
    looker.adopt_commands()


def refuse_foreign(ledger: Ledger, listed: Iterable[ContainerInstanceArn]) -> None:
    """Check that the ledger belongs to the listed cluster. Raises ForeignState.

    Otherwise every claimed instance would seem to have left the cluster, and its claim would be deleted.
    """
    here = [place for arn in listed if (place := location_of(arn)) is not None]
    theirs = elsewhere((one.arn for one in ledger.claims.values()), here)
    if theirs is not None:
        raise ForeignState(
            f"the state in the store belongs to {theirs.words}, but this is {here[0].words}: nothing was changed. "
            "Give each cluster its own state store, or its own prefix"
        )
