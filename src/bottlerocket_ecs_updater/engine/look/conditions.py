"""Reads the conditions that the operator set for all updates: alarms, probes, calendars, published versions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from bottlerocket_ecs_updater.core.model.calendars import CalendarState, CalendarUnread
from bottlerocket_ecs_updater.core.model.event import HealthChanged, VersionWithdrawn
from bottlerocket_ecs_updater.core.model.published import NewestPublished, Published, PublishedState, PublishedUnread
from bottlerocket_ecs_updater.core.model.services import see_health
from bottlerocket_ecs_updater.core.model.time_text import has_passed
from bottlerocket_ecs_updater.core.model.version import Version
from bottlerocket_ecs_updater.core.rules.health import AlarmRule, judge_alarms
from bottlerocket_ecs_updater.core.rules.published import build_of, published_parameter, read_published
from bottlerocket_ecs_updater.engine.look.context import LookContext
from bottlerocket_ecs_updater.engine.look.rule_calls import Backoffs
from bottlerocket_ecs_updater.engine.ports import Survey
from bottlerocket_ecs_updater.errors import Denied, Interrupted, LeaseLost, Throttled, Unreachable, UpdaterError

CALENDARS_EVERY = timedelta(minutes=1)
"""A calendar also changes when people add entries: it is read this often, with a look at the services."""

ALARMS = "alarms"

PUBLISHED_EVERY, PUBLISHED_AGAIN = timedelta(minutes=2), timedelta(minutes=1)
"""How often public parameters are read, and how soon again if that failed: they change every few weeks."""


class ConditionLooks:
    """Reads conditions that hold for the whole cluster. Unknown counts as not met."""

    def __init__(self, context: LookContext, survey: Survey | None) -> None:
        self._known = context.known
        self._policy = context.policy
        self._recorder = context.recorder
        self._survey = survey
        self._calendars_at: datetime | None = None
        self._published_due: datetime | None = None
        self._withdrawn: set[tuple[str, Version]] = set()
        """Withdrawn versions that this run has reported, by parameter."""
        self._backoffs = Backoffs(self._known)
        self._alarms_denied = ""
        """AWS's denial of the call for alarms, which is not repeated in the run; empty if there was none."""

    def look_at_health(self) -> None:
        """Check the operator's alarms and probes, with every look at services. Unknown counts as not healthy."""
        now = self._known.now
        rules = self._policy.rules.health
        if rules:
            unwell = (*self._unwell_alarms(rules.alarms), *self._unwell_probes(rules.probes))
            before = self._known.fleet.health
            health = see_health(before, unwell, now, denied=bool(self._alarms_denied))
            self._known.fleet = replace(self._known.fleet, health=health)
            if unwell != (before.unwell if before is not None else ()):
                self._recorder.record(HealthChanged(now, "; ".join(unwell)))

    def look_at_calendars(self) -> None:
        """Whether the operator's change calendars are open."""
        now = self._known.now
        wanted = self._policy.rules.calendars
        due = self._calendars_at is None or has_passed(self._calendars_at, CALENDARS_EVERY, now)
        if wanted and due:
            self._calendars_at = now
            self._known.fleet = replace(self._known.fleet, calendars={arn: self._calendar(arn) for arn in wanted})

    def _calendar(self, arn: str) -> CalendarState:
        if self._survey is None:
            return CalendarUnread("Systems Manager cannot be asked")
        try:
            return self._survey.calendar(arn)
        except (LeaseLost, Interrupted):
            raise
        except UpdaterError as error:
            return CalendarUnread(str(error))

    def look_at_published(self) -> None:
        """Read the newest published versions of the hosts' variants, if only published versions are admitted."""
        now = self._known.now
        if not self._policy.rules.versions.published_only:
            return
        known = self._known
        hosts = (one.registration for one in known.instances.values() if one.bottlerocket)
        wanted = {name for one in hosts if one is not None and (name := published_parameter(one)) is not None}
        due = self._published_due is None or now >= self._published_due or not wanted <= known.fleet.published.keys()
        if not wanted or not due:
            return
        states = self._published(sorted(wanted))
        whole = all(isinstance(state, Published) and state.read_at == now for state in states.values())
        self._published_due = now + (PUBLISHED_EVERY if whole else PUBLISHED_AGAIN)
        known.fleet = replace(known.fleet, published=states)

    def _published(self, wanted: Sequence[str]) -> Mapping[str, PublishedState]:
        if self._survey is None:
            return dict.fromkeys(wanted, PublishedUnread("Systems Manager cannot be asked"))
        try:
            values = self._survey.published(wanted)
        except (LeaseLost, Interrupted):
            raise
        except (Throttled, Unreachable) as error:
            # The last answer counts for a while: see `core/rules/published.py`.
            before = self._known.fleet.published
            return {name: _kept(before.get(name), str(error)) for name in wanted}
        except UpdaterError as error:
            return dict.fromkeys(wanted, PublishedUnread(str(error)))
        return {name: _published_in(name, values.get(name), self._known.now) for name in wanted}

    def report_withdrawn(self, newest: Mapping[str, NewestPublished]) -> None:
        """Report once each version that a public parameter named earlier but no longer names."""
        for name, one in newest.items():
            state = self._known.fleet.published.get(name)
            if one.back_at is None or not isinstance(state, Published) or (name, one.version) in self._withdrawn:
                continue
            self._withdrawn.add((name, one.version))
            self._recorder.record(
                VersionWithdrawn(self._known.fleet.at, build_of(name), one.version, state.version, one.back_at)
            )

    def _unwell_alarms(self, rules: Sequence[AlarmRule]) -> tuple[str, ...]:
        if not rules or self._survey is None:
            return ("the alarms cannot be read",) if rules else ()
        unread = self._alarms_denied or self._backoffs.why_not_now(ALARMS)
        if unread:
            return (f"the alarms could not be read: {unread}",)
        try:
            states = self._survey.alarms(rules)
        except (LeaseLost, Interrupted):
            raise
        except UpdaterError as error:
            self._backoffs.failed(ALARMS, str(error))
            self._alarms_denied = str(error) if isinstance(error, Denied) else ""
            return (f"the alarms could not be read: {error}",)
        self._backoffs.answered(ALARMS)
        return judge_alarms(rules, states)

    def _unwell_probes(self, urls: Sequence[str]) -> tuple[str, ...]:
        survey = self._survey
        if survey is None:
            return tuple(f"{url} cannot be probed" for url in urls)
        return tuple(f"{url} {why}" for url, why in survey.probes(urls).items() if why)


def _published_in(name: str, value: str | None, now: datetime) -> PublishedState:
    """The state of a parameter that was read."""
    if value is None:
        return PublishedUnread(f"Systems Manager has no parameter {name}")
    try:
        return Published(read_published(value), now)
    except ValueError:
        return PublishedUnread(f"the parameter {name} does not name a version: {value[:40]!r}")


def _kept(before: PublishedState | None, why: str) -> PublishedState:
    return before if isinstance(before, Published) else PublishedUnread(why)
