"""The state table of thar-be-updates: the result of each command in each state."""

from __future__ import annotations

import pytest
from tests.simulator.host_bench import MINUTE, RUNNING, Bench, bench

from bottlerocket_ecs_updater.simulator.faults import (
    ActivateFails,
    HashMismatch,
    Leftover,
    Moment,
    ReleaseAppears,
    RepositoryDown,
    StartsWith,
)
from bottlerocket_ecs_updater.simulator.host.status import UpdateCommand


def ask(host: Bench, command: UpdateCommand) -> str:
    """The result of a command: a state, or the rejection's status code with the state."""
    reply = host.host.request(command)
    host.pass_time(MINUTE)
    return host.state() if reply.code == 204 else f"{reply.code} {host.state()}"


@pytest.mark.parametrize(
    ("state", "command", "leads_to"),
    [
        ("none", UpdateCommand.REFRESH, "Available"),
        ("none", UpdateCommand.PREPARE, "409 Idle"),
        ("none", UpdateCommand.ACTIVATE, "409 Idle"),
        ("none", UpdateCommand.DEACTIVATE, "409 Idle"),
        ("Idle", UpdateCommand.PREPARE, "409 Idle"),
        ("Idle", UpdateCommand.ACTIVATE, "409 Idle"),
        ("Idle", UpdateCommand.DEACTIVATE, "409 Idle"),
        ("Available", UpdateCommand.REFRESH, "Available"),
        ("Available", UpdateCommand.PREPARE, "Staged"),
        ("Available", UpdateCommand.ACTIVATE, "409 Available"),
        ("Available", UpdateCommand.DEACTIVATE, "409 Available"),
        ("Staged", UpdateCommand.REFRESH, "Staged"),
        ("Staged", UpdateCommand.PREPARE, "Staged"),
        ("Staged", UpdateCommand.ACTIVATE, "Ready"),
        ("Staged", UpdateCommand.DEACTIVATE, "409 Staged"),
        ("Ready", UpdateCommand.REFRESH, "Ready"),
        ("Ready", UpdateCommand.PREPARE, "409 Ready"),
        ("Ready", UpdateCommand.ACTIVATE, "409 Ready"),
        ("Ready", UpdateCommand.DEACTIVATE, "Staged"),
    ],
)
def test_a_command_leads_where_the_table_says(state: str, command: UpdateCommand, leads_to: str) -> None:
    host = bench()
    host.make(state)
    assert ask(host, command) == leads_to


def test_a_refresh_of_an_idle_host_finds_newer_releases() -> None:
    host = bench(ReleaseAppears("1.22.0", Moment.AFTER_CHECK), releases=(RUNNING,))
    host.check()
    assert ask(host, UpdateCommand.REFRESH) == "Available"


def test_a_refresh_of_an_available_host_that_finds_nothing_leads_back_to_idle() -> None:
    host = bench()
    host.check()
    host.repository.retract("1.21.0")
    assert ask(host, UpdateCommand.REFRESH) == "Idle"


@pytest.mark.parametrize(("state", "leads_to"), [("none", "Idle"), ("Available", "Idle"), ("Staged", "Staged")])
def test_a_refresh_that_fails_falls_back_to_idle_unless_an_image_is_written(state: str, leads_to: str) -> None:
    host = bench(RepositoryDown(at=5 * MINUTE))
    host.make(state)
    host.pass_time(5 * MINUTE)
    assert ask(host, UpdateCommand.REFRESH) == leads_to


def test_a_refresh_that_fails_keeps_the_lists_of_the_one_before() -> None:
    host = bench(RepositoryDown(at=5 * MINUTE))
    host.check()
    host.pass_time(5 * MINUTE)
    ask(host, UpdateCommand.REFRESH)
    status = host.host.update_status
    assert status is not None
    assert status.chosen_update is not None
    assert status.available_updates == ("1.21.0", "1.20.0", "1.19.0")
    assert status.most_recent_command is not None
    assert status.most_recent_command.status == "Failed"


@pytest.mark.parametrize("state", ["Available", "Staged"])
def test_a_prepare_that_fails_leaves_the_state(state: str) -> None:
    host = bench(HashMismatch(times=1))
    host.make("Available")
    if state == "Staged":
        host = bench(StartsWith(Leftover.STAGED, "1.21.0"), HashMismatch(times=1))
    assert ask(host, UpdateCommand.PREPARE) == state


def test_an_activate_that_fails_leaves_the_host_staged() -> None:
    host = bench(ActivateFails(times=1), StartsWith(Leftover.STAGED, "1.21.0"))
    assert ask(host, UpdateCommand.ACTIVATE) == "Staged"


def test_prepare_without_a_chosen_update_is_not_found() -> None:
    host = bench(StartsWith(Leftover.STAGED_NOTHING_CHOSEN, "1.21.0"))
    assert ask(host, UpdateCommand.PREPARE) == "404 Staged"


def test_a_command_that_works_is_over_when_its_lock_is_free_again() -> None:
    host = bench()
    host.make("Available")
    host.host.request(UpdateCommand.PREPARE)
    assert host.host.request(UpdateCommand.REFRESH).code == 423


def test_what_was_staged_is_reported_as_it_was_chosen_even_when_another_release_was_written() -> None:
    host = bench(ReleaseAppears("1.22.0", Moment.AFTER_CHECK))
    host.make("Ready")
    status = host.host.update_status
    assert status is not None
    assert status.staging_partition is not None
    assert status.staging_partition.image.version == "1.21.0"
    assert host.host.partitions.inactive.image == "1.22.0"


def test_a_version_lock_set_before_prepare_stages_nothing_at_all() -> None:
    host = bench()
    host.make("Available")
    host.host.version_lock = RUNNING
    assert ask(host, UpdateCommand.PREPARE) == "Staged"
    assert host.host.partitions.inactive.image is None


def test_an_image_that_was_not_written_cannot_be_activated() -> None:
    host = bench()
    host.make("Available")
    host.host.version_lock = RUNNING
    result = host.run("apiclient update apply")
    assert result.stderr.endswith(
        "Failed to apply update: activate attempt failed with status 'Failed' (-1): Could not mark inactive "
        "partition for boot: Inactive partition /dev/nvme0n1 has not been marked valid for upgrade\n\n"
    )
    assert host.state() == "Staged"


def test_a_ready_host_sees_a_newer_release_and_keeps_its_staged_version() -> None:
    host = bench(ReleaseAppears("1.22.0", Moment.WHILE_READY))
    host.make("Ready")
    status = host.check()
    assert status["chosen_update"]["version"] == "1.22.0"
    assert status["staging_partition"]["image"]["version"] == "1.21.0"
    assert status["update_state"] == "Ready"


def test_a_prepare_destroys_the_way_back_before_it_writes() -> None:
    host = bench()
    host.make("Ready")
    host.reboot()
    assert host.host.partitions.inactive.image == RUNNING
    host.repository.publish(next(iter(bench(releases=("1.22.0",)).repository.releases().values()))[0])
    host.check()
    host.host.request(UpdateCommand.PREPARE)
    assert host.host.partitions.inactive.image is None
