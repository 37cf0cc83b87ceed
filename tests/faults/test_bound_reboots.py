"""Reboot documents that do not check what they should, and endpoints that accept parameters that no document has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
from tests.support.simulated import NEW, Updater, instance_id, row

from bottlerocket_ecs_updater.core.model.document_steps import PLAIN_REBOOT, REBOOT_STEPS
from bottlerocket_ecs_updater.core.model.event import RuleOff
from bottlerocket_ecs_updater.simulator.faults import RebootEnding, RebootEnds
from bottlerocket_ecs_updater.simulator.inprocess import InProcessClients
from bottlerocket_ecs_updater.simulator.services.documents import (
    GUARD,
    REBOOT,
    shell_document,
)
from bottlerocket_ecs_updater.simulator.ssm import service
from bottlerocket_ecs_updater.simulator.ssm.documents import Plugin, read_plugin
from bottlerocket_ecs_updater.simulator.world.api_faults import denying
from bottlerocket_ecs_updater.simulator.world.world import World

AGAIN = {0: (RebootEnds(RebootEnding.RUN_AGAIN),)}
BOTH = {instance_id(0): NEW, instance_id(1): NEW}


def plain(world: World) -> World:
    world.documents.add(REBOOT, shell_document("Reboot", PLAIN_REBOOT, 60))
    return world


def reboots_sent(world: World) -> list[bool]:
    """For each reboot command, whether it had parameters."""
    ssm = InProcessClients(world, caller="a test").ssm
    shapes = ssm.list_commands(Filters=[{"key": "DocumentName", "value": REBOOT}])["Commands"]
    return [bool(shape["Parameters"]) for shape in sorted(shapes, key=lambda shape: shape["RequestedDateTime"])]


def test_an_endpoint_that_accepts_any_parameter_makes_no_plain_document_a_bound_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def lax(content: str, given: Mapping[str, Sequence[str]]) -> Plugin:
        return read_plugin(content, {} if "{{" not in content else given)

    monkeypatch.setattr(service, "read_plugin", lax)
    world = plain(row(2, faults=AGAIN))
    assert Updater(world).run().counts["updated"] == 2
    assert reboots_sent(world) == [False, False]
    found = world.findings()
    assert (found.clean, found.versions, found.boots[instance_id(0)]) == (True, BOTH, 2)


def test_a_document_that_may_not_be_described_is_used_as_it_is() -> None:
    world = row(2, faults=AGAIN)
    world.authorize = denying("ssm:DescribeDocument")
    assert Updater(world).run().counts["updated"] == 2
    assert reboots_sent(world) == [False, False]
    assert world.findings().clean


def test_a_host_that_the_document_refuses_wrongly_is_rebooted_after_a_check() -> None:
    """Another format of the status, for example: otherwise one wrong expression would stop all updates."""
    wrong = tuple(line.replace('"update_state":"Ready"', '"updateState":"Ready"') for line in REBOOT_STEPS)
    world = row(2)
    world.documents.add(REBOOT, shell_document("Reboot", wrong, 60, GUARD))
    updater = Updater(world)
    assert updater.run().counts["updated"] == 2
    assert reboots_sent(world) == [True, False, True, False]
    [first, _] = updater.tape.of(RuleOff)
    assert (instance_id(0) in first.rule or instance_id(1) in first.rule, "no longer boot" in first.why) == (True, True)
    found = world.findings()
    assert (found.clean, found.versions, set(found.boots.values())) == (True, BOTH, {1})
