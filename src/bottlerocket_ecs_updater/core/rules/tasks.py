"""Task rules: what to do with standalone tasks in a drain, and which tasks and services hold a drain.

ECS moves the tasks of services while an instance drains. A standalone task stays until it ends, and nothing restarts
it. So by default an instance with a standalone task is not drained. A rule for its family or group can change that; the
first matching rule counts:

    nightly-batch wait 4h      drain, and return the instance if the task has not ended after four hours
    report-* stop 30m          drain, and stop the task if it has not ended after half an hour
    service:ledger hold        do not drain while a task of that service is on the instance

Rules apply to standalone tasks unless they name a service. The updater never stops a task of a service, and tasks of
daemon services never hold an instance.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import assert_never

from bottlerocket_ecs_updater.core.model.container_instance import FAMILY_GROUP, SERVICE_GROUP, Task, family_name
from bottlerocket_ecs_updater.core.model.ids import TaskArn
from bottlerocket_ecs_updater.core.model.reasons import Hold, Reason, hold
from bottlerocket_ecs_updater.core.model.time_text import LATEST, duration_text, parse_duration, since_fact, time_text

NOT_SAID = "a time that ECS does not say"

_NAMED_AT_MOST = 3


@dataclass(frozen=True, slots=True)
class TaskOnHost:
    """A task that is not STOPPED, with the facts that the rules need."""

    task: Task
    family: str = ""
    """The family of its task definition; empty if only its group shows it."""
    protected_until: datetime | None = None
    """When its ECS task protection ends; None if it is not protected."""
    updaters: bool = False
    """Whether it is a run of the updater. It ends by itself, and no rule applies to it."""

    @property
    def names(self) -> tuple[str, ...]:
        """The names that a rule may use for it: its group, and its family with and without ECS's prefix."""
        group = self.task.group
        family = self.family or (group.removeprefix(FAMILY_GROUP) if group.startswith(FAMILY_GROUP) else "")
        return tuple(name for name in (group, family, family_name(family)) if name)

    def __str__(self) -> str:
        return f"{self.task.group or self.family or 'task'} {self.task.arn}"


@dataclass(frozen=True, slots=True)
class HoldInstance:
    """Do not drain while it runs."""

    def __str__(self) -> str:
        return "hold"


@dataclass(frozen=True, slots=True)
class WaitFor:
    """Drain, and return the instance to service if the task has not ended by then."""

    limit: timedelta

    def __str__(self) -> str:
        return f"wait {duration_text(self.limit)}"


@dataclass(frozen=True, slots=True)
class StopAfter:
    """Drain, and stop the task if it has not ended by then."""

    limit: timedelta

    def __str__(self) -> str:
        return f"stop {duration_text(self.limit)}"


Treatment = HoldInstance | WaitFor | StopAfter


@dataclass(frozen=True, slots=True)
class TaskRule:
    """How to treat the tasks of a family or group; `*` in the name matches any characters."""

    name: str
    treatment: Treatment

    @classmethod
    def parse(cls, text: str) -> TaskRule:
        """Read `nightly-batch wait 4h`. Raises ValueError with what is wrong."""
        match text.split():
            case [name, "hold"]:
                return cls(name, HoldInstance())
            case [name, "wait", span]:
                return cls(name, WaitFor(parse_duration(span)))
            case [name, "stop", _] if name.startswith(SERVICE_GROUP):
                raise ValueError(f"ECS moves tasks of services, and the updater never stops them: {text[:60]!r}")
            case [name, "stop", span]:
                return cls(name, StopAfter(parse_duration(span)))
            case _:
                raise ValueError(f"not a task rule: {text[:80]!r}")

    def __str__(self) -> str:
        return f"{self.name} {self.treatment}"

    def means(self, work: TaskOnHost) -> bool:
        """Whether the rule applies to this task."""
        if work.task.daemon or work.task.of_service is not self.name.startswith(SERVICE_GROUP):
            return False
        pattern = ".*".join(re.escape(part) for part in self.name.split("*"))
        return any(re.fullmatch(pattern, name) for name in work.names)


@dataclass(frozen=True, slots=True)
class TaskRules:
    """The operator's rules about tasks. By default, standalone tasks hold their instance."""

    rules: tuple[TaskRule, ...] = ()
    hold_while_deploying: bool = True
    """Whether a deployment in progress holds the next drain."""

    @property
    def longest(self) -> timedelta:
        """The longest time that any rule lets a drain wait for a task."""
        return max((_wait_of(rule) for rule in self.rules), default=timedelta())

    def about(self, work: TaskOnHost) -> TaskRule | None:
        """The first rule that applies to this task; None if there is none."""
        return next((rule for rule in self.rules if not work.updaters and rule.means(work)), None)


@dataclass(frozen=True, slots=True)
class DrainDeadline:
    """The limits of a drain, given the tasks that are left."""

    until: datetime
    """When the instance is returned to service if the tasks are still there."""
    stop: tuple[TaskArn, ...] = ()
    """Tasks to stop now."""
    next_stop: datetime | None = None
    """When to stop the next task; None if there is none."""


def may_leave(left: Iterable[TaskOnHost], rules: TaskRules, now: datetime) -> Hold | None:
    """Why the tasks on an instance forbid draining it; None if they do not."""
    for work in left:
        if work.protected_until is not None and work.protected_until > now:
            until = time_text(work.protected_until) if work.protected_until < LATEST else NOT_SAID
            return hold(Reason.TASK_PROTECTED, task=work, until=until)
        rule = rules.about(work)
        if rule is None and not work.task.of_service and not work.updaters:
            return hold(Reason.STANDALONE_TASK, task=work, **since_fact(work.task.launched_at))
        if rule is not None and isinstance(rule.treatment, HoldInstance):
            return hold(Reason.TASK_HELD, task=work, rule=rule)
    return None


def longest_wait(left: Iterable[TaskOnHost], rules: TaskRules) -> timedelta:
    """How long a drain may wait for its tasks, by the rules. Forecasts count with it."""
    return max((_wait_of(rules.about(work)) for work in left), default=timedelta())


def shortest_limit(left: Iterable[TaskOnHost], rules: TaskRules, drain_timeout: timedelta) -> timedelta:
    """How long a drain waits for these tasks: until the first of their limits."""
    return min((_limit_of(rules.about(work), drain_timeout) for work in left), default=drain_timeout)


def drain_deadline(
    left: Sequence[TaskOnHost], rules: TaskRules, since: datetime, drain_timeout: timedelta, now: datetime
) -> DrainDeadline:
    """The limits of a drain that started at `since`. Each task has its own; the first one reached ends the drain."""
    # ECS stops daemons last, so they may stay as long as a task that a rule waits for, plus their own time.
    limits = [
        since + _limit_of(rules.about(work), drain_timeout) + (rules.longest if work.task.daemon else timedelta())
        for work in left
    ]
    stops = [(_stop_at(rules.about(work), since), work.task.arn) for work in left]
    return DrainDeadline(
        until=min(limits, default=since + drain_timeout),
        stop=tuple(arn for at, arn in stops if at is not None and at <= now),
        next_stop=min((at for at, _ in stops if at is not None and at > now), default=None),
    )


def _wait_of(rule: TaskRule | None) -> timedelta:
    match rule.treatment if rule is not None else None:
        case None | HoldInstance():
            return timedelta()
        case WaitFor(limit=limit) | StopAfter(limit=limit):
            return limit


def _limit_of(rule: TaskRule | None, drain_timeout: timedelta) -> timedelta:
    """How long a drain may take for one task. A task that is stopped gets the usual drain time after that."""
    if rule is None:
        return drain_timeout
    match rule.treatment:
        case HoldInstance():
            return drain_timeout
        case WaitFor(limit=limit):
            return limit
        case StopAfter(limit=limit):
            return limit + drain_timeout
        case _:
            assert_never(rule.treatment)


def _stop_at(rule: TaskRule | None, since: datetime) -> datetime | None:
    if rule is None or not isinstance(rule.treatment, StopAfter):
        return None
    return since + rule.treatment.limit
