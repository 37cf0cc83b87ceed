"""apiclient: the command that updaters run on a host, with its texts, exit codes and time limits.

Exit code 0 is success, 1 a runtime error printed on stderr, 2 a usage error. Log lines go to stderr.
It waits by polling the status, and gives up at its own limit; the host continues without it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from bottlerocket_ecs_updater.simulator.faults import Moment, Oddity, OddOutput, RebootEnding, RebootEnds, Step
from bottlerocket_ecs_updater.simulator.host import settings
from bottlerocket_ecs_updater.simulator.host.dispatcher import NO_CONTENT, NOT_FOUND, OK, REASONS
from bottlerocket_ecs_updater.simulator.host.malformed_output import distort
from bottlerocket_ecs_updater.simulator.host.status import UpdateCommand, UpdateState, UpdateStatus, compact, pretty
from bottlerocket_ecs_updater.simulator.repository import parse_version

if TYPE_CHECKING:
    from bottlerocket_ecs_updater.simulator.host.dispatcher import UpdateDispatcher
    from bottlerocket_ecs_updater.simulator.host.machine import HostMachine
    from bottlerocket_ecs_updater.simulator.host.script import Program, Streams

REQUEST = timedelta(milliseconds=5)
"""The time for one request over the socket, between a status read and the act that depends on it."""
REBOOT_REQUEST = timedelta(milliseconds=50)
NOTIFY_EVERY = timedelta(seconds=5)
CUT_OFF_WAIT = timedelta(minutes=30)
"""Longer than any shutdown, so that the command is still running when the shutdown interrupts it."""

_PREPARE_FAILED = (
    "Failed to prepare update.  This could mean that we don't have a list of updates yet or that an update is "
    "already applied.  Running 'apiclient update check' will help you find out.  You can cancel an applied "
    "('Ready') update with 'apiclient update cancel' if desired.  Detail: "
)
_SOCKET_URI = "unix://2f72756e2f6170692e736f636b:0"
_USAGE = """Usage: apiclient SUBCOMMAND [OPTION]...

Subcommands: raw, get, set, update check, update apply, update cancel, reboot"""
_OLD_USAGE = """Usage: apiclient [ -u | --uri URI ] [ -m | -X | --method METHOD ] [ -d | --data DATA ]"""


class ClientError(Exception):
    """A runtime error: its text is what apiclient prints before it exits with 1."""


class BadArguments(Exception):
    """Arguments that this version of apiclient does not support."""


@dataclass(frozen=True, slots=True)
class ActionLimit:
    """How apiclient waits for one action."""

    uri: str
    between: timedelta
    attempts: int


_LIMITS = {
    UpdateCommand.REFRESH: ActionLimit("/actions/refresh-updates", timedelta(milliseconds=100), 100),
    UpdateCommand.PREPARE: ActionLimit("/actions/prepare-update", timedelta(milliseconds=500), 1200),
    UpdateCommand.ACTIVATE: ActionLimit("/actions/activate-update", timedelta(milliseconds=100), 50),
    UpdateCommand.DEACTIVATE: ActionLimit("/actions/deactivate-update", timedelta(milliseconds=100), 50),
}


@dataclass(frozen=True, slots=True)
class HostApi:
    """The host API that apiclient reaches through the socket, during one boot."""

    machine: HostMachine
    dispatcher: UpdateDispatcher
    moment: Callable[[Moment], None]
    step: Callable[[Step], None]
    reboot: Callable[[], str | None]
    """Request a reboot. Returns the host's error if it refuses."""


def run_apiclient(api: HostApi, arguments: Sequence[str], streams: Streams) -> Program:
    """Run `apiclient ARGUMENTS`; returns its exit status."""
    try:
        yield from _Client(api, streams).run(list(arguments))
    except BadArguments as error:
        old = parse_version(api.machine.running) < parse_version("1.0.5")
        streams.print_error(f"{error}\n\n{_OLD_USAGE if old else _USAGE}")
        return 2
    except ClientError as error:
        streams.print_error(str(error))
        return 1
    return 0


Steps = Generator[timedelta, None, None]


class _Client:
    def __init__(self, api: HostApi, streams: Streams) -> None:
        self._api = api
        self._machine = api.machine
        self._streams = streams
        self._version = parse_version(api.machine.running)

    def run(self, arguments: list[str]) -> Steps:
        match arguments:
            case ["-u" | "--uri", uri] | ["raw", "-u" | "--uri", uri]:
                self._raw(uri)
            case ["update", *rest] if self._since("1.0.5"):
                yield from self._update(rest)
            case ["reboot"] if self._since("1.0.5"):
                yield from self._reboot()
            case ["set", *rest] if self._since("1.0.6"):
                self._set(rest)
            case ["get", *prefixes] if self._since("1.5.0"):
                self._get(prefixes)
            case [word, *_]:
                raise BadArguments(f"Unknown argument '{word}'")
            case _:
                raise BadArguments("Must specify a subcommand")

    def _since(self, version: str) -> bool:
        return self._version >= parse_version(version)

    def _update(self, arguments: list[str]) -> Steps:
        match arguments:
            case ["check"]:
                yield from self._check()
            case ["apply", *flags]:
                yield from self._apply(flags)
            case ["cancel"]:
                self._info("Canceling update...")
                yield from self._wait(UpdateCommand.DEACTIVATE, "Failed to cancel update: ")
            case [word, *_]:
                raise BadArguments(f"Unknown argument '{word}'")
            case _:
                raise BadArguments("Must specify an update subcommand")

    def _check(self) -> Generator[timedelta, None, UpdateStatus]:
        self._api.step(Step.CHECK)
        self._info("Refreshing updates...")
        status = yield from self._wait(UpdateCommand.REFRESH, "Failed to check for updates: ")
        odd = self._machine.active_faults.strike(OddOutput, lambda odd: odd.oddity in _ODD_CHECKS)
        self._streams.out.append(distort(status, odd.oddity if odd else None))
        self._api.moment(Moment.AFTER_CHECK)
        return status

    def _apply(self, flags: list[str]) -> Steps:
        unknown = [flag for flag in flags if flag not in {"-c", "--check", "-r", "--reboot"}]
        if unknown:
            raise BadArguments(f"Unknown argument '{unknown[0]}'")
        if {"-c", "--check"} & set(flags):
            status = yield from self._check()
            if not self._required(status):
                return
        self._api.step(Step.APPLY)
        self._info("Downloading and applying update to disk...")
        self._api.moment(Moment.BEFORE_PREPARE)
        yield REQUEST
        yield from self._wait(UpdateCommand.PREPARE, "Failed to apply update: " + _PREPARE_FAILED)
        self._info("Setting the update active so it will apply on the next reboot...")
        self._api.moment(Moment.BEFORE_ACTIVATE)
        yield from self._wait(UpdateCommand.ACTIVATE, "Failed to apply update: ")
        if {"-r", "--reboot"} & set(flags):
            yield from self._reboot()
        else:
            self._info("Update has been applied and will take effect on next reboot.")

    def _required(self, status: UpdateStatus) -> bool:
        match status.update_state:
            case UpdateState.IDLE:
                self._info("No updates available.")
                return False
            case UpdateState.READY:
                self._info("Update already applied; reboot for it to take effect, or request a cancel.")
                return False
            case UpdateState.AVAILABLE | UpdateState.STAGED:
                return True

    def _wait(self, command: UpdateCommand, prefix: str) -> Generator[timedelta, None, UpdateStatus]:
        """Request an action, and poll for its result. Raises ClientError if there is none in time."""
        before = self._before(prefix)
        yield REQUEST
        limit = _LIMITS[command]
        reply = self._api.dispatcher.request(command)
        if reply.code != NO_CONTENT:
            uri = limit.uri if self._since("1.1.0") else _SOCKET_URI + limit.uri
            raise ClientError(
                f"{prefix}Failed to make {command} request: Status {reply.code} when POSTing {uri}: {reply.body}"
            )
        waited = timedelta()
        for attempt in range(1, limit.attempts):
            if waited >= NOTIFY_EVERY:
                waited = timedelta()
                self._still_waiting(limit, attempt)
            yield limit.between
            waited += limit.between
            reply = self._api.dispatcher.read()
            if reply.status is not None and self._is_result(reply.status, command, before):
                return self._success(reply.status, command, prefix)
        raise ClientError(
            f"{prefix}Timed out after waiting {_seconds(limit.between * limit.attempts)} seconds "
            f"after POST to {limit.uri}, unsure of result"
        )

    def _before(self, prefix: str) -> str | None:
        reply = self._api.dispatcher.read()
        if reply.code not in {OK, NOT_FOUND}:
            raise ClientError(
                f"{prefix}Unable to check initial update status, "
                f"got code '{reply.code} {REASONS[reply.code]}': {reply.body}"
            )
        return _timestamp(reply.status)

    @staticmethod
    def _is_result(status: UpdateStatus, command: UpdateCommand, before: str | None) -> bool:
        last = status.most_recent_command
        return last is not None and last.command is command and last.timestamp != before

    @staticmethod
    def _success(status: UpdateStatus, command: UpdateCommand, prefix: str) -> UpdateStatus:
        last = status.most_recent_command
        if last is None or last.status == "Success":
            return status
        # apiclient wrongly reads the exit status as a string, so it always prints -1.
        raise ClientError(f"{prefix}{command} attempt failed with status '{last.status}' (-1): {last.stderr}")

    def _still_waiting(self, limit: ActionLimit, attempt: int) -> None:
        left = limit.between * (limit.attempts - attempt)
        self._info(f"Still waiting for updated status, will wait up to {_seconds(left)} longer...")

    def _reboot(self) -> Steps:
        self._api.step(Step.REBOOT)
        yield REBOOT_REQUEST
        refused = self._api.reboot()
        if refused is not None:
            raise ClientError(
                "Failed to reboot: Failed POST request to '/actions/reboot': Status 500 when POSTing "
                f"/actions/reboot: Failed to reboot, exit code: 1, stderr: {refused}"
            )
        if self._machine.active_faults.active(RebootEnds, lambda ends: ends.ending is not RebootEnding.SUCCESS):
            yield CUT_OFF_WAIT
        self._info("Rebooting, goodbye...")

    def _raw(self, uri: str) -> None:
        if uri.partition("?")[0] != "/updates/status":
            raise ClientError(f"Failed raw request: Status 404 when GETting {uri}: ")
        reply = self._api.dispatcher.read()
        if reply.status is None:
            raise ClientError(f"Failed raw request: Status {reply.code} when GETting {uri}: {reply.body}")
        self._streams.print(compact(reply.status.to_json()))

    def _get(self, prefixes: list[str]) -> None:
        if [prefix.lstrip("/") for prefix in prefixes] == ["updates/status"]:
            reply = self._api.dispatcher.read()
            if reply.status is None:
                raise ClientError(f"Failed to get: Status {reply.code} when GETting {prefixes[0]}: {reply.body}")
            self._streams.print(pretty(reply.status.to_json()))
            return
        self._streams.print(pretty(settings.settings_report(self._machine, prefixes)))

    def _set(self, arguments: list[str]) -> None:
        try:
            wanted = settings.parse_settings(arguments)
            settings.change_settings(self._machine.settings, wanted)
        except json.JSONDecodeError as error:
            raise BadArguments(f"Input is not valid JSON: {error}") from error
        except ValueError as error:
            raise ClientError(f"Failed to change settings: {error}") from error

    def _info(self, text: str) -> None:
        time = f"{self._machine.clock.now():%H:%M:%S}"
        odd = self._machine.active_faults.active(OddOutput, lambda odd: odd.oddity is Oddity.COLOURED)
        if self._machine.spec.ansi or odd:
            self._streams.print_error(f"{time} \x1b[0m\x1b[34m[INFO] \x1b[0m{text}")
        else:
            self._streams.print_error(f"{time} [INFO] {text}")


_ODD_CHECKS = frozenset(Oddity) - {Oddity.COLOURED, Oddity.NO_BOOT_ID}


def _timestamp(status: UpdateStatus | None) -> str | None:
    last = status.most_recent_command if status else None
    return last.timestamp if last else None


def _seconds(duration: timedelta) -> str:
    """A duration in Rust's Debug format: 594.5s, 10s, 500ms."""
    seconds = duration.total_seconds()
    return f"{seconds:g}s" if seconds >= 1 else f"{seconds * 1000:g}ms"
