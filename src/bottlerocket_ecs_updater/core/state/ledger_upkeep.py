"""Upkeep of the ledger: what is dropped when instances leave the cluster, and times that a wrong clock wrote."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TypeVar

from bottlerocket_ecs_updater.core.model.history import PastUpdate
from bottlerocket_ecs_updater.core.model.ids import InstanceId
from bottlerocket_ecs_updater.core.model.outcome import longest_backoff
from bottlerocket_ecs_updater.core.model.published import NewestPublished
from bottlerocket_ecs_updater.core.state.ledger import Ledger

_K = TypeVar("_K")

ABSENT_FOR = timedelta(days=7)
"""How long an instance must be absent before its records are dropped."""

GONE_FOR = timedelta(days=30)
"""How long the last update of an instance that left the cluster is kept: no checkpoint wait is longer."""


def without_gone(ledger: Ledger, present: Collection[InstanceId], now: datetime) -> Ledger:
    """Drop the records of instances that have been absent from the cluster for a while.

    A listing may miss an instance for a moment. Claims stay: only a decision drops them. The last update of an instance
    stays longer, because a terminated canary was still a test of the version. Failures stay until a person releases
    them.
    """
    remembered = ledger.backoffs.keys() | ledger.updated.keys() | ledger.found_on.keys()
    absent = {id_: ledger.absent_since.get(id_, now) for id_ in remembered if id_ not in present}
    gone = {id_ for id_, since in absent.items() if now - since >= ABSENT_FOR}

    def kept(past: Mapping[InstanceId, PastUpdate]) -> Mapping[InstanceId, PastUpdate]:
        return {id_: one for id_, one in past.items() if id_ not in gone or one.at > now - GONE_FOR}

    backoffs = {id_: backoff for id_, backoff in ledger.backoffs.items() if id_ not in gone}
    updated, found_on = kept(ledger.updated), kept(ledger.found_on)
    absent = {id_: since for id_, since in absent.items() if id_ in backoffs or id_ in updated or id_ in found_on}
    offered = {id_: version for id_, version in ledger.offered.items() if id_ in present}
    left = replace(ledger, backoffs=backoffs, updated=updated, found_on=found_on, absent_since=absent, offered=offered)
    return ledger if left == ledger else left


def without_returned(ledger: Ledger, draining: Collection[InstanceId]) -> Ledger:
    """Drop the claims of instances that were left to their group, and that are gone or have been ACTIVE since.

    If one of these is DRAINING again later, somebody else drained it.
    """
    left = {id_: one for id_, one in ledger.left.items() if id_ in draining}
    return ledger if len(left) == len(ledger.left) else replace(ledger, left=left)


def without_future(ledger: Ledger, now: datetime) -> Ledger:
    """Replace times in the future, written by a machine with a fast clock, by now, so that no wait becomes longer."""
    clamped = replace(
        ledger,
        started=_no_later(ledger.started, now),
        started_nameless=tuple(min(at, now) for at in ledger.started_nameless),
        updated=_until(ledger.updated, now),
        found_on=_until(ledger.found_on, now),
        first_seen=_no_later(ledger.first_seen, now),
        released=_no_later(ledger.released, now),
        waiting={code: replace(one, since=min(one.since, now)) for code, one in ledger.waiting.items()},
        blockers={
            group: replace(one, first=min(one.first, now), last=min(one.last, now))
            for group, one in ledger.blockers.items()
        },
        published={name: _published_until(one, now) for name, one in ledger.published.items()},
        absent_since=_no_later(ledger.absent_since, now),
        backoffs={
            id_: replace(backoff, until=min(backoff.until, now + longest_backoff(backoff)))
            for id_, backoff in ledger.backoffs.items()
        },
    )
    return ledger if clamped == ledger else clamped


def _no_later(times: Mapping[_K, datetime], now: datetime) -> Mapping[_K, datetime]:
    return {key: min(at, now) for key, at in times.items()}


def _until(past: Mapping[InstanceId, PastUpdate], now: datetime) -> Mapping[InstanceId, PastUpdate]:
    return {id_: replace(one, at=min(one.at, now)) for id_, one in past.items()}


def _published_until(one: NewestPublished, now: datetime) -> NewestPublished:
    back_at = min(one.back_at, now) if one.back_at is not None else None
    return replace(one, seen_at=min(one.seen_at, now), back_at=back_at)
