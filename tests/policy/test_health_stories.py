"""Alarms and probes that updates wait for, in whole runs in virtual time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from tests.policy.test_stories import Story
from tests.support.simulated import row

from bottlerocket_ecs_updater.core.model.event import HealthChanged
from bottlerocket_ecs_updater.core.model.outcome import RunOutcome, Updated
from bottlerocket_ecs_updater.core.model.reasons import Hold, Reason
from bottlerocket_ecs_updater.core.rules.health import AlarmRule, HealthRules
from bottlerocket_ecs_updater.core.rules.policy import Policy
from bottlerocket_ecs_updater.core.rules.ruleset import Rules
from bottlerocket_ecs_updater.simulator.ecs.model import ContainerInstance, InstanceStatus
from bottlerocket_ecs_updater.simulator.world.api_faults import denying
from bottlerocket_ecs_updater.simulator.world.world import World

ERRORS, LATENCY = "checkout-errors", "checkout-latency"
CLOSED_PORT = "http://127.0.0.1:1/"


def watching(*alarms: str, probes: tuple[str, ...] = ()) -> Rules:
    return Rules(health=HealthRules(tuple(AlarmRule.parse(alarm) for alarm in alarms), probes))


def cluster(instances: int = 3, **alarms: str) -> World:
    world = row(instances)
    for name, state in alarms.items():
        world.cloudwatch.set_alarm(name.replace("_", "-"), state)
    return world


def test_with_all_alarms_ok_every_instance_is_updated(tmp_path: Path) -> None:
    world = cluster(checkout_errors="OK", checkout_latency="OK")
    world.cloudwatch.set_alarm("all-of-checkout", "OK", rule="ALARM(checkout-errors)")
    finished = Story(world, watching("checkout-*", "all-of-checkout"), tmp_path).run()
    assert finished.counts["updated"] == 3


@pytest.mark.parametrize("state", ["ALARM", "INSUFFICIENT_DATA"])
def test_an_alarm_that_is_not_ok_keeps_every_instance_in_service(tmp_path: Path, state: str) -> None:
    world = cluster(checkout_errors=state)
    finished = Story(world, watching(ERRORS), tmp_path).run()
    holds = [why for why in finished.outcomes.values() if isinstance(why, Hold)]
    assert [why.reason for why in holds] == [Reason.UNWELL] * 3
    assert f"alarm {ERRORS} is {state}" in str(holds[0])
    assert finished.exit_code == 0
    assert world.findings().most_out_at_once == 0


def test_a_composite_alarm_counts_as_any_other(tmp_path: Path) -> None:
    world = cluster()
    world.cloudwatch.set_alarm(ERRORS, "ALARM", rule="ALARM(a) OR ALARM(b)")
    assert Story(world, watching(ERRORS), tmp_path).reasons() == {Reason.UNWELL}


def test_an_alarm_that_is_over_within_the_settle_limit_is_waited_for(tmp_path: Path) -> None:
    world = cluster(checkout_errors="ALARM")
    world.clock.after(timedelta(minutes=5), lambda: world.cloudwatch.set_alarm(ERRORS, "OK"))
    assert Story(world, watching(ERRORS), tmp_path).run().counts["updated"] == 3


def test_an_alarm_that_goes_off_after_an_update_halts_the_rollout_and_is_named(tmp_path: Path) -> None:
    world = cluster(4, checkout_errors="OK")
    story = Story(world, watching(ERRORS), tmp_path)
    # By then the first instance is out of service.
    world.clock.after(timedelta(minutes=2), lambda: world.cloudwatch.set_alarm(ERRORS, "ALARM"))
    finished = story.run()
    assert finished.exit_code == 4
    assert ERRORS in finished.why
    assert sum(isinstance(outcome, Updated) for outcome in finished.outcomes.values()) == 1
    assert world.findings().stranded == ()


def test_alarms_that_may_not_be_read_hold_and_name_the_permission(tmp_path: Path) -> None:
    world = cluster(checkout_errors="OK")
    world.authorize = denying("cloudwatch:DescribeAlarms")
    finished = Story(world, watching(ERRORS), tmp_path).run()
    [why, *_] = [why for why in finished.outcomes.values() if isinstance(why, Hold)]
    assert why.reason is Reason.UNWELL
    assert "cloudwatch:DescribeAlarms" in str(why)


def test_an_earlier_runs_update_is_finished_even_during_an_alarm(tmp_path: Path) -> None:
    world = cluster(checkout_errors="OK")
    story = Story(world, watching(ERRORS), tmp_path)
    killed = story.updater()

    def stop_once_it_drains(instance: ContainerInstance) -> None:
        if instance.status is InstanceStatus.DRAINING:
            killed.stop.request("SIGTERM")

    world.ecs.registry.on_instance.append(stop_once_it_drains)
    assert killed.run().outcome is RunOutcome.INTERRUPTED
    world.cloudwatch.set_alarm(ERRORS, "ALARM")
    finished = story.run()
    assert world.findings().stranded == ()
    assert finished.counts["updated"] == 1


def test_an_unhealthy_state_is_reported_once_and_again_when_all_is_healthy(tmp_path: Path) -> None:
    world = cluster(checkout_errors="ALARM")
    world.clock.after(timedelta(minutes=5), lambda: world.cloudwatch.set_alarm(ERRORS, "OK"))
    updater = Story(world, watching(ERRORS), tmp_path).updater()
    updater.run()
    assert [event.unwell for event in updater.tape.of(HealthChanged)] == [
        f"alarm {ERRORS} is ALARM (since 2026-01-05 09:02 UTC)",
        "",
    ]


def test_plan_names_the_alarm_for_every_instance(tmp_path: Path) -> None:
    story = Story(cluster(checkout_errors="ALARM"), watching(ERRORS), tmp_path)
    held = dict(story.plan().held)
    assert {why.reason for why in held.values()} == {Reason.UNWELL}
    assert len(held) == 3


def test_alarms_are_read_once_with_each_look_at_the_services(tmp_path: Path) -> None:
    story = Story(cluster(checkout_errors="OK"), watching(ERRORS, "checkout-l*"), tmp_path, Policy())
    story.world.cloudwatch.set_alarm(LATENCY, "OK")
    updater = story.updater()
    updater.run()
    looks = updater.calls["ecs:DescribeServices"]
    assert updater.calls["cloudwatch:DescribeAlarms"] <= 2 * looks


@contextmanager
def answering(status: int) -> Iterator[str]:
    """A server on loopback that answers everything with a status."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name in the base class
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/health"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_probe_that_answers_with_success_lets_updates_go_on(tmp_path: Path) -> None:
    with answering(204) as url:
        assert Story(cluster(), watching(probes=(url,)), tmp_path).run().counts["updated"] == 3


@pytest.mark.parametrize("status", [404, 500, 503])
def test_a_probe_that_answers_with_anything_else_holds(tmp_path: Path, status: int) -> None:
    with answering(status) as url:
        finished = Story(cluster(1), watching(probes=(url,)), tmp_path).run()
    [why] = finished.outcomes.values()
    assert isinstance(why, Hold)
    assert f"{url} answered {status}" in str(why)


def test_a_probe_without_an_answer_holds(tmp_path: Path) -> None:
    finished = Story(cluster(1), watching(probes=(CLOSED_PORT,)), tmp_path).run()
    [why] = finished.outcomes.values()
    assert isinstance(why, Hold)
    assert "could not be reached" in str(why)
