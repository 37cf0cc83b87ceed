"""The specification of a host, and the small values that it returns."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bottlerocket_ecs_updater.simulator.faults import Fault, RebootEnding


@dataclass(frozen=True, slots=True)
class HostTiming:
    """Durations on a healthy host, based on transcripts and unit files."""

    shutdown: timedelta = timedelta(seconds=8)
    boot: timedelta = timedelta(seconds=35)
    """From the end of the shutdown until the version is marked as booted successfully."""
    ssm_agent_start: timedelta = timedelta(seconds=10)
    """From the end of the boot until the SSM agent pings: the control container must start first."""
    ecs_agent_start: timedelta = timedelta(seconds=12)
    """From the end of the boot until the ECS agent is connected."""
    refresh: timedelta = timedelta(milliseconds=400)
    prepare: timedelta = timedelta(seconds=10)
    activate: timedelta = timedelta(milliseconds=500)


@dataclass(frozen=True, slots=True)
class HostSpec:
    """One host at the start of the simulation: running, and unchanged since its boot."""

    instance_id: str
    variant: str = "aws-ecs-2"
    arch: str = "x86_64"
    version: str = "1.20.0"
    seed: int = 0
    ignore_waves: bool = False
    version_lock: str = "latest"
    ansi: bool = False
    """Whether apiclient colors its log lines, as old versions do."""
    node_id: str = ""
    """Its id in Systems Manager after a hybrid activation (`mi-…`); empty if that is its EC2 id."""
    managed_by: str = ""
    """The service that manages its EC2 instance, such as ECS for Managed Instances: these are not in SSM."""
    tags: tuple[tuple[str, str], ...] = ()
    """Tags of its EC2 instance, besides its name."""
    timing: HostTiming = HostTiming()
    faults: tuple[Fault, ...] = ()


class Power(StrEnum):
    """Whether the host is running."""

    RUNNING = "running"
    SHUTTING_DOWN = "shutting-down"
    BOOTING = "booting"
    HUNG = "hung"
    """A failed boot: only an external reboot helps."""
    STOPPED = "stopped"
    """The EC2 instance was stopped, by someone or by a warm pool; it can be started again."""
    TERMINATED = "terminated"


@dataclass(frozen=True, slots=True)
class ScriptResult:
    """How a script ended, with its output: exit code 137 if it was killed, 143 if the host went down."""

    exit_code: int
    stdout: str = ""
    stderr: str = ""
    timed_out: bool = False
    """It was killed because it timed out."""
    cut: RebootEnding | None = None
    """How the command ends in SSM if the host went down; None if it did not."""
