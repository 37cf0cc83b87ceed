"""Faults around the hosts: ECS, other actors, the network, the updater itself."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from bottlerocket_ecs_updater.simulator.faults.updates import AT_ONCE


class Step(StrEnum):
    """A step of an instance's update that is visible from outside."""

    CHECK = "check"
    APPLY = "apply"
    DRAIN = "drain"
    REBOOT = "reboot"
    BOOT = "boot"
    RETURN = "return"


@dataclass(frozen=True, slots=True)
class InstanceTerminated:
    """F31. The instance is terminated: at a time, or when a step starts on it."""

    at: timedelta = AT_ONCE
    step: Step | None = None


@dataclass(frozen=True, slots=True)
class NewContainerInstance:
    """F32. The ECS checkpoint is lost in a reboot: the instance registers under a new ARN."""

    times: int | None = 1


class SetStatus(StrEnum):
    """The two states of a container instance that people set."""

    ACTIVE = "ACTIVE"
    DRAINING = "DRAINING"


@dataclass(frozen=True, slots=True)
class SomebodySets:
    """F33. Someone else drains the instance or sets it ACTIVE: at a time, or after a step started on it."""

    status: SetStatus
    at: timedelta = AT_ONCE
    step: Step | None = None


@dataclass(frozen=True, slots=True)
class GroupTakes:
    """F42. The Auto Scaling group terminates the instance: at a time, or after a step started on it.

    A lifecycle hook delays the termination for `hook`. With `drains`, managed draining also sets it DRAINING.
    """

    at: timedelta = AT_ONCE
    step: Step | None = None
    hook: timedelta = timedelta(minutes=20)
    drains: bool = True


@dataclass(frozen=True, slots=True)
class GroupKeepsWarm:
    """F49. The group puts the instance into its warm pool (instance reuse on scale-in): at a time, or after a step.

    The instance waits for `hook` in `Warmed:Pending:Wait`, is stopped, and comes back into service after `lasts`.
    """

    at: timedelta = AT_ONCE
    step: Step | None = None
    hook: timedelta = timedelta(minutes=1)
    lasts: timedelta | None = timedelta(minutes=30)


@dataclass(frozen=True, slots=True)
class InstanceStopped:
    """F43. Someone stops the EC2 instance, at a time or after a step started, and starts it again after `lasts`."""

    at: timedelta = AT_ONCE
    step: Step | None = None
    lasts: timedelta | None = None


@dataclass(frozen=True, slots=True)
class SpotInterrupted:
    """F50. EC2 takes the Spot Instance back two minutes after a notice: at a time, or after a step started on it.

    With `drains`, the ECS agent has Spot draining enabled, and sets the instance DRAINING.
    """

    at: timedelta = AT_ONCE
    step: Step | None = None
    drains: bool = True


@dataclass(frozen=True, slots=True)
class Deregistered:
    """F51. Someone deregisters the container instance with force: at a time, or after a step started on it."""

    at: timedelta = AT_ONCE
    step: Step | None = None


@dataclass(frozen=True, slots=True)
class ClaimDeleted:
    """F52. Someone deletes the attribute with an updater's claim: at a time, or after a step started on it."""

    at: timedelta = AT_ONCE
    step: Step | None = None


@dataclass(frozen=True, slots=True)
class ApiFails:
    """F38. Calls fail with `code`: every `every`th call of `operation` ('*' for all) during the given time."""

    code: str = "ThrottlingException"
    status: int = 400
    operation: str = "*"
    every: int = 1
    at: timedelta = AT_ONCE
    lasts: timedelta | None = None
    times: int | None = None


@dataclass(frozen=True, slots=True)
class SomebodyStages:
    """F41. Someone stages another version on the host: at a time, or after a step started on it."""

    version: str
    at: timedelta = AT_ONCE
    step: Step | None = None


@dataclass(frozen=True, slots=True)
class PartialFailures:
    """W5. Batch calls report some of their items in `failures`, and do not handle them."""

    operation: str = "DescribeContainerInstances"
    every: int = 3
    at: timedelta = AT_ONCE
    lasts: timedelta | None = None
    reason: str = "SERVER"


@dataclass(frozen=True, slots=True)
class TaskArrives:
    """F39. A task is placed on the host after a look found it empty and before the reboot, if ECS may place it."""

    times: int | None = 1


class Between(StrEnum):
    """States of a container instance that no one sets, and in which it accepts no tasks."""

    REGISTERING = "REGISTERING"
    DEREGISTERING = "DEREGISTERING"
    REGISTRATION_FAILED = "REGISTRATION_FAILED"


@dataclass(frozen=True, slots=True)
class InBetween:
    """F40. An ACTIVE instance is in another state for a time, although no one drained it."""

    status: Between = Between.REGISTERING
    at: timedelta = AT_ONCE
    lasts: timedelta | None = None


@dataclass(frozen=True, slots=True)
class StaleReads:
    """W1. Describe and List calls return the state of `lag` ago."""

    lag: timedelta = timedelta(seconds=5)
    at: timedelta = AT_ONCE
    lasts: timedelta | None = None


@dataclass(frozen=True, slots=True)
class RepliesLost:
    """W2. The call takes effect, but its reply is lost: every `every`th call of `operation`."""

    operation: str = "*"
    every: int = 5
    times: int | None = None


@dataclass(frozen=True, slots=True)
class UpdaterDies:
    """W3. The updater is killed before, or after, its `call`th call (counted from 1)."""

    call: int
    after: bool = False


@dataclass(frozen=True, slots=True)
class SecondUpdater:
    """W4. A second updater is started at the time given."""

    at: timedelta = AT_ONCE


@dataclass(frozen=True, slots=True)
class StoreOutage:
    """W6. S3 does not answer, or rejects writes, during the given time: for `caller`, or for everyone."""

    at: timedelta = AT_ONCE
    lasts: timedelta | None = None
    writes_only: bool = False
    caller: str = ""


@dataclass(frozen=True, slots=True)
class CommandsDenied:
    """W7. IAM denies SendCommand to the instance, so calls that include it fail as a whole: for `document`, or all.

    The denial names one denied instance, or none if `named` is false.
    """

    document: str = ""
    named: bool = True
    at: timedelta = AT_ONCE
    lasts: timedelta | None = None


@dataclass(frozen=True, slots=True)
class PublicationMoves:
    """F46. The public parameter of a variant names another version from then on; None for no such parameter."""

    version: str | None
    at: timedelta = AT_ONCE
    variant: str = "aws-ecs-2"
    arch: str = "x86_64"


WorldFault = (
    InstanceTerminated
    | NewContainerInstance
    | SomebodySets
    | SomebodyStages
    | GroupTakes
    | GroupKeepsWarm
    | InstanceStopped
    | SpotInterrupted
    | Deregistered
    | ClaimDeleted
    | ApiFails
    | PartialFailures
    | TaskArrives
    | InBetween
    | StaleReads
    | RepliesLost
    | UpdaterDies
    | SecondUpdater
    | StoreOutage
    | CommandsDenied
    | PublicationMoves
)
