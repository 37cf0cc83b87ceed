"""What a run knows before its first decision: what earlier runs left, in the store and in Systems Manager."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from bottlerocket_ecs_updater.core.errors import UpdaterError
from bottlerocket_ecs_updater.core.fleet import Kind
from bottlerocket_ecs_updater.core.ids import ContainerInstanceArn
from bottlerocket_ecs_updater.core.ledger import Ledger
from bottlerocket_ecs_updater.core.place import elsewhere, place_of
from bottlerocket_ecs_updater.engine.knowledge import Knowledge
from bottlerocket_ecs_updater.engine.ledger import LedgerKeeping
from bottlerocket_ecs_updater.engine.ports import Hosts


@dataclass
class ForeignState(UpdaterError):
    """Ask again differently: what is remembered in the state store is of another cluster."""


def remember(known: Knowledge, ledger: LedgerKeeping) -> None:
    """Take what outlasted earlier runs: open claims, rests, suspect releases."""
    state = ledger.load()
    known.rests = state.rests
    for id_, record in state.claims.items():
        known.learn(replace(known.instance(id_), claim=record.claim))
    known.suspects = state.suspects
    known.past = state.past


def begin_afresh(known: Knowledge, hosts: Hosts, ledger: LedgerKeeping) -> None:
    """What follows the first look, and the first after the right to act had an end. Raises ForeignState."""
    refuse_foreign(ledger.value, known.arns)
    adopt_commands(known, hosts)


def refuse_foreign(ledger: Ledger, listed: Iterable[ContainerInstanceArn]) -> None:
    """See that the ledger is of the cluster that was listed. Raises ForeignState.

    Else every instance that it remembers a claim of has left, as it seems, and the claim would be dropped.
    """
    here = [place for arn in listed if (place := place_of(arn)) is not None]
    theirs = elsewhere((one.arn for one in ledger.claims.values()), here)
    if theirs is not None:
        raise ForeignState(
            f"the state that was read belongs to {theirs.words}, and this is {here[0].words}: nothing was done, and "
            "nothing was changed. Give each cluster a state store, or a prefix in it, of its own"
        )


def adopt_commands(known: Knowledge, hosts: Hosts) -> None:
    """Take note of commands that an earlier run, or somebody else, sent by our documents, and that are under way.

    Whether they have ended is for Systems Manager to say, however long ago they were sent: that is by its clock, and
    whether it agrees with ours is unknown. So their limits count from here, too. What this run sent is known already.
    """
    for id_, flight in hosts.under_way(Kind.APPLY).items():
        if id_ in known.instances and known.instances[id_].flight is None:
            known.learn(replace(known.instances[id_], flight=replace(flight, sent_at=known.at)))
    if all(instance.claim is None for instance in known.instances.values()):
        return
    for id_, flight in hosts.under_way(Kind.REBOOT).items():
        instance = known.instance(id_)
        if instance.claim is not None and instance.reboot_flight is None:
            known.learn(replace(instance, reboot_flight=replace(flight, sent_at=known.at)))
