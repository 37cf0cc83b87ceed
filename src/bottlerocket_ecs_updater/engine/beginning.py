"""What a run knows before its first look: what earlier runs left in the store."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from bottlerocket_ecs_updater.core.ledger import without_future
from bottlerocket_ecs_updater.engine.knowledge import Knowledge
from bottlerocket_ecs_updater.engine.ledger import LedgerKeeping


def remember(known: Knowledge, ledger: LedgerKeeping) -> None:
    """Take what outlasted earlier runs: open claims, rests, suspect releases."""
    ledger.load()
    state = ledger.change(partial(without_future, now=known.at))
    known.rests = state.rests
    known.attributes_survive = state.attributes_survive
    for id_, record in state.claims.items():
        known.learn(replace(known.instance(id_), claim=record.claim, claimed_arn=record.arn))
        known.arns[record.arn] = id_
    known.suspects = state.suspects
    known.past = state.past
