"""The search for earlier commands at the start of a run is limited, however long Systems Manager's history is."""

from __future__ import annotations

from datetime import timedelta

from tests.support.simulated import Updater, instance_id, row

from bottlerocket_ecs_updater.aws.ssm_commands import LONGEST_COMMAND
from bottlerocket_ecs_updater.simulator.aws_basics.calls import Call
from bottlerocket_ecs_updater.simulator.inprocess import InProcessClients
from bottlerocket_ecs_updater.simulator.services.documents import APPLY

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
