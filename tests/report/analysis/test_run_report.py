"""The report of a run answers what is broken, since when, and what to do."""

from __future__ import annotations

import shlex
from datetime import timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.report.runs import died, events_of
from tests.report.samples import (
    ANY_WORDS,
    CLEAN_RUN,
    HALT,
    HALTED_RUN,
    LARGE_RUN,
    NEW,
    NOT_BACK,
    OLD,
    RUN,
    START,
    STARTED,
    events_for,
    finished,
    name,
)
from tests.report.strategies import ANY_EVENT

from bottlerocket_ecs_updater.cli.app import build_app
from bottlerocket_ecs_updater.cli.settings.parsing import parse
from bottlerocket_ecs_updater.core.decision.blockers import hold_for_blocker
from bottlerocket_ecs_updater.core.model.event import (
    Claimed,
    Event,
    HostChecked,
    LeaseRefused,
    PhaseEntered,
    RunFinished,
    VersionWithdrawn,
)
from bottlerocket_ecs_updater.core.model.history import Blocker
from bottlerocket_ecs_updater.core.model.host_report import HostReport, UpdateState
from bottlerocket_ecs_updater.core.model.ids import BootId, InstanceId
from bottlerocket_ecs_updater.core.model.outcome import (
    UNTIL_CLEARED,
    Outcome,
    OutcomeKind,
    Quarantined,
    RunOutcome,
    Updated,
    UpToDate,
    version_of,
)
from bottlerocket_ecs_updater.core.model.passing import NEEDS_A_PERSON
from bottlerocket_ecs_updater.core.model.phase import Phase
from bottlerocket_ecs_updater.core.model.reasons import Failure, Hold, Reason, failed, hold
from bottlerocket_ecs_updater.report.analysis.ending import Ending
from bottlerocket_ecs_updater.report.analysis.run_report import run_report
from bottlerocket_ecs_updater.report.analysis.suggested_commands import Reach
from bottlerocket_ecs_updater.report.outputs.archive import render_report
from bottlerocket_ecs_updater.report.outputs.summary_text import summary_text

ONE = name(1)


def run_of(
    outcomes: dict[InstanceId, Outcome], outcome: RunOutcome = RunOutcome.OK, code: int = 0, why: str = ""
) -> list[Event]:
    return [*events_for(outcomes), finished(outcomes, outcome, code, why)]


@pytest.mark.parametrize(
    ("events", "ending", "headline"),
    [
        (CLEAN_RUN, Ending.WELL, "2 of 3 instances updated to 1.21.0, nothing failed, in 24m9s"),
        (run_of({ONE: Updated(OLD, NEW)}), Ending.WELL, "The one instance updated to 1.21.0, in 24m9s"),
        (run_of({ONE: UpToDate(NEW)}), Ending.NOTHING, "Nothing to do: 1 instance, all up to date"),
        (
            run_of({ONE: hold(Reason.OPTED_OUT, attribute="a")}),
            Ending.HELD,
            "Nothing was updated: 1 of 1 instance held back",
        ),
        (run_of({}), Ending.NOTHING, "No Bottlerocket instances found"),
        (
            HALTED_RUN,
            Ending.HALTED,
            "Halted: 1 instance is out of service, 1 failed; 2 of 7 instances updated",
        ),
        (
            run_of(
                {ONE: hold(Reason.DRAIN_TIMED_OUT, limit="25m", tasks="service:nfs")},
                RunOutcome.FAILURES,
                3,
                "tasks of service:nfs made a drain time out, for 2 runs in a row since 2026-01-05 09:36 UTC",
            ),
            Ending.FAILURES,
            "Tasks of service:nfs made a drain time out, for 2 runs in a row since 2026-01-05 09:36 UTC; "
            "0 of 1 instance updated",
        ),
        (
            run_of({ONE: hold(Reason.CLAIM_UNREADABLE, why="garbage")}, RunOutcome.FAILURES, 3),
            Ending.FAILURES,
            "An instance is out of service; 0 of 1 instance updated",
        ),
        (LARGE_RUN, Ending.FAILURES, "5 instances failed; 40 of 500 instances updated to 1.21.0"),
        (
            run_of({ONE: Updated(OLD, NEW)}, RunOutcome.INTERRUPTED, 0, "SIGTERM was received"),
            Ending.STOPPED,
            "Stopped by SIGTERM after 24m9s: 1 of 1 instance updated to 1.21.0",
        ),
        (
            run_of(
                {ONE: hold(Reason.IN_PROGRESS, phase="draining")}, RunOutcome.INTERRUPTED, 3, "SIGTERM was received"
            ),
            Ending.CUT_SHORT,
            "Stopped by SIGTERM after 24m9s in the middle of an update: 0 of 1 instance updated",
        ),
        (
            run_of({ONE: failed(Failure.APPLY_FAILED, detail="full")}, RunOutcome.INTERRUPTED, 3, "SIGINT: Ctrl-C"),
            Ending.STOPPED_AFTER_FAILURES,
            "Stopped by SIGINT after 24m9s: 0 of 1 instance updated; 1 instance failed",
        ),
        (
            run_of({ONE: Updated(OLD, NEW)}, RunOutcome.ERROR, 1, "no permission"),
            Ending.ERROR,
            "The run could not continue: 1 of 1 instance updated to 1.21.0",
        ),
        (
            events_for({ONE: Updated(OLD, NEW)}),
            Ending.DIED,
            "The record of this run ends after 1m, before the run's end: 1 of 1 instance updated to 1.21.0",
        ),
        (
            [
                LeaseRefused(START, "task/7", None),
                RunFinished(START, RUN, RunOutcome.LEFT, 0, {}, timedelta(), "another run", {}, {}),
            ],
            Ending.LEFT,
            "Exited at once: another run holds the lease (task/7)",
        ),
    ],
)
def test_the_headline_says_what_happened(events: list[Event], ending: Ending, headline: str) -> None:
    report = run_report(events)
    assert (report.ending, report.headline) == (ending, headline)


def test_a_run_that_went_well_has_nothing_for_a_person() -> None:
    assert run_report(events_of("clean")).troubles == ()


def test_the_halt_comes_first_with_its_time_and_reason() -> None:
    first = run_report(HALTED_RUN).troubles[0]
    assert (first.since, first.why) == (START + timedelta(minutes=20), HALT)
    assert "halted" in first.what


def test_instances_out_of_service_come_before_failed_ones() -> None:
    troubles = run_report(events_of("broken")).troubles
    out = [trouble.out_of_service for trouble in troubles]
    assert out == sorted(out, reverse=True)
    assert out[0]


def test_every_trouble_says_since_when_and_what_to_do() -> None:
    for run in ("broken", "halted"):
        for trouble in run_report(events_of(run)).troubles:
            assert trouble.since is not None, trouble
            assert trouble.to_do, trouble


def test_every_failed_and_quarantined_instance_is_in_a_trouble() -> None:
    report = run_report(events_of("broken"))
    named = {lane.instance for trouble in report.troubles for lane in trouble.lanes}
    assert named == {row.instance for group in report.failures for row in group.rows}
    assert len(named) == 9


def test_quarantine_comes_with_the_command_that_ends_it() -> None:
    troubles = [trouble for trouble in run_report(events_of("broken")).troubles if trouble.out_of_service]
    assert sum(len(trouble.lanes) for trouble in troubles) == 4
    for trouble in troubles:
        *said, console, release = trouble.commands
        for one in said:
            assert one.lines[0].startswith("aws ssm get-command-invocation --command-id ")
            assert one.lines[0].endswith(f"--instance-id {trouble.lanes[0].instance}")
        assert console.lines[0].startswith("aws ec2 get-console-output --instance-id i-")
        assert release.lines == tuple(
            f"bottlerocket-ecs-updater release {lane.instance} --cluster demo" for lane in trouble.lanes
        )


def test_a_command_says_all_that_it_needs_to_find_the_cluster() -> None:
    reach = Reach("web", "eu-central-1", "s3://state of things/updater/")
    (*_, group) = [group for group in run_report(events_of("halted"), reach=reach).holds if group.commands]
    (command,) = group.commands
    assert command.lines == (
        "bottlerocket-ecs-updater release 1.53.1 --cluster web --region eu-central-1 "
        "--state 's3://state of things/updater/'",
    )


def test_every_command_is_one_that_the_program_takes() -> None:
    reach = Reach("web", "eu-central-1", "s3://bucket/updater/")
    reports = [run_report(run, reach=reach) for run in (events_of("broken"), events_of("halted"), died("clean"))]
    typed = [about.commands for report in reports for about in report.troubles]
    typed += [group.commands for report in reports for group in report.holds]
    lines = [line for commands in typed for one in commands for line in one.lines]
    ours = {tuple(shlex.split(line)[1:]) for line in lines if not line.startswith("aws ")}
    assert {words[0] for words in ours} == {"release", "pause", "resume", "status"}
    for words in ours:
        parse(build_app({}), words)


def test_an_instance_id_that_would_be_more_than_a_word_stays_one() -> None:
    report = run_report(run_of({InstanceId("i-; rm -rf /"): Quarantined(NOT_BACK)}))
    lines = [line for one in report.troubles[0].commands for line in one.lines]
    assert [shlex.split(line).count("i-; rm -rf /") for line in lines] == [1, 1]


def test_three_commands_of_many_are_shown_and_the_rest_is_counted() -> None:
    report = run_report(run_of({name(number): Quarantined(NOT_BACK) for number in range(12)}))
    release = report.troubles[0].commands[-1]
    assert len(release.lines) == 3
    assert "the other 9" in release.purpose


def test_a_run_that_died_reports_the_last_phase_of_every_instance() -> None:
    rows = run_report(died("clean")).summary.rows
    assert sorted(row.why for row in rows) == [
        *["the run ended before its turn came; it was ready"] * 4,
        *["the run ended while it was draining"] * 2,
    ]


def test_a_run_that_died_after_its_looks_reports_up_to_date_instances() -> None:
    events = list(events_of("clean"))[:-1]
    assert run_report(events).summary.counts[OutcomeKind.UPDATED] == 6
    checked = HostChecked(START, name(1), HostReport(BootId("boot"), UpdateState.IDLE, NEW, None, None))
    current = PhaseEntered(START, name(1), Phase.CURRENT, Phase.UNKNOWN, None)
    assert run_report([STARTED, checked, current]).summary.counts[OutcomeKind.UP_TO_DATE] == 1


def test_a_run_that_died_names_the_instances_that_it_left_out_of_service() -> None:
    report = run_report(died("clean"))
    (left,) = [trouble for trouble in report.troubles if trouble.out_of_service]
    assert len(left.lanes) == 2
    assert left.to_do == "Start a run if none is due soon: it finishes these updates first."


def test_versions_are_counted_before_and_after() -> None:
    moves = {str(move.version): (move.before, move.after) for move in run_report(events_of("clean")).moves}
    assert moves == {"1.52.0": (6, 0), "1.53.1": (0, 6)}


def test_holds_are_grouped_by_reason_and_those_for_a_person_come_first() -> None:
    holds = run_report(events_of("halted")).holds
    wanting = [group.needs_a_person for group in holds]
    assert wanting == sorted(wanting, reverse=True)
    assert len({group.code for group in holds}) == len(holds)


def test_many_sentences_of_one_reason_are_one_group_with_an_example() -> None:
    outcomes: dict[InstanceId, Outcome] = {
        name(n): hold(Reason.BUDGET, unavailable=n, limit=9, who="x") for n in range(9)
    }
    (group,) = run_report(run_of(outcomes)).holds
    assert (len(group.rows), group.alike) == (9, False)


def test_the_report_of_a_run_that_never_named_its_cluster_gets_the_name() -> None:
    finished_only = RunFinished(START, RUN, RunOutcome.LEFT, 0, {}, timedelta(), "", {}, {})
    assert run_report([finished_only], cluster="web").summary.cluster == "web"


@given(events=st.lists(ANY_EVENT, max_size=30))
@example(events=[RunFinished(START, RUN, RunOutcome.STUCK, 3, {}, timedelta(), "", {}, {})])
def test_there_is_a_report_for_any_events(events: list[Event]) -> None:
    report = run_report(events)
    assert report.headline
    assert report.most_out_at_once >= 0


def test_a_backoff_that_only_a_person_ends_wants_that_person_and_another_does_not() -> None:
    def resting(until: str) -> Hold:
        then = "`release` clears the rest"
        return hold(Reason.BACKING_OFF, until=until, attempts=1, version=NEW, why="rolled-back", then=then)

    rolled_back, later = run_report(
        run_of({ONE: resting(UNTIL_CLEARED), name(2): resting("2026-01-05 10:00 UTC")})
    ).holds
    assert (rolled_back.needs_a_person, later.needs_a_person) == (True, False)
    assert rolled_back.commands[0].lines == (f"bottlerocket-ecs-updater release {ONE} --cluster web",)


def test_a_command_in_a_remedy_is_completed_without_the_quotes_of_the_remedy() -> None:
    encoder = hold_for_blocker("service:encoder", Blocker(1, ONE, START, START))
    [group] = run_report(run_of({ONE: encoder})).holds
    assert group.commands[0].purpose == "To release service:encoder"
    assert group.commands[0].lines == ("bottlerocket-ecs-updater release service:encoder --cluster web",)


def test_holds_with_different_remedies_are_never_one_group() -> None:
    def no_room(number: int) -> Hold:
        advice = "raise the maximum of the group" if number % 2 else "set maximumPercent of web to 200 or more"
        return hold(Reason.NO_ROOM, service="web", missing=f"reason {number}", advice=advice)

    report = run_report(run_of({name(number): no_room(number) for number in range(10)}))
    assert sorted(len(group.rows) for group in report.holds) == [5, 5]
    text = " ".join(summary_text(report.summary).split())
    assert text.count("to do: raise the maximum") == text.count("to do: set maximumPercent of web") == 1


def test_an_instance_that_a_killed_run_had_claimed_is_shown_as_drained_and_not_as_staged() -> None:
    """The record is written before each act, so the claim is the last event of a run that was killed in a drain."""
    ready = PhaseEntered(START, ONE, Phase.READY, Phase.STAGING, None)
    claimed = Claimed(START, ONE, OLD, NEW, downgrade=False)
    other = HostChecked(
        START + timedelta(minutes=1), name(2), HostReport(BootId("b"), UpdateState.IDLE, OLD, None, None)
    )
    report = run_report([STARTED, ready, claimed, other])
    assert str(report.summary.rows[0].outcome) == "the run ended while it was draining"
    (dead, left) = report.troubles
    assert left.what == "1 instance is out of service, in the middle of an update"
    assert (left.since, left.said) == (START, ((ONE, "last seen draining"),))
    assert "staged, not rebooted" not in render_report(report, "html")
    assert dead.what == "The run ended without recording why"


def test_an_instance_that_waits_for_its_turn_is_not_reported_as_in_progress() -> None:
    ready = PhaseEntered(START, ONE, Phase.READY, Phase.STAGING, None)
    (row,) = run_report([STARTED, ready]).summary.rows
    assert (row.code, row.remedy) == ("not-reached", "wait for the next run, or start one")


@pytest.mark.parametrize("reason", [one for one in Reason if one in NEEDS_A_PERSON])
@pytest.mark.parametrize("others", [{}, {name(2): Updated(OLD, NEW)}, {name(2): UpToDate(NEW)}])
def test_a_run_that_leaves_something_to_a_person_is_never_called_well(
    reason: Reason, others: dict[InstanceId, Outcome]
) -> None:
    report = run_report(run_of({ONE: hold(reason, **ANY_WORDS), **others}))
    assert report.ending is Ending.NEEDS_A_PERSON
    assert report.ending.bad
    assert report.headline.startswith(f"1 instance needs a person ({reason.code}); ")
    assert render_report(report, "html").count(">success<") == 0


@pytest.mark.parametrize("others", [{ONE: Updated(OLD, NEW)}, {ONE: UpToDate(NEW)}, {ONE: UpToDate(OLD)}, {}])
def test_a_withdrawn_version_is_in_the_headline(others: dict[InstanceId, Outcome]) -> None:
    withdrawn = VersionWithdrawn(START, "aws-ecs-2/x86_64", NEW, OLD, START)
    report = run_report([*events_for(others), withdrawn, finished(others)])
    assert report.ending is Ending.NEEDS_A_PERSON
    run_it = ", which 1 instance runs" if version_of(others.get(ONE, UpToDate(OLD))) == NEW else ""
    assert report.headline.split("; ")[0] == f"AWS withdrew 1.21.0{run_it}"


def test_a_withdrawn_version_counts_instances_that_are_held_on_it() -> None:
    outcomes: dict[InstanceId, Outcome] = {ONE: hold(Reason.DOWNGRADE_HELD, version=OLD, running=NEW)}
    answer = HostReport(BootId("b"), UpdateState.AVAILABLE, NEW, OLD, None)
    withdrawn = VersionWithdrawn(START, "aws-ecs-2/x86_64", NEW, OLD, START)
    report = run_report([*events_for(outcomes), HostChecked(START, ONE, answer), withdrawn, finished(outcomes)])
    assert report.headline == "AWS withdrew 1.21.0, which 1 instance runs; nothing was updated"


def test_a_withdrawn_version_is_named_after_how_a_run_was_stopped() -> None:
    withdrawn = VersionWithdrawn(START, "aws-ecs-2/x86_64", NEW, OLD, START)
    outcomes: dict[InstanceId, Outcome] = {ONE: Updated(OLD, NEW)}
    report = run_report([*events_for(outcomes), withdrawn, finished(outcomes, RunOutcome.INTERRUPTED, 0, "SIGTERM")])
    assert report.ending is Ending.STOPPED
    assert report.headline.endswith("; AWS withdrew 1.21.0, which 1 instance runs")
