"""If ECS lists a service but does not describe it, it is not known whether the service is steady."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, cast

from tests.support.simulated import Updater, row

from bottlerocket_ecs_updater.core.model.event import RunFinished, Settled
from bottlerocket_ecs_updater.core.model.reasons import Hold, Reason
from bottlerocket_ecs_updater.simulator.inprocess import InProcessClients
from bottlerocket_ecs_updater.simulator.world.world import World

MINUTE = timedelta(minutes=1)
OTHER_SERVICES = ("autoscaling", "cloudwatch", "ec2", "ssm")


class Failing:
    """Clients whose descriptions of a service fail during that time."""

    def __init__(self, world: World, name: str, since: datetime, until: datetime) -> None:
        self.inner = InProcessClients(world, caller="run-1")
        self.world, self.name, self.since, self.until = world, name, since, until
        self.ecs = self

    def client(self, service: str) -> Any:
        return self if service == "ecs" else self.inner.client(service)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner if name in OTHER_SERVICES else self.inner.ecs, name)

    def describe_services(self, **request: Any) -> Any:
        reply = self.inner.ecs.describe_services(**request)
        if not self.since <= self.world.clock.now() < self.until:
            return reply
        failed = [shape["serviceArn"] for shape in reply["services"] if shape["serviceName"] == self.name]
        kept = [shape for shape in reply["services"] if shape["serviceArn"] not in failed]
        return {**reply, "services": kept, "failures": [{"arn": arn, "reason": "InternalError"} for arn in failed]}


def run(world: World, since: timedelta, until: timedelta) -> tuple[Updater, RunFinished]:
    now = world.clock.now()
    clients = cast("Any", Failing(world, "web-0", now + since, now + until))
    updater = Updater(world, clients=clients)
    return updater, updater.run()


def test_no_slot_is_free_while_a_service_is_unknown() -> None:
    world = row(2)
    first = run(row(2), -MINUTE, -MINUTE)[0].tape.of(Settled)[0].took
    updater, finished = run(world, MINUTE, 5 * MINUTE)
    assert finished.counts["updated"] == 2
    assert updater.tape.of(Settled)[0].took > first + MINUTE


def test_a_service_that_stays_unknown_holds_its_hosts_and_ends_the_run() -> None:
    world = row(3)
    _, finished = run(world, -MINUTE, 300 * MINUTE)
    reasons = {outcome.reason for outcome in finished.outcomes.values() if isinstance(outcome, Hold)}
    assert (finished.exit_code, reasons) == (0, {Reason.SERVICE_UNKNOWN})
    assert world.findings().most_out_at_once == 0
    assert finished.took < 5 * MINUTE


def test_a_service_that_becomes_unknown_after_a_return_halts_the_run_at_the_settle_limit() -> None:
    world = row(3)
    _, finished = run(world, 2 * MINUTE, 300 * MINUTE)
    assert finished.exit_code == 4
    assert "web-0 (ECS did not describe it: InternalError)" in finished.why
    assert world.findings().stranded == ()
