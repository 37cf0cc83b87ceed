"""Faults during a reboot, and of services that must come back after it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from bottlerocket_ecs_updater.simulator.faults.updates import AT_ONCE


class RebootEnding(StrEnum):
    """How the reboot command ends in SSM."""

    SUCCESS = "success"
    STUCK = "stuck"
    WORKER_TIMED_OUT = "worker-timed-out"
    KILLED = "killed"
    RUN_AGAIN = "run-again"


@dataclass(frozen=True, slots=True)
class RebootEnds:
    """F16. The final SSM status of a command that the reboot interrupted."""

    ending: RebootEnding
    times: int | None = 1


@dataclass(frozen=True, slots=True)
class RebootRefused:
    """F17. The host refuses to reboot (500), for example because of a systemd inhibitor."""

    times: int | None = 1


@dataclass(frozen=True, slots=True)
class RebootDelayed:
    """F17. The reboot starts only after inhibitors are released, at most 5 minutes later."""

    delay: timedelta = timedelta(minutes=5)
    times: int | None = 1


@dataclass(frozen=True, slots=True)
class RebootIgnored:
    """F18. The reboot is accepted and never happens."""

    times: int | None = 1


@dataclass(frozen=True, slots=True)
class GrubFails:
    """F19. GRUB cannot load the new partition set: 30 s later the host boots the old one."""

    version: str | None = None
    times: int | None = 1


@dataclass(frozen=True, slots=True)
class BootHangs:
    """F20. The new version hangs before it is marked successful. An external reboot rolls it back."""

    version: str | None = None
    times: int | None = 1


@dataclass(frozen=True, slots=True)
class DockerDead:
    """F21. The version boots and is marked successful, but neither Docker nor the ECS agent starts."""

    version: str | None = None


@dataclass(frozen=True, slots=True)
class ControlContainerMissing:
    """F22. After the update the control container's image cannot be pulled: SSM never returns."""

    version: str | None = None
    returns_after: timedelta | None = None
    """How long after each boot the image can be pulled; None for never."""


@dataclass(frozen=True, slots=True)
class EcsAgentLate:
    """F23. After a boot, the ECS agent starts `delay` later, and then loses its connection `flaps` times."""

    delay: timedelta = timedelta(minutes=3)
    flaps: int = 2
    every: timedelta = timedelta(seconds=30)
    outage: timedelta = timedelta(seconds=15)
    times: int | None = None


@dataclass(frozen=True, slots=True)
class EcsAgentTerminal:
    """F24. The ECS agent exits with status 5 after the next boot, and is not restarted."""


@dataclass(frozen=True, slots=True)
class RollsBack:
    """F25. The version never boots on this host: each attempt ends on the old partition set."""

    version: str | None = None


@dataclass(frozen=True, slots=True)
class CheckStuckAfterBoot:
    """F27. A command that arrives within `window` of the agent's start stays InProgress until it expires."""

    window: timedelta = timedelta(seconds=30)
    times: int | None = 1


class OutOfReach(StrEnum):
    """How SSM cannot reach a host."""

    NEVER_REGISTERED = "never-registered"
    CONNECTION_LOST = "connection-lost"


@dataclass(frozen=True, slots=True)
class SsmUnreachable:
    """F28. The control container never ran (InvalidInstanceId), or is gone (Undeliverable)."""

    kind: OutOfReach
    at: timedelta = AT_ONCE
    lasts: timedelta | None = None


@dataclass(frozen=True, slots=True)
class ReportedUndeliverable:
    """F29. A command (of `document`, or any) ran on the host, but SSM reports Undeliverable."""

    times: int | None = 1
    document: str = ""


class Breaking(StrEnum):
    """How a version breaks the tasks on its host."""

    FAILS_TO_START = "fails-to-start"
    EXITS = "exits"
    STAYS_PENDING = "stays-pending"
    UNHEALTHY = "unhealthy"
    """They run, but never pass a health check, so that ECS stops and replaces them."""


@dataclass(frozen=True, slots=True)
class TasksBreak:
    """F44. A version boots fine but breaks containers: tasks fail to start, exit, stay PENDING, or are unhealthy."""

    how: Breaking = Breaking.FAILS_TO_START
    after: timedelta = timedelta(seconds=10)
    """How long after its start a task exits, or ECS stops it because it is unhealthy."""
    exit_code: int = 1
    gpus_only: bool = False
    """Whether only tasks with GPUs break."""
    group: str = ""
    """The group whose tasks break; empty for all."""
    reason: str = "CannotStartContainerError: nvidia-container-cli: initialization error: driver not loaded"
    version: str | None = None


@dataclass(frozen=True, slots=True)
class HealthImpaired:
    """F45. A version boots fine, but ECS health checks report the container instance as IMPAIRED."""

    check: str = "CONTAINER_RUNTIME"
    after: timedelta = timedelta(seconds=60)
    """How long after the boot."""
    version: str | None = None
    ends_after: timedelta | None = None
    """How long it stays IMPAIRED; None for forever."""
    every: timedelta | None = None
    """If it flaps: from one start to the next."""

    def strikes(self, since_boot: timedelta) -> bool:
        """Whether the check fails this long after the boot."""
        age = since_boot - self.after
        if age < timedelta():
            return False
        here = age % self.every if self.every is not None else age
        return self.ends_after is None or here < self.ends_after


class Unknown(StrEnum):
    """How ECS does not report the result of its health checks."""

    INITIALIZING = "INITIALIZING"
    INSUFFICIENT_DATA = "INSUFFICIENT_DATA"
    ABSENT = "ABSENT"
    STALE = "STALE"
    """It reports the result from before the boot."""


@dataclass(frozen=True, slots=True)
class HealthUnknown:
    """F47. ECS has no result of its health checks for a while after each boot, or ever."""

    how: Unknown = Unknown.INITIALIZING
    ends_after: timedelta | None = timedelta(seconds=40)
    """How long after a boot there is a result; None for never."""
    from_start: bool = False
    """Whether it does so after the boot before the beginning of the simulation, too."""


@dataclass(frozen=True, slots=True)
class GpusGone:
    """F48. A version boots fine, but some or all GPUs are missing: the agent registers with fewer than before."""

    left: int = 0
    version: str | None = None


BootFault = (
    TasksBreak
    | GpusGone
    | HealthImpaired
    | HealthUnknown
    | RebootEnds
    | RebootRefused
    | RebootDelayed
    | RebootIgnored
    | GrubFails
    | BootHangs
    | DockerDead
    | ControlContainerMissing
    | EcsAgentLate
    | EcsAgentTerminal
    | RollsBack
    | CheckStuckAfterBoot
    | SsmUnreachable
    | ReportedUndeliverable
)
