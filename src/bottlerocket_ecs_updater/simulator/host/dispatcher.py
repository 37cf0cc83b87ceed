"""thar-be-updates: the state machine between the host's API and updog.

    from       refresh                       prepare              activate         deactivate
    (no file)  becomes Idle, then as Idle    becomes Idle, 409    (the same)       (the same)
    Idle       found: Available, else Idle   409                  409              409
    Available  found: Available, else Idle   Staged               409              409
    Staged     Staged                        Staged               Ready            409
    Ready      Ready                         409                  409              Staged

A failed command leaves the state unchanged, except refresh, which falls back to Idle from Idle and Available. Commands
answer immediately and work in the background. While they work, they hold a lock, and other requests get a 423. The
status is on tmpfs: a reboot deletes it, and stops the work.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, assert_never

from bottlerocket_ecs_updater.simulator.faults import LockBusy, Moment
from bottlerocket_ecs_updater.simulator.host import updog
from bottlerocket_ecs_updater.simulator.host.status import (
    Staged,
    UpdateCommand,
    UpdateCommandResult,
    UpdateState,
    UpdateStatus,
    rfc3339,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from bottlerocket_ecs_updater.simulator.clock import Timer
    from bottlerocket_ecs_updater.simulator.host.machine import HostMachine
    from bottlerocket_ecs_updater.simulator.host.updog import UpdogResult, Work

OK, NO_CONTENT, NOT_FOUND, CONFLICT, LOCKED = 200, 204, 404, 409, 423
REASONS = {NOT_FOUND: "Not Found", CONFLICT: "Conflict", LOCKED: "Locked", 500: "Internal Server Error"}

_ALLOWED: dict[UpdateCommand, frozenset[UpdateState]] = {
    UpdateCommand.REFRESH: frozenset(UpdateState),
    UpdateCommand.PREPARE: frozenset({UpdateState.AVAILABLE, UpdateState.STAGED}),
    UpdateCommand.ACTIVATE: frozenset({UpdateState.STAGED}),
    UpdateCommand.DEACTIVATE: frozenset({UpdateState.READY}),
}


@dataclass(frozen=True, slots=True)
class ApiReply:
    """An answer of the host's API: `status` for a 200, `body` for errors."""

    code: int
    body: str = ""
    status: UpdateStatus | None = None


class UpdateDispatcher:
    """The dispatcher of one boot; a reboot creates a new one. `moment` is called at the stages of an update."""

    def __init__(self, machine: HostMachine, moment: Callable[[Moment], None]) -> None:
        self._machine = machine
        self._moment = moment
        self._booted = machine.clock.now()
        self._job: list[Timer] = []
        self.status: UpdateStatus | None = None

    @property
    def locked(self) -> bool:
        """Whether something holds the update lock."""
        return bool(self._job) or self._machine.active_faults.active(LockBusy, self._in_this_boot) is not None

    def read(self) -> ApiReply:
        """GET /updates/status."""
        if self.locked:
            return ApiReply(
                LOCKED,
                "Unable to obtain shared lock for reading update status: "
                "Resource temporarily unavailable (os error 11)",
            )
        if self.status is None:
            return ApiReply(NOT_FOUND, "Update status is uninitialized, refresh-updates to initialize it")
        return ApiReply(OK, status=self.status)

    def request(self, command: UpdateCommand) -> ApiReply:
        """POST /actions/…: start the work and answer at once. The work continues without the client."""
        if self.locked:
            return ApiReply(LOCKED, "Update lock held")
        status = self._initialised()
        if status.update_state not in _ALLOWED[command]:
            return ApiReply(CONFLICT, "Update action not allowed according to update state")
        if command is UpdateCommand.PREPARE and status.chosen_update is None:
            return ApiReply(NOT_FOUND, "Previously chosen Update no longer exists")
        if command in {UpdateCommand.ACTIVATE, UpdateCommand.DEACTIVATE} and status.staging_partition is None:
            return ApiReply(NOT_FOUND, "No update image applied to staging partition")
        self._begin(command)
        return ApiReply(NO_CONTENT)

    def stop(self) -> None:
        """Kill the background work, as a shutdown or the OOM killer does. Records nothing."""
        for timer in self._job:
            timer.cancel()
        self._job = []

    def _initialised(self) -> UpdateStatus:
        if self.status is None:
            partitions = self._machine.partitions
            active = Staged(self._machine.image(self._machine.running), partitions.next_to_boot() is partitions.active)
            self.status = UpdateStatus(active)
        return self.status

    def _begin(self, command: UpdateCommand) -> None:
        work = self._work(command)
        clock = self._machine.clock
        self._job = [clock.after(work.takes, lambda: self._finish(command, work))]
        if command is UpdateCommand.PREPARE:
            self._job.append(clock.after(work.takes / 2, lambda: self._moment(Moment.DURING_PREPARE)))

    def _work(self, command: UpdateCommand) -> Work:
        match command:
            case UpdateCommand.REFRESH:
                return updog.list_versions(self._machine)
            case UpdateCommand.PREPARE:
                return updog.prepare(self._machine)
            case UpdateCommand.ACTIVATE:
                return updog.activate(self._machine)
            case UpdateCommand.DEACTIVATE:
                return updog.deactivate(self._machine)
            case _:
                assert_never(command)

    def _finish(self, command: UpdateCommand, work: Work) -> None:
        self.stop()
        outcome = work.finish()
        status = replace(self._initialised(), most_recent_command=self._result(command, outcome))
        self.status = self._after(command, status, outcome)
        if command is UpdateCommand.PREPARE:
            self._moment(Moment.AFTER_PREPARE)
        if command is UpdateCommand.ACTIVATE and outcome.exit_status == 0:
            self._moment(Moment.WHILE_READY)

    def _after(self, command: UpdateCommand, status: UpdateStatus, outcome: UpdogResult) -> UpdateStatus:
        match command:
            case UpdateCommand.REFRESH:
                return self._refreshed(status, outcome)
            case _ if outcome.exit_status != 0:
                return status
            case UpdateCommand.PREPARE:
                # The status shows the version that the last refresh chose, even if updog wrote another one.
                staged = Staged(status.chosen_update, next_to_boot=False) if status.chosen_update else None
                return replace(status, update_state=UpdateState.STAGED, staging_partition=staged)
            case UpdateCommand.ACTIVATE:
                return _next_boots(status, UpdateState.READY, staging=True)
            case UpdateCommand.DEACTIVATE:
                return _next_boots(status, UpdateState.STAGED, staging=False)
            case _:
                assert_never(command)

    def _refreshed(self, status: UpdateStatus, outcome: UpdogResult) -> UpdateStatus:
        prepared = status.update_state in {UpdateState.STAGED, UpdateState.READY}
        if outcome.offer is None:
            # The lists keep the entries of an earlier refresh.
            return status if prepared else replace(status, update_state=UpdateState.IDLE)
        chosen = outcome.offer.chosen
        found = UpdateState.AVAILABLE if chosen else UpdateState.IDLE
        return replace(
            status,
            update_state=status.update_state if prepared else found,
            available_updates=outcome.offer.available,
            chosen_update=self._machine.image(chosen) if chosen else None,
        )

    def _result(self, command: UpdateCommand, outcome: UpdogResult) -> UpdateCommandResult:
        return UpdateCommandResult(
            command,
            "Success" if outcome.exit_status == 0 else "Failed",
            rfc3339(self._machine.clock.now(), self._machine.chances.randrange(1000)),
            outcome.exit_status,
            outcome.stderr,
        )

    def _in_this_boot(self, busy: LockBusy) -> bool:
        busy_since: datetime = self._machine.active_faults.begins_at(busy.at)
        return self._booted <= busy_since


def _next_boots(status: UpdateStatus, state: UpdateState, *, staging: bool) -> UpdateStatus:
    staged = status.staging_partition
    return replace(
        status,
        update_state=state,
        staging_partition=replace(staged, next_to_boot=staging) if staged else None,
        active_partition=replace(status.active_partition, next_to_boot=not staging),
    )
