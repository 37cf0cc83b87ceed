"""What SSM reports about an instance: its last ping, its platform, and when its connection counts as lost."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from tests.simulator.ssm_bench import SsmBench, ssm_bench

from bottlerocket_ecs_updater.simulator.faults import OutOfReach, SsmUnreachable
from bottlerocket_ecs_updater.simulator.ssm import SsmTiming

MINUTE = timedelta(minutes=1)


def shown(bench: SsmBench) -> dict[str, Any]:
    return bench.instances()[0]


def test_a_bottlerocket_host_is_online_with_its_name_and_version() -> None:
    instance = shown(ssm_bench())
    assert (instance["PingStatus"], instance["PlatformName"], instance["PlatformVersion"]) == (
        "Online",
        "Bottlerocket",
        "1.20.0",
    )


def test_a_host_older_than_1_7_0_is_treated_as_amazon_linux() -> None:
    assert shown(ssm_bench(version="1.6.0"))["PlatformName"] == "Amazon Linux"


def test_a_connected_host_was_heard_of_within_five_minutes() -> None:
    bench = ssm_bench()
    for _ in range(20):
        bench.pass_time(97)
        assert timedelta() <= bench.clock.now() - shown(bench)["LastPingDateTime"] < 5 * MINUTE


def test_a_rebooting_host_stays_online_with_an_old_sign_of_life() -> None:
    bench = ssm_bench()
    before = shown(bench)["LastPingDateTime"]
    bench.hosts[0].reboot("maintenance")
    bench.pass_time(30)
    assert (shown(bench)["PingStatus"], shown(bench)["LastPingDateTime"]) == ("Online", before)


def test_a_host_that_is_back_has_pinged_at_the_start_of_its_agent() -> None:
    bench = ssm_bench()
    began = bench.clock.now()
    bench.hosts[0].reboot("maintenance")
    bench.pass_time(120)
    assert shown(bench)["LastPingDateTime"] - began == timedelta(seconds=8 + 35 + 10)


def test_the_version_changes_when_the_agent_of_the_new_version_starts() -> None:
    bench = ssm_bench()
    bench.run("apiclient update check", "apiclient update apply", "apiclient reboot", wait=20)
    assert shown(bench)["PlatformVersion"] == "1.20.0"
    bench.pass_time(120)
    assert shown(bench)["PlatformVersion"] == "1.21.0"


def test_a_connection_is_lost_a_good_while_after_the_last_sign() -> None:
    bench = ssm_bench(SsmUnreachable(OutOfReach.CONNECTION_LOST, at=MINUTE))
    bench.pass_time(61)
    assert shown(bench)["PingStatus"] == "Online"
    bench.pass_time(600)
    assert shown(bench)["PingStatus"] == "ConnectionLost"


def test_how_long_a_lost_host_is_shown_online_can_be_chosen() -> None:
    timing = SsmTiming(connection_lost=timedelta(hours=2))
    bench = ssm_bench(SsmUnreachable(OutOfReach.CONNECTION_LOST, at=MINUTE), timing=timing)
    bench.pass_time(3600)
    assert shown(bench)["PingStatus"] == "Online"


def test_a_host_that_never_registered_is_not_listed() -> None:
    assert ssm_bench(SsmUnreachable(OutOfReach.NEVER_REGISTERED)).instances() == []


def test_a_forgotten_host_is_not_listed_and_forgetting_it_twice_is_harmless() -> None:
    bench = ssm_bench(hosts=2)
    bench.service.forget(bench.ids[0])
    bench.service.forget(bench.ids[0])
    assert [each["InstanceId"] for each in bench.instances()] == bench.ids[1:]


def test_a_thousand_hosts_are_described_without_an_event_for_any_ping() -> None:
    bench = ssm_bench(hosts=1000)
    bench.pass_time(24 * 3600)
    assert bench.clock.next_time() is None
    assert shown(bench)["PingStatus"] == "Online"
