"""Whether tasks fail because of the version of their host, by comparing tasks that are alike.

Tasks of one deployment are alike: the same containers with the same settings. If they fail on hosts of a version and
run on others at the same time, the version is the difference. If they fail on both, or if a newer deployment runs
nowhere, it is the service's own problem: a database that is down, or an image that crashes. ECS places the next tasks
on the emptiest hosts, which are the ones that were just updated, so absolute numbers say nothing: shares are compared.
If no similar task runs elsewhere now, because every host was updated or the service has a single task, the same
deployment must have run longer on other hosts before, and never as long on hosts of the version.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from statistics import median_low

from bottlerocket_ecs_updater.core.decision.in_trouble import is_usual, unusual
from bottlerocket_ecs_updater.core.model.container_instance import LiveTask, TaskEnd
from bottlerocket_ecs_updater.core.model.ids import ContainerInstanceArn

LONG_AGO = datetime.min.replace(tzinfo=UTC)

FAILED_TASKS = 2
"""One task that fails may be a coincidence."""

FINISHED_TASKS = 3
"""The same for tasks that exit with code 0, which some services do after each job."""

AROUND = timedelta(minutes=2)
"""Failures elsewhere count from this long before the first one on the version: a common cause does not hit all hosts at
the same moment.
"""

OUTLIVES, SHORTEST = 2, timedelta(seconds=30)
"""A task that lived `OUTLIVES` times as long as those that fail, and `SHORTEST`, did not fail like them."""

ENDED_AT_ONCE = timedelta(seconds=5)
"""Tasks that all fail within this time may have failed with their host, for example because it was stopped."""

STARTED_TOGETHER = timedelta(seconds=30)
"""Tasks that were started within this time may end at once by themselves, each as long after its start."""

ALIKE_TASKS = 4
"""Lives differ by no more than this factor if one fault of the host ends them; one fault elsewhere ends all at once."""


@dataclass(frozen=True, slots=True)
class TasksAlike:
    """The tasks of services that are in doubt."""

    ended: Sequence[TaskEnd] = ()
    alive: Sequence[LiveTask] = ()


@dataclass(frozen=True, slots=True)
class Trial:
    """The hosts on trial for a version."""

    since: Mapping[ContainerInstanceArn, datetime]
    """When each was updated to the version."""
    groups: frozenset[str] = frozenset()
    """The groups of all tasks on them."""
    in_trouble: frozenset[str] = frozenset()
    """The groups that lost tasks by themselves before the first drain."""
    troubled: frozenset[str] = frozenset()
    """The groups that lost tasks by themselves before the first instance was updated to the version."""
    others: frozenset[ContainerInstanceArn] = frozenset()
    """Other hosts that run the version, for example because they were launched with it.

    Tasks that run there speak for the version. Those that fail there do not count, because such hosts may differ from
    those on trial in more than their version.
    """

    def has(self, task: TaskEnd | LiveTask) -> bool:
        """Whether the task was started on one of these hosts, on the version."""
        return task.where in self.since and task.launched_at >= self.since[task.where]


@dataclass(frozen=True, slots=True)
class _Alike:
    """The tasks of one deployment."""

    ended_here: list[TaskEnd] = field(default_factory=list)
    ended_elsewhere: list[TaskEnd] = field(default_factory=list)
    alive_here: list[LiveTask] = field(default_factory=list)
    alive_elsewhere: list[LiveTask] = field(default_factory=list)

    @property
    def failed(self) -> Sequence[TaskEnd]:
        """Those that failed on the version."""
        return [end for end in self.ended_here if end.failed]

    @property
    def first(self) -> datetime:
        """When the first of them failed."""
        return min(end.stopped_at for end in self.failed)

    def _outlives(self, one: LiveTask, now: datetime) -> bool:
        """Whether a task elsewhere has not failed like those here: it was there before, and has had time to fail."""
        return one.launched_at < self.first and now - one.launched_at > self.long()

    def fails_anyway(self) -> bool:
        """Whether the same deployment fails elsewhere as it does on the version, as far back as ECS shows."""
        elsewhere = [end for end in self.ended_elsewhere if end.failed]
        usual = sum(is_usual(end, elsewhere) for end in self.failed)
        return 2 * usual > len(self.failed)

    def usual(self) -> timedelta:
        """How long those that failed usually lived."""
        return median_low(end.lasted for end in self.failed)

    def long(self) -> timedelta:
        """How long a task must live to count as not having failed like those here."""
        return max(SHORTEST, OUTLIVES * self.usual())

    def outlived_here(self, now: datetime, since: datetime = LONG_AGO) -> int:
        """How many tasks on the version did not fail like the others, of those that were launched since a time."""
        return sum(at >= since for at in self._launches_of_outlived(self.alive_here, self.ended_here, now))

    def _launches_of_outlived(
        self, alive: Iterable[LiveTask], ended: Iterable[TaskEnd], now: datetime
    ) -> Sequence[datetime]:
        """When the tasks were launched that lived longer than those that failed on the version usually do."""
        long = self.long()
        still = (one.launched_at for one in alive if one.started_at is not None and now - one.launched_at > long)
        return [*still, *(end.launched_at for end in ended if end.started and end.lasted > long)]

    def contrast(self, now: datetime) -> bool | None:
        """Whether those on the version fail and others do not; None if no others ran at the same time."""
        since = self.first - max(AROUND, OUTLIVES * self.usual())
        failed = sum(end.failed and end.stopped_at >= since for end in self.ended_elsewhere)
        stayed = sum(one.started_at is not None and self._outlives(one, now) for one in self.alive_elsewhere)
        if not failed + stayed:
            return None
        if self._new_ones_fail(now):
            return False
        here, outlived = len(self.failed), self.outlived_here(now)
        return failed / (failed + stayed) <= here / (here + outlived) / 2 or self._contrast_later(now)

    def _new_ones_fail(self, now: datetime) -> bool:
        """Whether those launched elsewhere since the first that failed here fail too, and none of them stays.

        Then what is new fails everywhere, for example because of a secret that was changed. Those that stay elsewhere
        are older than that.
        """
        first, long = min(end.launched_at for end in self.failed), self.long()
        fail = [end for end in self.ended_elsewhere if end.failed and end.launched_at >= first and end.lasted <= long]
        launches = self._launches_of_outlived(self.alive_elsewhere, self.ended_elsewhere, now)
        return len(fail) >= FAILED_TASKS and not any(at >= first for at in launches)

    def _contrast_later(self, now: datetime) -> bool:
        """The same for tasks launched since the first that failed here, once others launched since have lived long.

        Only this detects the version for a service whose tasks fail now and then on every host: its tasks elsewhere
        failed too, and were launched again.
        """
        launches = self._launches_of_outlived(self.alive_elsewhere, self.ended_elsewhere, now)
        first = min(end.launched_at for end in self.failed)
        stayed = [at for at in launches if at >= first]
        if len(stayed) < FAILED_TASKS:
            return False
        since, long = min(stayed), self.long()
        failed = sum(end.failed and end.launched_at >= since and end.lasted <= long for end in self.ended_elsewhere)
        here = sum(end.launched_at >= since and end.lasted <= long for end in self.failed)
        outlived = self.outlived_here(now, since)
        return here >= FAILED_TASKS and failed / (failed + len(stayed)) <= here / (here + outlived) / 2

    def consistent(self, now: datetime) -> bool:
        """Whether all on the version ended after about the same time."""
        lives = sorted(max(end.lasted, SHORTEST) for end in self.failed)
        return lives[-1] <= ALIKE_TASKS * lives[0] and not self.outlived_here(now) and not self.fell_together()

    def fell_together(self) -> bool:
        """Whether most of those that failed ended at one moment, however long each had run: something else failed."""
        failed = self.failed
        return any(
            2 * len(group) >= len(failed) and started_apart(group)
            for one in failed
            if len(group := [end for end in failed if abs(end.stopped_at - one.stopped_at) < ENDED_AT_ONCE]) > 1
        )

    def unusual(self) -> Sequence[TaskEnd]:
        """Those that failed on the version in a different way than the same deployment elsewhere."""
        return unusual(self.failed, [end for end in self.ended_elsewhere if end.failed], self.first - AROUND)

    def ran_before(self) -> bool:
        """Whether others ran longer before, as far back as ECS shows stopped tasks."""
        longer = (end for end in self.ended_elsewhere if end.lasted > max(SHORTEST, self.usual()))
        return any(end.started and not end.failed for end in longer)

    def starts(self) -> Sequence[timedelta]:
        """How long each of them took from its launch until it ran, those on the version included if they still run."""
        alive = (one for one in (*self.alive_elsewhere, *self.alive_here) if one.started_at is not None)
        running = [one.started_at - one.launched_at for one in alive if one.started_at is not None]
        return [*running, *(end.lasted - end.ran_for for end in self.ended_elsewhere if end.ran_for is not None)]


def started_apart(ends: Iterable[TaskEnd]) -> bool:
    """Whether these tasks were started at different times, so that ending at once has a common cause."""
    return span_of(end.launched_at for end in ends) > STARTED_TOGETHER


def span_of(times: Iterable[datetime]) -> timedelta:
    """From the first to the last of these times."""
    ordered = sorted(times)
    return ordered[-1] - ordered[0]


def blamed_on_version(trial: Trial, tasks: TasksAlike, now: datetime) -> Sequence[TaskEnd]:
    """The failed tasks for which the version is the cause; empty if something else may be."""
    alike = [one for one in _by_deployment(trial, _with_odd_exits(trial, tasks)).values() if one.failed]
    against_it = [one for one in alike if _tells(one, now)]
    if not against_it and _all_fail(alike, trial, now):
        against_it = alike
    against = [end for one in against_it for end in one.failed]
    # If a service fails anyway, only an unusual way of failing is evidence.
    return against or [end for one in alike if one.failed[0].group in trial.in_trouble for end in one.unusual()]


def _with_odd_exits(trial: Trial, tasks: TasksAlike) -> TasksAlike:
    """The tasks, with those as failed that exited with code 0 only on the version.

    A service that starts a worker again after each of its jobs does so on every host.
    """
    finished: dict[tuple[str, str], list[bool]] = {}
    for end in (end for end in tasks.ended if end.finished):
        finished.setdefault((end.group, end.deployment), []).append(trial.has(end))
    odd = {alike for alike, here in finished.items() if len(here) >= FINISHED_TASKS and all(here)}
    if not odd:
        return tasks
    ended = [replace(end, unlike_others=end.finished and (end.group, end.deployment) in odd) for end in tasks.ended]
    return TasksAlike(ended, tasks.alive)


def _tells(one: _Alike, now: datetime) -> bool:
    contrast = one.contrast(now)
    if contrast is not None:
        return contrast
    return one.consistent(now) and one.ran_before() and not one.fails_anyway()


def _all_fail(alike: Collection[_Alike], trial: Trial, now: datetime) -> bool:
    """Whether several services run on the version, all of them fail, and no similar task runs elsewhere."""
    usable = (one for one in alike if one.contrast(now) is None and one.consistent(now) and not one.fails_anyway())
    failing = {one.failed[0].group for one in usable} - trial.troubled
    return len(failing) >= FAILED_TASKS and failing >= set(trial.groups)


def _by_deployment(trial: Trial, tasks: TasksAlike) -> Mapping[tuple[str, str], _Alike]:
    found: dict[tuple[str, str], _Alike] = {}

    def of(task: TaskEnd | LiveTask) -> _Alike:
        return found.setdefault((task.group, task.deployment), _Alike())

    for end in (one for one in tasks.ended if not (one.failed and one.where in trial.others)):
        here = trial.has(end) or end.where in trial.others
        (of(end).ended_here if here else of(end).ended_elsewhere).append(end)
    for one in tasks.alive:
        here = trial.has(one) or one.where in trial.others
        (of(one).alive_here if here else of(one).alive_elsewhere).append(one)
    return found


def waiting_for_version(
    trial: Trial, here: Iterable[LiveTask], of_services: TasksAlike, now: datetime, limit: timedelta
) -> Sequence[LiveTask]:
    """The tasks that do not start on the version, although tasks that are alike start elsewhere.

    `here` are the tasks on its hosts. A large image takes minutes to pull: tasks have twice the longest time that
    others of their deployment took.
    """
    alike = _by_deployment(trial, of_services)
    waiting = [one for one in here if one.started_at is None and trial.has(one) and now - one.launched_at >= limit]
    count = Counter((one.group, one.deployment) for one in waiting)
    return [
        one
        for one in waiting
        if (key := (one.group, one.deployment)) in alike and _waits_long(one, alike[key], count[key], now, limit)
    ]


def _waits_long(one: LiveTask, alike: _Alike, together: int, now: datetime, limit: timedelta) -> bool:
    waited = now - one.launched_at
    if waited < OUTLIVES * max(alike.starts(), default=timedelta()):
        return False
    started = [each for each in alike.alive_elsewhere if each.started_at is not None]
    stuck = [each for each in alike.alive_elsewhere if each.started_at is None and now - each.launched_at >= limit]
    # Of a service that crashes in a loop, no task may run elsewhere now, but some have started since this one waits.
    lately = [end for end in alike.ended_elsewhere if _started_since(end, one.launched_at)]
    before = any(end.started and not end.failed and end.lasted > limit for end in alike.ended_elsewhere)
    # Or all of its tasks wait here, and those that crashed elsewhere before had started: one may be a coincidence.
    crashed = together >= FAILED_TASKS and any(end.started and end.failed for end in alike.ended_elsewhere)
    ran = bool(started or lately) or before
    return (ran or crashed) and len(stuck) <= (len(started) + len(lately)) / 2


def _started_since(end: TaskEnd, at: datetime) -> bool:
    return end.ran_for is not None and end.stopped_at - end.ran_for >= at
