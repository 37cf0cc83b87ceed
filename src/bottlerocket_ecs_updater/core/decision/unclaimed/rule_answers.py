"""The result of each policy rule for an unclaimed instance."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from bottlerocket_ecs_updater.core.capacity.will_it_fit import Fits, NoRoom, room_hold
from bottlerocket_ecs_updater.core.model.auto_scaling import Membership
from bottlerocket_ecs_updater.core.model.calendars import CalendarState
from bottlerocket_ecs_updater.core.model.container_instance import Registration
from bottlerocket_ecs_updater.core.model.reasons import Hold
from bottlerocket_ecs_updater.core.model.services import Health
from bottlerocket_ecs_updater.core.model.shared import Shared
from bottlerocket_ecs_updater.core.model.version import Version
from bottlerocket_ecs_updater.core.rules.auto_scaling import leave_to_group
from bottlerocket_ecs_updater.core.rules.calendars import hold_for_calendars
from bottlerocket_ecs_updater.core.rules.checkpoints import Allowance
from bottlerocket_ecs_updater.core.rules.health import hold_for_health
from bottlerocket_ecs_updater.core.rules.promotion import not_promoted
from bottlerocket_ecs_updater.core.rules.ruleset import Rules
from bottlerocket_ecs_updater.core.rules.selection import select
from bottlerocket_ecs_updater.core.rules.tasks import TaskOnHost, may_leave
from bottlerocket_ecs_updater.core.rules.versions import admit
from bottlerocket_ecs_updater.core.rules.windows import may_begin


@dataclass(frozen=True, slots=True)
class Case:
    """One instance with an update, and all facts that the rules need about it. Facts that were not read are None."""

    registration: Registration
    running: Version
    target: Version
    first_seen: Mapping[Version, datetime]
    capacity_provider: str | None = None
    """Empty where it has none."""
    membership: Membership | None = None
    needed: timedelta = timedelta()
    """How long it is expected to take from now until it is back in service."""
    allowances: tuple[Allowance, ...] = ()
    """What the checkpoints of its target and the daily limit still allow."""
    left: tuple[TaskOnHost, ...] | None = None
    deployments: Hold | None = None
    """Why a deployment in progress holds it; None if none does."""
    room: Fits | NoRoom | None = None
    health: Health | None = None
    shared: Shared = field(default_factory=Shared)
    calendars: Mapping[str, CalendarState] = field(default_factory=dict)
    published: Hold | None = None
    """Why its target may not be published; None if it is, or if that does not matter."""


@dataclass(frozen=True, slots=True)
class RuleAnswer:
    """The result of one rule: it passes, or holds with a reason."""

    rule: str
    hold: Hold | None
    notes: tuple[str, ...] = ()
    """Additional notes if it passes."""
    unchecked: str = ""
    """Why the rule was not checked, and what follows; empty if it was."""


def before_staging(case: Case, rules: Rules, now: datetime) -> tuple[RuleAnswer, ...]:
    """Whether an update may be staged on the host, rule by rule."""
    return (*_who_and_what(case, rules, now), *_about_time(case, rules, now))


def before_drain(case: Case, rules: Rules, now: datetime) -> tuple[RuleAnswer, ...]:
    """Whether the instance may be drained, rule by rule."""
    return (
        *_who_and_what(case, rules, now),
        *_about_time(case, rules, now),
        *(RuleAnswer("pace", allowance.refusal()) for allowance in case.allowances),
        *_about_health(case, rules),
        *_about_tasks(case, rules, now),
    )


def first_hold(answers: Iterable[RuleAnswer]) -> Hold | None:
    """The first hold; None if every rule passed."""
    return next((answer.hold for answer in answers if answer.hold is not None), None)


def _who_and_what(case: Case, rules: Rules, now: datetime) -> Iterator[RuleAnswer]:
    selected = select(case.registration, rules.selection, case.capacity_provider, case.membership)
    yield from (
        RuleAnswer("selection", selected),
        RuleAnswer("auto-scaling", leave_to_group(case.membership)),
        RuleAnswer("version", admit(case.target, case.running, rules.versions, case.first_seen, now)),
    )
    if rules.versions.published_only:
        yield RuleAnswer("published", case.published)
    if rules.stages.promoted_by:
        yield RuleAnswer("promotion", not_promoted(case.target, rules.stages, case.shared, now))


def _about_time(case: Case, rules: Rules, now: datetime) -> Iterator[RuleAnswer]:
    yield RuleAnswer("window", may_begin(rules.schedule, now, case.needed))
    if rules.calendars:
        yield RuleAnswer("calendar", hold_for_calendars(rules.calendars, case.calendars, now, case.needed))


def _about_health(case: Case, rules: Rules) -> Iterable[RuleAnswer]:
    if rules.health and case.health is not None:
        yield RuleAnswer("health", hold_for_health(case.health))


def _about_tasks(case: Case, rules: Rules, now: datetime) -> Iterable[RuleAnswer]:
    if case.left is not None:
        yield RuleAnswer("tasks", may_leave(case.left, rules.tasks, now))
        yield RuleAnswer("deployments", case.deployments)
    if case.room is not None and rules.check_room:
        notes = (*case.room.provisos, *case.room.notes) if isinstance(case.room, Fits) else ()
        yield RuleAnswer("room", room_hold(case.room), notes)
