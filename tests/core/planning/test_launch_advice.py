from __future__ import annotations

import pytest
from tests.core.builders import NEW, NOW, OLD, idle, instance, registration
from tests.core.builders import fleet as a_fleet

from bottlerocket_ecs_updater.core.model.auto_scaling import (
    InGroup,
    Launch,
    Launches,
    LaunchImage,
    LaunchParameter,
    LaunchUnknown,
    LifecycleState,
    Membership,
    NoGroup,
)
from bottlerocket_ecs_updater.core.model.fleet import Fleet
from bottlerocket_ecs_updater.core.model.host_report import HostReport
from bottlerocket_ecs_updater.core.model.ids import InstanceId
from bottlerocket_ecs_updater.core.model.instance import Instance, SurveyedFacts
from bottlerocket_ecs_updater.core.planning.launch_advice import StartsOld, StartsUnknown, advise, groups_of

NAME = "bottlerocket-aws-ecs-2-{arch}-v{version}-0123abcd"
PARAMETER = "/aws/service/bottlerocket/aws-ecs-2/x86_64/{which}/image_id"
IN_WEB = InGroup("web", LifecycleState.IN_SERVICE)


def host(name: str = "i-a", says: HostReport | None = None, membership: Membership | None = IN_WEB) -> Instance:
    around = SurveyedFacts(NOW, membership)
    return instance(name, says or idle(NEW), registered=registration(name), around=around)


def starting(boots: LaunchImage | LaunchParameter | LaunchUnknown, *hosts: Instance) -> Fleet:
    launch = Launch("launch template hosts, version $Default", boots)
    return a_fleet(*(hosts or (host(),)), launches=Launches({"web": (launch,)}))


def image(version: object = OLD, arch: str = "x86_64") -> LaunchImage:
    return LaunchImage("ami-1", NAME.format(version=version, arch=arch))


def test_an_older_image_than_the_hosts_run_is_reported_with_what_would_mend_it() -> None:
    [advice] = advise(starting(image()))
    assert isinstance(advice, StartsOld)
    assert str(advice) == (
        "new instances of Auto Scaling group web start with 1.20.0, but its hosts run up to 1.21.0: each is updated "
        "after its start, and its tasks are moved again"
    )
    assert advice.remedy == (
        "replace launch template hosts, version $Default (ami-1, bottlerocket-aws-ecs-2-x86_64-v1.20.0-0123abcd) "
        "by resolve:ssm:/aws/service/bottlerocket/aws-ecs-2/x86_64/latest/image_id, or by a current AMI, in the "
        "group's launch template"
    )


def test_the_newest_of_its_hosts_counts() -> None:
    assert advise(starting(image(), host("i-a", idle(OLD)))) == ()
    assert len(advise(starting(image(), host("i-a", idle(OLD)), host("i-b", idle(NEW))))) == 1


def test_an_image_that_is_older_than_what_the_plan_updates_to_is_reported() -> None:
    fleet = starting(image(), host("i-a", idle(OLD)))
    [advice] = advise(fleet, {InstanceId("i-a"): NEW})
    assert "start with 1.20.0, but its hosts would be updated to 1.21.0: each" in str(advice)
    assert advise(starting(image(NEW), host("i-a", idle(OLD))), {InstanceId("i-a"): NEW}) == ()


@pytest.mark.parametrize("boots", [image(NEW), image("2.0.0"), LaunchParameter(PARAMETER.format(which="latest"))])
def test_a_group_that_starts_current_instances_needs_no_advice(boots: LaunchImage | LaunchParameter) -> None:
    assert advise(starting(boots)) == ()


@pytest.mark.parametrize("which", ["1.20.0", "1.20.0-0123abcd"])
def test_a_parameter_that_pins_a_release_ages_like_an_image(which: str) -> None:
    [advice] = advise(starting(LaunchParameter(PARAMETER.format(which=which))))
    assert isinstance(advice, StartsOld)
    assert advice.starts_with == OLD


def test_the_parameter_of_the_architecture_is_named_as_ec2_writes_it() -> None:
    [advice] = advise(starting(image(arch="aarch64")))
    assert isinstance(advice, StartsOld)
    assert advice.current == "resolve:ssm:/aws/service/bottlerocket/aws-ecs-2/arm64/latest/image_id"


@pytest.mark.parametrize(
    ("boots", "why"),
    [
        (LaunchImage("ami-1", "our own"), "its image ami-1 is named 'our own', which contains no version"),
        (LaunchImage("ami-1", ""), "its image ami-1 is not shown by EC2"),
        (LaunchParameter("/our/ami"), "its image comes from the parameter /our/ami, which was not read"),
        (
            LaunchParameter(f"{PARAMETER.format(which='latest')}:3"),
            "an older version of a parameter",
        ),
        (LaunchUnknown("it names no image"), "it names no image"),
    ],
)
def test_an_image_of_unknown_version_is_reported_with_the_reason(
    boots: LaunchImage | LaunchParameter | LaunchUnknown, why: str
) -> None:
    [advice] = advise(starting(boots))
    assert isinstance(advice, StartsUnknown)
    assert why in str(advice)


def test_groups_that_could_not_be_read_are_reported_once() -> None:
    [advice] = advise(a_fleet(host(), launches=Launches({}, "not allowed: ec2:DescribeImages")))
    assert str(advice) == (
        "it is not known whether new instances of the Auto Scaling groups start with an old version: "
        "not allowed: ec2:DescribeImages"
    )


def test_without_a_look_there_is_no_advice() -> None:
    assert advise(a_fleet(host())) == ()


def test_instances_of_no_group_ask_for_none() -> None:
    assert groups_of(a_fleet(host("i-a", membership=NoGroup()), host("i-b", membership=None), host("i-c"))) == ("web",)
