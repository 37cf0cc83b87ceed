"""Invariant 16: which versions break tasks, as an updater must have seen by then, unless a person released them."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

from bottlerocket_ecs_updater.simulator.ecs.model import Desired, Last
from bottlerocket_ecs_updater.simulator.ecs.task_failures import FAILURES
from bottlerocket_ecs_updater.simulator.faults import Breaking
from bottlerocket_ecs_updater.simulator.host import Power

if TYPE_CHECKING:
    from bottlerocket_ecs_updater.simulator.ecs.model import Task
    from bottlerocket_ecs_updater.simulator.ecs.specs import Workload
    from bottlerocket_ecs_updater.simulator.faults import TasksBreak
    from bottlerocket_ecs_updater.simulator.host import Host
    from bottlerocket_ecs_updater.simulator.world.world import World

LEDGER = "/ledger.json"
"""How the key of a ledger in a state store ends."""

NOTICED_FAILURES = 2
"""Failed tasks on hosts of one version before an updater must react. One may be a coincidence."""

ODD_FAILURES = 3
"""Failed tasks of a service that fails anyway, for each that counts."""

NOTICEABLY_SOONER = 4
"""How many times sooner than usual a task must fail so that an updater must have seen the difference."""

FAILED_NOTICEABLE = timedelta(seconds=90)
"""How long tasks must have failed on a version before an updater must have seen it."""

PENDING_NOTICEABLE = timedelta(minutes=8)
"""How long a task must be PENDING, or a host IMPAIRED, to count: image pulls take minutes."""


RUNS_NOTICEABLE = timedelta(minutes=3)
"""How long a task must have run on another version to show that its service is not the cause."""

INSTANCE_TYPE = "ecs.instance-type"


class BrokenVersions:
    """The versions on which tasks failed, on hosts that were updated to them or launched with them."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._failed_on: dict[str, list[datetime]] = {}
        """By version: when tasks failed because of it."""
        self._odd_failures: Counter[str] = Counter()
        """By version: how many tasks failed because of it that fail on every version, but otherwise."""
        self._released: dict[str, dict[str, str]] = {}
        """By ledger: the versions that persons released, and when."""

    def is_known(self, version: str) -> bool:
        """Whether tasks have failed on a version for so long that an updater must have seen it."""
        failed = self._failed_on.get(version, [])
        return len(failed) >= NOTICED_FAILURES and self._now() - failed[NOTICED_FAILURES - 1] >= FAILED_NOTICEABLE

    def released(self, version: str) -> None:
        """A person says that a version is good, whatever failed on it before."""
        self._failed_on.pop(version, None)
        self._odd_failures.pop(version, None)

    def stored(self, key: str, body: bytes, *, by_updater: bool) -> None:
        """Notice if a ledger says that a person released a version. An updater never writes that by itself."""
        if not key.endswith(LEDGER):
            return
        now = read_released(body)
        before = self._released.setdefault(key, now if by_updater else {})
        if not by_updater:
            for version in [one for one, at in now.items() if before.get(one) != at]:
                self.released(version)
            self._released[key] = now

    def task_changed(self, task: Task, host: Host, *, updated: bool) -> None:
        """A task has changed, on a host that an updater has `updated`, or on another.

        On a host that was launched with a version, a failed task shows that the version is the cause only if others of
        the same deployment run on a host of another version.
        """
        broken = self._world.ecs.registry.breaks(task)
        if broken is None or host.power is not Power.RUNNING:
            return
        if not updated and not self._runs_elsewhere(task, host):
            return
        failed = task.stop_code in FAILURES or task.stopped_reason.startswith("Task failed ")
        if task.last is Last.STOPPED and failed:
            self._note_failure(task, broken, host.running)
        elif task.last is Last.PENDING and task.desired is Desired.RUNNING and not task.workload.stays_pending:
            self._world.clock.after(PENDING_NOTICEABLE, partial(self._note_pending, task, host))

    def _runs_elsewhere(self, task: Task, host: Host) -> bool:
        """Whether tasks like it run on hosts of the same kind with another version, and none has run on its version."""
        alike = [one for one in self._world.cluster.tasks.values() if one.definition is task.definition]
        versions = {self._version_of(one, task) for one in alike if self._ran_for(one) > RUNS_NOTICEABLE}
        return bool(versions - {host.running, None}) and host.running not in versions

    def _version_of(self, task: Task, like: Task) -> str | None:
        """The version of the task's host; None if the host is not of the same kind as that of another task."""
        if task.instance is None or like.instance is None:
            return None
        same = task.instance.built_in.get(INSTANCE_TYPE) == like.instance.built_in.get(INSTANCE_TYPE)
        return self._world.hosts[task.instance.ec2_instance_id].running if same else None

    def _ran_for(self, task: Task) -> timedelta:
        return (task.stopped_at or self._now()) - task.started_at if task.started_at is not None else timedelta()

    def _note_failure(self, task: Task, broken: TasksBreak, version: str) -> None:
        """Count a failed task, unless it fails in much the same way on every version.

        A task that fails on every version, but in another way, counts less: it takes more of them to blame a version.
        """
        if not _fails_anyway(task.workload):
            self._failed_on.setdefault(version, []).append(self._now())
        elif _fails_otherwise(task.workload, broken):
            self._odd_failures[version] += 1
            if self._odd_failures[version] % ODD_FAILURES == 0:
                self._failed_on.setdefault(version, []).append(self._now())

    def _note_pending(self, task: Task, host: Host) -> None:
        if task.last is Last.PENDING and task.desired is Desired.RUNNING:
            self._failed_on.setdefault(host.running, []).extend([self._now()] * NOTICED_FAILURES)

    def _now(self) -> datetime:
        return self._world.clock.now()


def read_released(ledger: bytes) -> dict[str, str]:
    """The versions that a ledger says were released, and when; empty if it cannot be read."""
    with suppress(ValueError):
        value = json.loads(ledger)
        released = value.get("released") if isinstance(value, dict) else None
        if isinstance(released, dict):
            return {str(version): str(at) for version, at in released.items()}
    return {}


def _fails_anyway(work: Workload) -> bool:
    """Whether its tasks fail on every version."""
    return bool(work.fails_to_start) or work.stays_pending or (work.runs_for is not None and work.exit_code != 0)


def _fails_otherwise(work: Workload, broken: TasksBreak) -> bool:
    """Whether tasks that fail anyway do so in another manner, or much sooner, if a version breaks them."""
    if work.fails_to_start or work.stays_pending or work.runs_for is None:
        return False
    return broken.how is Breaking.FAILS_TO_START or NOTICEABLY_SOONER * broken.after < work.runs_for
