"""AWS neither accepts nor denies a call, again and again: every run stops waiting at some point."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.support.simulated import Updater, row

from bottlerocket_ecs_updater.core.model.claim import CLAIM_ATTRIBUTE
from bottlerocket_ecs_updater.core.rules.policy import Policy
from bottlerocket_ecs_updater.simulator.aws_basics.calls import Call
from bottlerocket_ecs_updater.simulator.aws_basics.errors import AwsError
from bottlerocket_ecs_updater.simulator.world.world import World

ANSWERS = ["InvalidParameterException", "ThrottlingException", "ServerException"]


def returns(call: Call) -> bool:
    return call.action == "ecs:UpdateContainerInstancesState" and call.params["status"] == "ACTIVE"


def marks_for_reboot(call: Call) -> bool:
    return call.action == "ecs:PutAttributes" and any("rebooting" in one["value"] for one in call.params["attributes"])


def drops_claims(call: Call) -> bool:
    return call.action == "ecs:DeleteAttributes" and call.params["attributes"][0]["name"] == CLAIM_ATTRIBUTE


def checks(call: Call) -> bool:
    return call.action == "ssm:SendCommand" and "check" in call.params["DocumentName"].lower()


def refuse(world: World, which: object, code: str) -> None:
    started_at = world.clock.now()

    def authorize(call: Call) -> None:
        assert world.clock.now() < started_at + timedelta(hours=2), "the run has no end"
        if which(call):  # type: ignore[operator]
            raise AwsError(code, "for no good reason")

    world.authorize = authorize


@pytest.mark.parametrize("code", ANSWERS)
@pytest.mark.parametrize("which", [returns, marks_for_reboot])
def test_a_run_ends_with_an_error_and_the_next_one_updates_all(which: object, code: str) -> None:
    world = row(2)
    refuse(world, which, code)
    finished = Updater(world).run()
    assert finished.exit_code == 1
    assert "AWS did not accept any call" in finished.why
    world.authorize = lambda _: None
    assert Updater(world, Policy(), "run-2").run().exit_code == 0
    assert world.findings().stranded == ()


@pytest.mark.parametrize("code", ANSWERS)
def test_a_host_is_returned_to_service_that_cannot_be_claimed_for_its_reboot(code: str) -> None:
    world = row(2)
    refuse(world, marks_for_reboot, code)
    Updater(world).run()
    assert world.findings().stranded == ()


@pytest.mark.parametrize(
    ("which", "code"),
    [(drops_claims, "ThrottlingException"), (drops_claims, "ServerException"), (checks, "ThrottlingException")],
)
def test_a_call_that_affects_no_instance_ends_a_run_too(which: object, code: str) -> None:
    world = row(2)
    refuse(world, which, code)
    assert Updater(world).run().exit_code == 1
    assert world.findings().stranded == ()
