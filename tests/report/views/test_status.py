from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from tests.core.builders import HOUR, MINUTE, NEW, NEWER, NOW, OLD, a_claim, claimed, instance, registration
from tests.core.builders import fleet as a_fleet

from bottlerocket_ecs_updater.core.model.auto_scaling import Launches
from bottlerocket_ecs_updater.core.model.claim import ClaimPhase
from bottlerocket_ecs_updater.core.model.history import ANY_REASON, Blocker, BrokenVersion, LastingHold
from bottlerocket_ecs_updater.core.model.ids import InstanceId, RunId, Zone
from bottlerocket_ecs_updater.core.model.instance import Instance
from bottlerocket_ecs_updater.core.model.outcome import Backoff, RunOutcome
from bottlerocket_ecs_updater.core.model.published import NewestPublished
from bottlerocket_ecs_updater.core.model.reasons import Reason, hold
from bottlerocket_ecs_updater.core.model.shared import Shared
from bottlerocket_ecs_updater.core.model.time_text import time_text, write_time
from bottlerocket_ecs_updater.core.model.version import Version
from bottlerocket_ecs_updater.core.state.ledger import Ledger
from bottlerocket_ecs_updater.report.views.status import (
    ClusterStatus,
    NewestRun,
    NextRun,
    next_run,
    status_json,
    status_text,
)


def host(name: str, version: Version | None = OLD, zone: str = "eu-west-1a") -> Instance:
    return replace(instance(name, registered=registration(name, zone=Zone(zone))), shown_version=version)


def status(*hosts: Instance, **changes: object) -> ClusterStatus:
    plain = ClusterStatus("web", a_fleet(*hosts), Ledger(), None, None, kept=True)
    return replace(plain, **changes)  # type: ignore[arg-type]  # the fields of a status, by name


def test_each_zone_is_shown_with_the_versions_that_run_in_it() -> None:
    text = status_text(status(host("i-a"), host("i-b", NEW), host("i-c", None, "eu-west-1b")))
    assert "  eu-west-1a  2: 1 on 1.20.0, 1 on 1.21.0\n" in text
    assert "  eu-west-1b  1: 1 unknown\n" in text


def test_phases_are_those_that_are_known_without_checking_hosts() -> None:
    resting = Ledger(backoffs={InstanceId("i-r"): Backoff(NEW, 1, NOW + HOUR, "apply-failed")})
    quarantined = claimed("i-q", a_claim(ClaimPhase.QUARANTINED))
    text = status_text(status(host("i-r"), host("i-s"), quarantined, ledger=resting))
    phases = text.partition("Phases\n")[2].partition("\n\n")[0]
    assert [line.split("  ")[1] for line in phases.splitlines()] == [
        "backing-off",
        "idle (`plan` asks the hosts for updates)",
        "quarantined",
    ]


def test_a_pause_is_reported_before_anything_else() -> None:
    paused = a_fleet(host("i-a"), shared=Shared(paused="by ann: a holiday"))
    lines = status_text(status(fleet=paused)).splitlines()
    assert lines[1] == "  PAUSED       by ann: a holiday: `resume` allows updates again"
    assert status_json(status(fleet=paused))["paused"] == "by ann: a holiday"


def test_a_version_is_called_suspect_by_the_rule_that_runs_go_by() -> None:
    once = Ledger(failed_on={NEW: frozenset({InstanceId("i-a")})})
    text = status_text(status(host("i-a"), ledger=once))
    assert "  FAILED       1.21.0 failed on i-a; other instances still get it until it has failed on 2\n" in text
    assert status_json(status(host("i-a"), ledger=once))["suspects"] == {}
    strict = replace(once, suspect_after=1)
    assert "  SUSPECT      1.21.0 failed on i-a: no other instance" in status_text(status(host("i-a"), ledger=strict))
    assert status_json(status(host("i-a"), ledger=strict))["suspects"] == {"1.21.0": ["i-a"]}


def test_an_instance_is_so_many_days_behind_as_a_newer_version_has_been_known() -> None:
    seen = {OLD: NOW - timedelta(days=90), NEW: NOW - timedelta(days=3, hours=5), NEWER: NOW - timedelta(hours=1)}
    offered = {InstanceId(id_): NEWER for id_ in ("i-a", "i-b", "i-c", "i-d")}
    ledger = Ledger(first_seen=seen, offered=offered)
    shown = status(host("i-a"), host("i-b", NEW), host("i-c", NEWER), host("i-d", None), ledger=ledger)
    text = status_text(shown)
    section = text.partition("\nBehind\n")[2].partition("\n\n")[0].splitlines()
    assert section == [
        "  1 instance for 3 days: a newer version was first seen 2026-02-27 05:00 UTC, and 1.22.0 is offered",
        "  1 instance for less than a day: a newer version was first seen 2026-03-02 09:00 UTC, and 1.22.0 is offered",
    ]
    days = {one["instance"]: one["days_behind"] for one in status_json(shown)["instances"]}
    assert days == {"i-a": 3, "i-b": 0, "i-c": 0, "i-d": 0}


def test_a_host_that_is_offered_nothing_is_not_behind_a_version_that_was_seen_elsewhere_or_withdrawn() -> None:
    seen = {OLD: NOW - timedelta(days=90), NEWER: NOW - timedelta(days=30)}
    shown = status(host("i-a"), host("i-b"), ledger=Ledger(first_seen=seen, offered={InstanceId("i-b"): NEWER}))
    assert {one["instance"]: one["days_behind"] for one in status_json(shown)["instances"]} == {"i-a": 0, "i-b": 30}


def test_a_cluster_that_knows_no_newer_version_is_not_behind() -> None:
    assert "Behind" not in status_text(status(host("i-a"), ledger=Ledger(first_seen={OLD: NOW})))


def test_advice_that_could_not_be_had_is_one_line() -> None:
    unread = a_fleet(host("i-a"), launches=Launches({}, "not allowed: ec2:DescribeImages"))
    assert status_text(status(fleet=unread)).count("not allowed: ec2:DescribeImages") == 1


def test_without_runs_there_is_no_word_of_when_the_next_starts() -> None:
    text = status_text(status(host("i-a")))
    assert "No run is recorded yet.\nNext run: unknown, because `status` does not know the schedule.\n" in text


def test_runs_that_started_evenly_let_the_next_be_expected() -> None:
    twice_a_day = [NOW - n * 12 * HOUR for n in (5, 4, 3, 2, 1)]
    expected = next_run(twice_a_day, NOW - MINUTE)
    assert expected == NextRun(NOW, 12 * HOUR)
    text = status_text(status(host("i-a"), next_run=expected))
    assert "Next run: about 2026-03-02 10:00 UTC, if runs keep starting every 12h." in text


@pytest.mark.parametrize(
    "hours",
    [[], [1], [3, 2, 1], [48, 47, 12, 1], [100, 88, 76, 64]],
    ids=["none", "one", "too few", "uneven", "long overdue"],
)
def test_without_a_rhythm_nothing_is_expected(hours: list[int]) -> None:
    assert next_run([NOW - timedelta(hours=each) for each in hours], NOW) is None


def test_the_evidence_of_tasks_is_shown_with_their_stop_reasons() -> None:
    broken = BrokenVersion((InstanceId("i-a"),), ("service:web",), "CannotStartContainerError: no driver", NOW)
    text = status_text(status(host("i-a"), ledger=Ledger(broken={NEW: broken})))
    said = "1.21.0 does not work on i-a, so no other instance is updated to it: service:web: CannotStartContainerError"
    assert f"  SUSPECT      {said}: no driver (since 2026-03-02 10:00 UTC); to do: check these hosts and tasks" in text
    assert status_json(status(host("i-a"), ledger=Ledger(broken={NEW: broken})))["broken"]["1.21.0"]["hosts"] == ["i-a"]


def test_status_shows_blockers_and_when_a_drain_is_tried_again() -> None:
    ledger = Ledger(blockers={"service:encoder": Blocker(2, InstanceId("i-a"), NOW, NOW)})
    text = status_text(status(host("i-a"), ledger=ledger))
    assert "  BLOCKED      tasks of service:encoder made a drain time out in 2 runs in a row, since " in text
    assert "; one of their hosts is tried again after 2026-" in text
    assert "; to do: ask their owner why these tasks do not stop" in text
    assert status_json(status(host("i-a"), ledger=ledger))["blockers"]["service:encoder"]["runs"] == 2


def test_what_the_last_run_held_is_shown_in_the_words_of_the_hold_with_what_to_do() -> None:
    window = hold(Reason.WINDOW_CLOSED, opens="2026-03-03 02:00 UTC")
    broken = [hold(Reason.CHECK_FAILED, detail=f"try {number}") for number in range(4)]
    held = {InstanceId("i-w"): window} | {InstanceId(f"i-{number}"): why for number, why in enumerate(broken)}
    last = NewestRun(RunId("run-1"), RunOutcome.OK, NOW, NOW, "", {"held": 5}, ending="success", held=held)
    shown = status(host("i-w"), last=last)
    text = status_text(shown)
    section = text.partition("\nHeld by the last run: 5\n")[2].partition("\n\n")[0].splitlines()
    assert section[0] == "  check-failed, needs a person: 4"
    assert section[1:3] == ["    its update check failed: try 0", "      i-0"]
    assert "    and 1 more, which `plan` shows" in section
    assert section[-4:-1] == ["  window-closed: 1", f"    {window}", "      i-w"]
    assert section[-1] == f"    to do: {window.remedy}"
    [first, *_] = status_json(shown)["last_run"]["held"]
    assert (first["reason"], first["why"], first["needs_a_person"]) == ("check-failed", str(broken[0]), True)


def test_a_version_that_aws_withdrew_is_shown() -> None:
    name = "/aws/service/bottlerocket/aws-ecs-2/x86_64/latest/image_version"
    ledger = Ledger(published={name: NewestPublished(NEW, NOW - timedelta(days=1), NOW)})
    text = status_text(status(host("i-a"), ledger=ledger))
    assert "  WITHDRAWN    1.21.0: AWS moved the newest published version of aws-ecs-2/x86_64 back, seen " in text
    assert status_json(status(ledger=ledger))["withdrawn"]["aws-ecs-2/x86_64"]["version"] == "1.21.0"
    published = Ledger(published={name: NewestPublished(NEW, NOW)})
    assert "WITHDRAWN" not in status_text(status(host("i-a"), ledger=published))


def test_a_reason_that_stopped_runs_is_shown_from_the_second_run_on() -> None:
    for runs, shown in ((1, False), (2, True)):
        ledger = Ledger(waiting={"service-deploying": LastingHold(runs, NOW)})
        text = status_text(status(host("i-a"), ledger=ledger))
        assert (f"  STUCK        {runs} runs in a row could start no update" in text) is shown


def test_runs_that_found_one_reason_after_another_are_shown_as_such() -> None:
    anything = {ANY_REASON: LastingHold(3, NOW)}
    text = status_text(status(host("i-a"), ledger=Ledger(waiting=anything | {"unwell": LastingHold(1, NOW)})))
    assert "3 runs in a row could start no update, since 2026-03-02 10:00 UTC: for one reason after another\n" in text
    named = status_text(status(host("i-a"), ledger=Ledger(waiting=anything | {"unwell": LastingHold(2, NOW)})))
    assert (named.count("STUCK"), ": unwell\n" in named) == (1, True)


def test_a_run_that_has_no_end_yet_is_reported_with_the_time_of_its_last_event() -> None:
    last = NewestRun(RunId("20260105-0900-3f9c"), None, NOW, None, "", {}, NOW)
    text = status_text(status(last=last))
    assert (
        f"Last run 20260105-0900-3f9c is in progress, or was killed; its last event is from {time_text(NOW)}.\n" in text
    )
    assert status_json(status(last=last))["last_run"]["last_event"] == write_time(NOW)
