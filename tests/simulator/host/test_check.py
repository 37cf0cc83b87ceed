"""The exact output of `apiclient update check`."""

from __future__ import annotations

import json
import re

import pytest
from tests.simulator.host_bench import MINUTE, bench

BOOT_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
TIMESTAMP = re.compile(r'"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.(\d{3}){1,3})?Z"')

AVAILABLE = """\
{
  "active_partition": {
    "image": {
      "arch": "x86_64",
      "variant": "aws-ecs-2",
      "version": "1.20.0"
    },
    "next_to_boot": true
  },
  "available_updates": [
    "1.21.0",
    "1.20.0",
    "1.19.0"
  ],
  "chosen_update": {
    "arch": "x86_64",
    "variant": "aws-ecs-2",
    "version": "1.21.0"
  },
  "most_recent_command": {
    "cmd_status": "Success",
    "cmd_type": "refresh",
    "exit_status": 0,
    "stderr": "",
    "timestamp": "TIME"
  },
  "staging_partition": null,
  "update_state": "Available"
}
"""
STAGING = """\
  "staging_partition": {
    "image": {
      "arch": "x86_64",
      "variant": "aws-ecs-2",
      "version": "1.21.0"
    },
    "next_to_boot": %s
  },
"""
NO_STAGING = '  "staging_partition": null,\n'
IDLE = """\
{
  "active_partition": {
    "image": {
      "arch": "x86_64",
      "variant": "aws-ecs-2",
      "version": "1.20.0"
    },
    "next_to_boot": true
  },
  "available_updates": [
    "1.20.0"
  ],
  "chosen_update": null,
  "most_recent_command": {
    "cmd_status": "Success",
    "cmd_type": "refresh",
    "exit_status": 0,
    "stderr": "",
    "timestamp": "TIME"
  },
  "staging_partition": null,
  "update_state": "Idle"
}
"""


def shown(output: str) -> str:
    return TIMESTAMP.sub('"TIME"', output)


def test_a_host_with_nothing_newer_prints_idle_and_what_is_listed() -> None:
    assert shown(bench(releases=("1.20.0",)).run("apiclient update check").stdout) == IDLE


def test_a_host_with_an_update_prints_available_and_what_it_would_take() -> None:
    assert shown(bench().run("apiclient update check").stdout) == AVAILABLE


def test_a_staged_host_prints_its_staging_partition_as_not_next_to_boot() -> None:
    host = bench()
    host.make("Staged")
    expected = AVAILABLE.replace(NO_STAGING, STAGING % "false").replace('"Available"', '"Staged"')
    assert shown(host.run("apiclient update check").stdout) == expected


def test_a_ready_host_prints_its_staging_partition_as_next_to_boot() -> None:
    host = bench()
    host.make("Ready")
    expected = AVAILABLE.replace(NO_STAGING, STAGING % "true").replace('"Available"', '"Ready"')
    expected = expected.replace('"next_to_boot": true', '"next_to_boot": false', 1)
    assert shown(host.run("apiclient update check").stdout) == expected


def test_a_repository_with_nothing_for_the_variant_leaves_the_list_empty() -> None:
    status = bench(variant="aws-ecs-1", releases=()).check()
    assert (status["available_updates"], status["update_state"]) == ([], "Idle")


def test_a_check_says_what_it_does_on_standard_error_with_the_time() -> None:
    assert bench().run("apiclient update check").stderr == "09:00:00 [INFO] Refreshing updates...\n"


def test_an_old_version_colours_its_log_lines() -> None:
    result = bench(ansi=True).run("apiclient update check")
    assert result.stderr == "09:00:00 \x1b[0m\x1b[34m[INFO] \x1b[0mRefreshing updates...\n"


def test_a_check_never_shows_how_an_apply_ended() -> None:
    host = bench()
    host.make("Ready")
    assert host.check()["most_recent_command"]["cmd_type"] == "refresh"


def test_a_check_takes_half_a_second() -> None:
    host = bench()
    began = host.clock.now()
    host.run("apiclient update check")
    assert 0.3 < (host.clock.now() - began).total_seconds() < 0.7


def test_the_status_is_not_there_before_the_first_command_after_a_boot() -> None:
    result = bench().run("apiclient raw -u /updates/status")
    assert (result.exit_code, "Update status is uninitialized, refresh-updates" in result.stderr) == (1, True)


def test_the_raw_status_has_the_order_of_its_struct_and_no_spaces() -> None:
    result = bench().run("apiclient update check >/dev/null", "apiclient raw -u /updates/status")
    assert result.stdout.splitlines()[-1].startswith('{"update_state":"Available","available_updates":["1.21.0",')


@pytest.mark.parametrize("version", ["1.0.2", "1.0.4"])
def test_a_host_older_than_1_0_5_does_not_know_update_check(version: str) -> None:
    result = bench(version=version).run("apiclient update check")
    assert result.exit_code == 2
    assert result.stderr.startswith("Unknown argument 'update'\n\nUsage: apiclient")


def test_a_host_of_1_0_5_knows_update_check() -> None:
    assert bench(version="1.0.5").run("apiclient update check").exit_code == 0


def test_the_boot_id_comes_before_the_status_if_both_are_printed() -> None:
    host = bench()
    result = host.run("cat /proc/sys/kernel/random/boot_id", "apiclient update check")
    boot_id, _, status = result.stdout.partition("\n")
    assert (boot_id, json.loads(status)["update_state"]) == (host.host.boot_id, "Available")


def test_a_boot_id_is_a_random_uuid_and_another_at_each_boot() -> None:
    host = bench()
    first = host.host.boot_id
    host.reboot()
    assert BOOT_ID.fullmatch(first)
    assert BOOT_ID.fullmatch(host.host.boot_id)
    assert first != host.host.boot_id


def test_a_host_that_was_updated_has_forgotten_its_status_and_is_idle_on_the_new_version() -> None:
    host = bench()
    host.make("Ready")
    host.reboot()
    assert host.state() == "none"
    status = host.check()
    assert status["update_state"] == "Idle"
    assert status["active_partition"]["image"]["version"] == "1.21.0"
    assert status["staging_partition"] is None


def test_a_status_that_is_older_than_a_version_keeps_the_old_list_until_the_next_check() -> None:
    host = bench(releases=("1.20.0",))
    host.check()
    host.repository.retract("1.20.0")
    host.pass_time(MINUTE)
    status = host.host.update_status
    assert status is not None
    assert status.available_updates == ("1.20.0",)
