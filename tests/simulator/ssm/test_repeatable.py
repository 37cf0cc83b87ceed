"""The same seeds give the same world, and a scaled clock gives the same as a virtual one."""

from __future__ import annotations

import random
from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.simulator.host_bench import VARIANT
from tests.simulator.ssm_bench import document, ssm_bench

from bottlerocket_ecs_updater.simulator.clock import ScaledClock
from bottlerocket_ecs_updater.simulator.faults import RebootEnding, RebootEnds, RollsBack
from bottlerocket_ecs_updater.simulator.host import Host, HostSpec
from bottlerocket_ecs_updater.simulator.repository import Release, Repository
from bottlerocket_ecs_updater.simulator.ssm import RunCommand

STEPS = st.lists(st.tuples(st.sampled_from(["check", "apply", "reboot"]), st.integers(1, 200)), max_size=8)


def story(steps: list[tuple[str, int]]) -> list[object]:
    """Everything that a client sees of a series of commands on two hosts."""
    bench = ssm_bench(RollsBack("1.21.0"), RebootEnds(RebootEnding.RUN_AGAIN), hosts=2)
    for name, wait in steps:
        bench.send(name)
        bench.pass_time(wait)
    bench.pass_time(3600)
    return [bench.listed(Details=True), bench.instances(), [host.boot_id for host in bench.hosts]]


@settings(max_examples=25, deadline=None)
@given(STEPS)
def test_the_same_row_of_commands_gives_the_same_answers_to_the_letter(steps: list[tuple[str, int]]) -> None:
    assert story(steps) == story(steps)


@settings(max_examples=25, deadline=None)
@given(STEPS)
def test_every_command_ends(steps: list[tuple[str, int]]) -> None:
    bench = ssm_bench(RollsBack("1.21.0"), RebootEnds(RebootEnding.STUCK, times=None), hosts=2)
    for name, wait in steps:
        bench.send(name, TimeoutSeconds=600)
        bench.pass_time(wait)
    bench.pass_time(600 + 1800)
    ends = {"Success", "Failed", "TimedOut", "Cancelled"}
    assert {each["Status"] for each in bench.listed()} <= ends


def test_a_scaled_clock_tells_the_same_story_as_a_virtual_one() -> None:
    clock = ScaledClock(speed=20_000)
    repository = Repository(Release(version, VARIANT) for version in ("1.20.0", "1.21.0"))
    lines = document("apiclient update check", "apiclient update apply", "apiclient reboot")
    host = Host(clock, HostSpec("i-00000000000000001"), repository, random.Random(1))
    service = RunCommand(clock, random.Random(1), document_source={"update": lines}.get)
    service.register(host)
    service.send_command({"DocumentName": "update", "InstanceIds": [host.instance_id]})
    clock.sleep(timedelta(minutes=5))
    with clock.lock:
        clock.pump()
        [invocation] = service.list_command_invocations({})["CommandInvocations"]
        assert (invocation["Status"], host.running, host.boots) == ("Success", "1.21.0", 2)
