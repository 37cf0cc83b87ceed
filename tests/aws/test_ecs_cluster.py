"""Listing and describing a cluster and its services."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, timedelta, timezone

import pytest
from tests.aws.fakes import START, Bench, arn, bench_with, instance, refusal, task

from bottlerocket_ecs_updater.aws.ecs import SERVICES_LISTED_AGAIN
from bottlerocket_ecs_updater.core.model.container_instance import Status
from bottlerocket_ecs_updater.errors import NotFound, Throttled, Unreachable


def service(number: int, **changes: object) -> dict[str, object]:
    return {
        "serviceArn": f"arn:aws:ecs:eu-west-1:111122223333:service/web/s{number}",
        "serviceName": f"s{number}",
        "status": "ACTIVE",
        "desiredCount": 3,
        "runningCount": 2,
        "schedulingStrategy": "REPLICA",
        **changes,
    }


def test_all_instances_in_all_pages_are_listed_and_described_in_order() -> None:
    bench = bench_with(instance(number) for number in range(150))
    listing = bench.cluster().list_all()
    assert [registration.arn for registration in listing.registrations] == [arn(number) for number in range(150)]
    assert bench.ecs.count("list_container_instances") == 2
    assert [len(request["containerInstances"]) for request in bench.ecs.asked("describe_container_instances")] == [
        100,
        50,
    ]


def test_listing_uses_no_status_filter_so_that_draining_and_registering_instances_are_seen() -> None:
    bench = bench_with([instance(1, status="DRAINING"), instance(2, status="REGISTERING")])
    listing = bench.cluster().list_all()
    assert [registration.status for registration in listing.registrations] == [Status.DRAINING, Status.REGISTERING]
    assert "status" not in bench.ecs.asked("list_container_instances")[0]


def test_an_empty_cluster_is_listed_without_describing_anything() -> None:
    bench = Bench()
    listing = bench.cluster().list_all()
    assert listing.registrations == ()
    assert bench.ecs.count("describe_container_instances") == 0


def test_an_instance_with_any_variant_attribute_is_bottlerocket() -> None:
    shapes = [
        instance(1, attributes=[{"name": "bottlerocket.variant", "value": "aws-ecs-1-nvidia"}]),
        instance(2, attributes=[{"name": "bottlerocket.variant"}]),
        instance(3, attributes=[{"name": "nottlerocket.variant", "value": "aws-ecs-2"}]),
        instance(4, attributes=[]),
    ]
    listing = bench_with(shapes).cluster().list_all()
    assert [registration.variant for registration in listing.registrations] == ["aws-ecs-1-nvidia", "", None, None]


def test_a_hundred_and_twenty_failures_in_a_listing_are_kept_with_their_reasons() -> None:
    bench = bench_with(instance(number) for number in range(150))
    bench.ecs.failing = {arn(number): "MISSING" for number in range(120)}
    listing = bench.cluster().list_all()
    assert len(listing.registrations) == 30
    assert dict(listing.undescribed) == {arn(number): "MISSING" for number in range(120)}


def test_an_instance_that_ecs_leaves_out_of_its_answer_is_not_lost() -> None:
    bench = Bench()
    listing = bench.cluster().describe([arn(7)])
    assert list(listing.undescribed) == [arn(7)]


def test_one_arn_that_ecs_rejects_does_not_hide_the_other_instances() -> None:
    bench = bench_with(instance(number) for number in range(100))
    bench.ecs.poison = {arn(42)}
    listing = bench.cluster().list_all()
    assert len(listing.registrations) == 99
    assert "malformed" in listing.undescribed[arn(42)]


def test_an_instance_that_ecs_describes_with_two_fields_only_is_still_read() -> None:
    bench = Bench()
    bench.ecs.add({"containerInstanceArn": arn(1), "ec2InstanceId": "i-1"})
    [registration] = bench.cluster().describe([arn(1)]).registrations
    assert (registration.status, registration.connected, registration.zone) == (Status.OTHER, False, "")


def test_an_instance_without_an_ec2_id_is_undescribed() -> None:
    bench = Bench()
    bench.ecs.add({"containerInstanceArn": arn(1), "status": "ACTIVE"})
    assert "EC2" in bench.cluster().describe([arn(1)]).undescribed[arn(1)]


def test_a_status_that_a_later_api_adds_is_other() -> None:
    [registration] = bench_with([instance(1, status="HIBERNATING")]).cluster().list_all().registrations
    assert registration.status is Status.OTHER


def test_a_registration_carries_zone_and_custom_attributes_but_no_capabilities() -> None:
    claim = {"name": "bottlerocket-ecs-updater.claim", "value": "1 draining"}
    attributes = [*instance(1)["attributes"], claim]
    [registration] = bench_with([instance(1, attributes=attributes)]).cluster().list_all().registrations
    assert registration.zone == "eu-west-1a"
    assert registration.attributes["bottlerocket-ecs-updater.claim"] == "1 draining"
    assert not any("capability" in name for name in registration.attributes)


def test_times_of_registration_come_in_utc() -> None:
    local = START.astimezone(timezone(timedelta(hours=2)))
    [registration] = bench_with([instance(1, registeredAt=local)]).cluster().list_all().registrations
    assert registration.registered_at.tzinfo is UTC
    assert registration.registered_at == START


def test_a_throttled_page_is_requested_again() -> None:
    bench = bench_with(instance(number) for number in range(150))
    bench.ecs.troubles["describe_container_instances"] = [None, refusal("ThrottlingException", "Rate exceeded")]
    assert len(bench.cluster().list_all().registrations) == 150


def test_a_page_without_an_answer_fails_the_whole_look() -> None:
    bench = bench_with(instance(number) for number in range(150))
    bench.ecs.troubles["describe_container_instances"] = [None, *[refusal("ServerException", status=500)] * 4]
    with pytest.raises(Unreachable):
        bench.cluster().list_all()


def test_a_look_that_stays_throttled_says_so() -> None:
    bench = bench_with([instance(1)])
    bench.ecs.troubles["list_container_instances"] = [refusal("ThrottlingException")] * 4
    with pytest.raises(Throttled):
        bench.cluster().list_all()


def test_a_cluster_that_does_not_exist_is_named() -> None:
    bench = Bench()
    bench.ecs.troubles["list_container_instances"] = [refusal("ClusterNotFoundException", "Cluster not found.")]
    with pytest.raises(NotFound, match="web does not exist"):
        bench.cluster().list_all()


def test_a_large_cluster_is_described_in_hundreds() -> None:
    bench = bench_with(instance(number) for number in range(1_000))
    bench.cluster().list_all()
    assert dict(bench.calls) == {"ecs:ListContainerInstances": 10, "ecs:DescribeContainerInstances": 10}


def test_all_services_in_all_pages_are_described_ten_a_call() -> None:
    bench = bench_with(service(number) for number in range(125))
    services = bench.cluster().services()
    assert len(services) == 125
    assert bench.ecs.count("list_services") == 2
    assert bench.ecs.count("describe_services") == 13


def test_a_service_says_how_many_tasks_it_lacks_and_whether_it_is_a_daemon() -> None:
    bench = bench_with([service(1), service(2, schedulingStrategy="DAEMON", runningCount=3)])
    web, daemon = bench.cluster().services()
    assert (web.name, web.deficit, web.daemon) == ("s1", 1, False)
    assert (daemon.name, daemon.deficit, daemon.daemon) == ("s2", 0, True)


def test_a_service_that_was_deleted_is_no_service() -> None:
    assert bench_with([service(1, status="INACTIVE")]).cluster().services() == ()


def names(bench: Bench) -> list[str]:
    """The services that each call describes, by name."""
    return [one.rsplit("/", 1)[-1] for request in bench.ecs.asked("describe_services") for one in request["services"]]


def test_a_service_that_is_listed_and_not_described_is_unknown_and_otherwise_unchanged() -> None:
    bench = bench_with([service(1, schedulingStrategy="DAEMON", runningCount=2), service(2)])
    cluster = bench.cluster()
    before = cluster.services()
    bench.ecs.failing = {before[0].arn: "InternalError"}
    assert cluster.services() == (replace(before[0], unknown="InternalError"), before[1])
    bench.ecs.failing = {}
    assert cluster.services() == before


def test_a_service_that_was_never_described_is_known_by_its_name_alone() -> None:
    bench = bench_with([service(1)])
    bench.ecs.failing = dict.fromkeys(bench.ecs.all_services, "InternalError")
    (unknown,) = bench.cluster().services()
    assert (unknown.name, unknown.unknown, unknown.deployment) == ("s1", "InternalError", None)


def test_a_service_that_ecs_does_not_mention_is_unknown() -> None:
    bench = bench_with([service(1), service(2)])
    cluster = bench.cluster()
    cluster.services()
    shapes = dict(bench.ecs.all_services)
    bench.ecs.describe_services = lambda **_: {"services": list(shapes.values())[:1], "failures": []}  # type: ignore[method-assign]
    assert [one.unknown for one in cluster.services()] == ["", "ECS left it out of its answer"]


def test_other_services_are_described_if_one_makes_aws_refuse_the_whole_call() -> None:
    bench = bench_with(service(number) for number in range(9))
    bench.ecs.poison = {list(bench.ecs.all_services)[4]}
    assert [number for number, one in enumerate(bench.cluster().services()) if one.unknown] == [4]


def test_a_service_that_is_missing_is_deleted_where_the_list_says_so_and_that_is_asked_once_in_a_look() -> None:
    bench = bench_with([service(1), service(2)])
    cluster = bench.cluster()
    gone = cluster.services()[0].arn
    del bench.ecs.all_services[gone]
    bench.ecs.add(service(3))
    bench.clock.time += SERVICES_LISTED_AGAIN
    assert [(one.name, one.unknown) for one in cluster.services()] == [("s2", ""), ("s3", "")]
    assert bench.ecs.count("list_services") == 2
    assert names(bench)[2:] == ["s1", "s2", "s3"]


def test_a_service_that_is_missing_and_still_listed_is_unknown() -> None:
    bench = bench_with([service(1), service(2)])
    bench.ecs.failing = {next(iter(bench.ecs.all_services)): "MISSING"}
    cluster = bench.cluster()
    for _ in range(7):
        assert [one.unknown for one in cluster.services()] == ["MISSING", ""]
        bench.clock.time += SERVICES_LISTED_AGAIN / 3
    assert bench.ecs.count("list_services") == 3


def test_a_service_is_known_by_its_name_whichever_way_its_arn_is_written() -> None:
    bench = bench_with([service(1)])
    ((arn, shape),) = bench.ecs.all_services.items()
    old = {**shape, "serviceArn": arn.replace("service/web/", "service/")}
    bench.ecs.describe_services = lambda **_: {"services": [old], "failures": []}  # type: ignore[method-assign]
    assert [(one.name, one.unknown) for one in bench.cluster().services()] == [("s1", "")]


def test_services_are_listed_only_every_few_minutes() -> None:
    bench = bench_with([service(1)])
    cluster = bench.cluster()
    cluster.services()
    cluster.services()
    assert bench.ecs.count("list_services") == 1
    assert bench.ecs.count("describe_services") == 2


def test_a_service_that_came_since_is_found_after_those_minutes() -> None:
    bench = bench_with([service(1)])
    cluster = bench.cluster()
    cluster.services()
    bench.ecs.add(service(2))
    bench.clock.time += timedelta(minutes=5)
    assert [one.name for one in cluster.services()] == ["s1", "s2"]


def test_a_task_of_a_service_that_is_not_known_has_the_services_listed_once_more() -> None:
    """A service may be deleted while a task of it is still stopping: the updater does not search for it again and
    again.
    """
    bench = bench_with([service(1), service(2, schedulingStrategy="DAEMON")])
    cluster = bench.cluster()
    cluster.services()
    bench.ecs.add(service(3), *(task(name, group=f"service:{name}") for name in ("s2", "s3", "gone")))
    assert [one.daemon for one in cluster.all_tasks()[arn(1)]] == [True, False, False]
    assert [one.name for one in cluster.services()] == ["s1", "s2", "s3"]
    cluster.all_tasks()
    cluster.services()
    assert bench.ecs.count("list_services") == 2
