from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.builders import BOOT, BOOT_LINE, IDLE_STATUS, available, idle, printed, ready, staged
from tests.core.strategies import PURE

from bottlerocket_ecs_updater.core.model.host_report import (
    DETAIL_MAX_CHARACTERS,
    HostProblem,
    HostReport,
    Problem,
    UpdateState,
    cause_line,
    lock_held,
    plain,
    read_check,
)
from bottlerocket_ecs_updater.core.model.version import Version

# The texts of a real host: a transcript of an update from 1.14.0 to 1.15.0.

AVAILABLE_TEXT = """{
  "active_partition": {
    "image": {
      "arch": "x86_64",
      "variant": "aws-k8s-1.27",
      "version": "1.14.0"
    },
    "next_to_boot": true
  },
  "available_updates": [
    "1.15.0",
    "1.14.3",
    "1.14.2",
    "1.14.1",
    "1.14.0"
  ],
  "chosen_update": {
    "arch": "x86_64",
    "variant": "aws-k8s-1.27",
    "version": "1.15.0"
  },
  "most_recent_command": {
    "cmd_status": "Success",
    "cmd_type": "refresh",
    "exit_status": 0,
    "stderr": "",
    "timestamp": "2023-10-13T21:10:58.126609177Z"
  },
  "staging_partition": null,
  "update_state": "Available"
}
"""
STAGED_IMAGE = {"arch": "x86_64", "variant": "aws-k8s-1.27", "version": "1.15.0"}
APPLIED_STDERR = """21:11:32 [INFO] Downloading and applying update to disk...
21:11:37 [INFO] Still waiting for updated status, will wait up to 594.5s longer...
21:11:41 [INFO] Setting the update active so it will apply on the next reboot...
21:11:42 [INFO] Update has been applied and will take effect on next reboot.
"""
REFRESHING = "16:48:25 [INFO] Refreshing updates...\n"
REFRESHING_IN_COLOUR = "16:48:25 \u001b[0m\u001b[34m[INFO] \u001b[0mRefreshing updates...\n"
RUN_COMMAND_SUFFIX = "\nfailed to run commands: exit status 1"
USAGE_OF_1_0_4 = "Unknown argument 'update'\nUsage: apiclient [ -u URI ] [ -X METHOD ] …\n"

LOCKED_FOR_READING = (
    "Failed to check for updates: Unable to check initial update status, got code '423 Locked': "
    "Unable to obtain shared lock for reading update status: Resource temporarily unavailable (os error 11)"
)
LOCKED_FOR_REFRESH = (
    "Failed to check for updates: Failed to make refresh request: "
    "Status 423 when POSTing /actions/refresh-updates: Update lock held"
)
LOCKED_FOR_ACTIVATE = (
    "Failed to apply update: Failed to make activate request: "
    "Status 423 when POSTing /actions/activate-update: Update lock held"
)
PREPARE_ADVICE = (
    "Failed to apply update: Failed to prepare update.  This could mean that we don't have a list of updates yet or "
    "that an update is already applied.  Running 'apiclient update check' will help you find out.  You can cancel an "
    "applied ('Ready') update with 'apiclient update cancel' if desired.  Detail: "
)
NOT_ALLOWED = PREPARE_ADVICE + (
    "Failed to make prepare request: Status 409 when POSTing /actions/prepare-update: "
    "Update action not allowed according to update state"
)


def with_status(**changes: Any) -> str:
    return printed({**json.loads(AVAILABLE_TEXT), **changes})


def report_of(stdout: str) -> HostReport:
    answer = read_check(0, stdout, REFRESHING)
    assert isinstance(answer, HostReport)
    return answer


def problem_of(exit_code: int, stdout: str, stderr: str = "") -> HostProblem:
    answer = read_check(exit_code, stdout, stderr)
    assert isinstance(answer, HostProblem)
    return answer


# The four states


def test_an_idle_host_reports_its_version() -> None:
    assert report_of(printed(IDLE_STATUS)) == HostReport(BOOT, UpdateState.IDLE, Version(1, 15, 0), None, None)


def test_an_available_host_says_what_it_runs_and_what_an_apply_would_bring() -> None:
    expected = HostReport(BOOT, UpdateState.AVAILABLE, Version(1, 14, 0), Version(1, 15, 0), None)
    assert report_of(BOOT_LINE + AVAILABLE_TEXT) == expected


@pytest.mark.parametrize(("state", "next_to_boot"), [(UpdateState.STAGED, False), (UpdateState.READY, True)])
def test_a_staged_or_ready_host_says_what_is_on_its_other_partition(state: UpdateState, *, next_to_boot: bool) -> None:
    text = with_status(
        update_state=state.value, staging_partition={"image": STAGED_IMAGE, "next_to_boot": next_to_boot}
    )
    expected = HostReport(BOOT, state, Version(1, 14, 0), Version(1, 15, 0), Version(1, 15, 0))
    assert report_of(text) == expected


def test_a_ready_host_may_have_staged_another_release_than_is_offered_by_now() -> None:
    newer = {**STAGED_IMAGE, "version": "1.16.0"}
    report = report_of(
        with_status(update_state="Ready", chosen_update=newer, staging_partition={"image": STAGED_IMAGE})
    )
    assert (report.target, report.chosen) == (Version(1, 15, 0), Version(1, 16, 0))


def test_a_staged_host_whose_release_was_withdrawn_has_no_target() -> None:
    text = with_status(update_state="Staged", chosen_update=None, staging_partition={"image": STAGED_IMAGE})
    assert report_of(text).target is None


@pytest.mark.parametrize(
    ("offered", "withdrawn"),
    [
        (["1.15.0", "1.14.0"], False),
        (["v1.15.0", "v1.14.0"], False),
        (["1.14.0"], True),
        ([], True),
        (None, False),
        ([{"version": "1.14.0"}], False),
        (["1.14.0", "latest"], False),
    ],
    ids=["offered", "offered with v", "withdrawn", "nothing offered", "no list", "objects", "no version"],
)
def test_a_staged_version_is_withdrawn_only_if_a_readable_list_lacks_it(offered: object, *, withdrawn: bool) -> None:
    staged = {"image": STAGED_IMAGE, "next_to_boot": True}
    text = with_status(update_state="Ready", staging_partition=staged, available_updates=offered)
    assert report_of(text).withdrawn is withdrawn


def test_a_byte_order_mark_before_the_boot_id_is_passed_over() -> None:
    assert report_of("\ufeff" + BOOT_LINE + AVAILABLE_TEXT).boot == report_of(BOOT_LINE + AVAILABLE_TEXT).boot


def test_a_boot_id_is_not_reported_as_the_cause_of_a_failure() -> None:
    assert problem_of(137, "3f2b1c4d-1111-2222-3333-0123456789ab\n").detail == "exit 137: no output"


@pytest.mark.parametrize("offered", [[], ["1.14.0", "1.13.5"]])
def test_only_the_repositorys_chosen_version_matters(offered: list[str]) -> None:
    report = report_of(with_status(update_state="Idle", chosen_update=None, available_updates=offered))
    assert report.target is None


@pytest.mark.parametrize(
    ("report", "target"),
    [(idle(), None), (available(), Version(1, 21, 0)), (staged(), Version(1, 21, 0)), (ready(), Version(1, 21, 0))],
)
def test_the_target_is_what_the_host_would_run_after_apply_and_reboot(
    report: HostReport, target: Version | None
) -> None:
    assert report.target == target


# Lenient about form


def test_keys_may_come_in_the_order_of_the_struct() -> None:
    status = json.loads(AVAILABLE_TEXT)
    struct_order = ["update_state", "available_updates", "chosen_update", "active_partition", "staging_partition"]
    text = BOOT_LINE + json.dumps({key: status[key] for key in struct_order})
    assert report_of(text) == report_of(BOOT_LINE + AVAILABLE_TEXT)


@PURE
@given(st.permutations(list(json.loads(AVAILABLE_TEXT))))
def test_keys_may_come_in_any_order(keys: list[str]) -> None:
    status = json.loads(AVAILABLE_TEXT)
    assert report_of(printed({key: status[key] for key in keys})) == report_of(BOOT_LINE + AVAILABLE_TEXT)


def test_compact_json_is_read_like_pretty_json() -> None:
    compact = json.dumps(json.loads(AVAILABLE_TEXT), separators=(",", ":"))
    assert report_of(BOOT_LINE + compact) == report_of(BOOT_LINE + AVAILABLE_TEXT)


def test_colour_codes_in_the_output_are_passed_over() -> None:
    text = f"\u001b[0m\u001b[34m{BOOT_LINE.strip()}\u001b[0m\r\n" + REFRESHING_IN_COLOUR + AVAILABLE_TEXT
    assert report_of(text) == report_of(BOOT_LINE + AVAILABLE_TEXT)


def test_log_lines_around_the_status_are_passed_over() -> None:
    text = REFRESHING + BOOT_LINE + REFRESHING + AVAILABLE_TEXT + REFRESHING
    assert report_of(text) == report_of(BOOT_LINE + AVAILABLE_TEXT)


@pytest.mark.parametrize("before", ["{not json}\n", '{"level": "info"}\n', "{{{\n", "[1, {\n"])
def test_braces_before_the_status_are_passed_over(before: str) -> None:
    assert report_of(BOOT_LINE + before + AVAILABLE_TEXT) == report_of(BOOT_LINE + AVAILABLE_TEXT)


def test_a_boot_id_may_be_printed_after_the_status() -> None:
    assert report_of(AVAILABLE_TEXT + BOOT_LINE).boot == BOOT


def test_a_boot_id_in_capitals_is_the_same_boot_id() -> None:
    assert report_of(BOOT_LINE.upper() + AVAILABLE_TEXT).boot == BOOT


def test_unknown_fields_are_passed_over() -> None:
    assert report_of(with_status(new_field={"update_state": "Idle"})) == report_of(BOOT_LINE + AVAILABLE_TEXT)


def test_a_missing_most_recent_command_does_not_matter() -> None:
    assert report_of(with_status(most_recent_command=None)) == report_of(BOOT_LINE + AVAILABLE_TEXT)


# Strict about meaning


def test_a_check_without_a_boot_id_is_its_own_problem() -> None:
    assert problem_of(0, AVAILABLE_TEXT).problem is Problem.NO_BOOT_ID


def test_a_boot_id_inside_another_line_is_none() -> None:
    assert problem_of(0, f"boot {BOOT_LINE}" + AVAILABLE_TEXT).problem is Problem.NO_BOOT_ID


def test_an_unknown_state_is_named() -> None:
    answer = problem_of(0, with_status(update_state="Rebasing"))
    assert answer == HostProblem(Problem.UNKNOWN_STATE, "update state 'Rebasing'")


@pytest.mark.parametrize("state", [None, 3, [], {}, "idle", ""])
def test_a_state_that_is_none_of_the_four_is_unknown(state: object) -> None:
    assert problem_of(0, with_status(update_state=state)).problem is Problem.UNKNOWN_STATE


@pytest.mark.parametrize("text", ["", "\n", "sh: apiclient: not found", "[]", '"Idle"', "{}", "{", '{"a": {}}'])
def test_output_without_a_status_is_unreadable(text: str) -> None:
    assert problem_of(0, BOOT_LINE + text).problem is Problem.UNREADABLE


def test_both_mandatory_fields_are_required_as_in_the_predecessor() -> None:
    """P19 and VerifyUpdateErr/parse output err: an empty output, or one without the running version, is an error."""
    without_version = {"update_state": "Available", "active_partition": None}
    problems = [problem_of(0, ""), problem_of(0, printed(without_version)), problem_of(0, printed({}))]
    assert [answer.problem for answer in problems] == [Problem.UNREADABLE] * 3


@PURE
@given(st.integers(0, len(AVAILABLE_TEXT) - 3))
def test_a_status_that_was_cut_anywhere_is_unreadable(length: int) -> None:
    assert problem_of(0, BOOT_LINE + AVAILABLE_TEXT[:length]).problem is Problem.UNREADABLE


def test_a_status_in_struct_order_that_was_cut_is_unreadable_though_its_state_is_there() -> None:
    text = '{"update_state": "Ready", "active_partition": {"image": {"version": "1.14.0"}}, "staging_part'
    assert problem_of(0, BOOT_LINE + text).problem is Problem.UNREADABLE


@pytest.mark.parametrize("version", ["", "latest", 15, ["1.15.0"], "1.15"])
def test_a_version_that_is_none_makes_the_status_unreadable(version: object) -> None:
    text = with_status(chosen_update={**STAGED_IMAGE, "version": version})
    assert problem_of(0, text).problem is Problem.UNREADABLE


@pytest.mark.parametrize("partition", [None, [], "1.14.0", {"image": None}, {"image": {}}])
def test_a_status_without_a_running_version_is_unreadable(partition: object) -> None:
    assert problem_of(0, with_status(active_partition=partition)).problem is Problem.UNREADABLE


@PURE
@given(st.integers(-1, 255), st.text(max_size=300), st.text(max_size=300))
def test_any_text_is_a_report_or_a_problem(exit_code: int, stdout: str, stderr: str) -> None:
    assert isinstance(read_check(exit_code, stdout, stderr), HostReport | HostProblem)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=12,
)


@PURE
@given(st.sampled_from(sorted(IDLE_STATUS)), json_values)
def test_any_value_in_any_field_is_a_report_or_a_problem(key: str, value: object) -> None:
    answer = read_check(0, printed({**IDLE_STATUS, key: value}), "")
    assert isinstance(answer, HostReport | HostProblem)


@pytest.mark.parametrize("text", ["{" * 24_000, '{"a":' * 4_800, "[" * 24_000, '{"update_state": ' + "9" * 5000 + "}"])
def test_hostile_nesting_is_unreadable_and_nothing_worse(text: str) -> None:
    assert problem_of(0, BOOT_LINE + text).problem is Problem.UNREADABLE


# Failures


def test_the_usage_text_of_an_old_apiclient_means_that_the_host_is_too_old() -> None:
    assert problem_of(2, "", USAGE_OF_1_0_4).problem is Problem.TOO_OLD


def test_exit_2_without_a_usage_text_is_a_failure_like_any_other() -> None:
    assert problem_of(2, "", "cat: /proc/sys/kernel/random/boot_id: No such file").problem is Problem.FAILED


@pytest.mark.parametrize("line", [LOCKED_FOR_READING, LOCKED_FOR_REFRESH])
def test_a_held_lock_is_a_reason_to_wait(line: str) -> None:
    assert problem_of(1, BOOT_LINE, REFRESHING + line + RUN_COMMAND_SUFFIX) == HostProblem(Problem.BUSY, line)


@pytest.mark.parametrize("line", [LOCKED_FOR_READING, LOCKED_FOR_REFRESH, LOCKED_FOR_ACTIVATE])
def test_every_423_of_apiclient_says_that_the_lock_is_held(line: str) -> None:
    assert lock_held(line)


@pytest.mark.parametrize(
    "line",
    [
        NOT_ALLOWED,
        "21:14:22 [INFO] Still waiting for updated status, will wait up to 423.5s longer...",
        "Failed to fetch https://repo.example:423/x: Transport 'file not found'",
        "dns error: failed to lookup address: Resource temporarily unavailable (os error 11)",
    ],
)
def test_other_messages_do_not_say_that_the_lock_is_held(line: str) -> None:
    assert not lock_held(line)


def test_a_failed_check_says_the_exit_code_and_the_hosts_own_words() -> None:
    line = "Failed to check for updates: Failed getting update status: Failed to send request: …"
    answer = problem_of(1, BOOT_LINE, REFRESHING + line + RUN_COMMAND_SUFFIX)
    assert answer == HostProblem(Problem.FAILED, f"exit 1: {line}")


def test_a_failed_check_is_a_failure_even_if_it_printed_a_status() -> None:
    assert problem_of(1, BOOT_LINE + AVAILABLE_TEXT, "").problem is Problem.FAILED


# The line that names the cause


def test_the_cause_is_the_last_line_that_is_not_a_log_line() -> None:
    assert cause_line("", REFRESHING_IN_COLOUR + "first\nsecond\n" + APPLIED_STDERR) == "second"


def test_the_telling_line_is_from_the_error_before_the_output() -> None:
    assert cause_line("output", "error") == "error"


def test_the_output_is_used_if_the_error_is_empty() -> None:
    assert cause_line("output", REFRESHING + RUN_COMMAND_SUFFIX) == "output"


def test_a_silent_host_said_nothing() -> None:
    assert cause_line("", APPLIED_STDERR) == "no output"


def test_the_truncation_mark_does_not_count_as_the_cause() -> None:
    assert cause_line("", "the cause\n" + APPLIED_STDERR + "\n--output truncated--") == "the cause"


def test_apiclients_advice_does_not_hide_the_cause() -> None:
    line = cause_line("", APPLIED_STDERR + NOT_ALLOWED + RUN_COMMAND_SUFFIX)
    assert line.endswith("Update action not allowed according to update state")


def test_a_cause_behind_apiclients_advice_is_reported_in_full() -> None:
    cause = "prepare attempt failed with status 'Failed' (-1): Failed to store manifest and migrations: Error writing "
    cause += "target file to '/var/lib/bottlerocket-migrations/x': No space left on device (os error 28)"
    assert cause_line("", PREPARE_ADVICE + cause).endswith(cause)


@PURE
@given(st.text(max_size=900), st.text(max_size=900))
def test_the_line_that_names_the_cause_is_one_short_line(stdout: str, stderr: str) -> None:
    line = cause_line(stdout, stderr)
    assert 0 < len(line) <= DETAIL_MAX_CHARACTERS
    assert line.splitlines() == [line]


@PURE
@given(st.text(alphabet=st.characters(max_codepoint=0x2FF), max_size=200))
def test_plain_text_cannot_steer_a_terminal(text: str) -> None:
    assert not [character for character in plain(text) if ord(character) < 32 and character not in "\t\n"]


def test_plain_text_keeps_tabs_and_lines() -> None:
    assert plain("a\tb\n\x1b[1;31mc\x1b[0m\x07") == "a\tb\nc"
