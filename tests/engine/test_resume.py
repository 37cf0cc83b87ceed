"""What a run takes over from earlier ones: their claims, and commands within a limit. Never those of other clusters."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta

from tests.support.memory_store import MemoryStore
from tests.support.simulated import NEW, Tape, Updater, instance_id, row

from bottlerocket_ecs_updater.aws.ssm_commands import LONGEST_COMMAND
from bottlerocket_ecs_updater.core.model.event import CommandSent, Event
from bottlerocket_ecs_updater.core.model.ids import RunId
from bottlerocket_ecs_updater.core.model.location import Location
from bottlerocket_ecs_updater.core.model.outcome import RunOutcome
from bottlerocket_ecs_updater.core.model.run_command import DocumentKind
from bottlerocket_ecs_updater.engine.store.ledger_store import KeptLedger, ledger_key
from bottlerocket_ecs_updater.simulator.aws_basics.calls import Call
from bottlerocket_ecs_updater.simulator.ecs import EcsTiming
from bottlerocket_ecs_updater.simulator.inprocess import InProcessClients
from bottlerocket_ecs_updater.simulator.services.documents import APPLY
from bottlerocket_ecs_updater.simulator.world.api_faults import KilledError
from bottlerocket_ecs_updater.simulator.world.world import World

HOUR = timedelta(hours=1)
LISTED_AT_ONCE = 50


def test_commands_of_dead_runs_are_looked_for_as_far_back_as_one_may_be_in_progress() -> None:
    world = row(2)
    clients = InProcessClients(world, caller="earlier runs")
    for _ in range(4 * LISTED_AT_ONCE):
        clients.ssm.send_command(DocumentName=APPLY, InstanceIds=[instance_id(0)])
    world.clock.sleep(LONGEST_COMMAND + HOUR)
    clients.ssm.send_command(DocumentName=APPLY, InstanceIds=[instance_id(1)])
    world.clock.sleep(HOUR)
    listed: list[Call] = []

    def authorize(call: Call) -> None:
        if call.operation == "ListCommands":
            listed.append(call)

    world.authorize = authorize
    assert Updater(world).run().counts["updated"] == 2
    assert len(listed) == 2


class DiesAtReboot(Tape):
    def record(self, event: Event) -> None:
        super().record(event)
        if isinstance(event, CommandSent) and event.kind is DocumentKind.REBOOT:
            raise KilledError("dead")


def dies(world: World, store: MemoryStore, state: str) -> None:
    """A run that dies right after its first reboot command."""
    with suppress(KilledError):
        Updater(world, name="run-0", ledger=KeptLedger(store, state, RunId("run-0")), tape=DiesAtReboot()).run()
    world.clock.sleep(timedelta(minutes=10))


def place(world: World) -> str:
    return str(Location(world.names.account, world.names.region, "demo"))


def test_two_clusters_of_one_name_in_two_accounts_share_a_store_and_nothing_else() -> None:
    store = MemoryStore()
    # Only the ledger has the claim: here attributes do not survive a boot.
    west = row(2, services=1, tasks=1, ecs_timing=EcsTiming(attributes_survive=False))
    east = row(2, seed=7, services=1, tasks=1)
    dies(west, store, place(west))
    for world, name in ((east, "east-1"), (west, "west-1"), (east, "east-2")):
        ledger = KeptLedger(store, place(world), RunId(name))
        assert Updater(world, name=name, ledger=ledger).run().exit_code == 0
    for world in (west, east):
        seen = world.findings()
        assert (seen.stranded, seen.violations, set(seen.versions.values())) == ((), (), {NEW})


def test_a_ledger_with_claims_of_another_cluster_is_neither_used_nor_changed() -> None:
    store = MemoryStore()
    west = row(2, services=1, tasks=1, ecs_timing=EcsTiming(attributes_survive=False))
    east = row(2, seed=7, services=1, tasks=1)
    dies(west, store, "demo")
    before = store.get(ledger_key("demo"))
    finished = Updater(east, name="east-1", ledger=KeptLedger(store, "demo", RunId("east-1"))).run()
    assert (finished.outcome, finished.exit_code) == (RunOutcome.ERROR, 1)
    assert west.names.account in finished.why
    assert east.names.account in finished.why
    assert store.get(ledger_key("demo")) == before
    assert east.findings().most_out_at_once == 0
    finished = Updater(west, name="west-1", ledger=KeptLedger(store, "demo", RunId("west-1"))).run()
    assert finished.counts["updated"] == 2
    assert west.findings().stranded == ()
