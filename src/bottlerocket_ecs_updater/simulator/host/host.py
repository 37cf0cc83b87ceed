"""One Bottlerocket host: what it runs, how it answers, and how it shuts down and boots."""

from __future__ import annotations

import uuid
import zlib
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from bottlerocket_ecs_updater.simulator.faults import (
    BootHangs,
    ControlContainerMissing,
    DockerDead,
    EcsAgentLate,
    EcsAgentTerminal,
    GrubFails,
    OutOfReach,
    RebootDelayed,
    RebootEnding,
    RebootEnds,
    RebootIgnored,
    RebootRefused,
    RollsBack,
    SsmUnreachable,
    Step,
)
from bottlerocket_ecs_updater.simulator.host import initial_state as leftovers
from bottlerocket_ecs_updater.simulator.host import shell
from bottlerocket_ecs_updater.simulator.host.apiclient import HostApi
from bottlerocket_ecs_updater.simulator.host.dispatcher import UpdateDispatcher
from bottlerocket_ecs_updater.simulator.host.health import HostHealth
from bottlerocket_ecs_updater.simulator.host.machine import HostMachine
from bottlerocket_ecs_updater.simulator.host.outside_actors import OutsideActors
from bottlerocket_ecs_updater.simulator.host.script import Script
from bottlerocket_ecs_updater.simulator.host.spec import Power
from bottlerocket_ecs_updater.simulator.repository import parse_version

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Sequence

    from bottlerocket_ecs_updater.simulator.clock import Timer, WorldClock
    from bottlerocket_ecs_updater.simulator.host.active_faults import ActiveFaults
    from bottlerocket_ecs_updater.simulator.host.dispatcher import ApiReply
    from bottlerocket_ecs_updater.simulator.host.partitions import Partitions
    from bottlerocket_ecs_updater.simulator.host.spec import HostSpec, ScriptResult
    from bottlerocket_ecs_updater.simulator.host.status import UpdateCommand, UpdateStatus
    from bottlerocket_ecs_updater.simulator.repository import Repository

SERVICES_STOP = timedelta(seconds=1)
"""From the start of a shutdown until Docker, the agents and everything they run have stopped."""
GRUB_GIVES_UP = timedelta(seconds=30)
"""How long GRUB shows that it cannot load a partition set before it restarts the machine."""
CONTAINER_RESTART = timedelta(seconds=45)
"""`RestartSec` of host containers: the time until an exited control container is restarted."""
INHIBITED = (
    'Operation inhibited by "bootstrap-containers@setup" (PID 1042 "bootstrap"), '
    'reason is "bootstrap container is running".'
)


class Host:
    """A host in the world. It is up and connected from the start; everything later is driven by the clock.

    The `on_…` lists are called in order, at the moment when something happens.
    """

    def __init__(self, clock: WorldClock, spec: HostSpec, repository: Repository, chances: random.Random) -> None:
        self.clock = clock
        self.spec = spec
        self.instance_id = spec.instance_id
        self.boots = 1
        """Number of boots, including the one before the simulation started."""
        self.power = Power.RUNNING
        self.started_at = clock.now()
        """When it was last started in EC2. A reboot does not count."""
        self.on_containers_die: list[Callable[[Host, str], None]] = []
        """Docker stops, in a shutdown or a power failure; the text says why."""
        self.on_ecs_agent: list[Callable[[Host, bool], None]] = []
        """The ECS agent connected (True) or disconnected (False)."""
        self.on_ssm_agent: list[Callable[[Host, bool], None]] = []
        """The SSM agent pinged (True) or disconnected (False)."""
        self.on_boot: list[Callable[[Host], None]] = []
        """The host has booted; `running` and `boot_id` are those of this boot."""
        self.on_step: list[Callable[[Host, Step], None]] = []
        """A check, an apply, a reboot or a boot starts: the steps that are visible on a host."""
        self.on_terminate: list[Callable[[Host], None]] = []
        """The instance is terminated."""
        self._machine = HostMachine(clock, spec, repository, chances)
        self.health = HostHealth(self._machine)
        self._outside_actors = OutsideActors(self, self._machine)
        self._dispatcher = UpdateDispatcher(self._machine, self._outside_actors.at)
        self._dispatcher.status = leftovers.prepare_disk(self._machine)
        self._scripts: list[Script] = []
        self._life: list[Timer] = []
        self._delayed_reboot: Timer | None = None
        self.boot_id = self._new_boot_id()
        self.ssm_agent_up = self.active_faults.active(SsmUnreachable) is None
        self.ecs_agent_up = True
        self._ecs_agent_ended = False
        self._plan_unreachable()
        self._outside_actors.begin()

    @property
    def running(self) -> str:
        """The version that the host runs, or is booting."""
        return self._machine.running

    @property
    def variant(self) -> str:
        """The variant of its image, which a fault may have changed from the spec's."""
        return self._machine.variant

    @property
    def active_faults(self) -> ActiveFaults:
        """Its faults, for the services that implement them."""
        return self._machine.active_faults

    @property
    def partitions(self) -> Partitions:
        """Its disk, read-only."""
        return self._machine.partitions

    @property
    def update_status(self) -> UpdateStatus | None:
        """The status of thar-be-updates, read-only; None until its first command after a boot."""
        return self._dispatcher.status

    @property
    def going_down(self) -> bool:
        """Whether it is down, or has accepted a reboot that is delayed."""
        held_up = self._delayed_reboot is not None and self._delayed_reboot.pending
        return held_up or self.power is not Power.RUNNING

    def offered(self) -> set[str]:
        """The versions that its update repository lists for it now."""
        return set(self._machine.offer().available)

    @property
    def version_lock(self) -> str:
        """`settings.updates.version-lock`, as an operator on the host would set it."""
        return self._machine.settings.version_lock

    @version_lock.setter
    def version_lock(self, version: str) -> None:
        self._machine.settings.version_lock = version

    @property
    def managed(self) -> bool:
        """Whether it is registered in SSM."""
        never = OutOfReach.NEVER_REGISTERED
        return not self.spec.managed_by and not any(
            fault.kind is never for fault in self.active_faults.all(SsmUnreachable)
        )

    @property
    def node_id(self) -> str:
        """Its id in Systems Manager."""
        return self.spec.node_id or self.instance_id

    @property
    def address(self) -> str:
        """Its private IPv4 address, derived from its id."""
        number = zlib.crc32(self.instance_id.encode())
        with suppress(ValueError):
            number = int(self.instance_id[-6:], 16)
        return f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"

    @property
    def platform(self) -> tuple[str, str]:
        """The operating system's name and version as the SSM agent reports them."""
        # Before 1.7.0 the agent read the control container's os-release, not the host's.
        if parse_version(self.running) < parse_version("1.7.0"):
            return "Amazon Linux", "2"
        return "Bottlerocket", self.running

    def execute(self, lines: Sequence[str], finished: Callable[[ScriptResult], None], timeout: timedelta) -> Script:
        """Run shell lines; `finished` is called once, later. After `timeout` the script is killed (137).

        Work that the script started on the host continues after it is killed. If the host goes down, the script ends
        with 143 and `cut` set. Raises RuntimeError if the host is not running.
        """
        if self.power not in {Power.RUNNING, Power.SHUTTING_DOWN}:
            raise RuntimeError(f"{self.instance_id} is {self.power}: nothing can be run on it")

        def ended(script: Script, result: ScriptResult) -> None:
            self._scripts.remove(script)
            finished(result)

        api = HostApi(self._machine, self._dispatcher, self._outside_actors.at, self._announce, self._ask_for_reboot)
        program = partial(shell.run_script, api, self.boot_id, tuple(lines))
        script = Script(self.clock, tuple(lines), program, timeout, ended)
        self._scripts.append(script)
        return script

    def request(self, command: UpdateCommand) -> ApiReply:
        """Send a request to the update dispatcher, as an operator on the host would. Returns the immediate answer."""
        return self._dispatcher.request(command)

    def kill_applies(self, *, container_restarts: bool) -> None:
        """Kill every script that runs an apply, optionally with the whole control container."""
        applies = [each for each in self._scripts if any("update apply" in line for line in each.lines)]
        if applies and container_restarts and self.ssm_agent_up:
            self._set_ssm(up=False)
            self._later(CONTAINER_RESTART, partial(self._set_ssm, up=True))
        for script in applies:
            if container_restarts:
                script.cut(RebootEnding.WORKER_TIMED_OUT)
            else:
                script.kill()

    def reboot(self, reason: str) -> None:
        """Reboot it from outside, as an operator or EC2 does. This also works if the host hangs."""
        match self.power:
            case Power.RUNNING:
                self._shut_down(reason)
            case Power.BOOTING | Power.HUNG:
                self._cancel_life()
                self.power = Power.SHUTTING_DOWN
                self._later(self.spec.timing.shutdown, self._power_on)
            case Power.SHUTTING_DOWN | Power.STOPPED | Power.TERMINATED:
                pass

    def stop(self) -> None:
        """Stop the EC2 instance; does nothing if it is not running."""
        if self.power in {Power.STOPPED, Power.TERMINATED}:
            return
        self._cancel_life()
        self.power = Power.STOPPED
        if self.ecs_agent_up or self.ssm_agent_up:
            self._stop_services("the instance was stopped")

    def start(self) -> None:
        """Start it again after a stop."""
        if self.power is Power.STOPPED:
            self.started_at = self.clock.now()
            self._power_on()

    def terminate(self) -> None:
        """Terminate it; does nothing if it is already terminated."""
        if self.power is Power.TERMINATED:
            return
        self._cancel_life()
        self.power = Power.TERMINATED
        self._stop_services("the instance was terminated", RebootEnding.STUCK)
        for listener in self.on_terminate:
            listener(self)

    def _ask_for_reboot(self) -> str | None:
        if self.active_faults.strike(RebootRefused):
            return INHIBITED
        if self.active_faults.strike(RebootIgnored):
            return None
        delayed = self.active_faults.strike(RebootDelayed)
        if delayed:
            self._later(delayed.delay, partial(self.reboot, "apiclient reboot, delayed"))
            self._delayed_reboot = self._life[-1]
        else:
            self.reboot("apiclient reboot")
        return None

    def _shut_down(self, reason: str) -> None:
        self._cancel_life()
        self.power = Power.SHUTTING_DOWN
        shutdown = self.spec.timing.shutdown
        stop = min(SERVICES_STOP, shutdown / 2)
        self._later(stop, partial(self._stop_services, reason))
        self._later(shutdown, self._power_on)

    def _stop_services(self, reason: str, ending: RebootEnding | None = None) -> None:
        for died in self.on_containers_die:
            died(self, reason)
        if self.ecs_agent_up:
            self._set_ecs(up=False)
        if self.ssm_agent_up:
            self._set_ssm(up=False)
        for script in list(self._scripts):
            script.cut(ending or self._ending())
        self._dispatcher.stop()

    def _ending(self) -> RebootEnding:
        # By default, the agent finds after the boot that its worker died with the host.
        ends = self.active_faults.strike(RebootEnds)
        return ends.ending if ends else RebootEnding.WORKER_TIMED_OUT

    def _power_on(self) -> None:
        """Boot: GRUB picks a partition set. The tmpfs is empty, so there is no update status."""
        self._cancel_life()
        self.power = Power.BOOTING
        self._dispatcher = UpdateDispatcher(self._machine, self._outside_actors.at)
        self._announce(Step.BOOT)
        bank = self.partitions.take_next()
        if self.power is not Power.BOOTING:
            return  # a listener terminated it
        if bank is None:
            self.power = Power.HUNG
        elif bank.successful:
            self._later(self.spec.timing.boot, self._boot)
        elif self.active_faults.active(RollsBack, self._machine.concerns) or self.active_faults.strike(
            GrubFails, self._machine.concerns
        ):
            self._later(GRUB_GIVES_UP, self._power_on)
        elif self.active_faults.strike(BootHangs, self._machine.concerns):
            self.power = Power.HUNG
        else:
            self._later(self.spec.timing.boot, self._boot)

    def _boot(self) -> None:
        self.partitions.mark_successful()
        self.boots += 1
        self.health.booted()
        self.boot_id = self._new_boot_id()
        self.power = Power.RUNNING
        for booted in self.on_boot:
            booted(self)
        if self.power is Power.RUNNING:
            self._start_ssm_agent()
            self._start_ecs_agent()

    def _start_ssm_agent(self) -> None:
        delay = self.spec.timing.ssm_agent_start
        missing = self.active_faults.active(ControlContainerMissing, self._machine.concerns)
        if missing and missing.returns_after is None:
            return
        delay += missing.returns_after if missing and missing.returns_after else timedelta()
        self._later(delay, self._ssm_agent_comes)

    def _ssm_agent_comes(self) -> None:
        if not self.active_faults.active(SsmUnreachable):
            self._set_ssm(up=True)

    def _start_ecs_agent(self) -> None:
        if self.active_faults.active(EcsAgentTerminal):
            self._ecs_agent_ended = True
        dead = self.active_faults.active(DockerDead, self._machine.concerns)
        if self._ecs_agent_ended or dead:
            return
        late = self.active_faults.strike(EcsAgentLate)
        start = self.spec.timing.ecs_agent_start + (late.delay if late else timedelta())
        self._later(start, partial(self._set_ecs, up=True))
        for flap in range(late.flaps if late else 0):
            goes = start + late.every * (flap + 1) if late else start
            self._later(goes, partial(self._set_ecs, up=False))
            self._later(goes + (late.outage if late else timedelta()), partial(self._set_ecs, up=True))

    def _plan_unreachable(self) -> None:
        for fault in self.active_faults.all(SsmUnreachable):
            if fault.kind is OutOfReach.CONNECTION_LOST:
                self.clock.after(fault.at, self._lose_ssm)
            if fault.lasts is not None:
                self.clock.after(fault.at + fault.lasts, self._regain_ssm)

    def _lose_ssm(self) -> None:
        if self.ssm_agent_up:
            self._set_ssm(up=False)

    def _regain_ssm(self) -> None:
        if self.power is Power.RUNNING and not self.ssm_agent_up:
            self._set_ssm(up=True)

    def _set_ecs(self, *, up: bool) -> None:
        self.ecs_agent_up = up
        for listener in self.on_ecs_agent:
            listener(self, up)

    def _set_ssm(self, *, up: bool) -> None:
        self.ssm_agent_up = up
        for listener in self.on_ssm_agent:
            listener(self, up)

    def _announce(self, step: Step) -> None:
        for listener in self.on_step:
            listener(self, step)

    def _later(self, delay: timedelta, action: Callable[[], None]) -> None:
        """Schedule something that the next shutdown, or the termination, cancels."""
        self._life = [timer for timer in self._life if timer.pending]
        self._life.append(self.clock.after(delay, action))

    def _cancel_life(self) -> None:
        for timer in self._life:
            timer.cancel()
        self._life = []

    def _new_boot_id(self) -> str:
        return str(uuid.UUID(int=self._machine.chances.getrandbits(128), version=4))
