"""Release: a person gives a quarantined instance back, clears a rest, or declares a release good.

First it is said what would be done; nothing is done before the person agrees.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from bottlerocket_ecs_updater.core.claim import ATTRIBUTE, Claim, ClaimPhase
from bottlerocket_ecs_updater.core.errors import UpdaterError, UsageError
from bottlerocket_ecs_updater.core.fleet import Registration, Rest, Status
from bottlerocket_ecs_updater.core.ids import InstanceId
from bottlerocket_ecs_updater.core.ledger import with_release, without_claim, without_rest
from bottlerocket_ecs_updater.core.version import Version
from bottlerocket_ecs_updater.engine.beginning import refuse_foreign
from bottlerocket_ecs_updater.engine.ledger import LedgerKeeping
from bottlerocket_ecs_updater.engine.ports import Clock, Cluster, Done, Gone, Result


@dataclass(frozen=True, slots=True)
class Release:
    """What a release would do, and then does."""

    instance: InstanceId | None
    registration: Registration | None
    claim: Claim | None
    rest: Rest | None
    version: Version | None
    failed_on: frozenset[InstanceId]

    def steps(self) -> Sequence[str]:
        """What would be done, one sentence each; empty when there is nothing to release."""
        said = []
        if self.claim is not None and self.registration is not None:
            name, since = self.instance, f"{self.claim.since:%Y-%m-%d %H:%M} UTC"
            if self.registration.status is Status.DRAINING:
                said.append(f"set {name} ACTIVE: it may take tasks again (quarantined since {since})")
            said.append(f"drop our claim on {name}, made by run {self.claim.run} on the way to {self.claim.target}")
        elif self.claim is not None:
            said.append(f"forget our claim on {self.instance}: it is in the cluster no more")
        if self.rest is not None:
            said.append(
                f"clear the rest of {self.instance}: {self.rest.version} failed {self.rest.attempts} time(s) there "
                f"({self.rest.why}), and would be tried again at the next run"
            )
        if self.version is not None and self.failed_on:
            names = ", ".join(sorted(self.failed_on))
            said.append(f"declare {self.version} good, though it failed on {names}: all instances may take it again")
        return said


def consider_instance(id_: InstanceId, cluster: Cluster, ledger: LedgerKeeping) -> Release:
    """Find out what there is to release of one instance. Raises UsageError where releasing it would be wrong."""
    state = ledger.load()
    listed = cluster.list_all().registrations
    refuse_foreign(state, (each.arn for each in listed))
    found = [each for each in listed if each.id == id_]
    registration = found[0] if found else None
    written = registration.attributes.get(ATTRIBUTE) if registration is not None else None
    kept = state.claims.get(id_)
    claim = _read(written) or (kept.claim if kept is not None else None)
    if written is not None and claim is None:
        raise UsageError(
            f"{id_} carries a claim that this version of the updater cannot read: {written!r}; "
            f"run the version that wrote it, or set it to ACTIVE and delete its attribute {ATTRIBUTE}"
        )
    if registration is None and claim is None and id_ not in state.rests:
        raise UsageError(f"{id_} is not in the cluster, and nothing is remembered of it")
    if claim is not None and claim.phase is not ClaimPhase.QUARANTINED:
        raise UsageError(
            f"{id_} is {claim.phase.value} for run {claim.run} since {claim.since:%Y-%m-%d %H:%M} UTC; "
            "it is not quarantined, and the next run finishes what was begun"
        )
    return Release(id_, registration, claim, state.rests.get(id_), None, frozenset())


def consider_version(version: Version, ledger: LedgerKeeping) -> Release:
    """Find out what there is to release of one Bottlerocket release."""
    state = ledger.load()
    failed_on = state.failed_on.get(version, frozenset())
    resting = frozenset(id_ for id_, rest in state.rests.items() if rest.version == version)
    return Release(None, None, None, None, version, failed_on | resting)


def perform(release: Release, cluster: Cluster, ledger: LedgerKeeping, clock: Clock) -> None:
    """Do what was said. Raises UpdaterError where AWS did not do it; then it can be asked for again."""
    registration, id_ = release.registration, release.instance
    if release.claim is not None and registration is not None:
        if registration.status is Status.DRAINING:
            _expect(cluster.set_status([registration.arn], Status.ACTIVE)[registration.arn], f"set {id_} ACTIVE")
        dropped = cluster.delete_attribute(ATTRIBUTE, [registration.arn])[registration.arn]
        _expect(dropped, f"drop the claim on {id_}")
    if id_ is not None:
        ledger.change(partial(without_claim, instance=id_))
        ledger.change(partial(without_rest, instance=id_))
    if release.version is not None:
        ledger.change(partial(with_release, version=release.version, at=clock.now()))
    ledger.flush()


def _read(text: str | None) -> Claim | None:
    if text is None:
        return None
    try:
        return Claim.decode(text)
    except ValueError:
        return None


def _expect(result: Result, what: str) -> None:
    if not isinstance(result, Done | Gone):
        raise UpdaterError(f"could not {what}: {result.why}; nothing else was done, ask again")
