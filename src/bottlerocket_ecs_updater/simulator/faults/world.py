"""Faults of what is around the hosts: ECS, other actors, the wire, the updater itself."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from bottlerocket_ecs_updater.simulator.faults.updates import AT_ONCE


class Step(StrEnum):
    """A step of an instance's update, as somebody outside sees it."""

    CHECK = "check"
    APPLY = "apply"
    DRAIN = "drain"
    REBOOT = "reboot"
    BOOT = "boot"
    RETURN = "return"


@dataclass(frozen=True, slots=True)
class InstanceTerminated:
    """F31. The instance is terminated: at a time, or when a step begins on it."""

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
    """F33. Somebody else drains the instance, or returns it: at a time, or after a step began on it."""

    status: SetStatus
    at: timedelta = AT_ONCE
    step: Step | None = None


@dataclass(frozen=True, slots=True)
class GroupTakes:
    """F42. Its Auto Scaling group takes the instance away: at a time, or after a step began on it.

    A lifecycle hook holds the termination up for `hook`. With `drains`, managed draining sets it DRAINING meanwhile.
    """

    at: timedelta = AT_ONCE
    step: Step | None = None
    hook: timedelta = timedelta(minutes=20)
    drains: bool = True


@dataclass(frozen=True, slots=True)
class InstanceStopped:
    """F43. Somebody stops the EC2 instance, at a time or after a step began, and starts it again after `lasts`."""

    at: timedelta = AT_ONCE
    step: Step | None = None
    lasts: timedelta | None = None


@dataclass(frozen=True, slots=True)
class ApiFails:
    """F38. Calls fail with `code`: every `every`th one of `operation` ('*' for all) in the time given."""

    code: str = "ThrottlingException"
    status: int = 400
    operation: str = "*"
    every: int = 1
    at: timedelta = AT_ONCE
    lasts: timedelta | None = None
    times: int | None = None


@dataclass(frozen=True, slots=True)
class SomebodyStages:
    """F41. Somebody stages another version on the host: at a time, or after a step began on it."""

    version: str
    at: timedelta = AT_ONCE
    step: Step | None = None


@dataclass(frozen=True, slots=True)
class PartialFailures:
    """W5. Batch calls name some of their items in `failures`, and leave them out of the answer and of any effect."""

    operation: str = "DescribeContainerInstances"
    every: int = 3
    at: timedelta = AT_ONCE
    lasts: timedelta | None = None
    reason: str = "SERVER"


@dataclass(frozen=True, slots=True)
class TaskArrives:
    """F39. A task is placed on the host between the look that found it empty and the reboot, if ECS may."""

    times: int | None = 1


class Between(StrEnum):
    """States of a container instance that nobody sets, and in which it takes no tasks."""

    REGISTERING = "REGISTERING"
    DEREGISTERING = "DEREGISTERING"
    REGISTRATION_FAILED = "REGISTRATION_FAILED"


@dataclass(frozen=True, slots=True)
class InBetween:
    """F40. An instance that was ACTIVE is in another state for a time, and nobody drained it."""

    status: Between = Between.REGISTERING
    at: timedelta = AT_ONCE
    lasts: timedelta | None = None


@dataclass(frozen=True, slots=True)
class StaleReads:
    """W1. Describe and List answer with the world as it was `lag` ago."""

    lag: timedelta = timedelta(seconds=5)
    at: timedelta = AT_ONCE
    lasts: timedelta | None = None


@dataclass(frozen=True, slots=True)
class RepliesLost:
    """W2. The call is carried out, and its reply never arrives: every `every`th one of `operation`."""

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
    """W6. S3 answers no request, or takes no write, in the time given: of `caller`, or of anybody."""

    at: timedelta = AT_ONCE
    lasts: timedelta | None = None
    writes_only: bool = False
    caller: str = ""


@dataclass(frozen=True, slots=True)
class CommandsDenied:
    """W7. IAM does not allow SendCommand to the instance: whole calls are denied for it, `document` or all of them.

    AWS names one culprit in a denial, or with `named` false none.
    """

    document: str = ""
    named: bool = True
    at: timedelta = AT_ONCE
    lasts: timedelta | None = None


WorldFault = (
    InstanceTerminated
    | NewContainerInstance
    | SomebodySets
    | SomebodyStages
    | GroupTakes
    | InstanceStopped
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
)
