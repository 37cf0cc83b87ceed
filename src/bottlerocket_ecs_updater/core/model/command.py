"""The commands that a decision can give. Each is safe to repeat: the next look shows whether it still applies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from bottlerocket_ecs_updater.core.model.claim import Claim
from bottlerocket_ecs_updater.core.model.ids import InstanceId, TaskArn
from bottlerocket_ecs_updater.core.model.outcome import Backoff, Outcome
from bottlerocket_ecs_updater.core.model.reasons import Failed, Hold
from bottlerocket_ecs_updater.core.model.version import Version


@dataclass(frozen=True, slots=True)
class Check:
    """Check whether an update is available to the host."""

    instance: InstanceId


@dataclass(frozen=True, slots=True)
class Apply:
    """Have the host download and stage its chosen update; tasks keep running."""

    instance: InstanceId
    target: Version
    replaces: Version | None = None
    """The version that is staged on it now and must not be booted: the host cancels it first."""


@dataclass(frozen=True, slots=True)
class Mark:
    """Write our claim, in the state store and on the instance, before anything else is done to the instance."""

    instance: InstanceId
    claim: Claim


@dataclass(frozen=True, slots=True)
class Drain:
    """Set DRAINING."""

    instance: InstanceId


@dataclass(frozen=True, slots=True)
class StopTasks:
    """Stop standalone tasks on a claimed instance, because a rule of the operator says so."""

    instance: InstanceId
    tasks: tuple[TaskArn, ...]


@dataclass(frozen=True, slots=True)
class RunBeforeDrain:
    """Run the operator's before-drain document."""

    instance: InstanceId


@dataclass(frozen=True, slots=True)
class RunAfterReboot:
    """Run the operator's after-reboot document, which must succeed before the host returns to service."""

    instance: InstanceId


@dataclass(frozen=True, slots=True)
class Reboot:
    """Reboot the host. It is DRAINING, empty and claimed."""

    instance: InstanceId
    bound: bool = True
    """Whether the host itself checks that it still runs on the claimed boot and would boot into the claimed version."""


@dataclass(frozen=True, slots=True)
class Cancel:
    """Cancel pending reboot commands, and an apply that was given up, so that the agent does not run one late.

    Best effort: nothing depends on it.
    """

    instance: InstanceId


@dataclass(frozen=True, slots=True)
class Return:
    """Set ACTIVE; `outcome` is recorded when ECS shows the instance ACTIVE."""

    instance: InstanceId
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Unmark:
    """Remove our claim from the instance and the state store, and record `outcome`.

    With `outcome` None the instance stays open, as if it had never been claimed.
    """

    instance: InstanceId
    outcome: Outcome | None
    took_slot: bool
    """Whether its slot in the budget stays taken until the cluster has settled."""


@dataclass(frozen=True, slots=True)
class Quarantine:
    """Leave it DRAINING, and record the quarantine in its claim."""

    instance: InstanceId
    claim: Claim
    why: Failed


@dataclass(frozen=True, slots=True)
class Note:
    """Record the backoff after a failed attempt."""

    instance: InstanceId
    backoff: Backoff


@dataclass(frozen=True, slots=True)
class NoteBlockers:
    """Record which groups of tasks made its drain time out."""

    instance: InstanceId
    families: Mapping[str, str]
    """By group: the family of its tasks if they are stopping, empty if they are not."""
    waited: timedelta
    """How long the drain waited for them."""


@dataclass(frozen=True, slots=True)
class Conclude:
    """Record the outcome of an unclaimed instance in this run."""

    instance: InstanceId
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class CallSuccessor:
    """Start another run on another host, because this run runs on the instance itself."""

    instance: InstanceId


Command = (
    Check
    | Apply
    | RunBeforeDrain
    | Mark
    | Drain
    | StopTasks
    | Reboot
    | RunAfterReboot
    | Cancel
    | Return
    | Unmark
    | Quarantine
    | Note
    | NoteBlockers
    | Conclude
    | CallSuccessor
)


@dataclass(frozen=True, slots=True)
class NextStep:
    """The decision about one instance in one pass."""

    commands: tuple[Command, ...] = ()
    """Executed in order; if one fails, the rest are skipped."""
    hold: Hold | None = None
    look_at: datetime | None = None
    """When to look at it again; None if nothing more is expected in this run."""
    wants_tasks: bool = False
    """Whether its tasks must be listed before more can be decided."""
    wants_answer_only: bool = False
    """Whether the next look needs only the result of a command, and nothing from ECS."""
    wants_reboot_end: bool = False
    """Whether the next look must read the results of its pending reboot commands."""
    wants_group: bool = False
    """Whether its lifecycle state in its Auto Scaling group must be read before more can be decided."""
    wants_services: bool = False
    """Whether the services must be described before more can be decided."""
    wants_listing: bool = False
    """Whether the cluster must be listed again: it may have left, or come back under another registration."""
