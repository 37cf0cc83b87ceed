"""The partition sets: whatever is done to them, in whatever order, one of them boots."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.simulator.host_bench import NEW, OLD, RUNNING, VARIANT, bench

from bottlerocket_ecs_updater.simulator.faults import ActivateFails, GrubFails, HashMismatch, RollsBack, SlowDownload
from bottlerocket_ecs_updater.simulator.host import Power
from bottlerocket_ecs_updater.simulator.host.partitions import PartitionError, Partitions
from bottlerocket_ecs_updater.simulator.repository import Release

MARKED = ["prepare", "half-prepare", "activate", "cancel", "reboot", "reboot-and-fail"]


def act(partitions: Partitions, deed: str, version: str) -> None:
    match deed:
        case "prepare":
            partitions.clear_inactive()
            partitions.write_inactive(version)
        case "half-prepare":
            partitions.clear_inactive()
        case "activate":
            partitions.upgrade_to_inactive()
        case "cancel":
            partitions.cancel_upgrade()
        case "reboot":
            partitions.take_next()
            partitions.mark_successful()
        case "reboot-and-fail":
            tried = partitions.take_next()
            assert tried is not None
            if tried.successful:
                return
            partitions.take_next()
            partitions.mark_successful()
        case _:
            raise AssertionError(deed)


def after_each(deeds: list[str]) -> Iterator[Partitions]:
    """A host's partitions after each act that was possible."""
    partitions = Partitions("1.0.0")
    for number, deed in enumerate(deeds):
        with suppress(PartitionError):
            act(partitions, deed, f"1.{number}.0")
            yield partitions


@given(st.lists(st.sampled_from(MARKED)))
def test_something_boots_after_any_row_of_updates_cancels_and_failed_boots(deeds: list[str]) -> None:
    for partitions in after_each(deeds):
        following = partitions.next_to_boot()
        assert following is not None
        assert following.image is not None


@given(st.lists(st.sampled_from(MARKED)))
def test_a_half_written_partition_set_never_boots(deeds: list[str]) -> None:
    for partitions in after_each(deeds):
        empty = partitions.fallback
        assert empty is None or empty.image is not None or not empty.will_boot


def test_activating_twice_is_refused() -> None:
    partitions = Partitions("1.0.0")
    act(partitions, "prepare", "1.1.0")
    act(partitions, "activate", "")
    with pytest.raises(PartitionError, match="is already marked for upgrade"):
        act(partitions, "activate", "")


def test_a_cancelled_update_can_be_activated_again() -> None:
    partitions = Partitions("1.0.0")
    for deed in ("prepare", "activate", "cancel", "activate"):
        act(partitions, deed, "1.1.0")
    following = partitions.next_to_boot()
    assert following is not None
    assert following.image == "1.1.0"


LINES = st.sampled_from(
    [
        "apiclient update check",
        "apiclient update apply",
        "apiclient update apply --check",
        "apiclient update cancel",
        "apiclient reboot",
        f"apiclient set updates.version-lock={OLD}",
        f"apiclient set updates.version-lock={RUNNING}",
        "apiclient set updates.version-lock=latest",
    ]
)
WAITS = st.sampled_from([0.0, 0.3, 4.0, 11.0, 40.0, 200.0])
FAULTS = st.lists(
    st.sampled_from(
        [
            GrubFails(),
            RollsBack(NEW),
            HashMismatch(times=1),
            ActivateFails(times=1),
            SlowDownload(takes=timedelta(minutes=12)),
        ]
    ),
    max_size=2,
)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(LINES, WAITS), max_size=15), FAULTS, st.integers(0, 3), st.booleans())
def test_a_host_always_boots_some_version_after_any_sequence_of_commands(
    deeds: list[tuple[str, float]], faults: list[GrubFails], chance: int, release: bool
) -> None:
    host = bench(*faults, seed=chance)
    for line, wait in deeds:
        if host.host.power is Power.RUNNING:
            host.start(line)
        host.pass_time(timedelta(seconds=wait))
        if release and random.Random(chance).random() < 0.3:
            host.repository.publish(Release("1.22.0", VARIANT))
    host.pass_time(timedelta(hours=1))
    assert host.host.power is Power.RUNNING
    assert host.host.running in {OLD, RUNNING, NEW, "1.22.0"}
    assert host.host.ssm_agent_up
    assert host.host.ecs_agent_up
