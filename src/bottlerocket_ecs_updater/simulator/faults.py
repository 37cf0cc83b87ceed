"""What may go wrong, as values: each fault of the catalogue with its parameters, and plans of them.

A fault only says what happens; hosts, Run Command, ECS and the doors each make happen what is theirs.
A plan with its seed repeats a run exactly, and can be written to a file.

Parameters mean the same in every fault:
`at` is the time since the host (or the world) began, `lasts` how long (None: for ever), `times` how often it
strikes (None: each time), `version` the release it is tied to (None: any update that is booted into).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from cattrs import Converter
from cattrs.strategies import configure_tagged_union

if TYPE_CHECKING:
    from collections.abc import Mapping

AT_ONCE = timedelta()


@dataclass(frozen=True, slots=True)
class RepositoryDown:
    """F1. The repository refuses connections: refresh and prepare fail in about a second."""

    at: timedelta = AT_ONCE
    lasts: timedelta | None = None


@dataclass(frozen=True, slots=True)
class RepositoryBlackHole:
    """F2. Packets vanish: the client gives up after 10 s, the host keeps the lock for about 50 s."""

    at: timedelta = AT_ONCE
    lasts: timedelta | None = None


@dataclass(frozen=True, slots=True)
class RepositoryNotFound:
    """F3. The metadata URL is wrong: 'file not found' on timestamp.json."""

    at: timedelta = AT_ONCE
    lasts: timedelta | None = None


@dataclass(frozen=True, slots=True)
class MetadataExpired:
    """F4. The metadata has expired, or (`clock_stepped_back`) the host's clock has gone backward."""

    at: timedelta = AT_ONCE
    lasts: timedelta | None = None
    clock_stepped_back: bool = False


@dataclass(frozen=True, slots=True)
class MetadataRegressed:
    """F5. The repository serves older metadata than the host has seen before."""

    at: timedelta = AT_ONCE
    lasts: timedelta | None = None


@dataclass(frozen=True, slots=True)
class HashMismatch:
    """F6. The downloaded image does not have the hash that the metadata promises."""

    times: int | None = None


@dataclass(frozen=True, slots=True)
class SlowDownload:
    """F7. Prepare takes so long that the client gives up at 600 s; the host goes on and ends Staged."""

    takes: timedelta = timedelta(minutes=12)
    times: int | None = 1


@dataclass(frozen=True, slots=True)
class DataVolumeFull:
    """F8. No space left on the data volume while prepare stores the migrations."""

    times: int | None = None


class ActivateError(StrEnum):
    """Why the partition table cannot be changed."""

    OPEN_PARTITION = "open-partition"
    NOT_VALID = "not-valid"


@dataclass(frozen=True, slots=True)
class ActivateFails:
    """F9. Activate fails on the partition table; the host stays Staged."""

    times: int | None = None
    error: ActivateError = ActivateError.OPEN_PARTITION


@dataclass(frozen=True, slots=True)
class SingleBank:
    """F10. The image has one bank only: it cannot be updated in place."""


@dataclass(frozen=True, slots=True)
class LockBusy:
    """F11. The update lock is held by something that is stuck; `lasts` None means until the next reboot."""

    at: timedelta = AT_ONCE
    lasts: timedelta | None = None


class Deed(StrEnum):
    """What an operator does on a host behind our back."""

    CHECK = "check"
    APPLY = "apply"
    CANCEL = "cancel"
    REBOOT = "reboot"
    LOCK_VERSION = "lock-version"


class Moment(StrEnum):
    """When a fault that waits for the host's own acts strikes."""

    AT = "at"
    AFTER_CHECK = "after-check"
    BEFORE_PREPARE = "before-prepare"
    DURING_PREPARE = "during-prepare"
    AFTER_PREPARE = "after-prepare"
    """In the gap between the end of prepare and the moment apiclient looks again."""
    BEFORE_ACTIVATE = "before-activate"
    """After apiclient has seen the end of prepare, a moment before it asks for activate."""
    WHILE_READY = "while-ready"


@dataclass(frozen=True, slots=True)
class OutOfBand:
    """F12. Somebody runs apiclient on the host: at a time, or at a moment of the host's own update, once."""

    deed: Deed
    at: timedelta = AT_ONCE
    moment: Moment = Moment.AT
    version: str = "latest"
    """What LOCK_VERSION sets."""


@dataclass(frozen=True, slots=True)
class ReleaseAppears:
    """F13. A release is published at the moment, for the host's variant and architecture."""

    version: str
    moment: Moment = Moment.AFTER_CHECK
    at: timedelta = AT_ONCE


@dataclass(frozen=True, slots=True)
class ReleaseRetracted:
    """F13. A release is taken back at the moment, for the host's variant and architecture."""

    version: str
    moment: Moment = Moment.AFTER_CHECK
    at: timedelta = AT_ONCE


class Leftover(StrEnum):
    """In what condition an earlier update was left behind."""

    READY = "ready"
    STAGED = "staged"
    STAGED_NOTHING_CHOSEN = "staged-nothing-chosen"
    STAGED_INVALID = "staged-invalid"


@dataclass(frozen=True, slots=True)
class StartsWith:
    """F14. The host begins with an update of `version` already written."""

    leftover: Leftover
    version: str


@dataclass(frozen=True, slots=True)
class ApplyKilled:
    """F15. The apply command is killed before, in or after prepare; the control container may go with it."""

    moment: Moment = Moment.DURING_PREPARE
    container_restarts: bool = False
    times: int | None = 1


class RebootEnding(StrEnum):
    """How the command that rebooted the host ends in SSM."""

    SUCCESS = "success"
    STUCK = "stuck"
    WORKER_TIMED_OUT = "worker-timed-out"
    KILLED = "killed"
    RUN_AGAIN = "run-again"


@dataclass(frozen=True, slots=True)
class RebootEnds:
    """F16. What SSM says in the end of a command that the reboot cut off."""

    ending: RebootEnding
    times: int | None = 1


@dataclass(frozen=True, slots=True)
class RebootRefused:
    """F17. The host refuses to reboot (500), as with an inhibitor that is not released."""

    times: int | None = 1


@dataclass(frozen=True, slots=True)
class RebootDelayed:
    """F17. The reboot begins only when the inhibitors are released, 5 minutes later at most."""

    delay: timedelta = timedelta(minutes=5)
    times: int | None = 1


@dataclass(frozen=True, slots=True)
class RebootIgnored:
    """F18. The reboot is accepted and never happens."""

    times: int | None = 1


@dataclass(frozen=True, slots=True)
class GrubFails:
    """F19. GRUB cannot load the new bank: 30 s later the host boots the old one by itself."""

    version: str | None = None
    times: int | None = 1


@dataclass(frozen=True, slots=True)
class BootHangs:
    """F20. The new release hangs before it is marked successful; a reboot from outside rolls it back."""

    version: str | None = None
    times: int | None = 1


@dataclass(frozen=True, slots=True)
class DockerDead:
    """F21. The release boots and is marked successful, but neither docker nor the ECS agent comes up."""

    version: str | None = None


@dataclass(frozen=True, slots=True)
class ControlContainerMissing:
    """F22. After the update the control container's image cannot be pulled: SSM never returns."""

    version: str | None = None
    returns_after: timedelta | None = None
    """How long after each boot the image can be pulled after all; None for never."""


@dataclass(frozen=True, slots=True)
class EcsAgentLate:
    """F23. After a boot the ECS agent comes up `delay` later, and then loses its connection `flaps` times."""

    delay: timedelta = timedelta(minutes=3)
    flaps: int = 2
    every: timedelta = timedelta(seconds=30)
    outage: timedelta = timedelta(seconds=15)
    times: int | None = None


@dataclass(frozen=True, slots=True)
class EcsAgentTerminal:
    """F24. The ECS agent ends with exit status 5 after the next boot, and is not started again."""


@dataclass(frozen=True, slots=True)
class RollsBack:
    """F25. The release never boots on this host: each try ends on the old bank."""

    version: str | None = None


@dataclass(frozen=True, slots=True)
class ThirdVersion:
    """F26. Prepare writes `version`, which came out after the last check; the host boots into it."""

    version: str


@dataclass(frozen=True, slots=True)
class CheckStuckAfterBoot:
    """F27. A command that arrives within `window` of the agent's start stays InProgress until it expires."""

    window: timedelta = timedelta(seconds=30)
    times: int | None = 1


class Unreachable(StrEnum):
    """In what way SSM cannot reach a host."""

    NEVER_REGISTERED = "never-registered"
    CONNECTION_LOST = "connection-lost"


@dataclass(frozen=True, slots=True)
class SsmUnreachable:
    """F28. The control container was never there (InvalidInstanceId), or is gone (Undeliverable)."""

    kind: Unreachable
    at: timedelta = AT_ONCE
    lasts: timedelta | None = None


@dataclass(frozen=True, slots=True)
class ReportedUndeliverable:
    """F29. The command ran on the host, and SSM reports Undeliverable all the same."""

    times: int | None = 1


class Oddity(StrEnum):
    """What is wrong with the output of a check, or (NO_BOOT_ID) of the `cat` before it."""

    GARBAGE = "garbage"
    EMPTY = "empty"
    TRUNCATED = "truncated"
    MISSING_FIELDS = "missing-fields"
    UNKNOWN_STATE = "unknown-state"
    STRUCT_ORDER = "struct-order"
    COLOURED = "coloured"
    NO_BOOT_ID = "no-boot-id"


@dataclass(frozen=True, slots=True)
class OddOutput:
    """F30. `apiclient update check` prints something else than it should."""

    oddity: Oddity
    times: int | None = None


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


class Standing(StrEnum):
    """The two states of a container instance that people set."""

    ACTIVE = "ACTIVE"
    DRAINING = "DRAINING"


@dataclass(frozen=True, slots=True)
class SomebodySets:
    """F33. Somebody else drains the instance, or returns it: at a time, or after a step began on it."""

    status: Standing
    at: timedelta = AT_ONCE
    step: Step | None = None


@dataclass(frozen=True, slots=True)
class WaveLate:
    """F34. The host's seed is in the last wave, so it sees a release days later than its neighbours."""

    seed: int = 2047


@dataclass(frozen=True, slots=True)
class VariantEnded:
    """F35. The host is of a variant that gets no more releases: Idle for ever."""

    variant: str = "aws-ecs-1"


@dataclass(frozen=True, slots=True)
class VersionLocked:
    """F36. `settings.updates.version-lock` pins the host."""

    version: str


@dataclass(frozen=True, slots=True)
class DowngradeOffered:
    """F37. The highest version for the host is below what it runs: it is offered a lower one."""

    max_version: str
    at: timedelta = AT_ONCE


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
class TaskArrives:
    """F39. A task is placed on the host between the look that found it empty and the reboot, if ECS may."""

    times: int | None = 1


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


Fault = (
    RepositoryDown
    | RepositoryBlackHole
    | RepositoryNotFound
    | MetadataExpired
    | MetadataRegressed
    | HashMismatch
    | SlowDownload
    | DataVolumeFull
    | ActivateFails
    | SingleBank
    | LockBusy
    | OutOfBand
    | ReleaseAppears
    | ReleaseRetracted
    | StartsWith
    | ApplyKilled
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
    | ThirdVersion
    | CheckStuckAfterBoot
    | SsmUnreachable
    | ReportedUndeliverable
    | OddOutput
    | InstanceTerminated
    | NewContainerInstance
    | SomebodySets
    | WaveLate
    | VariantEnded
    | VersionLocked
    | DowngradeOffered
    | ApiFails
    | TaskArrives
    | StaleReads
    | RepliesLost
    | UpdaterDies
    | SecondUpdater
)


@dataclass(frozen=True, slots=True)
class Placed:
    """A fault and where it strikes: an instance id, or "" for the world as a whole."""

    fault: Fault
    on: str = ""


@dataclass(frozen=True, slots=True)
class FaultPlan:
    """Everything that goes wrong in one run, and the seed that the world's chances are drawn from."""

    faults: tuple[Placed, ...] = ()
    seed: int = 0

    def on(self, instance_id: str) -> tuple[Fault, ...]:
        """What is planned for one instance, in the order of the plan."""
        return tuple(placed.fault for placed in self.faults if placed.on == instance_id)

    @property
    def world(self) -> tuple[Fault, ...]:
        """What is planned for the world as a whole."""
        return self.on("")

    def to_dict(self) -> dict[str, Any]:
        """The plan as values that JSON knows; durations are in seconds."""
        plan: dict[str, Any] = _CONVERTER.unstructure(self)
        return plan

    @classmethod
    def from_dict(cls, plan: Mapping[str, Any]) -> FaultPlan:
        """Read what `to_dict` wrote. Raises cattrs' errors for anything else."""
        return _CONVERTER.structure(plan, cls)


def _converter() -> Converter:
    converter = Converter(forbid_extra_keys=True)
    converter.register_unstructure_hook(timedelta, timedelta.total_seconds)
    converter.register_structure_hook(timedelta, lambda seconds, _: timedelta(seconds=seconds))
    configure_tagged_union(Fault, converter, tag_name="kind")
    return converter


_CONVERTER = _converter()


@dataclass(frozen=True, slots=True)
class CatalogueEntry:
    """One line of the catalogue: the effect, where it was seen, and the values that bring it about."""

    effect: str
    evidence: str
    kinds: tuple[type[Fault], ...]
