"""AWS clients from the standard configuration."""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta
from typing import Any

import pytest
from botocore.client import BaseClient

from bottlerocket_ecs_updater.aws.transport.session import Clients
from bottlerocket_ecs_updater.errors import UsageError


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    nowhere = tmp_path_factory.mktemp("aws") / "none"
    for name in ("AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_ECS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(nowhere))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(nowhere))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")


def config_of(client: BaseClient) -> Any:
    """The type stubs omit the fields of a configuration."""
    return client.meta.config


def test_an_act_ends_within_a_quarter_of_the_lease() -> None:
    for seconds in (2, 10, 60, 300):
        clients = Clients(version="1", region="eu-west-1", lease=timedelta(seconds=seconds))
        config = config_of(clients.ecs.acting)
        assert config.connect_timeout + config.read_timeout < seconds / 4


def test_a_look_gives_up_on_a_silent_aws_in_time_for_a_signal() -> None:
    config = config_of(Clients(version="1", region="eu-west-1").ssm.looking)
    assert config.connect_timeout + config.read_timeout < 10


def test_botocore_sends_everything_once() -> None:
    clients = Clients(version="1", region="eu-west-1")
    for client in (clients.ecs.looking, clients.ecs.acting, clients.s3.acting):
        assert config_of(client).retries == {"mode": "standard", "total_max_attempts": 1}


def test_requests_say_which_program_sends_them() -> None:
    config = config_of(Clients(version="1.2.3", region="eu-west-1").ecs.looking)
    assert config.user_agent_extra == "bottlerocket-ecs-updater/1.2.3"


@pytest.mark.parametrize(
    ("region", "endpoint"),
    [
        ("eu-west-1", "https://ecs.eu-west-1.amazonaws.com"),
        ("cn-north-1", "https://ecs.cn-north-1.amazonaws.com.cn"),
        ("us-gov-west-1", "https://ecs.us-gov-west-1.amazonaws.com"),
    ],
)
def test_every_partition_has_its_own_endpoint(region: str, endpoint: str) -> None:
    assert Clients(version="1", region=region).ecs.looking.meta.endpoint_url == endpoint


def test_a_custom_endpoint_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:5000")
    assert Clients(version="1", region="eu-west-1").ecs.looking.meta.endpoint_url == "http://127.0.0.1:5000"


def test_without_a_region_setting_the_configuration_gives_the_region(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "ap-south-1")
    assert Clients(version="1").ecs.looking.meta.region_name == "ap-south-1"


def test_aws_region_goes_before_the_name_that_botocore_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "ap-south-1")
    monkeypatch.setenv("AWS_REGION", "eu-north-1")
    assert Clients(version="1").ecs.looking.meta.region_name == "eu-north-1"


def test_without_a_region_the_error_says_how_to_set_one() -> None:
    with pytest.raises(UsageError, match="no AWS Region is configured: set --region or AWS_REGION"):
        _ = Clients(version="1").ecs.looking


def test_a_profile_that_does_not_exist_is_a_usage_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(UsageError, match="nobody"):
        _ = Clients(version="1", region="eu-west-1").ecs.looking


def test_an_invalid_endpoint_url_is_a_usage_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "no url")
    with pytest.raises(UsageError):
        _ = Clients(version="1", region="eu-west-1").ecs.looking


def test_clients_are_made_once() -> None:
    clients = Clients(version="1", region="eu-west-1")
    assert clients.ecs.looking is clients.ecs.looking


def test_the_gateway_works_without_boto3_and_its_dependencies() -> None:
    names = ("ecs", "ssm", "s3_store", "transport.session")
    gateway = ", ".join(f"bottlerocket_ecs_updater.aws.{name}" for name in names)
    code = f"import sys, {gateway}; print([name for name in ('boto3', 's3transfer', 'moto') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
