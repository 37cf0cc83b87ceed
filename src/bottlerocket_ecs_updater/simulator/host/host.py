"""One Bottlerocket host: what it runs, what it answers, and how it goes down and comes back."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import TYPE_CHECKING

from .shell import Script
from .spec import HostSpec, Power, ScriptResult

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Sequence

    from bottlerocket_ecs_updater.simulator.clock import Clock
    from bottlerocket_ecs_updater.simulator.repository import Repository


class Host:
    """A host in the world. It is up and connected from the start; all that happens later is on the clock.

    The world hears of what happens through the `on_…` lists, called in order, at the moment it happens.
    """

    def __init__(self, clock: Clock, spec: HostSpec, repository: Repository, chances: random.Random) -> None:
        self.clock = clock
        self.spec = spec
        self.instance_id = spec.instance_id
        self.boots = 1
        self.running = spec.version
        self.power = Power.RUNNING
        self.ssm_agent_up = True
        self.ecs_agent_up = True
        self.on_containers_die: list[Callable[[Host, str], None]] = []
        """Docker stops, in a shutdown or a power cut; the text says why."""
        self.on_ecs_agent: list[Callable[[Host, bool], None]] = []
        """The ECS agent connected (True) or went away (False)."""
        self.on_ssm_agent: list[Callable[[Host, bool], None]] = []
        """The SSM agent pinged (True) or went away (False)."""
        self.on_boot: list[Callable[[Host], None]] = []
        """An operating system is up; `running` and `boot_id` are those of this boot."""
        self._repository = repository
        self._chances = chances
        self.boot_id = self._new_boot_id()

    def execute(
        self, lines: Sequence[str], finished: Callable[[ScriptResult], None], timeout: timedelta
    ) -> Script:
        """Run shell lines; `finished` is called once, later. After `timeout` the script is killed (137)."""
        script = Script(finished)
        self.clock.after(timedelta(seconds=1), lambda: script._end(ScriptResult(0)))
        return script

    def reboot(self, reason: str) -> None:
        """Reboot it from outside, as an operator or EC2 does; it helps where the host hangs."""
        self.power = Power.SHUTTING_DOWN
        self.clock.after(self.spec.timing.shutdown, lambda: self._down(reason))

    def terminate(self) -> None:
        """End it for good."""
        self._go_dark("terminated")
        self.power = Power.TERMINATED

    def _down(self, reason: str) -> None:
        self._go_dark(reason)
        self.power = Power.BOOTING
        self.clock.after(self.spec.timing.boot, self._up)

    def _go_dark(self, reason: str) -> None:
        for died in self.on_containers_die:
            died(self, reason)
        self._set_ecs(up=False)
        self._set_ssm(up=False)

    def _up(self) -> None:
        self.boots += 1
        self.boot_id = self._new_boot_id()
        self.power = Power.RUNNING
        for booted in self.on_boot:
            booted(self)
        self.clock.after(self.spec.timing.ssm_agent_start, lambda: self._set_ssm(up=True))
        self.clock.after(self.spec.timing.ecs_agent_start, lambda: self._set_ecs(up=True))

    def _set_ecs(self, *, up: bool) -> None:
        self.ecs_agent_up = up
        for heard in self.on_ecs_agent:
            heard(self, up)

    def _set_ssm(self, *, up: bool) -> None:
        self.ssm_agent_up = up
        for heard in self.on_ssm_agent:
            heard(self, up)

    def _new_boot_id(self) -> str:
        return str(uuid.UUID(int=self._chances.getrandbits(128), version=4))
