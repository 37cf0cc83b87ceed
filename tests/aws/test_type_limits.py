"""Reading the limits of an instance type from EC2's response."""

from __future__ import annotations

from typing import Any

import pytest

from bottlerocket_ecs_updater.aws.survey_shapes import task_definition, type_limits
from bottlerocket_ecs_updater.core.model.resources import Port, TypeLimits, VolumeLimit


@pytest.mark.parametrize(
    ("shape", "limits"),
    [
        pytest.param({}, TypeLimits(), id="nothing said"),
        pytest.param(
            {"EbsInfo": {"MaximumEbsAttachments": 28, "AttachmentLimitType": "shared"}},
            TypeLimits(None, VolumeLimit(25, shared=True)),
            id="shared, less two volumes and an interface",
        ),
        pytest.param(
            {
                "NetworkInfo": {"MaximumNetworkInterfaces": 3},
                "EbsInfo": {"MaximumEbsAttachments": 28, "AttachmentLimitType": "shared"},
                "InstanceStorageInfo": {"Disks": [{"Count": 2}]},
            },
            TypeLimits(3, VolumeLimit(23, shared=True)),
            id="and two disks of the instance",
        ),
        pytest.param(
            {
                "EbsInfo": {"MaximumEbsAttachments": 32, "AttachmentLimitType": "dedicated"},
                "InstanceStorageInfo": {"Disks": [{"Count": 2}]},
            },
            TypeLimits(None, VolumeLimit(30, shared=False)),
            id="dedicated",
        ),
    ],
)
def test_the_limits_of_a_type_leave_out_what_the_host_itself_uses(shape: object, limits: TypeLimits) -> None:
    assert type_limits(shape) == limits  # type: ignore[arg-type] # parts of an answer


def test_a_volume_that_is_left_to_the_service_is_attached_to_the_instance() -> None:
    volumes = [{"name": "data", "configuredAtLaunch": True}]
    assert task_definition({"volumes": volumes}).demand.volumes == 1  # type: ignore[typeddict-item]
    assert task_definition({"volumes": [{"name": "files", "efsVolumeConfiguration": {}}]}).demand.volumes == 0  # type: ignore[typeddict-item]


@pytest.mark.parametrize(
    ("mode", "ports"), [("bridge", {Port(8080)}), ("host", {Port(8080), Port(53, "udp")}), ("awsvpc", set())]
)
def test_in_network_mode_host_every_port_of_a_container_is_one_of_the_host(mode: Any, ports: set[Port]) -> None:
    mappings: Any = [{"containerPort": 80, "hostPort": 8080}, {"containerPort": 53, "protocol": "udp"}]
    shape: Any = {"networkMode": mode, "containerDefinitions": [{"portMappings": mappings}]}
    assert task_definition(shape).demand.ports == ports


@pytest.mark.parametrize(
    ("wishes", "gpus", "all_gpus", "shares"),
    [
        ([{"type": "GPU", "value": "2"}, {"type": "InferenceAccelerator", "value": "eia"}], 2, False, False),
        ([{"type": "GPU", "value": "ALL"}], 1, True, False),
        ([{"type": "GPU", "sharingStrategy": {"nvidiaMps": {"memory": 4096}}}], 0, False, True),
        ([{"type": "NeuronDevice", "value": "ALL"}], 0, False, False),
    ],
)
def test_gpus_are_counted_taken_as_a_whole_or_shared(
    wishes: list[dict[str, object]], gpus: int, *, all_gpus: bool, shares: bool
) -> None:
    demand = task_definition({"containerDefinitions": [{"resourceRequirements": wishes}]}).demand  # type: ignore[typeddict-item]
    assert (demand.gpus, demand.all_gpus, demand.shares_gpu) == (gpus, all_gpus, shares)
