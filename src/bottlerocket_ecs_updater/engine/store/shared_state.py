"""The state that clusters share through the store.

    fleet/clusters/<account>/<region>/<name>/standing.json    one cluster's standing, written only by its own runs
    fleet/acts.json                                           people's acts: pauses, blocks, promotions, …

Both are written on condition that no one else wrote them in the meantime. If one is unreadable: acts block every
version, because they may contain a pause or a block; another cluster's standing promotes nothing; the cluster's own
standing is written again, and its times start over.

A run reads people's acts before an update starts if it has not read them within the last 55 seconds, so none starts
later than a minute after a pause or a block.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cache
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

from bottlerocket_ecs_updater.core.model.location import Location
from bottlerocket_ecs_updater.core.model.shared import (
    Act,
    ClusterStanding,
    Expedite,
    Promotion,
    Shared,
    VersionActs,
    circle_of,
)
from bottlerocket_ecs_updater.core.model.version import Version
from bottlerocket_ecs_updater.core.planning.cluster_standing import Seen, standing_of
from bottlerocket_ecs_updater.core.rules.policy import Policy
from bottlerocket_ecs_updater.core.rules.promotion import CLUSTER_CLOCKS_APART, StageRules
from bottlerocket_ecs_updater.engine.ports import Store
from bottlerocket_ecs_updater.engine.store.audit_entry import AuditEntry
from bottlerocket_ecs_updater.engine.store.read_json import Unreadable, read_object, whole_of
from bottlerocket_ecs_updater.engine.store.rewriting import Sleep, no_wait, rewrite
from bottlerocket_ecs_updater.errors import UpdaterError

if TYPE_CHECKING:
    from cattrs import Converter

T = TypeVar("T")

SHARED_FORMAT = 1
CLUSTERS_FOLDER = "fleet/clusters/"
STANDING = "standing.json"
ACTS_KEY = "fleet/acts.json"

STANDINGS_EVERY = timedelta(minutes=10)
"""How often a run reads the standings that it waits for. Each is written once per run."""

HISTORY_MAX = 1000
"""Acts to keep: a few years of them, in at most a few hundred kilobytes."""

FORGET_COVERS = STANDINGS_EVERY + CLUSTER_CLOCKS_APART
"""How long after `fleet forget` a run may still have counted the cluster: the age of what it read, and its clock. A
cluster that was counted later has come back."""

PAUSE_SHOWN_MAX_CHARACTERS = 500
"""Limit for the text of who paused and why, which is shown with every held instance."""

STANDINGS_MAX = 5000
"""Limit of objects to read, so that a store full of them does not delay a run. The others count as unreadable."""


@dataclass
class StagesInCircle(UpdaterError):
    """The settings are wrong: stages wait for each other, so no version could reach any of them."""


@dataclass
class ActsBroken(UpdaterError):
    """A person must act: what people decided cannot be read, and a change would overwrite it."""


@dataclass(frozen=True, slots=True)
class Acts:
    """The content of `fleet/acts.json`."""

    said: VersionActs = field(default_factory=VersionActs)
    forgotten: Mapping[str, Act] = field(default_factory=dict)
    """Removed clusters, by location, with who removed them."""
    paused: Mapping[str, Act] = field(default_factory=dict)
    """Paused clusters, by location. No run starts an update there."""
    history: tuple[AuditEntry, ...] = ()
    """All acts, including those undone since; oldest first."""

    def paused_by(self, cluster: str) -> str:
        """Who paused updates on a cluster, when and why, as text; empty if they are not paused."""
        text = str(self.paused.get(cluster, ""))
        return text if len(text) <= PAUSE_SHOWN_MAX_CHARACTERS else f"{text[:PAUSE_SHOWN_MAX_CHARACTERS]}…"

    def forgot(self, cluster: Location, counted_at: datetime) -> bool:
        """Whether a person removed the cluster, and it has not come back: it was last counted at that time."""
        act = self.forgotten.get(str(cluster))
        return act is not None and act.at + FORGET_COVERS >= counted_at

    def about(self, cluster: str, since: datetime | None = None) -> Sequence[AuditEntry]:
        """The acts on a cluster and on all clusters, oldest first, optionally only those since a time."""
        ours = (act for act in self.history if act.cluster in ("", cluster) and (since is None or act.at >= since))
        return tuple(sorted(ours, key=lambda act: act.at))


def standing_key(place: Location) -> str:
    """The key of a cluster's standing."""
    return f"{CLUSTERS_FOLDER}{place}/{STANDING}"


def place_of_key(key: str) -> Location | None:
    """The cluster of a standing's key; None for other keys."""
    *parts, name = key.removeprefix(CLUSTERS_FOLDER).split("/")
    return Location(*parts) if len(parts) == 3 and all(parts) and name == STANDING else None


def write_standing(standing: ClusterStanding) -> bytes:
    """The standing as JSON that people can read and compare."""
    value = {"format": SHARED_FORMAT, **_converter().unstructure(standing, ClusterStanding)}
    return json.dumps(value, indent=1, sort_keys=True).encode()


def read_standing(data: bytes, place: Location) -> ClusterStanding:
    """Parse a standing. Raises Unreadable, also if it belongs to another cluster than its key."""
    standing = read_object(data, lambda value: _structured(value, ClusterStanding))
    if standing.place != place:
        raise Unreadable(f"it belongs to {standing.place}")
    return standing


def look_for_acts(store: Store) -> Acts:
    """Read people's acts. Raises what the store raises. An unreadable object blocks every version."""
    stored = store.get(ACTS_KEY)
    if stored is None:
        return Acts()
    try:
        return _read_acts(stored.data)
    except Unreadable as problem:
        return Acts(VersionActs(unreadable=f"{ACTS_KEY} ({problem})"))


def change_acts(store: Store, step: Callable[[Acts], Acts], sleep: Sleep = no_wait) -> Acts:
    """Apply a change, also if others write at the same time. Raises what the store raises, and ActsBroken."""

    def write(data: bytes | None) -> tuple[Acts, bytes | None]:
        before = _read_acts(data) if data is not None else Acts()
        after = step(before)
        value = {"format": SHARED_FORMAT, **_converter().unstructure(after, Acts)}
        return after, json.dumps(value, indent=1, sort_keys=True).encode() if after != before else None

    try:
        return rewrite(store, ACTS_KEY, write, sleep)
    except Unreadable as problem:
        raise ActsBroken(
            f"{ACTS_KEY} in the state store cannot be read: {problem}. Every version is blocked until it is restored "
            "or removed"
        ) from problem


def with_block(acts: Acts, version: Version, act: Act | None) -> Acts:
    """Block a version; None unblocks it."""
    return replace(acts, said=replace(acts.said, blocked=_with(acts.said.blocked, version, act)))


def with_promotion(acts: Acts, version: Version, act: Promotion | None) -> Acts:
    """Promote a version; None undoes it."""
    return replace(acts, said=replace(acts.said, promoted=_with(acts.said.promoted, version, act)))


def with_expedite(acts: Acts, version: Version, act: Expedite | None) -> Acts:
    """Expedite a version; None undoes it."""
    return replace(acts, said=replace(acts.said, expedited=_with(acts.said.expedited, version, act)))


def with_forgotten(acts: Acts, place: Location, act: Act | None) -> Acts:
    """Mark a cluster as removed; None undoes it."""
    return replace(acts, forgotten=_with(acts.forgotten, str(place), act))


def with_pause(acts: Acts, cluster: str, act: Act | None) -> Acts:
    """Pause updates on a cluster; None resumes them."""
    return replace(acts, paused=_with(acts.paused, cluster, act))


def with_history(acts: Acts, done: AuditEntry) -> Acts:
    """Add an act to the history."""
    return replace(acts, history=(*acts.history, done)[-HISTORY_MAX:])


class SharedState:
    """What a run reads of people's acts and of other clusters. Without a store, there are none."""

    def __init__(self, store: Store | None, cluster: str, place: Location | None, rules: StageRules) -> None:
        self._store = store
        self._cluster = cluster
        self._place = place
        self._rules = rules
        self._acts = Acts()
        self.acts_read_at: datetime | None = None
        """When people's acts were last read."""
        self._standings_at: datetime | None = None
        self._others: Mapping[str, ClusterStanding] = {}
        self._unreadable: Mapping[str, str] = {}
        self._told: set[str] = set()
        self._peers: Mapping[Location, datetime] = {}
        """The clusters that this one waits for, and when each was last counted among them."""

    def is_due(self, now: datetime, known_for: timedelta) -> bool:
        """Whether `look` would read people's acts again."""
        return self._store is not None and _due(self.acts_read_at, known_for, now)

    def look(self, now: datetime, known_for: timedelta = timedelta()) -> Shared:
        """The shared state. People's acts are read again if they are older than `known_for`.

        Raises what the store raises, and StagesInCircle.
        """
        if self._store is None:
            return Shared()
        if self.is_due(now, known_for):
            self._acts, self.acts_read_at = look_for_acts(self._store), now
        if self._rules.promoted_by and _due(self._standings_at, STANDINGS_EVERY, now):
            self._read_standings(self._store)
            self._standings_at = now
            here = (one.place for one in self._others.values() if one.stage in self._rules.waits_for)
            self._peers = {**self._peers, **dict.fromkeys(here, now)}
        return self._shared()

    def take_unreadable(self) -> Iterator[tuple[str, str]]:
        """Unreadable standings with the reason, each returned once."""
        for key, why in self._unreadable.items():
            if key not in self._told:
                self._told.add(key)
                yield key, why

    def _read_standings(self, store: Store) -> None:
        first = self._standings_at is None
        if first and self._place is not None:
            own = store.get(standing_key(self._place))
            self._peers = _peers_in(own.data, self._place) if own is not None else {}
        found: dict[str, ClusterStanding] = {}
        places, unreadable = _places(store)
        for key, place in places:
            before = self._others.get(key)
            if place == self._place:
                continue
            if before is not None and before.stage not in self._rules.waits_for:
                found[key] = before  # it is in another stage: the next run reads it again
                continue
            stored = store.get(key)
            if stored is None:
                continue
            try:
                found[key] = read_standing(stored.data, place)
            except Unreadable as problem:
                unreadable[key] = str(problem)
        self._others, self._unreadable = found, unreadable

    def _shared(self) -> Shared:
        rules = self._rules
        circle = circle_of(rules.stage, rules.waits_for, self._others.values())
        if circle:
            raise StagesInCircle(
                f"the stages wait for each other, so no version could ever reach them: {' waits for '.join(circle)}; "
                "change promoted-by of one of them"
            )
        waited_for = tuple(one for one in self._others.values() if one.stage in rules.waits_for)
        there = {one.place for one in self._others.values()}
        unread = [place_of_key(key) for key in self._unreadable]
        there |= {place for place in unread if place is not None}
        # A cluster that was present earlier in this run and is absent now has also lost its standing.
        absent = {one: at for one, at in self._peers.items() if one not in there}
        forgotten = {one for one, at in absent.items() if self._acts.forgot(one, at)}
        gone = absent.keys() - forgotten
        lost = [] if None in unread else gone  # they may be among those that were not read
        return Shared(
            self._acts.said,
            tuple(sorted(waited_for, key=lambda one: str(one.place))),
            tuple(sorted(self._unreadable)),
            tuple(sorted(lost, key=str)) if rules.promoted_by else (),
            self._acts.paused_by(self._cluster),
            frozenset(forgotten),
        )


def publish(
    store: Store, seen: Seen, policy: Policy, *, first: bool = False
) -> tuple[ClusterStanding, ClusterStanding | None]:
    """Write a cluster's standing at the end of a run. Returns it and the previous one. Raises what the store raises.

    `first` says that no run kept anything before, so that there is probably none yet.
    """

    def write(data: bytes | None) -> tuple[tuple[ClusterStanding, ClusterStanding | None], bytes | None]:
        try:
            before = read_standing(data, seen.place) if data is not None else None
        except Unreadable:
            before = None
        standing = standing_of(seen, policy, before)
        return (standing, before), write_standing(standing)

    return rewrite(store, standing_key(seen.place), write, first=first)


def standing_at(store: Store, place: Location) -> ClusterStanding | None:
    """The standing of one cluster; None if there is none that can be read. Raises what the store raises."""
    stored = store.get(standing_key(place))
    with suppress(Unreadable):
        return read_standing(stored.data, place) if stored is not None else None
    return None


def standings_of(
    store: Store, *, without: Location | None = None
) -> tuple[tuple[ClusterStanding, ...], Mapping[str, str]]:
    """All standings in a store but one, and why others are unreadable, by key. Raises what the store raises."""
    found: list[ClusterStanding] = []
    places, unreadable = _places(store)
    for key, place in places:
        stored = store.get(key) if place != without else None
        try:
            if stored is not None:
                found.append(read_standing(stored.data, place))
        except Unreadable as problem:
            unreadable[key] = str(problem)
    return tuple(found), unreadable


def forget_standing(store: Store, place: Location) -> bool:
    """Delete the standing of a removed cluster. Returns whether there was one. Raises what the store raises."""
    there = store.get(standing_key(place)) is not None
    store.delete(standing_key(place), None)
    return there


def _places(store: Store) -> tuple[Sequence[tuple[str, Location]], dict[str, str]]:
    """The clusters with a standing, by key, and which keys were not read, with the reason."""
    keys = tuple(islice(store.keys(CLUSTERS_FOLDER), STANDINGS_MAX + 1))
    places = [(key, place) for key in keys[:STANDINGS_MAX] if (place := place_of_key(key)) is not None]
    left = {f"{key} and later ones": f"only {STANDINGS_MAX:,} objects are read" for key in keys[STANDINGS_MAX:]}
    return places, left


def _peers_in(data: bytes, place: Location) -> Mapping[Location, datetime]:
    try:
        own = read_standing(data, place)
    except Unreadable:
        return {}
    return dict.fromkeys(own.peers, own.looked_at)


def _read_acts(data: bytes) -> Acts:
    return read_object(data, lambda value: _structured(value, Acts))


def _structured(value: Mapping[str, Any], kind: type[T]) -> T:
    from bottlerocket_ecs_updater.engine.store.json_values import structured  # noqa: PLC0415 - slow to import

    if whole_of(value["format"]) > SHARED_FORMAT:
        raise Unreadable(f"it has format {value['format']}, and this updater knows formats up to {SHARED_FORMAT}")
    return structured(_converter(), value, kind)


def _with(mapping: Mapping[Any, T], key: object, value: T | None) -> Mapping[Any, T]:
    left = {one: there for one, there in mapping.items() if one != key}
    return left if value is None else {**left, key: value}


def _due(last: datetime | None, every: timedelta, now: datetime) -> bool:
    # If the clock was set back, read at once instead of waiting until the old time.
    return last is None or not last <= now < last + every


@cache
def _converter() -> Converter:
    from bottlerocket_ecs_updater.engine.store.json_values import converter  # noqa: PLC0415 - slow to import

    return converter()
