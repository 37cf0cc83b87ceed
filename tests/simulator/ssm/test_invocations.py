"""The lifecycle of an invocation: visible late, delivered, run, reported, truncated, expired, cancelled."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.simulator.ssm_bench import document, ssm_bench

from bottlerocket_ecs_updater.simulator.aws_basics.errors import AwsError
from bottlerocket_ecs_updater.simulator.faults import OutOfReach, SsmUnreachable
from bottlerocket_ecs_updater.simulator.ssm import SsmTiming
from bottlerocket_ecs_updater.simulator.ssm.invocation import iso_duration
from bottlerocket_ecs_updater.simulator.ssm.output import combined, prefix

LOST = SsmUnreachable(OutOfReach.CONNECTION_LOST)


def test_a_check_succeeds_with_the_hosts_output_and_the_name_of_the_step() -> None:
    bench = ssm_bench()
    command_id = bench.send("check")
    bench.pass_time(10)
    answer = bench.answer(command_id)
    assert bench.end(command_id) == ("Success", "Success", 0)
    assert answer["StandardOutputContent"].startswith(f"{bench.hosts[0].boot_id}\n{{\n")
    assert answer["StandardErrorContent"].endswith("[INFO] Refreshing updates...\n")
    assert answer["PluginName"] == "TheStep"


def test_a_command_is_not_to_be_read_right_after_it_was_sent() -> None:
    bench = ssm_bench()
    command_id = bench.send("check")
    with pytest.raises(AwsError, match="InvocationDoesNotExist"):
        bench.answer(command_id)
    assert bench.listed(CommandId=command_id) == []
    assert bench.service.list_commands({"CommandId": command_id}) == {"Commands": []}
    bench.pass_time(1)
    assert bench.answer(command_id)["CommandId"] == command_id
    assert len(bench.listed(CommandId=command_id)) == 1


def test_how_late_a_command_becomes_visible_can_be_chosen() -> None:
    bench = ssm_bench(timing=SsmTiming(visible=timedelta()))
    assert bench.end(bench.send("check")) == ("Pending", "Pending", -1)


@pytest.mark.parametrize("request_part", [{"CommandId": "0" * 36}, {"InstanceId": "i-ffffffffffffffff0"}])
def test_an_invocation_that_was_never_sent_does_not_exist(request_part: dict[str, str]) -> None:
    bench = ssm_bench()
    command_id = bench.send("check")
    bench.pass_time(10)
    with pytest.raises(AwsError, match="InvocationDoesNotExist"):
        bench.service.get_command_invocation({"CommandId": command_id, "InstanceId": bench.ids[0], **request_part})


def test_a_plugin_that_the_document_does_not_have_is_refused() -> None:
    bench = ssm_bench()
    request = {"CommandId": bench.send("check"), "InstanceId": bench.ids[0]}
    bench.pass_time(10)
    assert bench.service.get_command_invocation({**request, "PluginName": "TheStep"})["ResponseCode"] == 0
    with pytest.raises(AwsError, match="InvalidPluginName"):
        bench.service.get_command_invocation({**request, "PluginName": "Another"})


def test_while_it_runs_there_is_no_output_and_no_response_code() -> None:
    bench = ssm_bench()
    answer = bench.run("echo early", "sleep 600", wait=60)
    assert (answer["Status"], answer["ResponseCode"], answer["StandardOutputContent"]) == ("InProgress", -1, "")
    assert answer["ExecutionStartDateTime"] == "2026-01-05T09:00:00.500Z"
    assert answer["ExecutionEndDateTime"] == answer["ExecutionElapsedTime"] == ""


def test_a_failing_script_fails_with_its_status_and_the_agents_own_line() -> None:
    answer = ssm_bench().run("echo out", "exit 3")
    assert (answer["Status"], answer["StatusDetails"], answer["ResponseCode"]) == ("Failed", "Failed", 3)
    assert answer["StandardOutputContent"] == "out\n"
    assert answer["StandardErrorContent"] == "\nfailed to run commands: exit status 3"


def test_a_script_past_the_documents_time_is_killed_and_times_out() -> None:
    bench = ssm_bench()
    bench.documents["slow"] = document("echo early", "sleep 600", timeout="60")
    command_id = bench.send("slow")
    bench.pass_time(62)
    assert bench.end(command_id) == ("TimedOut", "ExecutionTimedOut", 137)
    assert bench.answer(command_id)["StandardOutputContent"] == "early\n"


def test_an_elapsed_time_is_that_of_the_execution() -> None:
    assert ssm_bench().run("sleep 90")["ExecutionElapsedTime"] == ""
    assert ssm_bench().run("sleep 90", wait=120)["ExecutionElapsedTime"] == "PT1M30S"


@pytest.mark.parametrize(("seconds", "text"), [(0, "PT0S"), (0.484, "PT0.484S"), (60, "PT1M"), (3661.5, "PT1H1M1.5S")])
def test_a_duration_is_written_as_ssm_writes_it(seconds: float, text: str) -> None:
    assert iso_duration(timedelta(seconds=seconds)) == text


def test_long_output_is_cut_to_the_limits_with_a_note() -> None:
    bench = ssm_bench()
    answer = bench.run(*["echo " + "x" * 999] * 30, *["x" * 900] * 10)
    assert len(answer["StandardOutputContent"]) == 24_000
    assert len(answer["StandardErrorContent"]) == 8_000
    assert answer["StandardOutputContent"].endswith("--output truncated--")
    assert answer["StandardErrorContent"].endswith("--output truncated--")


def test_a_long_failure_loses_its_last_line_which_says_why() -> None:
    bench = ssm_bench()
    answer = bench.run(*["x" * 900] * 10)
    assert "failed to run commands" not in answer["StandardErrorContent"]


def test_output_at_the_limit_is_whole() -> None:
    assert prefix("x" * 24_000, 24_000) == "x" * 24_000


@pytest.mark.parametrize(
    ("out", "err", "shown"),
    [
        ("", "", ""),
        ("o", "", "o"),
        ("", "e", "\n----------ERROR-------\ne"),
        ("o", "e", "o\n----------ERROR-------\ne"),
        ("o" * 200, "", "o" * 77 + "\n---Output truncated---"),
        ("", "e" * 200, "\n----------ERROR-------\n" + "e" * 53 + "\n---Error truncated----"),
        (
            "o" * 200,
            "e" * 200,
            "o" * 15
            + "\n---Output truncated---"
            + "\n----------ERROR-------\n"
            + "e" * 15
            + "\n---Error truncated----",
        ),
        ("o" * 9, "e" * 200, "o" * 9 + "\n----------ERROR-------\n" + "e" * 44 + "\n---Error truncated----"),
        ("o" * 200, "e" * 9, "o" * 44 + "\n---Output truncated---" + "\n----------ERROR-------\n" + "e" * 9),
    ],
)
def test_both_streams_share_the_room_of_a_listed_plugin(out: str, err: str, shown: str) -> None:
    assert combined(out, err, limit=100) == shown


def test_a_list_with_details_shows_at_most_2500_characters() -> None:
    bench = ssm_bench()
    bench.run(*["echo " + "x" * 999] * 5)
    plugin = bench.listed(Details=True)[0]["CommandPlugins"][0]
    assert (plugin["Name"], plugin["ResponseCode"], len(plugin["Output"])) == ("TheStep", 0, 2500)


def test_a_list_without_details_has_no_plugins() -> None:
    bench = ssm_bench()
    bench.run("true")
    assert bench.listed()[0]["CommandPlugins"] == []


def test_one_page_of_a_list_answers_for_fifty_instances() -> None:
    bench = ssm_bench(hosts=50)
    command_id = bench.send("check")
    bench.pass_time(10)
    reply = bench.service.list_command_invocations({"CommandId": command_id})
    assert {each["InstanceId"] for each in reply["CommandInvocations"]} == set(bench.ids)
    assert "NextToken" not in reply


def test_a_lost_instance_leaves_its_command_pending_then_delayed_then_undeliverable() -> None:
    bench = ssm_bench(LOST)
    command_id = bench.send("check", TimeoutSeconds=600)
    seen = []
    for wait in (2, 40, 600):
        bench.pass_time(wait)
        seen.append(bench.end(command_id))
    assert seen == [("Pending", "Pending", -1), ("Delayed", "Delayed", -1), ("Failed", "Undeliverable", -1)]
    answer = bench.answer(command_id)
    assert (answer["StandardOutputContent"], answer["StandardErrorContent"]) == ("", "")


def test_an_undeliverable_command_stays_undeliverable_when_the_instance_is_back() -> None:
    bench = ssm_bench(SsmUnreachable(OutOfReach.CONNECTION_LOST, lasts=timedelta(minutes=30)))
    command_id = bench.send("check", TimeoutSeconds=600)
    bench.pass_time(2000)
    assert bench.hosts[0].ssm_agent_up
    assert bench.end(command_id) == ("Failed", "Undeliverable", -1)


def test_an_instance_that_is_away_for_a_while_takes_the_command_when_it_is_back() -> None:
    bench = ssm_bench()
    bench.hosts[0].reboot("maintenance")
    bench.pass_time(5)
    command_id = bench.send("check")
    bench.pass_time(40)
    assert bench.end(command_id)[0] == "Delayed"
    bench.pass_time(30)
    assert bench.end(command_id) == ("Success", "Success", 0)


def test_a_command_that_was_not_taken_in_time_is_not_run_and_times_out_at_its_expiry() -> None:
    bench = ssm_bench()
    bench.hosts[0].reboot("maintenance")
    bench.pass_time(5)
    command_id = bench.send("check", TimeoutSeconds=30)
    bench.pass_time(300)
    assert bench.end(command_id)[0] == "Delayed"
    bench.pass_time(1800)
    assert bench.end(command_id) == ("TimedOut", "DeliveryTimedOut", -1)


def test_a_command_to_an_instance_that_is_terminated_expires() -> None:
    bench = ssm_bench()
    bench.documents["long"] = document("sleep 600")
    command_id = bench.send("long", TimeoutSeconds=600)
    bench.pass_time(5)
    bench.hosts[0].terminate()
    bench.service.forget(bench.ids[0])
    bench.pass_time(2000)
    assert bench.end(command_id)[0] == "InProgress"
    bench.pass_time(600)
    assert bench.end(command_id) == ("TimedOut", "DeliveryTimedOut", -1)


def test_a_result_that_comes_after_the_expiry_changes_nothing() -> None:
    bench = ssm_bench(timing=SsmTiming(report=timedelta(minutes=5)))
    bench.documents["short"] = document("true", timeout="10")
    command_id = bench.send("short", TimeoutSeconds=30)
    bench.pass_time(600)
    assert bench.end(command_id) == ("TimedOut", "DeliveryTimedOut", -1)


def test_cancelling_what_runs_kills_it() -> None:
    bench = ssm_bench()
    bench.documents["long"] = document("echo early", "sleep 600", "echo late")
    command_id = bench.send("long")
    bench.pass_time(5)
    bench.service.cancel_command({"CommandId": command_id})
    assert bench.end(command_id)[0] == "Cancelling"
    bench.pass_time(5)
    assert bench.end(command_id) == ("Cancelled", "Cancelled", 137)


def test_cancelling_what_has_not_started_ends_it_at_once() -> None:
    bench = ssm_bench(LOST)
    command_id = bench.send("check")
    bench.pass_time(5)
    bench.service.cancel_command({"CommandId": command_id, "InstanceIds": bench.ids})
    assert bench.end(command_id) == ("Cancelled", "Cancelled", -1)


def test_cancelling_what_has_ended_changes_nothing() -> None:
    bench = ssm_bench()
    command_id = bench.send("check")
    bench.pass_time(10)
    bench.service.cancel_command({"CommandId": command_id})
    assert bench.end(command_id) == ("Success", "Success", 0)


def test_cancelling_an_unknown_command_or_instance_is_refused() -> None:
    bench = ssm_bench()
    with pytest.raises(AwsError, match="InvalidCommandId"):
        bench.service.cancel_command({"CommandId": "0" * 36})
    command_id = bench.send("check")
    with pytest.raises(AwsError, match="InvalidInstanceId"):
        bench.service.cancel_command({"CommandId": command_id, "InstanceIds": ["i-ffffffffffffffff0"]})
