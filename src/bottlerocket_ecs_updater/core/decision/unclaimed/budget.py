"""How many instances may be unavailable at once. Every unavailable instance counts, whatever the cause."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from bottlerocket_ecs_updater.core.decision.left_claim import left_by_us
from bottlerocket_ecs_updater.core.decision.not_counted import is_kept_warm, members, why_leaving
from bottlerocket_ecs_updater.core.decision.rival_runs import lives
from bottlerocket_ecs_updater.core.decision.this_pass import Pass
from bottlerocket_ecs_updater.core.decision.unclaimed.before_drain_hook import being_prepared
from bottlerocket_ecs_updater.core.model.claim import Claim, ClaimPhase
from bottlerocket_ecs_updater.core.model.container_instance import Status
from bottlerocket_ecs_updater.core.model.fleet import Fleet
from bottlerocket_ecs_updater.core.model.ids import InstanceId, Zone
from bottlerocket_ecs_updater.core.model.instance import Instance
from bottlerocket_ecs_updater.core.model.reasons import Hold, Reason, hold
from bottlerocket_ecs_updater.core.model.wording import and_more

NO_ZONE = "an unknown zone"


@dataclass(frozen=True, slots=True)
class Budget:
    """The unavailable instances, and the limits."""

    taken: tuple[tuple[InstanceId, Zone], ...]
    limit: int
    limit_per_zone: dict[Zone, int]
    settling: frozenset[InstanceId] = frozenset()
    """The instances in `taken` that are in service again but whose slots are not free yet."""
    causes: Mapping[InstanceId, str] = field(default_factory=dict)
    """Why instances are out of service that no run is updating."""

    @property
    def open(self) -> bool:
        """Whether a slot is free, ignoring zones."""
        return len(self.taken) < self.limit

    def refusal(self, zone: Zone) -> Hold | None:
        """Why no instance of that zone may be drained now; None if one may."""
        return self._total_refusal() or self.zone_refusal(zone)

    def _total_refusal(self) -> Hold | None:
        taken = [id_ for id_, _ in self.taken]
        if len(taken) < self.limit:
            return None
        return self._settling(taken, self.limit) or hold(
            Reason.BUDGET, unavailable=len(taken), limit=self.limit, who=self._who(taken)
        )

    def zone_refusal(self, zone: Zone) -> Hold | None:
        """Why the limit of that zone allows no instance now; None if it does.

        An instance in an unknown zone may be in any zone, so it counts in every zone, and every zone must allow it.
        """
        zones = [zone] if zone else self.limit_per_zone
        return next((refusal for each in zones if (refusal := self._zone_full(each)) is not None), None)

    def _zone_full(self, zone: Zone) -> Hold | None:
        limit = self.limit_per_zone.get(zone)
        if limit is None:
            return None
        taken = [id_ for id_, other in self.taken if other in (zone, "")]
        if len(taken) < limit:
            return None
        return self._settling(taken, limit) or hold(
            Reason.ZONE_BUDGET, unavailable=len(taken), limit=limit, zone=zone or NO_ZONE, who=self._who(taken)
        )

    def overfull(self, zone: Zone) -> Hold | None:
        """Why an instance that already has a slot may not be drained: more slots are taken than exist."""
        taken = [id_ for id_, _ in self.taken]
        if len(taken) > self.limit:
            return hold(Reason.BUDGET, unavailable=len(taken), limit=self.limit, who=self._who(taken))
        limit = self.limit_per_zone.get(zone)
        here = [id_ for id_, other in self.taken if other in (zone, "")]
        if limit is None or len(here) <= limit:
            return None
        return hold(Reason.ZONE_BUDGET, unavailable=len(here), limit=limit, zone=zone, who=self._who(here))

    def _settling(self, taken: list[InstanceId], limit: int) -> Hold | None:
        """The hold if the limit is full only because of instances that are in service again and settling."""
        settling = [id_ for id_ in taken if id_ in self.settling]
        full_without = len(taken) - len(settling) >= limit
        return None if full_without else hold(Reason.SETTLING, instance=_names(settling))

    def _who(self, taken: Iterable[InstanceId]) -> str:
        return _names(f"{id_} ({self.causes[id_]})" if id_ in self.causes else id_ for id_ in taken)

    def take(self, instance: Instance) -> Budget:
        """The budget with a slot taken by that instance."""
        return replace(self, taken=(*self.taken, (instance.id, instance.zone)))


def count_budget(this_pass: Pass) -> Budget:
    """Count the claimed instances, those that are not ACTIVE and connected, and the slots that have not settled.

    An instance that ECS lists but does not describe counts too: it may be a Bottlerocket host that is out of service.
    Instances that do not count are listed in `core/decision/not_counted.py`.
    """
    return this_pass.once(_count_budget)


def _count_budget(this_pass: Pass) -> Budget:
    fleet, policy = this_pass.fleet, this_pass.policy
    ours = members(this_pass)
    settling = {slot.instance: slot.zone for slot in fleet.slots}
    unknown = [one for one in fleet.instances.values() if one.unknown and one.registration is None and not one.claim]
    down = {instance.id: instance.zone for instance in [*ours, *unknown] if unavailable(instance)}
    zones: dict[Zone, int] = {}
    for instance in ours:
        zones[instance.zone] = zones.get(instance.zone, 0) + 1
    per_zone = policy.max_unavailable_per_zone
    limits = {zone: per_zone.of(count) for zone, count in zones.items()} if per_zone is not None else {}
    taken = tuple((down | settling).items())
    causes = {id_: why for id_ in down if (why := _cause(fleet.instances[id_]))}
    limit, again = policy.max_unavailable.of(len(ours)), frozenset(settling.keys() - down.keys())
    return Budget(taken, limit, limits, again, causes)


def _cause(instance: Instance) -> str:
    """Why an instance is out of service; empty if a run is updating it, or if that is not known."""
    registration, claim = instance.registration, instance.claim
    if claim is not None and is_kept_warm(instance):
        return "its group puts it into its warm pool"
    if claim is not None:
        return "quarantined" if claim.phase is ClaimPhase.QUARANTINED else ""
    if registration is None or instance.unknown:
        return ""
    if why_leaving(instance) is not None:
        return "its group terminates it"
    if registration.status is Status.DRAINING:
        return "drained by somebody else"
    if registration.status is not Status.ACTIVE:
        return f"its status is {registration.status.value}"
    return "" if registration.connected else "its agent is disconnected"


def unavailable(instance: Instance) -> bool:
    """Whether an instance is out of service or about to be."""
    if instance.claim is not None or being_prepared(instance):
        return True
    registration = instance.registration
    if registration is not None and registration.status is Status.INACTIVE:
        # It left the cluster permanently, and its capacity does not come back.
        return False
    if registration is None or instance.unknown:
        return instance.unknown
    # In REGISTERING, DEREGISTERING and any unknown status it takes no tasks, as in DRAINING.
    return registration.status is not Status.ACTIVE or not registration.connected


def left_out_of_service(this_pass: Pass) -> tuple[InstanceId, ...]:
    """Instances that are or may be out of service with an unfinished update that no live run continues."""
    fleet = this_pass.fleet
    return tuple(
        instance.id
        for instance in fleet.instances.values()
        if _unreadable_and_out(instance)
        or (left_by_us(instance) is not None and why_leaving(instance) is None and not _is_gone(instance))
        or (
            instance.claim is not None
            and instance.claim.phase is not ClaimPhase.QUARANTINED
            and not lives(instance.claim, this_pass)
            and not is_kept_warm(instance)
            and _may_be_out(instance, instance.claim, fleet)
        )
    )


def _is_gone(instance: Instance) -> bool:
    """Whether this run found that it has left the cluster. The last look at it may still show it DRAINING."""
    outcome = instance.progress.outcome
    return isinstance(outcome, Hold) and outcome.reason is Reason.GONE


def _unreadable_and_out(instance: Instance) -> bool:
    registration = instance.registration
    return bool(instance.claim_unreadable) and registration is not None and registration.status is Status.DRAINING


def _may_be_out(instance: Instance, claim: Claim, fleet: Fleet) -> bool:
    """Whether it may be out of service: with another run's claim that is not known, because a read may be stale."""
    registration, progress = instance.registration, instance.progress
    if progress.return_confirmed or (registration is not None and registration.status is Status.INACTIVE):
        return False
    never_drained = claim.run == fleet.run and progress.drain is None
    return not (never_drained and registration is not None and registration.status is Status.ACTIVE)


def _names(ids: Iterable[str]) -> str:
    return and_more(sorted(ids))
