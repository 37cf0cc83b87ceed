"""What others do to a host during its update: operators, repository maintainers, the OOM killer."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, assert_never

from bottlerocket_ecs_updater.simulator.faults import (
    ApplyKilled,
    Deed,
    Moment,
    OutOfBand,
    ReleaseAppears,
    ReleaseRetracted,
)
from bottlerocket_ecs_updater.simulator.host.spec import Power
from bottlerocket_ecs_updater.simulator.host.status import UpdateCommand
from bottlerocket_ecs_updater.simulator.repository import Release

if TYPE_CHECKING:
    from bottlerocket_ecs_updater.simulator.host.host import Host
    from bottlerocket_ecs_updater.simulator.host.machine import HostMachine

OutsideAct = OutOfBand | ReleaseAppears | ReleaseRetracted
OPERATOR_WAITS = timedelta(minutes=30)


class OutsideActors:
    """The outside actors of one host. Each acts once: at a time, or at a moment of the host's update."""

    def __init__(self, host: Host, machine: HostMachine) -> None:
        self._host = host
        self._machine = machine
        kinds: tuple[type[OutsideAct], ...] = (OutOfBand, ReleaseAppears, ReleaseRetracted)
        self._waiting = [fault for kind in kinds for fault in machine.active_faults.all(kind)]
        self._kills = bool(machine.active_faults.all(ApplyKilled))

    def begin(self) -> None:
        """Schedule the actors that act at a time."""
        for act in [act for act in self._waiting if act.moment is Moment.AT]:
            self._waiting.remove(act)
            self._machine.clock.after(act.at, partial(self._do, act))

    def at(self, moment: Moment) -> None:
        """A moment has come. Actors that wait for it act right after the current event."""
        for act in [act for act in self._waiting if act.moment is moment]:
            self._waiting.remove(act)
            self._machine.clock.after(timedelta(), partial(self._do, act))
        if self._kills and (killed := self._strike(moment)):
            self._machine.clock.after(
                timedelta(),
                partial(self._host.kill_applies, container_restarts=killed.container_restarts),
            )

    def _strike(self, moment: Moment) -> ApplyKilled | None:
        return self._machine.active_faults.strike(ApplyKilled, lambda killed: killed.moment is moment)

    def _do(self, act: OutsideAct) -> None:
        match act:
            case OutOfBand():
                self._operate(act)
            case ReleaseAppears(version):
                release = Release(version, self._machine.variant, self._machine.spec.arch)
                self._machine.repository.publish(release)
            case ReleaseRetracted(version):
                self._machine.repository.retract(version, self._machine.variant, self._machine.spec.arch)
            case _:
                assert_never(act)

    def _operate(self, act: OutOfBand) -> None:
        if self._host.power is not Power.RUNNING:
            return
        match act.deed:
            case Deed.CHECK:
                self._host.request(UpdateCommand.REFRESH)
            case Deed.CANCEL:
                self._host.request(UpdateCommand.DEACTIVATE)
            case Deed.APPLY:
                self._host.execute(["apiclient update apply"], lambda _: None, OPERATOR_WAITS)
            case Deed.REBOOT:
                self._host.reboot("an operator rebooted the host")
            case Deed.LOCK_VERSION:
                self._host.version_lock = act.version
            case _:
                assert_never(act.deed)
