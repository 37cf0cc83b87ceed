"""An AWS account on loopback: a world with its HTTP interface, stacks, enforced permissions and schedules."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from tests.account.cloudformation import CloudFormation, HttpCloud, door
from tests.account.iam import Gate, moto_gate, moto_policies
from tests.account.iam.moto_callers import MotoCallers
from tests.account.iam.moto_facts import MotoFacts
from tests.account.schedule import moto_events
from tests.account.schedule.containers import Containers, Entrypoint
from tests.account.schedule.endpoint import TaskEndpoint
from tests.account.schedule.firing import Schedules
from tests.account.schedule.roles import Roles
from tests.account.schedule.states import States, StatesCloud

from bottlerocket_ecs_updater.simulator.aws_basics.calls import Call
from bottlerocket_ecs_updater.simulator.wire import OPERATOR_KEY, Wire

if TYPE_CHECKING:
    from bottlerocket_ecs_updater.simulator.clock import ScaledClock
    from bottlerocket_ecs_updater.simulator.world.world import World


class SimulatedAccount:
    """Everything that a deployed stack needs.

    A context manager: starts and stops all of it, including the world's clock.
    """

    def __init__(
        self,
        world: World,
        clock: ScaledClock,
        entrypoint: Entrypoint,
        environment: Mapping[str, str] | None = None,
        *,
        limits_speed: float | None = None,
    ) -> None:
        self.world = world
        self._clock = clock
        self._wire = Wire(world)
        endpoint = self._wire.start()
        self._port = int(urlsplit(endpoint).port or 0)
        self.operator = HttpCloud(endpoint, world.names.region, OPERATOR_KEY)
        """Every service, called by a person who may do everything."""
        moto_policies.install(world.names)
        self.callers = MotoCallers(world.names)
        self.facts = MotoFacts(world.names)
        self.gate = Gate(self.callers, self.facts)
        self._tasks = TaskEndpoint()
        self.roles = Roles(endpoint, world.names, self.callers, self.gate, self.operator)
        self.stacks = CloudFormation(world.names, StatesCloud(self.operator, self.roles), clock.now)
        self.states = States(self.roles, clock.speed, limits_speed)
        self.schedules = Schedules(clock, self.roles)
        variables = {**_where(self._wire), **world_time(clock), **(environment or {})}
        self.containers = Containers(world, self.roles, self._tasks, entrypoint, variables)

    def __enter__(self) -> SimulatedAccount:
        door.install(self._port, self.stacks)
        moto_gate.install(self._port, self.gate, self._write_down)
        moto_events.install(self.world.names.account, self.schedules.heard)
        self.world.authorize = self.gate.authorize
        self._clock.start()
        self._tasks.start()
        self.containers.start()
        self.states.start()
        self.schedules.start()
        return self

    def __exit__(self, *_: object) -> None:
        # Stop the clock first: that ends all sleeps.
        self._clock.stop()
        self.schedules.stop()
        self.containers.stop()
        self.states.stop()
        self._tasks.stop()
        moto_events.uninstall(self.world.names.account)
        moto_gate.uninstall(self._port)
        door.uninstall(self._port)
        self._forget()
        self._wire.stop()

    def _forget(self) -> None:
        """moto's records are shared in the process, so the next account would find leftovers."""
        with urlopen(Request(f"{self._wire.endpoint}/moto-api/reset", method="POST"), timeout=10):
            pass

    def environment(self) -> dict[str, str]:
        """The environment variables for any AWS client."""
        return self._wire.environment(OPERATOR_KEY)

    def _write_down(self, service: str, operation: str, params: dict[str, Any], caller: str) -> Call:
        return Call(0, self._clock.now(), service, operation, params, caller)


def _where(wire: Wire) -> dict[str, str]:
    """The services' address, without credentials."""
    return {name: value for name, value in wire.environment().items() if "KEY" not in name}


def world_time(clock: ScaledClock) -> dict[str, str]:
    """The settings that put a process on the world's time: its speed, and when both clocks agreed."""
    if clock.speed == 1:
        return {}
    real = datetime.now(UTC)  # noqa: TID251 - the other of the two clocks
    agreed = real - (clock.now() - real) / (clock.speed - 1)
    return {
        "BOTTLEROCKET_ECS_UPDATER_TIME_SCALE": str(clock.speed),
        "BOTTLEROCKET_ECS_UPDATER_TIME_ORIGIN": agreed.isoformat(),
    }
