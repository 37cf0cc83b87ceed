"""Faults of an update on its host: the repository, apiclient, the disk, and other actors."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

AT_ONCE = timedelta()


@dataclass(frozen=True, slots=True)
class RepositoryDown:
    """F1. The repository refuses connections: refresh and prepare fail in about a second."""

    at: timedelta = AT_ONCE
    lasts: timedelta | None = None


@dataclass(frozen=True, slots=True)
class RepositoryBlackHole:
    """F2. Packets are dropped: the client gives up after 10 s, the host keeps the lock for about 50 s."""

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
    """F6. The downloaded image's hash does not match the metadata."""

    times: int | None = None


@dataclass(frozen=True, slots=True)
class SlowDownload:
    """F7. Prepare takes so long that the client gives up at 600 s; the host continues and ends Staged."""

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
    """F10. The image has only one partition set: it cannot be updated in place."""


@dataclass(frozen=True, slots=True)
class LockBusy:
    """F11. A stuck process holds the update lock; `lasts` None means until the next reboot."""

    at: timedelta = AT_ONCE
    lasts: timedelta | None = None


class Deed(StrEnum):
    """What an operator does on a host without the updater."""

    CHECK = "check"
    APPLY = "apply"
    CANCEL = "cancel"
    REBOOT = "reboot"
    LOCK_VERSION = "lock-version"


class Moment(StrEnum):
    """Moments of a host's update at which a fault can strike."""

    AT = "at"
    AFTER_CHECK = "after-check"
    BEFORE_PREPARE = "before-prepare"
    DURING_PREPARE = "during-prepare"
    AFTER_PREPARE = "after-prepare"
    """After prepare ends, and before apiclient polls again."""
    BEFORE_ACTIVATE = "before-activate"
    """After apiclient has seen that prepare ended, right before it requests activate."""
    WHILE_READY = "while-ready"


@dataclass(frozen=True, slots=True)
class OutOfBand:
    """F12. Someone runs apiclient on the host once: at a time, or at a moment of the host's update."""

    deed: Deed
    at: timedelta = AT_ONCE
    moment: Moment = Moment.AT
    version: str = "latest"
    """The version that LOCK_VERSION sets."""


@dataclass(frozen=True, slots=True)
class ReleaseAppears:
    """F13. A version is published at the moment, for the host's variant and architecture."""

    version: str
    moment: Moment = Moment.AFTER_CHECK
    at: timedelta = AT_ONCE


@dataclass(frozen=True, slots=True)
class ReleaseRetracted:
    """F13. A version is retracted at the moment, for the host's variant and architecture."""

    version: str
    moment: Moment = Moment.AFTER_CHECK
    at: timedelta = AT_ONCE


class Leftover(StrEnum):
    """The state in which an earlier update was left."""

    READY = "ready"
    STAGED = "staged"
    STAGED_NOTHING_CHOSEN = "staged-nothing-chosen"
    STAGED_INVALID = "staged-invalid"


@dataclass(frozen=True, slots=True)
class StartsWith:
    """F14. The host starts with an update to `version` already written."""

    leftover: Leftover
    version: str


@dataclass(frozen=True, slots=True)
class ApplyKilled:
    """F15. The apply command is killed before, during or after prepare, possibly with the control container."""

    moment: Moment = Moment.DURING_PREPARE
    container_restarts: bool = False
    times: int | None = 1


@dataclass(frozen=True, slots=True)
class ThirdVersion:
    """F26. Prepare writes `version`, which was published after the last check; the host boots it."""

    version: str


class Oddity(StrEnum):
    """How the output of a check, or (NO_BOOT_ID) of the `cat` before it, is malformed."""

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
    """F30. `apiclient update check` prints malformed output."""

    oddity: Oddity
    times: int | None = None


@dataclass(frozen=True, slots=True)
class WaveLate:
    """F34. The host's seed is in the last wave, so it sees a version days later than other hosts."""

    seed: int = 2047


@dataclass(frozen=True, slots=True)
class VariantEnded:
    """F35. The host's variant gets no more versions: it stays Idle."""

    variant: str = "aws-ecs-1"


@dataclass(frozen=True, slots=True)
class VersionLocked:
    """F36. `settings.updates.version-lock` pins the host."""

    version: str


@dataclass(frozen=True, slots=True)
class DowngradeOffered:
    """F37. The highest version for the host is below the one it runs: it is offered a downgrade."""

    max_version: str
    at: timedelta = AT_ONCE


UpdateFault = (
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
    | ThirdVersion
    | OddOutput
    | WaveLate
    | VariantEnded
    | VersionLocked
    | DowngradeOffered
)
