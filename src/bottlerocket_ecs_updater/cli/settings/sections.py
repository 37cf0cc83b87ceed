"""One file for many clusters: defaults at the top, and sections for clusters by the pattern of their names.

    max-unavailable = "10%"

    [cluster."web-*"]
    wave        = 2
    promoted-by = ["staging for 7d"]

    [cluster."web-eu"]
    window = ["daily 22:00 6h UTC"]

A cluster gets the defaults and every section whose pattern matches, in the order of the file: what comes later wins.
`[fleet]` is about all of them together. Every name is checked, also in sections that match nothing.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from fnmatch import fnmatchcase
from typing import Any

from bottlerocket_ecs_updater.cli.settings.suggestion import nearest_name
from bottlerocket_ecs_updater.core.model.location import name_of
from bottlerocket_ecs_updater.core.model.time_text import duration_text, parse_duration
from bottlerocket_ecs_updater.core.planning.waves import (
    APPROVE_MAX,
    APPROVE_MIN,
    APPROVE_WITHIN,
    BAKE_MAX,
    CONCURRENCY_MAX,
    WAVE_MAX,
    FleetRules,
)
from bottlerocket_ecs_updater.core.rules.policy import Limit
from bottlerocket_ecs_updater.core.rules.promotion import spell_days
from bottlerocket_ecs_updater.errors import UsageError

CLUSTER_SECTION, FLEET, WAVE = "cluster", "fleet", "wave"

_PATTERN = re.compile(r"[A-Za-z0-9_*?\[\]!-]{1,255}")
_OWN = frozenset(
    {"clusters", "leave-out", "tag", "concurrency", "stop-after", "bake", "approve", "approve-within", WAVE}
)
"""The keys of `[fleet]`."""


@dataclass(frozen=True, slots=True)
class Sections:
    """A settings file split into its sections."""

    defaults: Mapping[str, Any]
    clusters: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """By pattern, in file order."""
    fleet: Mapping[str, Any] = field(default_factory=dict)

    def of(self, cluster: str) -> Mapping[str, Any]:
        """The settings of one cluster."""
        merged = dict(self.defaults)
        for section in self._matching(cluster):
            merged |= {name: value for name, value in section.items() if name != WAVE}
        return merged

    def patterns_of(self, cluster: str) -> tuple[str, ...]:
        """The patterns of the sections that apply to a cluster, in the order of the file."""
        name = name_of(cluster)
        return tuple(pattern for pattern in self.clusters if fnmatchcase(name, pattern))

    def wave_of(self, cluster: str) -> int:
        """The wave of a cluster; 1 by default."""
        waves = [section[WAVE] for section in self._matching(cluster) if WAVE in section]
        return int(waves[-1] if waves else self.fleet.get(WAVE, 1))

    def _matching(self, cluster: str) -> Iterable[Mapping[str, Any]]:
        return [self.clusters[pattern] for pattern in self.patterns_of(cluster)]


def take_apart(content: Mapping[str, Any], source: str, known: Collection[str]) -> Sections:
    """Check the names in a settings file and split it into sections. Raises UsageError that names the section."""
    content = _dashed(content, source)
    clusters = content.pop(CLUSTER_SECTION) if isinstance(content.get(CLUSTER_SECTION), dict) else {}
    fleet = _named(content.pop(FLEET), f"[{FLEET}] in {source}", _OWN) if FLEET in content else {}
    sections: dict[str, Mapping[str, Any]] = {}
    for pattern, section in clusters.items():
        where = f'[{CLUSTER_SECTION}."{pattern}"] in {source}'
        if _PATTERN.fullmatch(pattern) is None:
            raise UsageError(f"{where}: not a pattern of cluster names; write it as web-*")
        sections[pattern] = _named(section, where, {*known, WAVE} - {CLUSTER_SECTION})
        _wave(sections[pattern], where)
    _wave(fleet, f"[{FLEET}] in {source}")
    return Sections(content, sections, fleet)


def read_sections(text: str, source: str, known: Collection[str]) -> Sections:
    """The same, for TOML text. Raises UsageError if it is not TOML."""
    try:
        return take_apart(tomllib.loads(text), source, known)
    except (ValueError, OverflowError, RecursionError) as error:
        raise UsageError(f"{source}: {error}") from error


def fleet_rules(sections: Sections, source: str) -> FleetRules:
    """The rules of `[fleet]`. Raises UsageError."""
    given = sections.fleet
    where = f"[{FLEET}] in {source}"
    try:
        return FleetRules(
            clusters=_texts(given.get("clusters", ["*"])),
            leave_out=_texts(given.get("leave-out", [])),
            tag=_tag(given["tag"]) if "tag" in given else None,
            concurrency=_between(given.get("concurrency", 10), 1, CONCURRENCY_MAX),
            stop_after=_limit(str(given.get("stop-after", "1"))),
            bake=_bake(str(given.get("bake", "0s"))),
            approve=tuple(_between(one, 1, WAVE_MAX) for one in given.get("approve", [])),
            approve_within=_approve_within(str(given.get("approve-within", duration_text(APPROVE_WITHIN)))),
        )
    except (ValueError, TypeError) as error:
        raise UsageError(f"{where}: {error}") from error


def _named(section: Any, where: str, known: Collection[str]) -> Mapping[str, Any]:
    if not isinstance(section, dict):
        raise UsageError(f"{where} must be a table of settings")
    named = _dashed(section, where)
    for name in named:
        if name not in known:
            nearest = nearest_name(name, known)
            raise UsageError(f"unknown setting {name} in {where}" + (f"; did you mean {nearest}?" if nearest else ""))
    return named


def _dashed(section: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The section with its names written like flags. Raises UsageError if it has one name in both forms."""
    named: dict[str, Any] = {}
    for key, value in section.items():
        name = key.replace("_", "-")
        if name in named:
            raise UsageError(f"{name} is set twice in {where}, once with underscores")
        named[name] = value
    return named


def _wave(section: Mapping[str, Any], where: str) -> None:
    try:
        _between(section.get(WAVE, 1), 1, WAVE_MAX)
    except (ValueError, TypeError) as error:
        raise UsageError(f"{where}: {WAVE}: {error}") from error


def _between(value: Any, least: int, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise ValueError(f"{value!r} is not a whole number from {least} to {most}")
    return value


def _texts(value: Any) -> tuple[str, ...]:
    texts = (value,) if isinstance(value, str) else tuple(value)
    for text in texts:
        if not isinstance(text, str) or _PATTERN.fullmatch(text) is None:
            raise ValueError(f"{text!r} is not a pattern of cluster names")
    return texts


def _tag(text: Any) -> tuple[str, str]:
    key, equals, value = str(text).partition("=")
    if not equals or not key:
        raise ValueError(f"{text!r} is not a tag; write it as key=value")
    return key, value


def _bake(text: str) -> timedelta:
    bake = parse_duration(text)
    if bake > BAKE_MAX:
        raise ValueError(f"bake is at most {duration_text(BAKE_MAX)}, not {text!r}; for days, use promoted-by")
    return bake


def _approve_within(text: str) -> timedelta:
    within = parse_duration(text)
    if not APPROVE_MIN <= within <= APPROVE_MAX:
        limits = f"{duration_text(APPROVE_MIN)} to {spell_days(APPROVE_MAX)}"
        raise ValueError(f"approve-within is from {limits}, not {text!r}")
    return within


def _limit(text: str) -> Limit:
    match = re.fullmatch(r"([1-9][0-9]{0,3})(%?)", text)
    if match is None or (match[2] and int(match[1]) > 100):
        raise ValueError(f"{text!r} is neither a number of clusters from 1 nor a percentage")
    return Limit(percent=int(match[1])) if match[2] else Limit(number=int(match[1]))
