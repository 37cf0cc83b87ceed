"""The release command: return a quarantined instance, clear a backoff, mark a version as good, or forget a blocker.

The command first shows what it would do, and acts only after the person agrees. In the meantime, runs and other people
may change things. So it looks again while it holds the lease, and does nothing if the result differs from what it
showed.

An instance that its Auto Scaling group is terminating is not set ACTIVE: it would get tasks that are killed soon. It
checks the group before it asks the person, and again while it holds the lease.

It first sets the instance ACTIVE, then deletes its claim, then removes it from the ledger. If that stops halfway,
another `release` or the next run completes it: both remove the claim from an instance that is ACTIVE.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from bottlerocket_ecs_updater.core.model.auto_scaling import taken_away
from bottlerocket_ecs_updater.core.model.claim import CLAIM_ATTRIBUTE, Claim, ClaimPhase, furthest, read_claim
from bottlerocket_ecs_updater.core.model.container_instance import Registration, Status
from bottlerocket_ecs_updater.core.model.history import Blocker
from bottlerocket_ecs_updater.core.model.ids import ContainerInstanceArn, InstanceId
from bottlerocket_ecs_updater.core.model.outcome import Backoff
from bottlerocket_ecs_updater.core.model.time_text import time_text
from bottlerocket_ecs_updater.core.model.version import Version
from bottlerocket_ecs_updater.core.state.ledger import (
    Ledger,
    with_release,
    without_backoff,
    without_blockers,
    without_claim,
)
from bottlerocket_ecs_updater.engine.look.registrations import one_per_instance
from bottlerocket_ecs_updater.engine.ports import Clock, Cluster, Done, Gone, Listing, Result, Survey, Unclear
from bottlerocket_ecs_updater.engine.resume import refuse_foreign
from bottlerocket_ecs_updater.engine.store.ledger_store import LedgerKeeping
from bottlerocket_ecs_updater.errors import Denied, LeaseLost, NotFound, Unreachable, UpdaterError, UsageError


@dataclass
class Changed(UpdaterError):
    """Ask the person again: the release would now do something else than it showed."""


@dataclass(frozen=True, slots=True)
class GroupState:
    """What an instance's Auto Scaling group does with it."""

    leaving: str = ""
    """Why it must not be set ACTIVE; empty if it may."""
    unread: str = ""
    """Why its group could not be read; empty if it was read."""


@dataclass(frozen=True, slots=True)
class ManualRelease:
    """What a release of an instance, a version, or a group of tasks does."""

    instance: InstanceId | None = None
    registration: Registration | None = None
    """The instance's current registration; None if it left the cluster."""
    claim: Claim | None = None
    backoff: Backoff | None = None
    carriers: tuple[ContainerInstanceArn, ...] = ()
    """Every registration of the instance that carries a claim."""
    drained_by_us: bool = False
    """Whether the registration is DRAINING because of that claim."""
    group: GroupState = GroupState()
    """What its Auto Scaling group does with it, if it is drained by us."""
    version: Version | None = None
    failed_on: frozenset[InstanceId] = frozenset()
    backing_off: frozenset[InstanceId] = frozenset()
    """Other instances that back off from the version, for example because their drain timed out."""
    tasks: str = ""
    """The group of tasks, such as `service:web`."""
    blocker: Blocker | None = None
    """The drains that these tasks made time out; None if there were none."""

    @property
    def sets_active(self) -> bool:
        """Whether the release sets the instance ACTIVE."""
        return self.drained_by_us and not self.group.leaving

    def steps(self) -> Sequence[str]:
        """The steps, one sentence each; empty if there is nothing to release."""
        return [*self._about_claim(), *self._about_backoff(), *self._about_version(), *self._about_blocker()]

    def differs_from(self, other: ManualRelease) -> bool:
        """Whether the steps differ. The registration does not matter to a person."""
        return (self.claim, self.steps()) != (other.claim, other.steps())

    def _about_claim(self) -> Iterator[str]:
        claim, registration, name = self.claim, self.registration, self.instance
        if claim is None:
            return
        if registration is None:
            yield f"forget our claim on {name}: the instance is no longer in the cluster"
            return
        if self.drained_by_us and self.group.leaving:
            yield f"leave {name} DRAINING: {self.group.leaving}"
        elif self.drained_by_us:
            since = time_text(claim.since)
            written = registration.arn in self.carriers
            see = "" if written else "; its claim exists only in the state store, so check that no one else drained it"
            if claim.phase is ClaimPhase.REBOOTING:
                see += ", and that it has rebooted since: the reboot may be outstanding"
            if self.group.unread:
                see += (
                    f"; its Auto Scaling group was not read ({self.group.unread}), so check that it is not terminating"
                )
            yield f"set {name} ACTIVE: it may take tasks again ({claim.phase.value} since {since}){see}"
        elif registration.status is Status.DRAINING:
            yield f"leave {name} DRAINING: it has registered again since its quarantine, and someone else drained it"
        yield f"delete our claim on {name}, made by run {claim.run} to update it to {claim.target}"

    def _about_backoff(self) -> Iterator[str]:
        backoff = self.backoff
        if backoff is not None:
            times = "once" if backoff.attempts == 1 else f"{backoff.attempts} times"
            yield (
                f"clear the backoff of {self.instance}: {backoff.version} failed {times} there ({backoff.why}); "
                "the next run may try it again"
            )

    def _about_version(self) -> Iterator[str]:
        if self.version is not None and self.failed_on:
            names = ", ".join(sorted(self.failed_on))
            yield f"mark {self.version} as good, although it failed on {names}: all instances may get it again"
        if self.version is not None and self.backing_off:
            names = ", ".join(sorted(self.backing_off))
            yield f"clear the backoff of {names}: the next run may try {self.version} there again"

    def _about_blocker(self) -> Iterator[str]:
        one = self.blocker
        if one is not None:
            times = "a drain" if one.times == 1 else f"drains of {one.times} runs in a row"
            since = time_text(one.first)
            yield (
                f"forget that tasks of {self.tasks} made {times} time out, since {since}, last on {one.instance}: "
                "the next run may drain the hosts with such tasks"
            )


def consider_instance(
    id_: InstanceId, cluster: Cluster, ledger: LedgerKeeping, survey: Survey | None = None
) -> ManualRelease:
    """Find out what a release of one instance would do. Raises UsageError if it must not be released.

    Without a survey, its Auto Scaling group is not read. Raises Throttled or Unreachable also if that failed for
    the moment.
    """
    state = ledger.load()
    listing = cluster.list_all()
    refuse_foreign(state, (each.arn for each in listing.registrations))
    found = [each for each in listing.registrations if each.id == id_]
    registration = next(iter(one_per_instance(found)), None)
    _check_all_are_described(id_, registration, listing, state)
    written = _written(id_, found)
    kept = state.claims.get(id_)
    # Runs use these two. A claim on an old registration counts only if there is no other.
    current = written.get(registration.arn) if registration is not None else None
    claim = furthest([one for one in (current, kept.claim if kept is not None else None) if one is not None])
    claim = claim or furthest(written.values())
    if registration is None and claim is None and id_ not in state.backoffs:
        raise UsageError(f"{id_} is not in the cluster, and the state store has no record of it")
    lost = registration is not None and kept is not None and kept.arn == registration.arn and not written
    if claim is not None and not lost:
        _check_it_may_be_released(id_, claim)
    drained_by_us = (
        claim is not None
        and registration is not None
        and registration.status is Status.DRAINING
        and (registration.arn in written or (kept is not None and kept.arn == registration.arn))
    )
    backoff = state.backoffs.get(id_)
    group = _group_of(id_, survey) if drained_by_us else GroupState()
    return ManualRelease(id_, registration, claim, backoff, tuple(written), drained_by_us, group)


def _group_of(id_: InstanceId, survey: Survey | None) -> GroupState:
    """What its group does with it. If AWS denies the call, a message says so, and the person decides."""
    if survey is None:
        return GroupState(unread="without a survey")
    try:
        leaving = taken_away(survey.memberships([id_]).get(id_))
    except (Denied, NotFound) as problem:
        return GroupState(unread=str(problem))
    return GroupState(str(leaving) if leaving is not None else "")


def consider_version(version: Version, ledger: LedgerKeeping) -> ManualRelease:
    """Find out what a release of one Bottlerocket version would do."""
    state = ledger.load()
    failed_on = state.failed_on.get(version, frozenset())
    resting = frozenset(id_ for id_, backoff in state.backoffs.items() if backoff.version == version)
    return ManualRelease(version=version, failed_on=failed_on, backing_off=resting - failed_on)


def consider_tasks(group: str, ledger: LedgerKeeping) -> ManualRelease:
    """Find out what a release of one group of tasks, such as `service:web`, would do."""
    return ManualRelease(tasks=group, blocker=ledger.load().blockers.get(group))


def perform(
    release: ManualRelease, cluster: Cluster, ledger: LedgerKeeping, clock: Clock, survey: Survey | None = None
) -> None:
    """Look again, and do what was shown. The caller must hold the cluster's lease.

    Raises Changed if the steps differ now, and UpdaterError if an AWS call failed. Its text says what was done; the
    rest can be retried.
    """
    now = _look_again(release, cluster, ledger, survey)
    done = "nothing was done"
    if now.sets_active and now.registration is not None:
        _set_active(now, now.registration.arn, cluster)
        done = f"{now.instance} was set ACTIVE"
    if now.carriers:
        with _say_what_was_done(done, now):
            _drop_claim(now, cluster)
        done = f"{now.instance} no longer carries a claim" if done.startswith("nothing") else f"{done} without a claim"
    if now.instance is not None:
        ledger.change(partial(without_claim, instance=now.instance))
        ledger.change(partial(without_backoff, instance=now.instance))
    if now.version is not None:
        ledger.change(partial(with_release, version=now.version, at=clock.now()))
    if now.blocker is not None:
        ledger.change(partial(without_blockers, names=[now.tasks]))
    with _say_what_was_done(done, now):
        ledger.flush()


# Looking


def _check_all_are_described(
    id_: InstanceId, registration: Registration | None, listing: Listing, state: Ledger
) -> None:
    """Raise Unreachable if ECS did not describe some instances, and one of them may be this one."""
    dark = listing.dark
    kept = state.claims.get(id_)
    certain = registration is not None and registration.connected and (kept is None or kept.arn not in dark)
    if dark and not certain:
        why = next(iter(dark.values()))
        raise Unreachable(f"ECS lists instances but does not describe them ({why}); {id_} may be one. Run it again")


def _written(id_: InstanceId, found: Sequence[Registration]) -> Mapping[ContainerInstanceArn, Claim]:
    """The claims on all registrations of an instance. Raises UsageError if one cannot be read."""
    claims: dict[ContainerInstanceArn, Claim] = {}
    for arn, text in ((each.arn, each.attributes.get(CLAIM_ATTRIBUTE)) for each in found):
        try:
            claim = read_claim(text)
        except ValueError as error:
            raise UsageError(
                f"{id_} carries a claim that this version of the updater cannot read: {text!r}; "
                f"run the version that wrote it, or set it to ACTIVE and delete its attribute {CLAIM_ATTRIBUTE} ({arn})"
            ) from error
        if claim is not None:
            claims[arn] = claim
    return claims


def _check_it_may_be_released(id_: InstanceId, claim: Claim) -> None:
    """Raise UsageError if the claim must not be released."""
    if claim.phase is not ClaimPhase.QUARANTINED:
        raise UsageError(
            f"{id_} is {claim.phase.value} for run {claim.run} since {time_text(claim.since)}; "
            "it is not quarantined, and the next run finishes the update"
        )


def _look_again(said: ManualRelease, cluster: Cluster, ledger: LedgerKeeping, survey: Survey | None) -> ManualRelease:
    """What the release would do now. Raises Changed if that differs from what was shown."""
    try:
        if said.tasks:
            now = consider_tasks(said.tasks, ledger)
        elif said.version is not None:
            now = consider_version(said.version, ledger)
        elif said.instance is not None:
            now = consider_instance(said.instance, cluster, ledger, survey)
        else:
            return said
    except UsageError as error:
        raise Changed(f"nothing was done, because something changed in the meantime: {error}") from error
    if now.differs_from(said):
        left = "; ".join(now.steps()) or "there is nothing to release any more"
        raise Changed(f"nothing was done, because something changed in the meantime. Now: {left}. Run it again")
    return now


# Doing


def _set_active(now: ManualRelease, arn: ContainerInstanceArn, cluster: Cluster) -> None:
    result = cluster.set_status([arn], Status.ACTIVE)[arn]
    match result:
        case Done():
            return
        case Gone(why=why):
            raise Changed(f"nothing was done: {now.instance} has left the cluster ({why}). Run it again")
        case Unclear(why=why):
            raise UpdaterError(
                f"AWS did not report whether {now.instance} is ACTIVE now ({why}); nothing else was done. Run it again"
            )
        case _:
            raise UpdaterError(f"nothing was done: AWS did not set {now.instance} ACTIVE ({result.why}). Run it again")


def _drop_claim(now: ManualRelease, cluster: Cluster) -> None:
    """Delete the claim from every registration that carries it, because a run adopts any that is left."""
    results = cluster.delete_attribute(CLAIM_ATTRIBUTE, now.carriers)
    left = [why for arn in now.carriers if (why := _not_dropped(results.get(arn))) is not None]
    if left:
        raise UpdaterError(f"its claim was not deleted ({left[0]})")


def _not_dropped(result: Result | None) -> str | None:
    """Why a claim may still exist; None if it is gone. If the instance left the cluster, its claim is gone too."""
    match result:
        case Done() | Gone():
            return None
        case None:
            return "AWS did not answer"
        case _:
            return result.why


@contextmanager
def _say_what_was_done(done: str, now: ManualRelease) -> Iterator[None]:
    """Add to an error what was done before it."""
    try:
        yield
    except (UpdaterError, LeaseLost) as error:
        what = now.instance or now.version or now.tasks
        error.message = f"{done}, but {error.message}. Run `release {what}` again for the rest"
        raise
