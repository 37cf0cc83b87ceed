"""What a Bottlerocket host reports about itself, and how the report is read.

A check prints the kernel's boot id, then the JSON of `apiclient update check`. A logger may colour its lines, Run
Command may truncate the text, and versions of Bottlerocket may order keys differently. So reading is lenient about form
and strict about meaning: anything that is not understood becomes a named problem.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, assert_never

from bottlerocket_ecs_updater.core.model.ids import BootId, boot_id
from bottlerocket_ecs_updater.core.model.version import Version


class UpdateState(Enum):
    """`update_state` as thar-be-updates writes it."""

    IDLE = "Idle"
    AVAILABLE = "Available"
    STAGED = "Staged"
    READY = "Ready"


@dataclass(frozen=True, slots=True)
class HostReport:
    """The result of an update check that was understood."""

    boot: BootId
    state: UpdateState
    running: Version
    chosen: Version | None
    """The version that an apply would stage, at the time of the check."""
    staged: Version | None
    """The version on the staging partition; meaningful while Staged or Ready."""
    withdrawn: bool = False
    """Whether the update repository no longer offers the staged version to this host."""

    @property
    def target(self) -> Version | None:
        """The version that this host would run after apply and reboot; None if there is none."""
        match self.state:
            case UpdateState.IDLE:
                return None
            case UpdateState.AVAILABLE | UpdateState.STAGED:
                return self.chosen
            case UpdateState.READY:
                return self.staged
            case _:
                assert_never(self.state)


class Problem(Enum):
    """Why a check gave no report."""

    TOO_OLD = "too-old"
    BUSY = "busy"
    FAILED = "failed"
    NO_BOOT_ID = "no-boot-id"
    UNREADABLE = "unreadable"
    UNKNOWN_STATE = "unknown-state"
    NO_ANSWER = "no-answer"


@dataclass(frozen=True, slots=True)
class HostProblem:
    """A check that gave no report, and the line of the host's output that says why."""

    problem: Problem
    detail: str


HostAnswer = HostReport | HostProblem

DETAIL_MAX_CHARACTERS = 300
"""Long enough for apiclient's longest error message. Run Command's history keeps the whole output."""

BRACES_TRIED_MAX = 50
"""How many opening braces are tried as the start of the status: other output may contain some before it."""

_ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b[@-_]")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ufeff]")
_BOOT_ID = re.compile(
    r"^\s*([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})\s*$", re.MULTILINE | re.IGNORECASE
)
_NOISE = re.compile(
    r"^(\d\d:\d\d:\d\d )?\[(INFO|WARN)\]|^failed to run commands: exit status|^-+(output|error) truncated-+$|^\s*$",
    re.IGNORECASE,
)
# apiclient prints the same 240 characters of advice before the cause of every failed prepare.
_ADVICE = re.compile(r"\s+This could mean that .*?\s+Detail: ")
# Neither 423 nor "os error 11" is enough alone: 423.5s may be a wait, and os error 11 a resolver out of resources.
_LOCK_HELD = re.compile(r"\b(status|code) '?423\b|update lock held|unable to obtain (shared )?lock", re.IGNORECASE)
_USAGE = re.compile(r"usage: apiclient|unknown argument 'update'", re.IGNORECASE)


def plain(text: str) -> str:
    """Host output without colour codes and control characters, so that it can be shown to a person."""
    return _CONTROL.sub("", _ANSI.sub("", text))


def cause_line(stdout: str, stderr: str) -> str:
    """The last meaningful line of stderr, else of stdout: what a person should read first."""
    for text in (stderr, stdout):
        lines = [line.strip() for line in plain(text).splitlines()]
        meaningful = [line for line in lines if not (_NOISE.search(line) or _BOOT_ID.fullmatch(line))]
        if meaningful:
            return _ADVICE.sub(" ", meaningful[-1])[:DETAIL_MAX_CHARACTERS]
    return "no output"


def lock_held(stderr: str) -> bool:
    """Whether another update command held the update lock (HTTP 423): a reason to wait, not a failure."""
    return _LOCK_HELD.search(plain(stderr)) is not None


def read_check(exit_code: int, stdout: str, stderr: str) -> HostAnswer:
    """Read the output of the check document: boot id, then the JSON of `apiclient update check`."""
    if exit_code != 0:
        return _read_failure(exit_code, stdout, stderr)
    text = plain(stdout)
    status = _status(text)
    if status is None:
        return HostProblem(Problem.UNREADABLE, f"no complete update status in its output: {text.strip()[:80]!r}")
    try:
        state = UpdateState(status.get("update_state"))
    except ValueError:
        return HostProblem(Problem.UNKNOWN_STATE, f"update state {str(status.get('update_state'))[:60]!r}")
    return _report(state, status, text)


def _report(state: UpdateState, status: Mapping[str, Any], text: str) -> HostAnswer:
    try:
        running = _image_version(status, "active_partition", "image")
        chosen = _image_version(status, "chosen_update")
        staged = _image_version(status, "staging_partition", "image")
    except ValueError as error:
        return HostProblem(Problem.UNREADABLE, str(error))
    if running is None:
        return HostProblem(Problem.UNREADABLE, "its status names no running version (active_partition)")
    boot = _BOOT_ID.search(text)
    if boot is None:
        return HostProblem(Problem.NO_BOOT_ID, "the check printed no boot id, so the updater could not verify a reboot")
    return HostReport(boot_id(boot[1]), state, running, chosen, staged, _is_withdrawn(status, staged))


def _read_failure(exit_code: int, stdout: str, stderr: str) -> HostProblem:
    # Before 1.0.5 apiclient had no `update`: exit 2 with its usage text is the exact signature.
    if exit_code == 2 and _USAGE.search(stderr + stdout):
        return HostProblem(Problem.TOO_OLD, "apiclient has no update command")
    if lock_held(stderr):
        return HostProblem(Problem.BUSY, cause_line("", stderr))
    return HostProblem(Problem.FAILED, f"exit {exit_code}: {cause_line(stdout, stderr)}")


def _status(text: str) -> Mapping[str, Any] | None:
    """The first complete JSON object with an update state, whatever text surrounds it."""
    decoder = json.JSONDecoder()
    start = text.find("{")
    for _ in range(BRACES_TRIED_MAX):
        if start == -1:
            return None
        try:
            value, end = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            end = start + 1
        else:
            if isinstance(value, dict) and "update_state" in value:
                return value
        start = text.find("{", end)
    return None


def _is_withdrawn(status: Mapping[str, Any], staged: Version | None) -> bool:
    """Whether the repository no longer offers this host the staged version; False if the host does not list the offered
    versions in a form that can be read.

    The list also has the running version and older ones. It lacks versions that the maintainers removed, versions above
    the maximum that they set, and versions whose wave has not reached the host. Source: thar-be-updates.
    """
    offered = status.get("available_updates")
    if staged is None or not isinstance(offered, list):
        return False
    try:
        return staged not in [Version.parse(text) for text in offered]
    except (ValueError, AttributeError):
        return False  # a list in another form does not show what is offered


def _image_version(status: Mapping[str, Any], *path: str) -> Version | None:
    value: Any = status
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    text = value.get("version") if isinstance(value, dict) else None
    if text is None:
        return None
    if not isinstance(text, str):
        raise ValueError(f"{'.'.join(path)}.version is not text")  # noqa: TRY004 - one kind of error for one caller
    return Version.parse(text)
