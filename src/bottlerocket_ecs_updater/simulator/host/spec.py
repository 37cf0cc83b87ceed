"""What a host is made from, and the small values that it hands out."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bottlerocket_ecs_updater.simulator.faults import Fault, RebootEnding


@dataclass(frozen=True, slots=True)
class HostTiming:
    """How long things take on a healthy host, as transcripts and unit files suggest."""

    shutdown: timedelta = timedelta(seconds=8)
    boot: timedelta = timedelta(seconds=35)
    """From the end of the shutdown until the release is marked as booted successfully."""
    ssm_agent_start: timedelta = timedelta(seconds=10)
    """From the end of the boot until the SSM agent pings: the control container has to come up."""
    ecs_agent_start: timedelta = timedelta(seconds=12)
    """From the end of the boot until the ECS agent is connected."""
    refresh: timedelta = timedelta(milliseconds=400)
    prepare: timedelta = timedelta(seconds=10)
    activate: timedelta = timedelta(milliseconds=500)


@dataclass(frozen=True, slots=True)
class HostSpec:
    """One host at the moment when it enters the world: running, and never touched since its boot."""

    instance_id: str
    variant: str = "aws-ecs-2"
    arch: str = "x86_64"
    version: str = "1.20.0"
    seed: int = 0
    ignore_waves: bool = False
    version_lock: str = "latest"
    ansi: bool = False
    """Whether apiclient colours its log lines, as old releases do."""
    node_id: str = ""
    """Its id in Systems Manager after a hybrid activation (`mi-…`); empty where that is its EC2 id."""
    managed_by: str = ""
    """The service that looks after its EC2 instance, as ECS does of Managed Instances: Systems Manager knows none."""
    tags: tuple[tuple[str, str], ...] = ()
    """Tags of its EC2 instance, beside its name."""
    timing: HostTiming = HostTiming()
    faults: tuple[Fault, ...] = ()


class Power(StrEnum):
    """Whether there is an operating system that could do anything."""

    RUNNING = "running"
    SHUTTING_DOWN = "shutting-down"
    BOOTING = "booting"
    HUNG = "hung"
    """A boot that came to nothing: only a reboot from outside helps."""
    STOPPED = "stopped"
    """Somebody, or a warm pool, stopped the EC2 instance; it may be started again."""
    TERMINATED = "terminated"


@dataclass(frozen=True, slots=True)
class ScriptResult:
    """How a script ended, with what it had printed by then: 137 when it was killed, 143 when the host went down."""

    exit_code: int
    stdout: str = ""
    stderr: str = ""
    timed_out: bool = False
    """It was killed because its time was over."""
    cut: RebootEnding | None = None
    """The host went down under it; what becomes of the command in SSM."""
