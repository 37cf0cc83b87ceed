"""What a run knows before its first decision: what earlier runs left, in the store and in Systems Manager."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from bottlerocket_ecs_updater.core.fleet import Kind
from bottlerocket_ecs_updater.core.ledger import without_future
from bottlerocket_ecs_updater.engine.knowledge import Knowledge
from bottlerocket_ecs_updater.engine.ledger import LedgerKeeping
from bottlerocket_ecs_updater.engine.ports import Hosts


def remember(known: Knowledge, ledger: LedgerKeeping) -> None:
    """Take what outlasted earlier runs: open claims, rests, suspect releases."""
    ledger.load()
    state = ledger.change(partial(without_future, now=known.at))
    known.rests = state.rests
    for id_, record in state.claims.items():
        known.learn(replace(known.instance(id_), claim=record.claim))
    known.suspects = state.suspects
    known.past = state.past


def adopt_commands(known: Knowledge, hosts: Hosts) -> None:
    """Take note of commands that an earlier run, or somebody else, sent by our documents, and that are under way.

    Whether they have ended is for Systems Manager to say, however long ago they were sent: that is by its clock, and
    whether it agrees with ours is unknown. So their limits count from here, too.
    """
    for id_, flight in hosts.under_way(Kind.APPLY).items():
        if id_ in known.instances:
            known.learn(replace(known.instances[id_], flight=replace(flight, sent_at=known.at)))
    if all(instance.claim is None for instance in known.instances.values()):
        return
    for id_, flight in hosts.under_way(Kind.REBOOT).items():
        instance = known.instance(id_)
        if instance.claim is not None:
            known.learn(replace(instance, reboot_flight=replace(flight, sent_at=known.at)))
