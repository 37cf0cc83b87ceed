"""Calls that change container instances: each is sent once, and each instance has its own result."""

from __future__ import annotations

import pytest
from botocore.exceptions import EndpointConnectionError, ReadTimeoutError
from hypothesis import given
from hypothesis import strategies as st
from tests.aws.fakes import Bench, arn, bench_with, instance, refusal

from bottlerocket_ecs_updater.aws.transport.api import ACT_ATTEMPTS
from bottlerocket_ecs_updater.core.model.container_instance import Status
from bottlerocket_ecs_updater.engine.ports import Done, Gone, Later, Refused, Unclear
from bottlerocket_ecs_updater.errors import Denied, LeaseLost

CLAIM = "bottlerocket-ecs-updater.claim"


def test_a_status_is_set_ten_a_call() -> None:
    bench = bench_with(instance(number) for number in range(25))
    results = bench.cluster().set_status([arn(number) for number in range(25)], Status.DRAINING)
    assert set(results.values()) == {Done()}
    assert bench.ecs.count("update_container_instances_state") == 3
    assert {shape["status"] for shape in bench.ecs.instances.values()} == {"DRAINING"}


def test_an_instance_that_cannot_be_drained_does_not_affect_the_others() -> None:
    bench = bench_with([instance(1), instance(2)])
    bench.ecs.failing = {arn(1): "SOMETHING"}
    results = bench.cluster().set_status([arn(1), arn(2)], Status.DRAINING)
    assert results == {arn(1): Refused("SOMETHING"), arn(2): Done()}


@pytest.mark.parametrize("reason", ["INACTIVE", "MISSING"])
def test_an_instance_that_is_inactive_or_missing_on_return_is_gone(reason: str) -> None:
    bench = bench_with([instance(1)])
    bench.ecs.failing = {arn(1): reason}
    assert bench.cluster().set_status([arn(1)], Status.ACTIVE) == {arn(1): Gone(reason)}


def test_an_act_is_never_repeated_by_the_gateway() -> None:
    bench = bench_with([instance(1)])
    bench.ecs.troubles["update_container_instances_state"] = [refusal("ServerException", status=500)]
    bench.cluster().set_status([arn(1)], Status.DRAINING)
    assert bench.ecs.count("update_container_instances_state") == 1


@pytest.mark.parametrize(
    "trouble",
    [
        refusal("ServerException", status=500),
        refusal("", "", status=503),
        ReadTimeoutError(endpoint_url="https://ecs.eu-west-1.amazonaws.com"),
    ],
)
def test_a_call_without_a_clear_reply_is_unclear(trouble: BaseException) -> None:
    bench = bench_with([instance(1)])
    bench.ecs.troubles["update_container_instances_state"] = [trouble]
    assert isinstance(bench.cluster().set_status([arn(1)], Status.DRAINING)[arn(1)], Unclear)


@pytest.mark.parametrize(
    "trouble",
    [
        refusal("ThrottlingException", "Rate exceeded"),
        EndpointConnectionError(endpoint_url="https://ecs.eu-west-1.amazonaws.com"),
    ],
)
def test_a_call_that_certainly_took_no_effect_may_be_repeated_later(trouble: BaseException) -> None:
    bench = bench_with([instance(1)])
    bench.ecs.troubles["update_container_instances_state"] = [trouble] * ACT_ATTEMPTS
    assert isinstance(bench.cluster().set_status([arn(1)], Status.DRAINING)[arn(1)], Later)


def test_an_instance_that_the_reply_does_not_name_is_unclear() -> None:
    bench = bench_with([instance(1)])
    bench.ecs.troubles["update_container_instances_state"] = []
    bench.ecs.update_container_instances_state = lambda **_: {}  # type: ignore[method-assign]
    assert isinstance(bench.cluster().set_status([arn(1)], Status.DRAINING)[arn(1)], Unclear)


def test_a_denied_act_names_action_and_resource() -> None:
    bench = bench_with([instance(1)])
    said = (
        "User: arn:aws:sts::111122223333:assumed-role/updater/1 is not authorized to perform: ecs:PutAttributes on "
        f"resource: {arn(1)} because no identity-based policy allows the ecs:PutAttributes action"
    )
    bench.ecs.troubles["put_attributes"] = [refusal("AccessDeniedException", said)]
    with pytest.raises(Denied) as denied:
        bench.cluster().put_attribute(CLAIM, {arn(1): "x"})
    assert (denied.value.action, denied.value.resource) == ("ecs:PutAttributes", arn(1))


def test_results_before_a_denial_are_reported_and_the_rest_is_retried() -> None:
    bench = bench_with(instance(number) for number in range(12))
    bench.ecs.troubles["update_container_instances_state"] = [None, refusal("AccessDeniedException")]
    results = bench.cluster().set_status([arn(number) for number in range(12)], Status.DRAINING)
    assert [results[arn(number)] for number in range(10)] == [Done()] * 10
    assert {type(results[arn(number)]) for number in (10, 11)} == {Later}


@pytest.mark.parametrize("first", [refusal("ThrottlingException"), refusal("InvalidParameterException")])
def test_a_denial_is_raised_where_nothing_was_done_before_it(first: BaseException) -> None:
    bench = bench_with(instance(number) for number in range(11, 22))
    bench.ecs.troubles["update_container_instances_state"] = [first, *[refusal("AccessDeniedException")] * 20]
    with pytest.raises(Denied):
        bench.cluster().set_status([arn(number) for number in range(11, 22)], Status.DRAINING)


def test_attributes_are_written_ten_a_call_each_with_its_own_value() -> None:
    bench = bench_with(instance(number) for number in range(12))
    results = bench.cluster().put_attribute(CLAIM, {arn(number): f"v{number}" for number in range(12)})
    assert set(results.values()) == {Done()}
    first, second = bench.ecs.asked("put_attributes")
    assert (len(first["attributes"]), len(second["attributes"])) == (10, 2)
    assert second["attributes"][0] == {
        "name": CLAIM,
        "value": "v10",
        "targetType": "container-instance",
        "targetId": arn(10),
    }


def test_an_attribute_is_removed_by_name_and_target_without_a_value() -> None:
    bench = bench_with([instance(1)])
    assert bench.cluster().delete_attribute(CLAIM, [arn(1)]) == {arn(1): Done()}
    [request] = bench.ecs.asked("delete_attributes")
    assert request["attributes"] == [{"name": CLAIM, "targetType": "container-instance", "targetId": arn(1)}]


def test_an_instance_without_room_for_an_attribute_is_refused_alone() -> None:
    bench = bench_with([instance(1), instance(2)])
    full = refusal("AttributeLimitExceededException", "ten are enough")
    bench.ecs.troubles["put_attributes"] = [full, full, None]
    results = bench.cluster().put_attribute(CLAIM, {arn(1): "x", arn(2): "y"})
    assert isinstance(results[arn(1)], Refused)
    assert results[arn(2)] == Done()


def test_an_instance_that_is_no_longer_a_target_is_gone() -> None:
    bench = bench_with([instance(1)])
    bench.ecs.troubles["delete_attributes"] = [refusal("TargetNotFoundException")]
    assert isinstance(bench.cluster().delete_attribute(CLAIM, [arn(1)])[arn(1)], Gone)


@given(culprits=st.sets(st.integers(0, 24)))
def test_every_instance_that_is_not_rejected_is_acted_on_exactly_once(culprits: set[int]) -> None:
    bench = bench_with(instance(number) for number in range(25))
    bench.ecs.poison = {arn(number) for number in culprits}
    results = bench.cluster().set_status([arn(number) for number in range(25)], Status.DRAINING)
    assert {arn for arn, result in results.items() if result == Done()} == {
        arn(number) for number in range(25) if number not in culprits
    }
    assert all(isinstance(results[arn(number)], Refused) for number in culprits)
    took_effect = [
        one
        for request in bench.ecs.asked("update_container_instances_state")
        for one in request["containerInstances"]
        if not bench.ecs.poison & set(request["containerInstances"])
    ]
    assert len(took_effect) == len(set(took_effect)) == 25 - len(culprits)


def test_nothing_is_sent_when_the_lease_says_no() -> None:
    def lost(acting: bool) -> None:
        if acting:
            raise LeaseLost("somebody else has it")

    bench = Bench(hook=lost)
    bench.ecs.add(instance(1))
    cluster = bench.cluster()
    cluster.list_all()
    with pytest.raises(LeaseLost):
        cluster.set_status([arn(1)], Status.DRAINING)
    assert bench.ecs.count("update_container_instances_state") == 0
