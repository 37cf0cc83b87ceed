"""Properties of every decision, over generated fleets and policies."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import timedelta

from hypothesis import event, given
from hypothesis import strategies as st
from tests.core.builders import NEW, NEWER, NOW, OLD
from tests.core.strategies import PURE, crowds, fleets, policies

from bottlerocket_ecs_updater.core.decision.decide import decide
from bottlerocket_ecs_updater.core.model.claim import ClaimPhase
from bottlerocket_ecs_updater.core.model.command import (
    Apply,
    Check,
    Command,
    Conclude,
    Drain,
    Mark,
    Note,
    Quarantine,
    Reboot,
    Return,
    Unmark,
)
from bottlerocket_ecs_updater.core.model.container_instance import Status
from bottlerocket_ecs_updater.core.model.fleet import Fleet
from bottlerocket_ecs_updater.core.model.host_report import UpdateState
from bottlerocket_ecs_updater.core.model.ids import InstanceId, Zone
from bottlerocket_ecs_updater.core.model.instance import Instance
from bottlerocket_ecs_updater.core.model.outcome import Outcome, Quarantined, Updated
from bottlerocket_ecs_updater.core.model.published import Published, PublishedUnread
from bottlerocket_ecs_updater.core.model.reasons import Failed, Hold
from bottlerocket_ecs_updater.core.rules.policy import Policy
from bottlerocket_ecs_updater.core.rules.published import ARCHITECTURE_ATTRIBUTE, COUNTS_FOR, published_parameter


def commands(fleet: Fleet, policy: Policy, kind: type[Command]) -> Iterator[tuple[Instance, Command]]:
    """The commands of one kind, each with its instance."""
    for command in decide(fleet, policy).commands:
        if isinstance(command, kind):
            yield fleet.instances[command.instance], command


def begun(fleet: Fleet, policy: Policy) -> list[Instance]:
    """The unclaimed instances that a decision drains."""
    return [one for one, _ in commands(fleet, policy, Drain) if one.claim is None]


def is_ours_to_look_after(one: Instance) -> bool:
    return one.claim is not None if one.registration is None else one.registration.variant is not None


def is_out(one: Instance) -> bool:
    """Whether an instance is unavailable for any reason, computed without the tested code."""
    seen = one.registration
    down = seen is not None and (seen.status is Status.DRAINING or not seen.connected)
    return is_ours_to_look_after(one) and (one.claim is not None or down)


def out(fleet: Fleet) -> set[InstanceId]:
    """Everything that takes a slot in the budget before the decision."""
    return {one.id for one in fleet.instances.values() if is_out(one)} | {slot.instance for slot in fleet.slots}


@PURE
@given(st.one_of(fleets(), crowds(), crowds()), policies)
def test_no_more_are_started_than_the_budget_allows_counting_everything_unavailable(
    fleet: Fleet, policy: Policy
) -> None:
    new = begun(fleet, policy)
    event(f"begun: {len(new)}")
    total = sum(is_ours_to_look_after(one) for one in fleet.instances.values())
    assert not new or len(out(fleet)) + len(new) <= policy.max_unavailable.of(total)


@PURE
@given(st.one_of(fleets(), crowds(), crowds()), policies)
def test_no_more_of_a_zone_are_started_than_its_budget_allows(fleet: Fleet, policy: Policy) -> None:
    if policy.max_unavailable_per_zone is None:
        return
    ours = [one for one in fleet.instances.values() if is_ours_to_look_after(one)]
    size = Counter(one.zone for one in ours)
    unsettled = {slot.instance: slot.zone for slot in fleet.slots}
    taken: Counter[Zone] = Counter(unsettled.get(id_) or fleet.instances[id_].zone for id_ in out(fleet))
    for zone, count in Counter(one.zone for one in begun(fleet, policy)).items():
        event(f"begun in a zone: {count}")
        assert taken[zone] + taken[Zone("")] + count <= policy.max_unavailable_per_zone.of(size[zone])


@PURE
@given(crowds(), policies)
def test_every_slot_that_is_free_is_given_out(fleet: Fleet, policy: Policy) -> None:
    if policy.max_unavailable_per_zone is None and decide(fleet, policy).halt is None:
        total = sum(is_ours_to_look_after(one) for one in fleet.instances.values())
        able = sum(one.claim is None and not is_out(one) and one.bottlerocket for one in fleet.instances.values())
        free = max(0, policy.max_unavailable.of(total) - len(out(fleet)))
        assert len(begun(fleet, policy)) == min(free, able)


@PURE
@given(fleets(), policies)
def test_an_instance_that_somebody_else_drained_gets_no_command(fleet: Fleet, policy: Policy) -> None:
    decision = decide(fleet, policy)
    for one in fleet.instances.values():
        theirs = one.registration is not None and one.registration.status is Status.DRAINING and one.claim is None
        if theirs:
            assert not decision.steps[one.id].commands


@PURE
@given(fleets(), policies)
def test_only_a_claimed_draining_empty_instance_is_rebooted_and_only_by_a_fresh_look(
    fleet: Fleet, policy: Policy
) -> None:
    for one, _ in commands(fleet, policy, Reboot):
        event("a reboot")
        assert one.claim is not None
        claims = [
            command.claim for command in decide(fleet, policy).steps[one.id].commands if isinstance(command, Mark)
        ]
        claim = claims[0] if claims else one.claim
        assert (claim.phase, claim.run) == (ClaimPhase.REBOOTING, fleet.run)
        assert one.registration is not None
        assert (one.registration.status, one.registration.at) == (Status.DRAINING, NOW)
        assert one.registration.running_tasks + one.registration.pending_tasks == 0
        assert one.tasks is not None
        assert (one.tasks.left, one.tasks.at, one.tasks.with_stopping) == ((), NOW, True)


@PURE
@given(fleets(), policies)
def test_a_reboot_comes_after_its_claim_and_nothing_else(fleet: Fleet, policy: Policy) -> None:
    for step in decide(fleet, policy).steps.values():
        kinds = [type(command) for command in step.commands]
        if Reboot in kinds:
            assert kinds in ([Reboot], [Mark, Reboot])


@PURE
@given(fleets(), policies)
def test_a_drain_is_preceded_by_its_claim_in_the_same_queue_or_by_our_claim(fleet: Fleet, policy: Policy) -> None:
    for step in decide(fleet, policy).steps.values():
        kinds = [type(command) for command in step.commands]
        if Drain in kinds:
            before = kinds[: kinds.index(Drain)]
            claim = fleet.instances[step.commands[0].instance].claim
            assert Mark in before or (claim is not None and claim.phase is ClaimPhase.DRAINING)


@PURE
@given(fleets(), policies)
def test_only_claimed_instances_are_returned_rebooted_quarantined_or_unclaimed(fleet: Fleet, policy: Policy) -> None:
    for kind in (Return, Reboot, Quarantine, Unmark):
        assert all(one.claim is not None for one, _ in commands(fleet, policy, kind))


@PURE
@given(fleets(), policies)
def test_the_same_fleet_gives_the_same_decision(fleet: Fleet, policy: Policy) -> None:
    before = copy.deepcopy(fleet)
    assert decide(fleet, policy) == decide(before, policy)
    assert fleet == before


@PURE
@given(fleets(), policies)
def test_the_order_in_which_instances_are_listed_does_not_matter(fleet: Fleet, policy: Policy) -> None:
    turned = replace(fleet, instances=dict(reversed(list(fleet.instances.items()))))
    assert decide(fleet, policy) == decide(turned, policy)


def check_answer(fleet: Fleet, policy: Policy) -> Iterable[Outcome]:
    """Everything that a decision says about instances."""
    decision = decide(fleet, policy)
    yield from decision.holds.values()
    for command in decision.commands:
        match command:
            case Return(outcome=outcome) | Conclude(outcome=outcome):
                yield outcome
            case Unmark(outcome=outcome) if outcome is not None:
                yield outcome
            case Quarantine(why=why):
                yield why
            case _:
                pass


@PURE
@given(fleets(), policies)
def test_everything_that_is_reported_reads_as_a_sentence(fleet: Fleet, policy: Policy) -> None:
    for outcome in check_answer(fleet, policy):
        why = outcome.why if isinstance(outcome, Quarantined) else outcome
        if isinstance(why, Hold | Failed):
            assert "{" not in str(why) + why.remedy
            assert "None" not in str(why) + why.remedy


@PURE
@given(fleets(), policies)
def test_no_look_lies_in_the_past(fleet: Fleet, policy: Policy) -> None:
    decision = decide(fleet, policy)
    looks = [step.look_at for step in decision.steps.values()] + [decision.look_at, decision.services_at]
    assert all(look >= fleet.at for look in looks if look is not None)


@PURE
@given(fleets(), policies)
def test_a_decision_with_commands_or_pending_ones_never_ends_the_run(fleet: Fleet, policy: Policy) -> None:
    decision = decide(fleet, policy)
    if list(decision.commands) or any(one.pending is not None for one in fleet.instances.values()):
        assert decision.look_at is not None


@PURE
@given(fleets(), policies)
def test_no_check_and_no_apply_is_sent_to_a_host_that_has_one_in_progress(fleet: Fleet, policy: Policy) -> None:
    for kind in (Check, Apply):
        assert all(one.pending is None for one, _ in commands(fleet, policy, kind))


@PURE
@given(fleets(), policies)
def test_every_instance_has_a_verdict_and_is_passed_over_with_a_reason_only(fleet: Fleet, policy: Policy) -> None:
    steps = decide(fleet, policy).steps
    assert steps.keys() == fleet.instances.keys()
    for id_, step in steps.items():
        goes_on = step.commands or step.hold is not None or step.look_at is not None
        assert goes_on or fleet.instances[id_].progress.outcome is not None


@PURE
@given(fleets(), policies)
def test_only_what_its_host_offers_is_applied_and_only_what_is_staged_is_claimed(fleet: Fleet, policy: Policy) -> None:
    for one, command in commands(fleet, policy, Apply):
        assert isinstance(command, Apply)
        assert one.check_answer is not None
        report = one.check_answer.report
        assert report is not None
        assert report.state in (UpdateState.AVAILABLE, UpdateState.STAGED)
        assert report.chosen == command.target
    for one in begun(fleet, policy):
        assert one.check_answer is not None
        report = one.check_answer.report
        assert report is not None
        (mark,) = (mark for other, mark in commands(fleet, policy, Mark) if other is one)
        assert isinstance(mark, Mark)
        assert (report.state, report.staged, report.boot) == (UpdateState.READY, mark.claim.target, mark.claim.boot)


@PURE
@given(fleets(), policies)
def test_a_suspect_or_backing_off_version_is_neither_applied_nor_started(fleet: Fleet, policy: Policy) -> None:
    targets = [(one, c.target) for one, c in commands(fleet, policy, Apply) if isinstance(c, Apply)]
    targets += [
        (one, c.claim.target) for one, c in commands(fleet, policy, Mark) if isinstance(c, Mark) and one.claim is None
    ]
    for one, target in targets:
        assert fleet.suspects.get(target, 0) < policy.suspect_after
        assert one.backoff is None or one.backoff.version != target or one.backoff.until <= fleet.at


@PURE
@given(fleets(), policies)
def test_nothing_starts_in_a_run_that_halted_or_was_stopped(fleet: Fleet, policy: Policy) -> None:
    decision = decide(fleet, policy)
    if decision.halt is not None or fleet.stopping:
        assert not begun(fleet, policy)
        assert not list(commands(fleet, policy, Apply))


@PURE
@given(fleets(), policies)
def test_nothing_with_a_standalone_task_is_staged_or_started(fleet: Fleet, policy: Policy) -> None:
    touched = [*begun(fleet, policy), *(one for one, _ in commands(fleet, policy, Apply))]
    assert not [one for one in touched if one.tasks is not None and one.tasks.standalone]


def _is_returned_as(one: Instance, outcome: Outcome) -> bool:
    return one.progress.sent_return is not None and one.progress.sent_return.outcome == outcome


@PURE
@given(fleets(), policies)
def test_an_instance_is_called_updated_only_on_a_verified_boot_of_its_target(fleet: Fleet, policy: Policy) -> None:
    for one, command in [*commands(fleet, policy, Return), *commands(fleet, policy, Unmark)]:
        assert isinstance(command, Return | Unmark)
        if isinstance(command.outcome, Updated) and not _is_returned_as(one, command.outcome):
            event("updated")
            assert one.claim is not None
            assert one.check_answer is not None
            report = one.check_answer.report
            assert report is not None
            assert (report.running, report.boot != one.claim.boot) == (one.claim.target, True)


@PURE
@given(fleets(), policies)
def test_every_claim_that_is_claimed_can_be_written(fleet: Fleet, policy: Policy) -> None:
    for _, command in commands(fleet, policy, Mark):
        assert isinstance(command, Mark)
        assert command.claim.encode()


@PURE
@given(fleets(), policies)
def test_every_failure_that_ends_a_claim_is_noted(fleet: Fleet, policy: Policy) -> None:
    for step in decide(fleet, policy).steps.values():
        kinds = {type(command) for command in step.commands}
        if Quarantine in kinds:
            assert Note in kinds


read_at = st.sampled_from([0, 14, 16, 600]).map(lambda minutes: NOW - timedelta(minutes=minutes))
published_states = st.one_of(
    *[st.builds(Published, st.sampled_from([NEWER, NEWER, NEW, OLD]), read_at)] * 4,
    st.just(PublishedUnread("not allowed")),
    st.none(),
)


def with_architecture(one: Instance) -> Instance:
    seen = one.registration
    if seen is None:
        return one
    attributes = {**seen.attributes, ARCHITECTURE_ATTRIBUTE: "x86_64"}
    return replace(one, registration=replace(seen, attributes=attributes))


@PURE
@given(st.one_of(crowds(), crowds(), fleets()), policies, published_states)
def test_nothing_that_is_not_known_to_be_published_is_staged_started_or_rebooted(
    fleet: Fleet, policy: Policy, state: Published | PublishedUnread | None
) -> None:
    versions = replace(policy.rules.versions, published_only=True)
    policy = replace(policy, rules=replace(policy.rules, versions=versions))
    instances = {id_: with_architecture(one) for id_, one in fleet.instances.items()}
    registered = (one.registration for one in instances.values() if one.registration is not None)
    names = {name for one in registered if (name := published_parameter(one)) is not None}
    states = dict.fromkeys(names, state) if state is not None else {}
    fleet = replace(fleet, instances=instances, published=states)
    targets = [c.target for _, c in commands(fleet, policy, Apply) if isinstance(c, Apply)]
    targets += [c.claim.target for one, c in commands(fleet, policy, Mark) if isinstance(c, Mark) and one.claim is None]
    targets += [one.claim.target for one, _ in commands(fleet, policy, Reboot) if one.claim is not None]
    event("begins" if targets else "begins nothing")
    for target in targets:
        assert isinstance(state, Published)
        assert target <= state.version
        assert fleet.at - state.read_at < COUNTS_FOR
