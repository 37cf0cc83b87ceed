"""Reads which container instances the cluster has, and how ECS describes each."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from datetime import datetime

from bottlerocket_ecs_updater.core.decision.rival_runs import lives
from bottlerocket_ecs_updater.core.decision.this_pass import Pass
from bottlerocket_ecs_updater.core.model.container_instance import Registration, Status
from bottlerocket_ecs_updater.core.model.event import ClaimFound, InstanceLost
from bottlerocket_ecs_updater.core.model.ids import ContainerInstanceArn, InstanceId
from bottlerocket_ecs_updater.core.model.instance import Instance
from bottlerocket_ecs_updater.core.model.outcome import Updated
from bottlerocket_ecs_updater.core.state.observe import see_missing, see_registration, see_undescribed
from bottlerocket_ecs_updater.engine.look.context import LookContext
from bottlerocket_ecs_updater.engine.ports import Cluster, Listing


class RegistrationLooks:
    """Lists and describes container instances, and notes what has changed about each."""

    def __init__(self, context: LookContext, cluster: Cluster) -> None:
        self._known = context.known
        self._policy = context.policy
        self._recorder = context.recorder
        self._calls = context.calls
        self._cluster = cluster
        self.listed_at: datetime | None = None
        """When the cluster was last listed; None if not yet."""
        self.newcomers = False
        """Whether new hosts, or another updater's claims, appeared since commands of others were last adopted."""
        self._nameless: dict[ContainerInstanceArn, InstanceId] = {}
        """Container instances that ECS lists but has never described."""
        self._updated_since: dict[InstanceId, datetime] = {}
        """The first look after the update of each instance in this run."""
        self._lost: set[InstanceId] = set()
        """Instances that left the cluster after that."""

    def list_all(self) -> None:
        """List the container instances of the cluster and describe them."""
        known, now = self._known, self._known.now
        listing = self._calls.ask("ecs:ListContainerInstances", self._cluster.list_all)
        if listing is not None:
            self._absorb(listing)
            self._miss_others(listing)
        else:
            # Claimed instances can be described without a listing, by their known ARNs.
            claimed = (one.claimed_arn for one in known.instances.values() if one.registration is None)
            self.describe([arn for arn in (*self.arns(), *claimed) if arn is not None])
        self.listed_at = now
        known.fleet = replace(known.fleet, full_at=now)

    def describe(self, arns: Sequence[ContainerInstanceArn]) -> None:
        """Describe these container instances."""
        if arns:
            self._absorb(self._cluster.describe(arns), listed=False)

    def arns(self, ids: Collection[InstanceId] | None = None) -> Sequence[ContainerInstanceArn]:
        """The ARNs of these instances, or of all, as they were last described."""
        instances = self._known.instances
        chosen = instances.values() if ids is None else [instances[id_] for id_ in ids if id_ in instances]
        return [instance.registration.arn for instance in chosen if instance.registration is not None]

    def some_are_unknown(self) -> bool:
        """Whether an instance was listed but not described: only a new listing shows whether it still exists."""
        return any(instance.unknown for instance in self._known.instances.values())

    def report_lost(self) -> None:
        """Report once each instance that this run updated and that left the cluster since."""
        now = self._known.now
        for instance in self._known.instances.values():
            outcome = instance.progress.outcome
            if not isinstance(outcome, Updated) or instance.id in self._lost:
                continue
            since = self._updated_since.setdefault(instance.id, now)
            if not instance.registered:
                self._lost.add(instance.id)
                self._recorder.record(InstanceLost(now, instance.id, outcome.target, now - since))

    def _miss_others(self, listing: Listing) -> None:
        """Record which instances the cluster does not list.

        If ECS listed an instance without a description, and its id is unknown, no instance counts as missing.
        """
        known = self._known
        known.listed_whole = not listing.dark
        if any(arn not in known.arns for arn in listing.dark):
            return
        seen = {registration.id for registration in listing.registrations}
        seen |= {known.arns.get(arn) or self._nameless[arn] for arn in listing.undescribed}
        for id_ in [id_ for id_ in known.instances if id_ not in seen]:
            known.learn(see_missing(known.instances[id_], known.now))

    def _absorb(self, listing: Listing, *, listed: bool = True) -> None:
        known = self._known
        known.arns |= {registration.arn: registration.id for registration in listing.registrations}
        for registration in one_per_instance(listing.registrations):
            before = known.instance(registration.id)
            seen = registration if registration.at == known.now else replace(registration, at=known.now)
            apart, doubts_apart = self._policy.flap_spacing, self._policy.looks_apart
            after = see_registration(before, seen, known.fleet.run, apart, doubts_apart, known.fleet.store)
            known.learn(after)
            self.newcomers = self.newcomers or (before.registration is None and self.listed_at is not None)
            self._notice_survival(after)
            if after.progress.read_lag > known.fleet.read_lag:
                known.fleet = replace(known.fleet, read_lag=after.progress.read_lag)
            if after.claim is not None and not seen.connected:
                known.note_reboot_early(after)
            self._notice_claim(before, after)
            self._forget_nameless(registration.arn)
        for arn, why in listing.undescribed.items():
            # An instance that was never described is named by the last part of its ARN.
            instance = known.instance(known.arns.get(arn) or self._nameless.setdefault(arn, _nameless_id(arn)))
            if instance.registration is None or instance.registration.arn == arn:
                known.learn(see_undescribed(instance, why, listed=listed))

    def _forget_nameless(self, arn: ContainerInstanceArn) -> None:
        """Drop the placeholder of an instance that ECS now describes."""
        if arn in self._nameless:
            self._known.instances.pop(self._nameless.pop(arn), None)

    def _notice_survival(self, instance: Instance) -> None:
        """Record that attributes survive reboots in this cluster, if one is there after a verified reboot.

        If no look saw the agent disconnect, ECS may still show the registration as it was before the reboot.
        """
        progress, registration = instance.progress, instance.registration
        verified = progress.new_boot is not None and progress.away_at is not None
        if verified and registration is not None and registration.connected and instance.claim_on_instance:
            self._known.fleet = replace(self._known.fleet, attributes_survive=True)

    def _notice_claim(self, before: Instance, after: Instance) -> None:
        """Report a claim that is new to this run, and note the activity of rival runs with another store."""
        now = self._known.now
        claims = [
            one.claim for one in (before, after) if one.claim is not None and one.claim.run != self._known.fleet.run
        ]
        if not claims:
            return
        fleet = self._known.fleet
        rivals = [claim for claim in claims if lives(claim, Pass(fleet, self._policy))]
        if rivals and before.claim != after.claim:
            self._known.fleet = replace(self._known.fleet, rival_at=now)
            self.newcomers = self.newcomers or before.claim is None
        claim = after.claim
        if claim is None or before.claim is not None or claim.run == fleet.run:
            return
        if not rivals:
            self._recorder.record(ClaimFound.of(now, after.id, claim))


def one_per_instance(registrations: Iterable[Registration]) -> Iterable[Registration]:
    """One registration per EC2 instance: after a lost checkpoint, an old one stays behind, disconnected."""
    best: dict[InstanceId, Registration] = {}
    for registration in registrations:
        other = best.get(registration.id)
        if other is None or _rank(registration) > _rank(other):
            best[registration.id] = registration
    return best.values()


def _rank(registration: Registration) -> tuple[bool, bool, datetime]:
    in_service = registration.status in (Status.ACTIVE, Status.DRAINING)
    return in_service, registration.connected, registration.registered_at


def _nameless_id(arn: ContainerInstanceArn) -> InstanceId:
    return InstanceId(arn.rsplit("/", 1)[-1])
