"""How groups launch instances, read from the emulator's own responses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import pytest
from tests.contract.doors import SMALL, Door, wire_door
from tests.support.simulated import EngineClock

from bottlerocket_ecs_updater.aws.launches import AwsLaunches
from bottlerocket_ecs_updater.aws.transport.api import Api
from bottlerocket_ecs_updater.aws.transport.pace import CallPace, Calls
from bottlerocket_ecs_updater.aws.transport.session import Pair
from bottlerocket_ecs_updater.core.model.auto_scaling import Launch, LaunchImage, LaunchParameter, LaunchUnknown

NAME = "bottlerocket-aws-ecs-2-x86_64-v1.20.0-0123abcd"
LATEST = "/aws/service/bottlerocket/aws-ecs-2/x86_64/latest/image_id"
ZONE = f"{SMALL.names.region}a"


@pytest.fixture(scope="module")
def account() -> Iterator[Door]:
    """A world without its own groups: those below belong to the emulator."""
    with wire_door(SMALL) as door:
        yield door


@pytest.fixture(scope="module")
def old_image(account: Door) -> str:
    """An AMI with the name of an old version."""
    return str(account.clients.client("ec2").register_image(Name=NAME)["ImageId"])


def reader(door: Door) -> AwsLaunches:
    clock = EngineClock(door.world)
    groups, ec2 = (cast("Any", Pair.of(door.clients.client(name))) for name in ("autoscaling", "ec2"))
    return AwsLaunches(groups, ec2, Api(clock, CallPace(clock), Calls()))


def template(door: Door, name: str, *images: str | None) -> str:
    """A launch template with a version for each image; its id."""
    ec2 = door.clients.client("ec2")
    data = [{"ImageId": image, "InstanceType": "t3.micro"} if image else {"KeyName": "none"} for image in images]
    made = ec2.create_launch_template(LaunchTemplateName=name, LaunchTemplateData=data[0])["LaunchTemplate"]
    for each in data[1:]:
        ec2.create_launch_template_version(LaunchTemplateName=name, LaunchTemplateData=each)
    return str(made["LaunchTemplateId"])


def group(door: Door, name: str, **how: Any) -> None:
    """An empty group."""
    autoscaling = door.clients.client("autoscaling")
    autoscaling.create_auto_scaling_group(
        AutoScalingGroupName=name, MinSize=0, MaxSize=0, AvailabilityZones=[ZONE], **how
    )


def launches(door: Door, *groups: str) -> list[Launch]:
    found = reader(door).launches(groups)
    return [launch for name in groups for launch in found[name]]


@pytest.mark.parametrize("version", ["1", "$Default"])
def test_a_template_is_read_in_the_version_that_the_group_names(account: Door, old_image: str, version: str) -> None:
    name = f"by-{version.strip('$').lower()}"
    template(account, name, old_image, f"resolve:ssm:{LATEST}")
    group(account, name, LaunchTemplate={"LaunchTemplateName": name, "Version": version})
    [launch] = launches(account, name)
    assert launch.boots == LaunchImage(old_image, NAME)
    assert name in launch.source


def test_the_latest_version_may_name_a_parameter(account: Door, old_image: str) -> None:
    template(account, "latest", old_image, f"resolve:ssm:{LATEST}")
    group(account, "latest", LaunchTemplate={"LaunchTemplateName": "latest", "Version": "$Latest"})
    assert [launch.boots for launch in launches(account, "latest")] == [LaunchParameter(LATEST)]


def test_a_mixed_instances_policy_has_as_many_ways_as_it_names_templates(account: Door, old_image: str) -> None:
    base = template(account, "base", old_image)
    other = template(account, "other", f"resolve:ssm:{LATEST}")
    policy = {
        "LaunchTemplate": {
            "LaunchTemplateSpecification": {"LaunchTemplateId": base, "Version": "$Latest"},
            "Overrides": [
                {"InstanceType": "t3.small"},
                {
                    "InstanceType": "t3.medium",
                    "LaunchTemplateSpecification": {"LaunchTemplateId": other, "Version": "$Latest"},
                },
            ],
        }
    }
    group(account, "mixed", MixedInstancesPolicy=policy)
    boots = {type(launch.boots) for launch in launches(account, "mixed")}
    assert boots == {LaunchImage, LaunchParameter}


def test_a_launch_configuration_is_read_too(account: Door, old_image: str) -> None:
    autoscaling = account.clients.client("autoscaling")
    autoscaling.create_launch_configuration(
        LaunchConfigurationName="old-way", ImageId=old_image, InstanceType="t3.micro"
    )
    group(account, "old-way", LaunchConfigurationName="old-way")
    assert launches(account, "old-way") == [
        Launch("launch configuration old-way", LaunchImage(old_image, NAME)),
    ]


def test_an_image_that_does_not_exist_has_no_name(account: Door) -> None:
    template(account, "gone", "ami-00000000000000000")
    group(account, "gone", LaunchTemplate={"LaunchTemplateName": "gone", "Version": "$Latest"})
    assert [launch.boots for launch in launches(account, "gone")] == [LaunchImage("ami-00000000000000000", "")]


def test_a_template_without_an_image_is_reported_as_such(account: Door) -> None:
    template(account, "bare", None)
    group(account, "bare", LaunchTemplate={"LaunchTemplateName": "bare", "Version": "$Latest"})
    assert [launch.boots for launch in launches(account, "bare")] == [LaunchUnknown("it names no image")]


def test_a_template_that_somebody_deleted_says_nothing_about_the_others(account: Door, old_image: str) -> None:
    for name in ("kept", "deleted"):
        template(account, name, old_image)
        group(account, name, LaunchTemplate={"LaunchTemplateName": name, "Version": "$Latest"})
    account.clients.client("ec2").delete_launch_template(LaunchTemplateName="deleted")
    assert [launch.boots for launch in launches(account, "kept", "deleted")] == [
        LaunchImage(old_image, NAME),
        LaunchUnknown("it was not found"),
    ]
