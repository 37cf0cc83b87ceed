"""Promotion: this cluster takes a version only after other stages have run it successfully, or a person has promoted
it.

    stage = "production"
    promoted-by = ["staging for 7d", "canary for 1d"]

A version is promoted when every cluster of each of those stages has finished it and stayed healthy for that long. Only
the standing that each cluster's last run published counts (`ClusterStanding`). A standing that is unreadable, missing
or too old never promotes.

A person can override this: `promote` skips the stages, `expedite` skips every wait that only takes time, and `block`
overrides both and every other rule.

The times in a standing come from another machine's clock. Clocks often differ by minutes, so each wait is extended by
`CLUSTER_CLOCKS_APART`: a wrong clock never lets a version through too early.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from bottlerocket_ecs_updater.core.model.location import Location
from bottlerocket_ecs_updater.core.model.passing import UNREPORTED
from bottlerocket_ecs_updater.core.model.reasons import Hold, Reason, hold
from bottlerocket_ecs_updater.core.model.shared import ClusterStanding, Shared, VersionActs
from bottlerocket_ecs_updater.core.model.time_text import duration_text, parse_duration, time_text
from bottlerocket_ecs_updater.core.model.version import Version
from bottlerocket_ecs_updater.core.model.wording import and_more

CLUSTER_CLOCKS_APART = timedelta(minutes=5)
"""How far two clocks may differ without harm: a host without NTP drifts by minutes in months."""

SILENT_AFTER = timedelta(days=3)
"""Runs usually start once or twice a day. A cluster without a run for three days counts as silent."""


STAGE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
_REQUIREMENT = re.compile(r"(\S+)\s+for\s+(\S+)")
LONGEST_STAGE = timedelta(days=365)


def read_stage(text: str) -> str:
    """Read the name of a stage. Raises ValueError for anything else."""
    if STAGE_NAME.fullmatch(text) is None:
        raise ValueError(f"not the name of a stage: {text[:60]!r}")
    return text


@dataclass(frozen=True, slots=True)
class Requirement:
    """A stage whose clusters must all have been healthy on a version for a given time."""

    stage: str
    soak: timedelta

    @classmethod
    def parse(cls, text: str) -> Requirement:
        """Read `staging for 7d`. Raises ValueError for anything else."""
        match = _REQUIREMENT.fullmatch(text.strip())
        if match is None:
            raise ValueError(f"not a stage and a time: {text[:60]!r}; write it as 'staging for 7d'")
        soak = parse_duration(match[2])
        if soak > LONGEST_STAGE:
            raise ValueError(f"longer than {LONGEST_STAGE.days} days: {match[2]!r}")
        return cls(read_stage(match[1]), soak)

    def __str__(self) -> str:
        return f"{self.stage} for {spell_days(self.soak)}"

    @property
    def wait(self) -> timedelta:
        """How long to wait by the clocks of others: the soak time, plus how far clocks may differ."""
        return self.soak + min(self.soak, CLUSTER_CLOCKS_APART)


@dataclass(frozen=True, slots=True)
class StageRules:
    """The stage of this cluster, and the stages it waits for. By default it has no stage and waits for none."""

    stage: str = ""
    promoted_by: tuple[Requirement, ...] = ()
    silent_after: timedelta = SILENT_AFTER
    ignore_silent: bool = False
    """Whether a silent cluster is ignored, instead of holding every version."""

    def __post_init__(self) -> None:
        """Reject a stage that waits for itself, or that is named twice."""
        stages = [one.stage for one in self.promoted_by]
        if self.stage in stages:
            raise ValueError(f"the stage {self.stage} waits for itself")
        if twice := sorted({one for one in stages if stages.count(one) > 1}):
            raise ValueError(f"the stage {twice[0]} is named twice")

    @property
    def waits_for(self) -> tuple[str, ...]:
        """The stages that this cluster waits for."""
        return tuple(one.stage for one in self.promoted_by)


@dataclass(frozen=True, slots=True)
class _Lack:
    """Why a cluster or a stage does not promote yet, and the earliest time at which it can."""

    why: str
    until: datetime
    unreported: bool = False
    """Whether nothing is known about it now, so that the wait may never end."""


def block_on(version: Version, acts: VersionActs) -> Hold | None:
    """Why no cluster may take the version: a person blocked it. None if nobody did."""
    if acts.unreadable:
        return hold(Reason.BLOCKED, version=version, who=f"by an unreadable object, {acts.unreadable}")
    act = acts.blocked.get(version)
    return hold(Reason.BLOCKED, version=version, who=act) if act is not None else None


def not_promoted(version: Version, rules: StageRules, shared: Shared, now: datetime) -> Hold | None:
    """Why this cluster may not take a version yet, with what it waits for; None if it is promoted."""
    acts = shared.acts
    if not rules.promoted_by or version in acts.expedited:
        return None
    promotion = acts.promoted.get(version)
    if promotion is not None and promotion.covers(rules.stage):
        return None
    each = [(one, _lacks(one, version, rules, shared, now)) for one in rules.promoted_by]
    lacking = [(one, lacks) for one, lacks in each if lacks]
    if not lacking:
        return None
    waits = "; ".join(f"{one}: {_named(lacks)}" for one, lacks in lacking)
    until = max(lack.until for _, lacks in lacking for lack in lacks)
    unreported = dict([UNREPORTED]) if any(lack.unreported for _, lacks in lacking for lack in lacks) else {}
    return hold(Reason.NOT_PROMOTED, version=version, waits=waits, until=time_text(until), **unreported)


def _lacks(
    requirement: Requirement, version: Version, rules: StageRules, shared: Shared, now: datetime
) -> Sequence[_Lack]:
    """Everything that stops one stage from promoting, the longest wait first."""
    earliest = now + requirement.wait
    found = [_Lack(f"the standing {key} cannot be read", earliest, unreported=True) for key in shared.unreadable]
    found += (_Lack(f"{_name(place)} has lost its standing", earliest, unreported=True) for place in shared.lost)
    members = [one for one in shared.standings if one.stage == requirement.stage]
    counted = [one for one in members if not (rules.ignore_silent and one.silent(rules.silent_after, now))]
    if not counted:
        found.append(_Lack("no cluster of it has reported", earliest, unreported=True))
    found += (lack for one in counted if (lack := _lack(one, requirement, version, rules, now)) is not None)
    return sorted(found, key=lambda lack: lack.until, reverse=True)


def _lack(
    standing: ClusterStanding, requirement: Requirement, version: Version, rules: StageRules, now: datetime
) -> _Lack | None:
    name, since = _name(standing.place), standing.healthy_since(version)
    earliest = now + requirement.wait
    until = since + requirement.wait if since is not None else earliest
    if standing.silent(rules.silent_after, now):
        silent = f"{name} has been silent since {time_text(standing.looked_at)}"
        return _Lack(silent, max(until, now), unreported=True)
    if since is None:
        return _Lack(f"{name} {_why_not(standing, version)}", earliest)
    if now < until:
        return _Lack(f"{name} has been healthy on it only since {time_text(since)}", until)
    return None


def _why_not(standing: ClusterStanding, version: Version) -> str:
    if standing.trouble:
        return f"is not healthy: {'; '.join(standing.trouble)}"
    if not standing.eligible:
        return "has no instances that could run it"
    if standing.unknown:
        return f"has {standing.unknown} of {standing.eligible} instances that have not reported their version"
    older = sum(count for one, count in standing.running.items() if one < version)
    return f"has {older} of {standing.eligible} instances on older versions" if older else "has only just finished it"


def _named(lacks: Sequence[_Lack]) -> str:
    return and_more([lack.why for lack in lacks])


def _name(place: Location) -> str:
    return str(place)


def spell_days(span: timedelta) -> str:
    """A duration in days if it is whole days (`7d`), else as the settings write it."""
    return f"{span.days}d" if span and not span % timedelta(days=1) else duration_text(span)


def waits(rules: StageRules) -> Iterator[str]:
    """The requirements as text for people."""
    yield from map(str, rules.promoted_by)
