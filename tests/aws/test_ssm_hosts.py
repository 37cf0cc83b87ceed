"""Hosts behind Run Command: sending commands, and reading their results."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError, ReadTimeoutError
from hypothesis import given
from hypothesis import strategies as st
from tests.aws.fakes import START, Bench, denial, refusal

from bottlerocket_ecs_updater.aws.ssm_commands import LONGEST_COMMAND
from bottlerocket_ecs_updater.aws.transport.api import ACT_ATTEMPTS
from bottlerocket_ecs_updater.core.model.container_instance import PingStatus
from bottlerocket_ecs_updater.core.model.ids import BootId, CommandId, InstanceId
from bottlerocket_ecs_updater.core.model.reboots import BoundTo
from bottlerocket_ecs_updater.core.model.run_command import CommandStatus, DocumentKind, PendingCommand
from bottlerocket_ecs_updater.core.model.version import Version
from bottlerocket_ecs_updater.engine.ports import Answer
from bottlerocket_ecs_updater.errors import Denied, NotFound, Unreachable

COMMAND = CommandId("c" * 36)
DOCUMENT = "arn:aws:ssm:eu-west-1:111122223333:document/reboot-doc"
STATUS = '{\n  "update_state": "Idle"\n}'


def ids(count: int) -> list[InstanceId]:
    return [InstanceId(f"i-{number:017x}") for number in range(count)]


def invocation(
    id_: str, status: str = "Success", details: str = "", output: str | None = None, code: int = 0
) -> dict[str, Any]:
    plugins = [] if output is None else [{"Name": "step", "ResponseCode": code, "Output": output}]
    return {"InstanceId": id_, "Status": status, "StatusDetails": details or status, "CommandPlugins": plugins}


def hear(kind: DocumentKind, *invocations: dict[str, Any], **outputs: dict[str, Any]) -> dict[InstanceId, Answer]:
    bench = Bench()
    bench.ssm.invocations[COMMAND] = list(invocations)
    bench.ssm.outputs = {(id_.replace("_", "-"), ""): shape for id_, shape in outputs.items()}
    return dict(bench.hosts().answers(COMMAND, kind))


# Sending


def test_a_document_is_sent_in_its_default_version_fifty_instances_a_call() -> None:
    bench = Bench()
    sent = bench.hosts().send(DocumentKind.CHECK, ids(120))
    requests = bench.ssm.asked("send_command")
    assert [len(request["InstanceIds"]) for request in requests] == [50, 50, 20]
    assert {(request["DocumentName"], request["DocumentVersion"]) for request in requests} == {
        ("check-doc", "$DEFAULT")
    }
    assert set(sent.commands) == set(ids(120))
    assert len(set(sent.commands.values())) == 3


def test_each_kind_has_its_own_document_and_time_to_be_delivered() -> None:
    bench = Bench()
    hosts = bench.hosts()
    for kind in DocumentKind:
        hosts.send(kind, ids(1))
    asked = {request["DocumentName"]: request["TimeoutSeconds"] for request in bench.ssm.asked("send_command")}
    own = {"check-doc": 30, "apply-doc": 60, "reboot-doc": 30}
    assert asked == {**own, "before-drain-doc": 60, "after-reboot-doc": 60}


def test_a_command_says_who_sent_it_and_is_not_stopped_by_its_first_bad_host() -> None:
    bench = Bench()
    bench.hosts().send(DocumentKind.APPLY, ids(3))
    [request] = bench.ssm.asked("send_command")
    assert request["Comment"] == "bottlerocket-ecs-updater run r1"
    assert request["MaxErrors"] == "50"


def test_hosts_that_got_the_command_before_a_denial_are_reported_and_the_rest_is_retried() -> None:
    bench = Bench()
    bench.ssm.troubles["send_command"] = [None, denial(DOCUMENT)]
    sent = bench.hosts().send(DocumentKind.REBOOT, ids(60))
    assert set(sent.commands) == set(ids(60)[:50])
    assert set(sent.later) == set(ids(60)[50:])


def test_hosts_that_may_have_been_sent_to_before_a_denial_are_reported_too() -> None:
    bench = Bench()
    bench.ssm.troubles["send_command"] = [refusal("", "", 503), denial(DOCUMENT)]
    sent = bench.hosts().send(DocumentKind.REBOOT, ids(60))
    assert (set(sent.unclear), set(sent.later)) == (set(ids(60)[:50]), set(ids(60)[50:]))


def test_an_instance_named_twice_is_sent_to_once() -> None:
    bench = Bench()
    bench.hosts().send(DocumentKind.CHECK, ids(2) * 2)
    assert set(bench.ssm.sent.values()) == {1}


def test_an_instance_that_systems_manager_rejects_does_not_affect_the_others() -> None:
    bench = Bench()
    bench.ssm.unknown = {ids(50)[17]}
    sent = bench.hosts().send(DocumentKind.CHECK, ids(50))
    assert set(sent.refused) == {ids(50)[17]}
    assert len(sent.commands) == 49
    assert bench.ssm.count("send_command") == 3


@given(culprits=st.sets(st.sampled_from(ids(60))), telling=st.booleans())
def test_a_command_is_sent_once_to_every_instance_that_is_not_rejected(
    culprits: set[InstanceId], telling: bool
) -> None:
    bench = Bench()
    bench.ssm.unknown, bench.ssm.telling = set(culprits), telling
    sent = bench.hosts().send(DocumentKind.REBOOT, ids(60))
    assert set(sent.refused) == culprits
    assert bench.ssm.sent == dict.fromkeys(set(ids(60)) - culprits, 1)
    assert set(sent.commands) == set(ids(60)) - culprits
    assert not sent.unclear
    assert not sent.later


# Instances that IAM does not allow


def denying(culprits: set[InstanceId], *, telling: bool) -> Bench:
    bench = Bench()
    bench.ssm.forbidden, bench.ssm.telling = set(culprits), telling
    return bench


@given(culprits=st.sets(st.sampled_from(ids(120))), unknown=st.sets(st.sampled_from(ids(120))), telling=st.booleans())
def test_a_command_is_sent_once_to_every_instance_that_is_not_denied(
    culprits: set[InstanceId], unknown: set[InstanceId], telling: bool
) -> None:
    bench, allowed = denying(culprits, telling=telling), set(ids(120)) - culprits
    bench.ssm.unknown = set(unknown)
    sent = bench.hosts().send(DocumentKind.REBOOT, ids(120))
    assert set(sent.denied) == culprits
    assert set(sent.refused) == unknown - culprits
    assert bench.ssm.sent == dict.fromkeys(allowed - unknown, 1)
    assert (sent.unclear, sent.later) == ({}, {})


@given(st.sets(st.sampled_from(ids(300))))
def test_each_denial_that_names_an_instance_takes_an_extra_call(culprits: set[InstanceId]) -> None:
    bench = denying(culprits, telling=True)
    bench.hosts().send(DocumentKind.CHECK, ids(300))
    assert bench.ssm.count("send_command") <= len(culprits) + 300 // 50 + 1


@given(st.sets(st.sampled_from(ids(300))))
def test_denials_without_a_name_take_at_most_two_calls_for_each_instance(culprits: set[InstanceId]) -> None:
    bench = denying(culprits, telling=False)
    bench.hosts().send(DocumentKind.CHECK, ids(300))
    calls = bench.ssm.count("send_command")
    assert calls <= 2 * 300 + 6
    assert calls <= 7 + 30 * len(culprits)


def test_with_two_in_three_of_300_hosts_denied_without_a_name_each_is_tried_little_more_than_once() -> None:
    bench = denying({id_ for number, id_ in enumerate(ids(300)) if number % 3}, telling=False)
    assert len(bench.hosts().send(DocumentKind.CHECK, ids(300)).commands) == 100
    assert bench.ssm.count("send_command") <= 405


def test_a_denial_is_about_the_instance_that_it_names_not_about_the_callers_role() -> None:
    sent = denying({ids(2)[1]}, telling=True).hosts().send(DocumentKind.CHECK, ids(2))
    assert set(sent.commands) == {ids(2)[0]}
    assert sent.denied[ids(2)[1]].startswith("ssm:SendCommand on arn:aws:ec2:eu-west-1:111122223333:instance/i-0")


@pytest.mark.parametrize("resource", [DOCUMENT, "document/reboot-doc"])
def test_a_document_that_is_denied_is_tried_once(resource: str) -> None:
    bench = Bench()
    bench.ssm.troubles["send_command"] = [denial(resource)]
    with pytest.raises(Denied, match="reboot-doc"):
        bench.hosts().send(DocumentKind.REBOOT, ids(60))
    assert bench.ssm.count("send_command") == 1


@pytest.mark.parametrize("telling", [True, False])
def test_a_denial_for_all_instances_is_reported_for_each(telling: bool) -> None:
    assert set(denying(set(ids(7)), telling=telling).hosts().send(DocumentKind.CHECK, ids(7)).denied) == set(ids(7))


def test_the_operators_document_after_the_reboot_is_refused_for_the_host_that_is_denied() -> None:
    bench = denying({ids(3)[1]}, telling=False)
    sent = bench.hosts().send(DocumentKind.AFTER_REBOOT, ids(3))
    assert (set(sent.refused), set(sent.denied), len(sent.commands)) == ({ids(3)[1]}, set(), 2)


def test_a_denial_of_another_action_is_not_about_an_instance() -> None:
    bench = Bench()

    def secure(_: bool) -> None:
        raise Denied("not allowed: s3:PutObject on the store", "s3:PutObject", "i-00000000000000001", named=True)

    bench.hook = secure
    with pytest.raises(Denied, match="s3:PutObject"):
        bench.hosts().send(DocumentKind.REBOOT, ids(2))


def test_a_command_waits_if_the_record_could_not_be_written_before_it() -> None:
    bench = Bench()

    def secure(_: bool) -> None:
        raise Unreachable("the store is silent")

    bench.hook = secure
    sent = bench.hosts().send(DocumentKind.REBOOT, ids(2))
    assert (set(sent.later), sent.unclear, bench.ssm.count("send_command")) == (set(ids(2)), {}, 0)


@given(st.lists(st.sampled_from(["lost", "throttled", "fine"]), max_size=12), st.sets(st.sampled_from(ids(30))))
def test_every_instance_is_in_exactly_one_of_the_four(troubles: list[str], culprits: set[InstanceId]) -> None:
    bench = Bench()
    kinds = {"lost": refusal("InternalServerError", status=500), "throttled": refusal("ThrottlingException")}
    bench.ssm.troubles["send_command"] = [kinds.get(trouble) for trouble in troubles]
    bench.ssm.unknown = set(culprits)
    sent = bench.hosts().send(DocumentKind.APPLY, ids(30))
    parts = [set(sent.commands), set(sent.refused), set(sent.unclear), set(sent.later)]
    assert sorted(id_ for part in parts for id_ in part) == ids(30)


def test_a_lost_reply_is_unclear_and_the_document_is_not_sent_again() -> None:
    bench = Bench()
    bench.ssm.troubles["send_command"] = [ReadTimeoutError(endpoint_url="https://ssm.eu-west-1.amazonaws.com")]
    sent = bench.hosts().send(DocumentKind.REBOOT, ids(2))
    assert set(sent.unclear) == set(ids(2))
    assert bench.ssm.count("send_command") == 1


@pytest.mark.parametrize("trouble", [refusal("ThrottlingException"), EndpointConnectionError(endpoint_url="x")])
def test_a_command_that_surely_was_not_sent_is_for_later(trouble: BaseException) -> None:
    bench = Bench()
    bench.ssm.troubles["send_command"] = [trouble] * ACT_ATTEMPTS
    assert set(bench.hosts().send(DocumentKind.CHECK, ids(2)).later) == set(ids(2))


@pytest.mark.parametrize("code", ["InvalidDocument", "InvalidDocumentVersion"])
def test_a_document_that_does_not_exist_is_named(code: str) -> None:
    bench = Bench()
    bench.ssm.troubles["send_command"] = [refusal(code)]
    with pytest.raises(NotFound, match="document apply-doc does not exist"):
        bench.hosts().send(DocumentKind.APPLY, ids(1))


def test_a_call_that_is_wrong_in_itself_is_not_cut_into_parts() -> None:
    bench = Bench()
    bench.ssm.troubles["send_command"] = [refusal("InvalidParameters")]
    assert set(bench.hosts().send(DocumentKind.CHECK, ids(50)).refused) == set(ids(50))
    assert bench.ssm.count("send_command") == 1


BOUND = BoundTo((BootId("b" * 32), BootId("a" * 32)), Version.parse("1.21.0"))


def test_a_reboot_is_bound_to_boots_and_a_version() -> None:
    bench = Bench()
    bench.hosts().send(DocumentKind.REBOOT, ids(2), bound_to=BOUND)
    [asked] = bench.ssm.asked("send_command")
    assert asked["Parameters"] == {"boots": [f"{'a' * 32}|{'b' * 32}"], "version": ["1.21.0"]}


def test_no_bound_reboot_is_sent_with_a_document_without_parameters() -> None:
    bench = Bench()
    bench.ssm.troubles["send_command"] = [refusal("InvalidParameters")]
    sent = bench.hosts().send(DocumentKind.REBOOT, ids(50), bound_to=BOUND)
    assert (set(sent.not_bound), sent.refused, bench.ssm.count("send_command")) == (set(ids(50)), {}, 1)


@pytest.mark.parametrize("declared", [(), ("boots",), ("version",), ("boot", "versions")])
def test_a_reboot_is_never_bound_to_what_the_document_does_not_declare(declared: tuple[str, ...]) -> None:
    bench = Bench()
    bench.ssm.declared = declared
    hosts = bench.hosts()
    assert set(hosts.send(DocumentKind.REBOOT, ids(2), bound_to=BOUND).not_bound) == set(ids(2))
    assert bench.ssm.count("send_command") == 0
    hosts.send(DocumentKind.REBOOT, ids(2), bound_to=BOUND)
    assert bench.ssm.count("describe_document") == 1


def test_a_reboot_document_that_cannot_be_described_now_is_for_later() -> None:
    bench = Bench()
    bench.ssm.troubles["describe_document"] = [EndpointConnectionError(endpoint_url="x")] * 9
    assert set(bench.hosts().send(DocumentKind.REBOOT, ids(2), bound_to=BOUND).later) == set(ids(2))


def test_a_command_is_cancelled_for_its_instances() -> None:
    bench = Bench()
    bench.hosts().cancel(COMMAND, ids(1))
    assert bench.ssm.asked("cancel_command") == [{"CommandId": COMMAND, "InstanceIds": ids(1)}]


@pytest.mark.parametrize("trouble", [refusal("InvalidCommandId"), refusal("", "", 500)])
def test_a_command_that_cannot_be_cancelled_is_let_be(trouble: BaseException) -> None:
    bench = Bench()
    bench.ssm.troubles["cancel_command"] = [trouble]
    bench.hosts().cancel(COMMAND, ids(1))
    assert bench.ssm.count("cancel_command") == 1


def test_a_command_that_may_not_be_cancelled_is_denied() -> None:
    bench = Bench()
    bench.ssm.troubles["cancel_command"] = [refusal("AccessDeniedException")]
    with pytest.raises(Denied, match="ssm:CancelCommand"):
        bench.hosts().cancel(COMMAND, ids(1))


# Reading results


def test_the_output_of_a_check_comes_from_the_list_if_it_is_complete_there() -> None:
    answers = hear(DocumentKind.CHECK, invocation("i-1", output=f"boot\n{STATUS}"))
    assert answers == {InstanceId("i-1"): Answer(CommandStatus.SUCCESS, 0, f"boot\n{STATUS}", "", "Success")}


def test_stdout_and_stderr_are_separated() -> None:
    answers = hear(
        DocumentKind.APPLY, invocation("i-1", "Failed", output="out\n----------ERROR-------\nfailed to run", code=1)
    )
    assert (answers[InstanceId("i-1")].stdout, answers[InstanceId("i-1")].stderr) == ("out", "failed to run")
    assert answers[InstanceId("i-1")].exit_code == 1


@pytest.mark.parametrize("listed", ["x" * 2_500, "", "{--output truncated--", '{"update_state"'])
def test_output_that_may_be_truncated_is_fetched(listed: str) -> None:
    whole = {"ResponseCode": 0, "StandardOutputContent": STATUS, "StandardErrorContent": "", "StatusDetails": "Success"}
    answers = hear(DocumentKind.CHECK, invocation("i-1", output=listed), i_1=whole)
    assert answers[InstanceId("i-1")].stdout == STATUS


def test_output_that_is_not_listed_at_all_is_fetched() -> None:
    failed = {"ResponseCode": 2, "StandardErrorContent": "usage: apiclient"}
    answers = hear(DocumentKind.CHECK, invocation("i-1", "Failed"), i_1=failed)
    assert (answers[InstanceId("i-1")].exit_code, answers[InstanceId("i-1")].stderr) == (2, "usage: apiclient")


def test_output_is_fetched_once_for_each_instance_while_others_are_waited_for() -> None:
    bench = Bench()
    bench.ssm.invocations[COMMAND] = [invocation("i-1"), invocation("i-2", "InProgress")]
    bench.ssm.outputs[("i-1", "")] = {"ResponseCode": 0, "StandardOutputContent": STATUS}
    hosts = bench.hosts()
    first, second = hosts.answers(COMMAND, DocumentKind.CHECK), hosts.answers(COMMAND, DocumentKind.CHECK)
    assert first == second
    assert bench.ssm.count("get_command_invocation") == 1


def test_output_that_is_not_there_yet_leaves_the_instance_out() -> None:
    assert hear(DocumentKind.CHECK, invocation("i-1")) == {}


def test_an_apply_that_succeeded_is_not_asked_for_its_output() -> None:
    bench = Bench()
    bench.ssm.invocations[COMMAND] = [invocation("i-1")]
    assert bench.hosts().answers(COMMAND, DocumentKind.APPLY)[InstanceId("i-1")].end is CommandStatus.SUCCESS
    assert bench.ssm.count("get_command_invocation") == 0


def test_the_steps_of_a_document_are_read_as_one_document() -> None:
    bench = Bench()
    shape = invocation("i-1")
    shape["CommandPlugins"] = [{"Name": "boot", "ResponseCode": 0}, {"Name": "check", "ResponseCode": 0}]
    bench.ssm.invocations[COMMAND] = [shape]
    bench.ssm.outputs[("i-1", "boot")] = {"ResponseCode": 0, "StandardOutputContent": "boot-id"}
    bench.ssm.outputs[("i-1", "check")] = {"ResponseCode": 0, "StandardOutputContent": STATUS}
    assert bench.hosts().answers(COMMAND, DocumentKind.CHECK)[InstanceId("i-1")].stdout == f"boot-id\n{STATUS}"


def test_the_answers_of_fifty_hosts_take_one_call() -> None:
    bench = Bench()
    bench.ssm.invocations[COMMAND] = [invocation(id_, output=STATUS) for id_ in ids(50)]
    assert len(bench.hosts().answers(COMMAND, DocumentKind.CHECK)) == 50
    assert dict(bench.calls) == {"ssm:ListCommandInvocations": 1}


def test_answers_on_all_pages_are_read() -> None:
    bench = Bench()
    bench.ssm.page_size = 7
    bench.ssm.invocations[COMMAND] = [invocation(id_, output=STATUS) for id_ in ids(50)]
    assert len(bench.hosts().answers(COMMAND, DocumentKind.CHECK)) == 50


@pytest.mark.parametrize("status", ["Pending", "InProgress", "Delayed", "Cancelling", "SomethingNew"])
def test_a_command_that_has_not_ended_has_no_end(status: str) -> None:
    assert hear(DocumentKind.CHECK, invocation("i-1", status))[InstanceId("i-1")].end is None


@pytest.mark.parametrize(
    ("status", "details", "end"),
    [
        ("Success", "Success", CommandStatus.SUCCESS),
        ("Failed", "Failed", CommandStatus.FAILED),
        ("Failed", "Undeliverable", CommandStatus.NOT_DELIVERED),
        ("Failed", "Terminated", CommandStatus.CANCELLED),
        ("Failed", "InvalidPlatform", CommandStatus.FAILED),
        ("Failed", "SomethingNew", CommandStatus.FAILED),
        ("TimedOut", "DeliveryTimedOut", CommandStatus.NOT_DELIVERED),
        ("TimedOut", "Delivery Timed Out", CommandStatus.NOT_DELIVERED),
        ("TimedOut", "ExecutionTimedOut", CommandStatus.TIMED_OUT),
        ("TimedOut", "", CommandStatus.TIMED_OUT),
        ("Cancelled", "Cancelled", CommandStatus.CANCELLED),
    ],
)
def test_each_ending_of_a_command_is_distinguished(status: str, details: str, end: CommandStatus) -> None:
    assert hear(DocumentKind.REBOOT, invocation("i-1", status, details, output="x"))[InstanceId("i-1")].end is end


def test_a_command_that_is_not_known_everywhere_yet_has_no_answers() -> None:
    bench = Bench()
    bench.ssm.troubles["list_command_invocations"] = [refusal("InvalidCommandId")]
    assert bench.hosts().answers(COMMAND, DocumentKind.CHECK) == {}


# Reach


def test_every_instance_that_is_asked_for_is_reported_with_its_connection() -> None:
    bench = Bench()
    pings = ["Online", "ConnectionLost", "Inactive", "SomethingNew"]
    bench.ssm.information = [{"InstanceId": f"i-{ping}", "PingStatus": ping} for ping in pings]
    found = bench.hosts().reach([InstanceId(f"i-{ping}") for ping in pings])
    assert {id_: node.reach for id_, node in found.items()} == {
        "i-Online": PingStatus.ONLINE,
        "i-ConnectionLost": PingStatus.CONNECTION_LOST,
        "i-Inactive": PingStatus.CONNECTION_LOST,
        "i-SomethingNew": PingStatus.UNKNOWN,
    }
    assert {id_: node.ping for id_, node in found.items()} == {f"i-{ping}": ping for ping in pings}


def test_the_version_that_the_agent_names_is_reported_for_bottlerocket_only() -> None:
    bench = Bench()
    bench.ssm.information = [
        {"InstanceId": "i-1", "PingStatus": "Online", "PlatformName": "Bottlerocket", "PlatformVersion": "1.20.0"},
        {"InstanceId": "i-2", "PingStatus": "Online", "PlatformName": "Amazon Linux", "PlatformVersion": "2"},
        {"InstanceId": "i-3", "PingStatus": "Online", "PlatformName": "Bottlerocket", "PlatformVersion": "?"},
    ]
    found = bench.hosts().reach([InstanceId(id_) for id_ in ("i-1", "i-2", "i-3")])
    assert [str(found[InstanceId(id_)].version) for id_ in ("i-1", "i-2", "i-3")] == ["1.20.0", "None", "None"]


def test_in_a_large_account_only_the_clusters_instances_are_read_fifty_a_call() -> None:
    bench = Bench()
    bench.ssm.information = [{"InstanceId": id_, "PingStatus": "Online"} for id_ in ids(20_000)]
    ours = ids(20_000)[-120:]
    assert set(bench.hosts().reach(ours)) == set(ours)
    asked = [filter_ for request in bench.ssm.asked("describe_instance_information") for filter_ in request["Filters"]]
    assert {one["Key"] for one in asked} == {"InstanceIds"}
    assert [len(one["Values"]) for one in asked] == [50, 50, 20]


def test_an_instance_that_systems_manager_does_not_know_is_left_out() -> None:
    bench = Bench()
    bench.ssm.information = [{"InstanceId": ids(2)[0], "PingStatus": "Online"}]
    assert set(bench.hosts().reach(ids(2))) == {ids(2)[0]}


def test_other_answers_are_read_if_systems_manager_refuses_one_id() -> None:
    bench = Bench()
    bench.ssm.information = [{"InstanceId": id_, "PingStatus": "Online"} for id_ in ids(3)]
    bench.ssm.unknown = {"i-odd"}
    found = bench.hosts().reach([*ids(3), InstanceId("i-odd")])
    assert [found[id_].reach for id_ in (*ids(3), InstanceId("i-odd"))] == [PingStatus.ONLINE] * 3 + [
        PingStatus.UNKNOWN
    ]


def test_no_instances_take_no_call() -> None:
    bench = Bench()
    assert bench.hosts().reach([]) == {}
    assert bench.ssm.count("describe_instance_information") == 0


# Commands in progress


def command(name: str, **changes: Any) -> dict[str, Any]:
    return {
        "CommandId": name,
        "DocumentName": "apply-doc",
        "Status": "InProgress",
        "RequestedDateTime": START,
        "InstanceIds": [],
        **changes,
    }


def test_an_apply_of_a_run_before_this_one_is_found() -> None:
    bench = Bench()
    bench.ssm.commands = [command("a")]
    bench.ssm.invocations["a"] = [invocation("i-1", "InProgress"), invocation("i-2", "Success")]
    found = bench.hosts().commands_in_progress(DocumentKind.APPLY, START)
    assert found == {InstanceId("i-1"): PendingCommand(DocumentKind.APPLY, CommandId("a"), START)}


def test_an_instance_that_was_only_just_sent_to_counts_as_in_progress() -> None:
    bench = Bench()
    bench.ssm.commands = [command("a", InstanceIds=["i-1"])]
    assert set(bench.hosts().commands_in_progress(DocumentKind.APPLY, START)) == {"i-1"}


def test_commands_that_ended_are_of_another_document_or_older_are_not_in_progress() -> None:
    bench = Bench()
    bench.ssm.commands = [
        command("a", InstanceIds=["i-1"], Status="Success"),
        command("b", InstanceIds=["i-2"], DocumentName="check-doc"),
        command("c", InstanceIds=["i-3"], RequestedDateTime=START - timedelta(hours=1)),
    ]
    assert bench.hosts().commands_in_progress(DocumentKind.APPLY, START) == {}


def test_a_command_is_found_although_our_clock_is_ahead_of_the_clock_of_aws() -> None:
    bench = Bench()
    bench.ssm.commands = [command("a", InstanceIds=["i-1"])]
    assert set(bench.hosts().commands_in_progress(DocumentKind.APPLY, START + timedelta(seconds=90))) == {"i-1"}


@pytest.mark.parametrize("years", [0, -1, 6])
def test_commands_are_listed_no_further_back_than_one_may_be_in_progress_by_the_clock_of_aws(years: int) -> None:
    bench = Bench()
    newest = START + timedelta(days=365 * years)
    times = [newest - timedelta(hours=hours) for hours in range(500)]
    bench.ssm.commands = [
        command(f"c{number}", InstanceIds=[f"i-{number}"], RequestedDateTime=time) for number, time in enumerate(times)
    ]
    commands_in_progress = bench.hosts().commands_in_progress(DocumentKind.APPLY)
    assert set(commands_in_progress) == {f"i-{hours}" for hours in range(LONGEST_COMMAND // timedelta(hours=1) + 1)}
    assert bench.ssm.count("list_commands") == 2
    assert bench.ssm.count("list_command_invocations") == len(commands_in_progress)


@pytest.mark.parametrize("years", [-1, 6])
def test_commands_from_before_the_run_are_found_even_if_the_clock_of_aws_differs(years: int) -> None:
    bench = Bench()
    theirs = START + timedelta(days=365 * years)
    bench.ssm.commands = [command("a", InstanceIds=["i-1"], RequestedDateTime=theirs)]
    assert set(bench.hosts().commands_in_progress(DocumentKind.APPLY)) == {"i-1"}
    assert bench.ssm.asked("list_commands")[0]["Filters"] == [{"key": "DocumentName", "value": "apply-doc"}]


def test_commands_since_a_time_are_searched_by_the_clock_of_aws_once_it_is_known() -> None:
    bench = Bench()
    theirs = START - timedelta(days=365)
    bench.ssm.requested_at = theirs
    hosts = bench.hosts()
    hosts.send(DocumentKind.CHECK, [InstanceId("i-9")])
    bench.ssm.commands = [
        command("a", InstanceIds=["i-1"], RequestedDateTime=theirs),
        command("b", InstanceIds=["i-2"], RequestedDateTime=theirs - timedelta(hours=1)),
    ]
    assert set(hosts.commands_in_progress(DocumentKind.APPLY, START)) == {"i-1"}
    assert bench.ssm.asked("list_commands")[0]["Filters"][1]["value"] == "2025-01-05T08:55:00Z"


def test_a_command_that_was_sent_in_our_future_counts_as_sent_now() -> None:
    bench = Bench()
    bench.ssm.commands = [command("a", InstanceIds=["i-1"], RequestedDateTime=START + timedelta(hours=1))]
    assert bench.hosts().commands_in_progress(DocumentKind.APPLY, START)[InstanceId("i-1")].sent_at == START


def test_the_last_of_several_commands_counts() -> None:
    bench = Bench()
    late = START + timedelta(minutes=1)
    bench.ssm.commands = [command("b", InstanceIds=["i-1"], RequestedDateTime=late), command("a", InstanceIds=["i-1"])]
    assert bench.hosts().commands_in_progress(DocumentKind.APPLY, START)[InstanceId("i-1")].command == "b"


def test_a_document_can_be_named_by_name_or_arn() -> None:
    bench = Bench()
    document = "arn:aws:ssm:eu-west-1:111122223333:document/apply-doc"
    bench.ssm.commands = [command("a", InstanceIds=["i-1"], DocumentName=document)]
    assert set(bench.hosts().commands_in_progress(DocumentKind.APPLY, START)) == {"i-1"}


def test_systems_manager_is_searched_for_one_document_and_no_further_back_than_needed() -> None:
    bench = Bench()
    bench.hosts().commands_in_progress(DocumentKind.APPLY, START)
    assert bench.ssm.asked("list_commands")[0]["Filters"] == [
        {"key": "DocumentName", "value": "apply-doc"},
        {"key": "InvokedAfter", "value": "2026-01-05T08:55:00Z"},
    ]


def test_without_list_commands_no_command_is_known_to_be_in_progress() -> None:
    bench = Bench()
    bench.ssm.troubles["list_commands"] = [refusal("UnknownOperationException", status=501)]
    assert bench.hosts().commands_in_progress(DocumentKind.APPLY, START) == {}


def test_a_list_of_commands_that_is_denied_is_no_empty_list() -> None:
    bench = Bench()
    bench.ssm.troubles["list_commands"] = [refusal("AccessDeniedException")]
    with pytest.raises(Denied, match="ssm:ListCommands"):
        bench.hosts().commands_in_progress(DocumentKind.APPLY, START)
