"""What a decision asks for. Every command is safe to repeat: the next look shows whether it still applies."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from bottlerocket_ecs_updater.core.model.claim import Claim
from bottlerocket_ecs_updater.core.model.ids import InstanceId, TaskArn
from bottlerocket_ecs_updater.core.model.outcome import Backoff, Outcome
from bottlerocket_ecs_updater.core.model.reasons import Failed, Hold
from bottlerocket_ecs_updater.core.model.version import Version


@dataclass(frozen=True, slots=True)
class Check:
    """Ask the host whether an update is available to it."""

    instance: InstanceId


@dataclass(frozen=True, slots=True)
class Apply:
    """Have the host download and stage its chosen update; tasks keep running."""

    instance: InstanceId
    target: Version


@dataclass(frozen=True, slots=True)
class Mark:
    """Write our claim, in the store and on the instance, before anything else is done to it."""

    instance: InstanceId
    claim: Claim


@dataclass(frozen=True, slots=True)
class Drain:
    """Set DRAINING."""

    instance: InstanceId


@dataclass(frozen=True, slots=True)
class StopTasks:
    """Stop standalone tasks on an instance of ours, as a rule of the operator says."""

    instance: InstanceId
    tasks: tuple[TaskArn, ...]


@dataclass(frozen=True, slots=True)
class RunBeforeDrain:
    """Run the operator's document that must end well before a drain."""

    instance: InstanceId


@dataclass(frozen=True, slots=True)
class RunAfterReboot:
    """Run the operator's document that must end well before a host that is back returns to service."""

    instance: InstanceId


@dataclass(frozen=True, slots=True)
class Reboot:
    """Reboot the host, which is DRAINING, empty and marked."""

    instance: InstanceId


@dataclass(frozen=True, slots=True)
class Cancel:
    """Cancel the reboot commands that are open, so that no agent runs one again. Nothing may rest on it."""

    instance: InstanceId


@dataclass(frozen=True, slots=True)
class Return:
    """Set ACTIVE; `outcome` is what becomes of the instance once it is seen so."""

    instance: InstanceId
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Unmark:
    """Drop our claim, on the instance and in the store; `outcome` is what became of the instance.

    None leaves the instance open: it is looked at as if we had never claimed it.
    """

    instance: InstanceId
    outcome: Outcome | None
    took_slot: bool
    """Whether its place in the budget stays taken until the cluster has settled."""


@dataclass(frozen=True, slots=True)
class Quarantine:
    """Leave it DRAINING, and say so in its claim."""

    instance: InstanceId
    claim: Claim
    why: Failed


@dataclass(frozen=True, slots=True)
class Note:
    """Remember a failed attempt, so that it is not repeated before its time."""

    instance: InstanceId
    backoff: Backoff


@dataclass(frozen=True, slots=True)
class NoteBlockers:
    """Remember which groups of tasks kept its drain from its end."""

    instance: InstanceId
    groups: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Conclude:
    """Settle what became of an unclaimed instance in this run."""

    instance: InstanceId
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class CallSuccessor:
    """Ask for another run on another host, because this one runs on the instance itself."""

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
    """What was decided about one instance in one pass."""

    commands: tuple[Command, ...] = ()
    """In order: where one fails, those after it are left out."""
    hold: Hold | None = None
    look_at: datetime | None = None
    """When its next fact is due, None when nothing more is expected in this run."""
    wants_tasks: bool = False
    """Its tasks must be looked at before more can be decided."""
    wants_answer_only: bool = False
    """Whether the next look is for the answer of a command alone: nothing that ECS says of it is needed before."""
    wants_reboot_end: bool = False
    """The next look must ask Systems Manager how its open reboot commands ended."""
    wants_group: bool = False
    """Its Auto Scaling group must be asked what it is doing with it before more can be decided."""
    wants_services: bool = False
    """How services fare must be looked at before more can be decided."""
    wants_listing: bool = False
    """It may have left the cluster, or come back under another registration: the cluster must be listed again."""
