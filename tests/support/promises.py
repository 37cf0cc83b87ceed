"""What must hold at the end of every scenario: what the world saw, what the updaters reported, and that the two agree.

Each promise is a function from a played scenario to the sentences that say how the promise was broken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import timedelta
from typing import TypeGuard

from tests.support.story import Ending, Harmed, Played, object_in

from bottlerocket_ecs_updater.core.model.event import (
    Claimed,
    ClaimFound,
    CommandSent,
    Drained,
    Event,
    InstanceFailed,
    InstanceHeld,
    InstanceQuarantined,
    InstanceUpdated,
    PhaseEntered,
    Returned,
)
from bottlerocket_ecs_updater.core.model.ids import InstanceId
from bottlerocket_ecs_updater.core.model.outcome import Outcome, Quarantined, RunOutcome, Updated, UpToDate, count_kinds
from bottlerocket_ecs_updater.core.model.passing import Passing, passing
from bottlerocket_ecs_updater.core.model.phase import Phase
from bottlerocket_ecs_updater.core.model.reasons import Failed, Hold, Reason
from bottlerocket_ecs_updater.core.model.time_text import DAY
from bottlerocket_ecs_updater.core.rules.policy import APPLY_TRIES, REBOOT_TRIES
from bottlerocket_ecs_updater.engine.document_denials import DENIED_FOR_ALL
from bottlerocket_ecs_updater.report.analysis.run_report import run_report
from bottlerocket_ecs_updater.simulator import faults as f
from bottlerocket_ecs_updater.simulator.ecs import ContainerInstanceSpec, ServiceSpec, Strategy, TaskLaunch
from bottlerocket_ecs_updater.simulator.ecs.model import ContainerInstance, InstanceStatus
from bottlerocket_ecs_updater.simulator.scenarios import NEW, OLD, VARIANT, Member

Broken = Iterator[str]


def broken_promises(played: Played) -> list[str]:
    """Every broken promise, as text; none if the scenario went well."""
    return [f"{promise.__name__}: {text}" for promise in PROMISES for text in promise(played)]


# From the world's findings


def invariants_hold(played: Played) -> Broken:
    for violation in played.findings.violations:
        if not _excused(played, violation.invariant, violation.subject):
            yield f"invariant {violation.invariant}: {violation.subject} {violation.facts} at {violation.at}"


def nobody_is_killed(played: Played) -> Broken:
    for task in played.findings.tasks_killed:
        if task.by_updater and not _excused(played, 2, task.instance):
            yield f"{task.group} on {task.instance} at {task.at}"


def nothing_is_stranded(played: Played) -> Broken:
    if played.quiet:
        allowed = _LEFT if _is_forgetful(played) else frozenset[Reason]()
        yield from (name for name in played.findings.stranded if _reason_of(played.last, name) not in allowed)


_LEFT = frozenset({Reason.CLAIM_LOST, Reason.CLAIM_UNREADABLE})
"""The reasons with which a run leaves an instance out of service because its owner is not known."""


def _reason_of(ending: Ending, name: str) -> Reason | None:
    outcome = ending.finished.outcomes.get(InstanceId(name)) if ending.finished is not None else None
    return outcome.reason if isinstance(outcome, Hold) else None


def _is_forgetful(played: Played) -> bool:
    timing = played.story.scenario.ecs_timing
    return not (timing.attributes_survive and timing.draining_survives)


def _excused(played: Played, invariant: int, subject: str) -> bool:
    """Whether no updater could have known better."""
    if invariant == _TAKEN_BY_GROUP and _groups_do_not_answer(played):
        return True
    in_flight = played.story.latency > timedelta()
    unheard = any(_is_any(played, kind) for kind in (f.RepliesLost, f.ApiFails, f.UpdaterDies))
    faults = played.story.scenario.faults.on(subject)
    forgetful = _is_forgetful(played)
    died = _died_returning(played, subject)
    # As long as ECS may show old state, a command may be in progress.
    stale = _is_any(played, f.StaleReads)
    in_flight = in_flight or stale or _was_returned_just_before_a_reboot(played, subject)
    known = {"stale": stale, "in_flight": in_flight, "unheard": unheard, "forgetful": forgetful, "died_returning": died}
    return any(_excuses(fault, invariant, **known) for fault in faults)


PACED = timedelta(seconds=1)
"""How long after the last look the reboot command may be sent, without latency: calls are spaced out."""


def _was_returned_just_before_a_reboot(played: Played, subject: str) -> bool:
    """Whether somebody returned it after the last look before a reboot command, and before that was sent."""
    events = [event for ending in played.endings for event in ending.events]
    drained = [event.at for event in events if isinstance(event, Drained) and event.instance == subject]
    sent = [event.at for event in events if isinstance(event, CommandSent) and event.instance == subject]
    people = [fault for fault in played.story.scenario.faults.on(subject) if isinstance(fault, f.SomebodySets)]
    returned = [at + one.at for at in drained for one in people if one.step is f.Step.DRAIN]
    return any(timedelta() <= reboot - at <= PACED for at in returned for reboot in sent)


_TAKEN_BY_GROUP = 13


def _groups_do_not_answer(played: Played) -> bool:
    """Whether AWS refuses to show Auto Scaling groups, or does not answer for longer than an updater waits."""
    longest = played.story.policy.answer_timeout
    faults = (placed.fault for placed in played.story.scenario.faults.faults)
    failing = (one for one in faults if isinstance(one, f.ApiFails) and one.operation == "DescribeAutoScalingInstances")
    return any(one.code in _REFUSED or one.lasts is None or one.lasts > longest for one in failing)


_REFUSED = ("AccessDeniedException", "InvalidParameterException")
"""Errors that AWS returns again if the call is repeated. A run then ignores the rule that needs the call."""


def _died_returning(played: Played, subject: str) -> bool:
    """Whether an updater died between returning the instance and deleting its claim: both look the same then."""
    for ending in played.endings:
        steps = [e for e in ending.events if isinstance(e, PhaseEntered | Returned) and e.instance == subject]
        last = steps[-1] if steps else None
        if ending.exit_code is None and isinstance(last, PhaseEntered) and last.phase is Phase.RETURNING:
            return True
    return False


def _excuses(
    fault: f.Fault,
    invariant: int,
    *,
    stale: bool,
    in_flight: bool,
    unheard: bool,
    forgetful: bool,
    died_returning: bool,
) -> bool:
    match invariant, fault:
        case 2, f.SomebodySets(status=f.SetStatus.ACTIVE, step=None):
            return True  # returned at a time of their own, perhaps in the last second before the reboot
        case 2, f.SomebodySets(status=f.SetStatus.ACTIVE, step=f.Step.DRAIN):
            return in_flight  # an instance without tasks may be on its way to the reboot by then
        case 2, f.RebootEnds(ending=f.RebootEnding.RUN_AGAIN):
            return forgetful  # its first boot has wiped out the claim, or its DRAINING, and nobody reboots it again
        case 2, f.Deregistered():
            return True  # perhaps while the reboot command was on its way
        case 4, f.SomebodySets(status=f.SetStatus.DRAINING) if stale:
            return True  # no look showed it yet
        case 4, f.SomebodySets(status=f.SetStatus.DRAINING, step=f.Step.RETURN):
            return unheard  # no answer showed that our return had taken effect before
        case 4, f.SomebodySets(status=f.SetStatus.DRAINING, step=None):
            return died_returning or forgetful  # the boot put it into service before any look, and then it was drained
        case 12, f.SsmUnreachable(kind=f.OutOfReach.CONNECTION_LOST):
            return True  # to SSM its apply stays in progress; apiclient gave up long before our limit
        case _:
            return False


# From the reports


def what_is_called_updated_is(played: Played) -> Broken:
    yield from played.lies


def decisions_are_repeatable_and_reasoned(played: Played) -> Broken:
    yield from played.odd_decisions


def every_run_ends(played: Played) -> Broken:
    if not played.quiet:
        yield f"{len(played.endings)} runs, and there is still something to do: {[e.exit_code for e in played.endings]}"
    policy = played.story.policy
    each = policy.apply_timeout * 2 + policy.drain_timeout + policy.reboot_timeout * 2 + policy.settle_timeout
    longest = (len(played.story.scenario.members) + 1) * each + sum(
        (nap.lasts for nap in played.story.naps), timedelta(hours=1)
    )
    for ending in played.endings:
        if ending.exit_code not in (None, 0, 1, 3, 4):
            yield f"{ending.run} ended with {ending.exit_code}"
        if ending.ended - ending.began > longest:
            yield f"{ending.run} took {ending.ended - ending.began}"


def summaries_are_whole(played: Played) -> Broken:
    for ending in played.endings:
        finished = ending.finished
        if finished is None:
            continue
        if dict(finished.counts) != count_kinds(finished.outcomes):
            yield f"{ending.run} counts {finished.counts}"
        said = _exit_code(ending)
        if finished.exit_code != said and not _took_none_in_the_end(ending):
            yield f"{ending.run} exits with {finished.exit_code}, its outcomes say {said}"
        for event in ending.events:
            if isinstance(event, InstanceUpdated) and not _tells_of(finished.outcomes, event):
                yield f"{ending.run} updated {event.instance} and sums up {finished.outcomes.get(event.instance)}"


def _exit_code(ending: Ending) -> int:
    finished = ending.finished
    assert finished is not None
    if finished.outcome in (RunOutcome.ERROR, RunOutcome.HALTED):
        return {RunOutcome.ERROR: 1, RunOutcome.HALTED: 4}[finished.outcome]
    if (finished.outcome is RunOutcome.STUCK and not _took_any(ending)) or finished.why.startswith(
        ("tasks of ", "Auto Scaling group ")
    ):
        return 3
    bad = [one for one in finished.outcomes.values() if isinstance(one, Failed | Quarantined)]
    if not bad and finished.outcome is RunOutcome.INTERRUPTED:
        return finished.exit_code  # what it leaves is no outcome: `an_interrupted_run_says_what_it_leaves` tells
    left = ending.left_out or any(_reason_of(ending, id_) in _LEFT for id_ in finished.outcomes)
    return 3 if bad or left or _ends_deregistering(ending) else 0


def _ends_deregistering(ending: Ending) -> bool:
    """Whether a claimed instance is still in the cluster although ECS is registering or deregistering it."""
    last = {event.instance: event.phase for event in ending.events if isinstance(event, PhaseEntered)}
    claimed = [id_ for id_, phase in last.items() if phase in _CLAIMED]
    return any(_reason_of(ending, id_) is Reason.NOT_ACTIVE for id_ in claimed)


_CLAIMED = frozenset({Phase.DRAINING, Phase.REBOOTING, Phase.VERIFYING, Phase.RETURNING, Phase.QUARANTINED})
"""The phases of an instance with a claim. The answer to the call that wrote it may have been lost."""


def _took_any(ending: Ending) -> bool:
    return any(isinstance(event, Claimed | ClaimFound) for event in ending.events)


def _took_none_in_the_end(ending: Ending) -> bool:
    """Whether a stuck run only dropped claims that it found, such as those of drains that never started."""
    finished = ending.finished
    assert finished is not None
    took = any(isinstance(event, Claimed | Returned) for event in ending.events)
    return finished.outcome is RunOutcome.STUCK and finished.exit_code == 3 and not took


def what_begins_nothing_is_no_plain_success(played: Played) -> Broken:
    """A run that updated no host, although none is up to date, says so if the reasons do not pass by themselves."""
    for ending in played.endings:
        finished = ending.finished
        if finished is None or finished.exit_code != 0 or finished.outcome is not RunOutcome.OK or _took_any(ending):
            continue
        holds = [one for one in finished.outcomes.values() if isinstance(one, Hold)]
        counted = [one for one in holds if passing(one.reason) is not Passing.CHOSEN]
        well = any(isinstance(one, Updated | UpToDate) for one in finished.outcomes.values())
        if counted and not well and all(passing(one.reason) is Passing.NEVER for one in counted):
            yield f"{ending.run} exits with 0, began nothing, and is held by {sorted({str(one) for one in counted})}"


def no_run_blames_others_for_its_drains(played: Played) -> Broken:
    """An instance that an updater drained is never said to be drained by somebody else."""
    for ending in played.endings:
        for name, hold in _holds(ending, Reason.DRAINED_BY_OTHERS):
            if name in ending.left_out and not _is_forgetful(played):
                yield f"{ending.run} says of {name}, which an updater drained: {hold}"


def none_in_service_is_said_to_be_out_of_service(played: Played) -> Broken:
    """The headline of a run says so only of instances that it quarantined, failed to return, or cannot account for."""
    for ending in played.endings:
        if ending.finished is None or ending.left_out:
            continue
        outcomes = ending.finished.outcomes.values()
        out = any(
            isinstance(one, Quarantined) or (isinstance(one, Hold) and one.reason in _MAY_BE_OUT) for one in outcomes
        )
        line = run_report(ending.events).headline
        if "out of service" in line and not out and not _ends_deregistering(ending):
            yield f"{ending.run}: {line}"


_MAY_BE_OUT = _LEFT | {Reason.IN_PROGRESS, Reason.NOT_REACHED, Reason.NOT_DESCRIBED, Reason.HALTED}
"""Holds of instances that may have been left out of service by an earlier run, or by this one."""


def an_interrupted_run_says_what_it_leaves(played: Played) -> Broken:
    """With exit code 0, a run leaves no instance out of service, as far as it could know."""
    story, timing = played.story, played.story.scenario.ecs_timing
    forgotten = story.store_forgets_claims or not (timing.attributes_survive and timing.draining_survives)
    if forgotten or story.rivals_have_own_stores:
        return
    for ending in played.endings:
        interrupted = ending.finished is not None and ending.finished.outcome is RunOutcome.INTERRUPTED
        if interrupted and ending.exit_code == 0 and ending.left_out and not _another_acted_meanwhile(played, ending):
            yield f"{ending.run} was interrupted, exits with 0, and leaves {', '.join(ending.left_out)} out of service"


def _tells_of(outcomes: Mapping[InstanceId, Outcome], event: InstanceUpdated) -> bool:
    return outcomes.get(event.instance) == Updated(event.source, event.target)


def the_last_run_tells_of_the_world(played: Played) -> Broken:
    """Every instance is in the summary, and its outcome there is true."""
    finished = played.last.finished
    if not played.quiet or finished is None:
        return
    quarantined = {id_ for id_, one in finished.outcomes.items() if isinstance(one, Quarantined)}
    if quarantined != set(played.findings.quarantined):
        yield f"quarantined are {played.findings.quarantined}, and {quarantined} are called so"
    for name, registered in played.world.cluster.by_ec2.items():
        outcome = finished.outcomes.get(InstanceId(name))
        was_there = registered.registered_at < played.last.began
        if registered.status is not InstanceStatus.INACTIVE and outcome is None and was_there:
            yield f"{name} is left out of the summary"
        if isinstance(outcome, UpToDate | Updated) and registered.status is not InstanceStatus.INACTIVE:
            version = outcome.version if isinstance(outcome, UpToDate) else outcome.target
            if str(version) != played.findings.versions[name]:
                yield f"{name} runs {played.findings.versions[name]}, and is called {outcome}"


def _another_acted_meanwhile(played: Played, ending: Ending) -> bool:
    """Whether it was suspended for so long that another run took the lease, with an update in progress."""
    others = (other for other in played.endings if other is not ending and other.changed_something)
    return any(other.began < ending.ended and other.ended > ending.began for other in others)


# How fast it goes


def no_more_are_begun_than_a_day_has(played: Played) -> Broken:
    """Checkpoints and the daily limit are used in full, and none is exceeded."""
    limit = played.story.policy.rules.checkpoints.per_day
    if limit is None or _forgotten(played):
        return
    drains = [(event.at, event.instance) for ending in played.endings for event in ending.events if _is_drain(event)]
    for at, _ in drains:
        begun = {instance for then, instance in drains if at - DAY < then <= at}
        if len(begun) > limit:
            yield f"{len(begun)} instances were begun in the day before {at}, of {limit}"
    touched: set[str] = set()
    for ending in played.endings:
        touched |= {event.instance for event in ending.events if isinstance(event, Claimed | ClaimFound | Drained)}
        for name, hold in _holds(ending, Reason.DAILY_LIMIT):
            # A claim whose reply was lost may have been written.
            if int(dict(hold.facts)["begun"]) > len(touched) and not _is_any(played, f.RepliesLost):
                yield f"{ending.run} holds {name}, since {hold}; {len(touched)} ever were"


def checkpoints_count_each_instance_once(played: Played) -> Broken:
    """A finished update is not in progress, and a verified one has not failed."""
    last_word: dict[str, Event] = {}
    for ending in sorted(played.endings, key=lambda ending: ending.ended):
        for event in ending.events:
            if isinstance(event, InstanceFailed | InstanceQuarantined | InstanceUpdated):
                last_word[event.instance] = event
        failed = sum(not isinstance(event, InstanceUpdated) for event in last_word.values())
        outcomes = ending.finished.outcomes if ending.finished is not None else {}
        # If only a person can tell whether an update is still in progress, it counts as in progress.
        lost = sum(_reason_of(ending, id_) in _LEFT for id_ in outcomes)
        for name, hold in _holds(ending, Reason.CHECKPOINT_FULL):
            if ending.by_itself and not ending.rival and int(dict(hold.facts)["under_way"]) > lost:
                yield f"{ending.run} has ended, and holds {name}: {hold}"
        for name, hold in _holds(ending, Reason.CHECKPOINT_FAILED):
            if int(dict(hold.facts)["failed"]) > failed and not _forgotten(played):
                yield f"{ending.run} holds {name}, since {hold}; {failed} did not come to the release later"


def _holds(ending: Ending, reason: Reason) -> Iterator[tuple[InstanceId, Hold]]:
    outcomes = ending.finished.outcomes.items() if ending.finished is not None else ()
    return ((id_, one) for id_, one in outcomes if isinstance(one, Hold) and one.reason is reason)


def _is_drain(event: Event) -> TypeGuard[Drained]:
    return isinstance(event, Drained)


def _forgotten(played: Played) -> bool:
    """Whether the record of what was done may be lost: a run died before it wrote it, or it was deleted."""
    timing = played.story.scenario.ecs_timing
    survives = timing.attributes_survive and timing.draining_survives
    return played.story.store_forgets_claims or not survives or _is_any(played, f.UpdaterDies)


# Healthy instances


def the_healthy_are_up_to_date(played: Played) -> Broken:
    """Healthy instances are updated, or held for a reason that is true."""
    finished = played.last.finished
    if not played.quiet or finished is None:
        return
    for member in played.story.scenario.members:
        name = member.host.instance_id
        if not _is_healthy(played, member):
            continue
        outcome = finished.outcomes.get(InstanceId(name))
        updated = played.findings.versions[name] != OLD or _is_any(played, f.ReleaseRetracted)
        if not updated and not _explained(played, InstanceId(name), outcome):
            yield f"{name} is not updated: {type(outcome).__name__} {outcome}"
        if played.world.instance(name).status is not InstanceStatus.ACTIVE:
            yield f"{name} is {played.world.instance(name).status}: {outcome}"


def _is_healthy(played: Played, member: Member) -> bool:
    if played.story.documents or played.story.alarms:
        return False  # the operator's own words may keep any of them as it is
    if _is_any(played, f.HealthImpaired):
        return False  # every host that takes the version is out of order
    plain = member.bottlerocket and not (member.standalone or member.drained_by_operator or member.warm_pool)
    outdated = member.host.version == OLD and member.host.variant == VARIANT
    broken = played.story.scenario.faults.on(member.host.instance_id)
    return plain and outdated and not _aws_replaces(played, member) and not broken


def _explained(played: Played, id_: InstanceId, outcome: Outcome | None) -> bool:
    if not isinstance(outcome, Hold):
        return False
    if outcome.reason in _PASSING and played.story.scenario.ecs_timing.flap_every is not None:
        return True
    explains = _EXPLAINED.get(outcome.reason)
    return explains is not None and explains(played, id_)


def _is_denied_for_several(played: Played) -> bool:
    """Whether the last run ended with a denial that it got for one host after the other."""
    finished = played.last.finished
    faults = [placed.fault for placed in played.story.scenario.faults.faults]
    several = sum(isinstance(fault, f.CommandsDenied) for fault in faults) >= DENIED_FOR_ALL
    return several and finished is not None and "ssm:SendCommand" in finished.why


def _others_in_service(played: Played, id_: InstanceId) -> bool:
    """Whether a second run could be placed anywhere else."""
    others = (one for name, one in played.world.cluster.by_ec2.items() if name != id_)
    return any(one.accepts_tasks for one in others)


_PASSING = frozenset({Reason.BUDGET, Reason.ZONE_BUDGET, Reason.AGENT_DISCONNECTED})
"""The reasons that flapping agents may cause."""


def _all_places_are_taken_and_waited_for(played: Played) -> bool:
    """Whether none of the staged instances can be drained, and more are staged than may be out of service at once."""
    limit = played.story.policy.max_unavailable.of(len(_ours(played)))
    finished = played.last.finished
    held = [one for one in finished.outcomes.values() if isinstance(one, Hold)] if finished is not None else []
    waiting = sum(one.reason in (Reason.BUDGET, Reason.ZONE_BUDGET) for one in held)
    return _out(played) >= limit and waiting > limit


def _errs_for_ever(played: Played) -> bool:
    """Whether every n-th AWS call fails until the end, which may be every reboot command."""
    faults = [placed.fault for placed in played.story.scenario.faults.faults]
    return any(
        isinstance(fault, f.ApiFails | f.RepliesLost) and getattr(fault, "lasts", None) is None for fault in faults
    )


def _is_paced(played: Played) -> bool:
    checkpoints = played.story.policy.rules.checkpoints
    return bool(checkpoints.steps) or checkpoints.per_day is not None


def _is_any(played: Played, kind: type[f.Fault]) -> bool:
    """Whether the plan has this fault on any host: all hosts share one repository."""
    return any(isinstance(placed.fault, kind) for placed in played.story.scenario.faults.faults)


def _has_room(played: Played) -> bool:
    """Whether the tasks of any one instance would fit on the others, with one task's size to spare on each."""
    members = [played.world.instance(member.host.instance_id) for member in played.story.scenario.members]
    leaves = played.world.autoscaling.takes_away
    up = [one for one in members if one.status is InstanceStatus.ACTIVE and one.agent_up]
    # ECS Anywhere and Managed Instances take no tasks of other services. One that its group takes is no place to move.
    others = sum(one.launch is TaskLaunch.EC2 and not leaves(one.ec2_instance_id) for one in up) - 1
    services = played.story.scenario.services
    replicas = [service for service in services if service.strategy is Strategy.REPLICA]
    daemons = sum(service.workload.cpu for service in services if service.strategy is Strategy.DAEMON)
    largest = max((service.workload.cpu for service in replicas), default=0)
    room = ContainerInstanceSpec("", "").cpu - daemons - largest
    fits = others * room >= sum(service.desired * service.workload.cpu for service in replicas)
    return fits and others > 0 and all(map(_movable, replicas)) and all(map(_goes_anywhere, replicas))


def _never_deployed(service: ServiceSpec) -> bool:
    """Whether its deployment never ends, because its tasks never start or never keep running."""
    work = service.workload
    lasts = service.rollout.never_ends or service.rollout.lasts > timedelta()
    return bool(work.fails_to_start) or work.stays_pending or work.runs_for is not None or lasts


def _stops_late(service: ServiceSpec) -> bool:
    """Whether its tasks take about as long as the drain timeout to stop, or longer."""
    return min(service.workload.shutdown, service.workload.stop_timeout) > timedelta(minutes=10)


def _goes_anywhere(service: ServiceSpec) -> bool:
    """Whether only room decides where its tasks go. For all others, `test_room.py` compares with the simulated ECS."""
    work = service.workload
    anywhere = not (service.providers or service.member_of or service.distinct_instances)
    return anywhere and not (work.host_ports or work.awsvpc or work.ebs)


def _movable(service: ServiceSpec) -> bool:
    """Whether its own limits let any task leave: the minimum is rounded up, and the maximum down."""
    least = -(-service.desired * service.minimum_healthy_percent // 100)
    most = service.desired * service.maximum_percent // 100
    return least < most


def _aws_replaces(played: Played, member: Member) -> bool:
    """Whether it is a Managed Instance, which AWS replaces itself."""
    return any(one.managed and one.name == member.provider for one in played.story.scenario.providers)


def _ours(played: Played) -> list[str]:
    """Bottlerocket instances that still exist and that AWS does not replace itself."""
    members = played.story.scenario.members
    ours = [one.host.instance_id for one in members if one.bottlerocket and not _aws_replaces(played, one)]
    return [name for name in ours if not _never_counts(played.world.instance(name))]


def _never_counts(instance: ContainerInstance) -> bool:
    """Whether it is gone, or was never in service."""
    failed = instance.status is InstanceStatus.REGISTRATION_FAILED and not instance.tasks
    return failed or instance.status is InstanceStatus.INACTIVE


def _is_out(played: Played, name: str) -> bool:
    instance = played.world.instance(name)
    return instance.status is not InstanceStatus.ACTIVE or not instance.agent_up


def _out(played: Played) -> int:
    return sum(_is_out(played, name) for name in _ours(played))


def _zone_is_full(played: Played, id_: InstanceId) -> bool:
    limit = played.story.policy.max_unavailable_per_zone
    zone = played.world.instance(id_).zone
    here = [name for name in _ours(played) if played.world.instance(name).zone == zone]
    return limit is not None and sum(_is_out(played, name) for name in here) >= limit.of(len(here))


def _did_not_survive(played: Played) -> set[str]:
    """Instances that failed after a reboot, in any run, and were not updated later."""
    bad: set[str] = set()
    for ending in sorted(played.endings, key=lambda ending: ending.ended):
        for event in ending.events:
            if isinstance(event, InstanceFailed | InstanceQuarantined):
                bad.add(event.instance)
            elif isinstance(event, InstanceUpdated) and not _forgotten(played):
                bad.discard(event.instance)
    return bad


def _gave_it_up_before(played: Played, id_: InstanceId) -> bool:
    """Whether a run reported that it returned the instance, or that its update failed."""
    return any(
        isinstance(event, InstanceFailed) or event.hold.reason in _GIVEN_BACK
        for ending in played.endings
        for event in ending.events
        if isinstance(event, InstanceFailed | InstanceHeld) and event.instance == id_
    )


_GIVEN_BACK = frozenset({Reason.DRAIN_TIMED_OUT, Reason.CHANGED_WHILE_DRAINING})


# Costs


def boots_are_explained(played: Played) -> Broken:
    """One boot for each version that an instance gets, plus those that its faults cause."""
    for member in played.story.scenario.members:
        name = member.host.instance_id
        most = sum(_boots_explained(fault, played) for fault in played.story.scenario.faults.on(name))
        most += _boots_of_updates(played, member)
        if played.findings.boots[name] > most:
            yield f"{name} booted {played.findings.boots[name]} times, and {most} are explained"


def _boots_of_updates(played: Played, member: Member) -> int:
    if not member.bottlerocket:
        return 0
    # A withdrawn version causes a downgrade on every host that runs it.
    return len(_releases(played)) + _is_any(played, f.ReleaseRetracted)


def _releases(played: Played) -> set[str]:
    """Every version that a host could have got."""
    known = {release.version for releases in played.world.repository.releases().values() for release in releases}
    later = {
        placed.fault.version
        for placed in played.story.scenario.faults.faults
        if isinstance(placed.fault, f.ReleaseAppears | f.ThirdVersion | f.StartsWith)
    }
    return (known | later | {NEW}) - {OLD}


def _boots_explained(fault: f.Fault, played: Played) -> int:
    """How many boots a fault may cause. Without a store, failures are forgotten, so each run may try again."""
    tries = REBOOT_TRIES * (1 if played.story.right == "store" else len(played.endings))
    match fault:
        case f.InstanceStopped(lasts=lasts) | f.GroupKeepsWarm(lasts=lasts) if lasts is not None:
            return 1
        case f.RebootEnds(ending=f.RebootEnding.RUN_AGAIN, times=times):
            return times if times is not None else tries
        case f.OutOfBand(deed=f.Deed.REBOOT | f.Deed.LOCK_VERSION):
            return 1
        case f.RebootDelayed() | f.RebootRefused() | f.RebootIgnored():
            return tries
        case f.DowngradeOffered() | f.VersionLocked():
            return 1
        case f.RollsBack() | f.GrubFails() | f.NewContainerInstance() | f.ThirdVersion() if (
            played.story.right != "store"
        ):
            return tries
        case _:
            return 0


def attempts_are_bounded(played: Played) -> Broken:
    """The number of applies in each run, and of reboots for each claim, is limited."""
    for ending in played.endings:
        sent: dict[tuple[str, str], int] = {}
        for event in ending.events:
            if event.name == "command.sent":
                key = (event.instance, event.kind.value)  # type: ignore[attr-defined]
                sent[key] = sent.get(key, 0) + 1
        for (name, kind), times in sent.items():
            most = {"apply": APPLY_TRIES, "reboot": REBOOT_TRIES}.get(kind)
            if most is not None and times > most:
                yield f"{ending.run} sent {times} times {kind} to {name}"


FAILING_READS = 60
"""How many reads of one kind may fail within five minutes. Each is made four times, and then with backoff."""


def calls_that_fail_are_spaced_out(played: Played) -> Broken:
    """An operation that AWS refuses for minutes is not called at every look.

    A lease by tasks is checked before each attempt of every other call, so its own call is left out.
    """
    lease = "ecs:ListTasks" if played.story.right == "task" else ""
    for action, times in played.world.calls.most_failing.items():
        service, operation = action.split(":")
        reads = service != "s3" and operation.startswith(("Describe", "Get", "List"))
        if reads and action != lease and times > FAILING_READS:
            yield f"{times} calls of {action} failed within five minutes"


PROMISES: tuple[Callable[[Played], Iterable[str]], ...] = (
    invariants_hold,
    nobody_is_killed,
    nothing_is_stranded,
    what_is_called_updated_is,
    decisions_are_repeatable_and_reasoned,
    every_run_ends,
    summaries_are_whole,
    an_interrupted_run_says_what_it_leaves,
    none_in_service_is_said_to_be_out_of_service,
    no_run_blames_others_for_its_drains,
    what_begins_nothing_is_no_plain_success,
    no_more_are_begun_than_a_day_has,
    checkpoints_count_each_instance_once,
    the_last_run_tells_of_the_world,
    the_healthy_are_up_to_date,
    boots_are_explained,
    attempts_are_bounded,
    calls_that_fail_are_spaced_out,
)


_EXPLAINED: Mapping[Reason, Callable[[Played, InstanceId], bool]] = {
    Reason.BUDGET: lambda played, _: _out(played) >= played.story.policy.max_unavailable.of(len(_ours(played))),
    Reason.ZONE_BUDGET: _zone_is_full,
    Reason.STAGING_AHEAD: lambda played, _: _all_places_are_taken_and_waited_for(played),
    Reason.HALTED: lambda played, _: played.last.exit_code == 4 or _is_denied_for_several(played),
    Reason.PAUSED: lambda played, _: object_in(played.world, Harmed.ACTS) is not None,
    Reason.BLOCKED: lambda played, _: object_in(played.world, Harmed.ACTS) is not None,
    Reason.VERSION_SUSPECT: lambda played, _: len(_did_not_survive(played)) >= played.story.policy.suspect_after,
    Reason.CHANGED_WHILE_DRAINING: lambda played, _: _errs_for_ever(played),
    Reason.SEND_DENIED: lambda played, _: played.last.exit_code == 1,
    Reason.OWN_HOST: lambda played, id_: played.story.on_instances and not _others_in_service(played, id_),
    Reason.BACKING_OFF: _gave_it_up_before,
    Reason.DRAIN_TIMED_OUT: lambda played, _: (
        not _has_room(played) or any(map(_stops_late, played.story.scenario.services))
    ),
    Reason.GROUP_TAKES_DRAINED: lambda played, _: (
        _is_any(played, f.GroupTakes) or bool(played.story.scenario.providers)
    ),
    Reason.GROUP_REFRESHING: lambda played, _: any(one.refreshes_at for one in played.story.scenario.providers),
    Reason.DRAIN_BLOCKED: lambda played, _: any(
        _reason_of(ending, id_) is Reason.DRAIN_TIMED_OUT
        for ending in played.endings
        for id_ in (ending.finished.outcomes if ending.finished is not None else ())
    ),
    Reason.TASKS_UNLISTED: lambda *_: False,
    # To a run whose clock is hours ahead, a task that is about to start has been PENDING for hours.
    Reason.VERSION_BREAKS_TASKS: lambda played, _: (
        _is_any(played, f.TasksBreak) or _is_any(played, f.HealthImpaired) or bool(played.story.ahead)
    ),
    Reason.NO_ROOM: lambda played, _: not _has_room(played),
    Reason.SURVEY_FAILED: lambda played, _: _is_any(played, f.ApiFails),
    Reason.SERVICE_DEPLOYING: lambda played, _: any(map(_never_deployed, played.story.scenario.services)),
    Reason.STOPPING: lambda played, _: played.story.policy.deadline is not None,
    Reason.CHECKPOINT_WAIT: lambda played, _: _is_paced(played),
    Reason.CHECKPOINT_FULL: lambda played, _: _is_paced(played),
    Reason.CHECKPOINT_FAILED: lambda played, _: _is_paced(played),
    Reason.DAILY_LIMIT: lambda played, _: _is_paced(played),
}
"""The faults that explain why the last run did not update a healthy host."""
