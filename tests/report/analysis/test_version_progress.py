"""How far behind instances are at the end of a run, and how long updates took since their version was first seen."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from tests.policy.test_stories import Story
from tests.report.samples import CLEAN_RUN, HALTED_RUN, NEW, OLD, OLDER, START, name
from tests.support.simulated import NEW as TARGET
from tests.support.simulated import row

from bottlerocket_ecs_updater.core.model.event import VersionSeen, VersionWithdrawn
from bottlerocket_ecs_updater.core.model.version import Version
from bottlerocket_ecs_updater.core.planning.behind import behind
from bottlerocket_ecs_updater.core.planning.explain import explain_instance
from bottlerocket_ecs_updater.core.rules.ruleset import Rules
from bottlerocket_ecs_updater.core.rules.selection import Selection, parse_selector
from bottlerocket_ecs_updater.core.rules.versions import VersionRange, VersionRules
from bottlerocket_ecs_updater.report.analysis.run_report import run_report
from bottlerocket_ecs_updater.report.analysis.version_progress import days_behind, release_notes, version_progress
from bottlerocket_ecs_updater.report.outputs.data_block import with_data
from bottlerocket_ecs_updater.report.outputs.index import Index, entry_of, index_json, read_index
from bottlerocket_ecs_updater.report.outputs.page.html import index_page, page
from bottlerocket_ecs_updater.report.views.explanation import explanation_text
from bottlerocket_ecs_updater.report.views.plan import plan_json

DAY = timedelta(days=1)
NEWER = Version(1, 22, 0)


def test_a_host_is_behind_since_the_first_version_between_its_own_and_the_one_it_is_offered() -> None:
    seen = {OLDER: START - 90 * DAY, OLD: START - 40 * DAY, NEW: START - 9 * DAY, NEWER: START - DAY}
    late = behind(OLD, NEWER, seen)
    assert late is not None
    assert (late.newest, late.days(START)) == (NEWER, 9)
    assert behind(OLD, NEW, {**seen, NEW: START}) is not None
    # A version that was seen but is not offered: it was withdrawn, or is for other variants.
    assert behind(OLD, None, seen) is None
    assert behind(NEW, OLD, seen) is None
    assert behind(NEW, NEW, seen) is None
    assert behind(OLD, NEWER, {}) is None


def test_a_run_that_updates_all_says_how_long_that_took_since_the_version_was_first_seen() -> None:
    [one] = version_progress(CLEAN_RUN)
    assert (one.version, len(one.took), one.left) == (NEW, 2, 0)
    assert one.took == (timedelta(days=2, hours=3, minutes=1), timedelta(days=2, hours=3, minutes=2))
    assert one.median == timedelta(days=2, hours=3, minutes=1, seconds=30)
    assert days_behind(CLEAN_RUN) == {}


def test_remaining_instances_are_counted_and_a_downgrade_is_not_an_update() -> None:
    [one] = version_progress(HALTED_RUN)
    assert (one.version, len(one.took), one.left) == (NEW, 1, 1)
    assert days_behind(HALTED_RUN) == {name(6): 2}


def test_a_record_of_an_older_version_lacks_it() -> None:
    older = [event for event in HALTED_RUN if not isinstance(event, VersionSeen)]
    report = run_report(older)
    assert (report.versions, report.days_behind) == ((), {})
    assert entry_of(report).days_behind is None
    assert "Days behind" not in page(report)


def test_the_page_links_the_release_notes_of_public_versions_only() -> None:
    assert release_notes(NEW) == "https://github.com/bottlerocket-os/bottlerocket/releases/tag/v1.21.0"
    assert release_notes(replace(NEW, pre="rc.1")) == release_notes(replace(NEW, build="ours")) == ""
    assert release_notes("not a version") == ""
    html = page(run_report(CLEAN_RUN))
    assert f'<a href="{release_notes(NEW)}"' in html
    assert "2d3h" in html


def test_the_index_has_the_days_behind_and_how_long_each_version_took() -> None:
    entry = entry_of(run_report(HALTED_RUN))
    assert (entry.days_behind, list(entry.took_from_first_seen)) == (2, ["1.21.0"])
    html = index_page("web", [entry])
    stored = with_data(html, index_json(Index((entry,))))
    [again] = read_index(stored).entries
    assert again == entry
    assert f'<a href="{release_notes(NEW)}"' in html
    assert 'data-of="since first seen">2d3h<' in html
    older = stored.replace(b'"days_behind":2,', b"")
    assert read_index(older).entries[0].days_behind is None


@pytest.mark.parametrize("held", [False, True])
def test_plan_explain_status_report_and_index_say_the_same_of_one_host(tmp_path: Path, *, held: bool) -> None:
    world = row(3)
    held_all = Rules(versions=VersionRules(deny=(VersionRange.parse(TARGET),)))
    others = Selection(exclude=(parse_selector("i-00000000000000001"),))
    Story(world, held_all, tmp_path).run()
    story = Story(world, replace(held_all if held else Rules(), selection=others), tmp_path)
    world.clock.sleep(5 * DAY + timedelta(hours=1))
    updater = story.updater()
    planned, fleet = story.plan(), story.picture()
    updater.run()
    report = run_report(updater.tape.events)
    entry = entry_of(report)
    first = fleet.instances[next(iter(sorted(fleet.instances)))]
    late = {
        one["instance"]: one["days_behind"] for part in ("updates", "held") for one in plan_json(planned, "d")[part]
    }
    assert late[first.id] == 5
    assert "5 days" in explanation_text(
        explain_instance(first, fleet, replace(story.policy, rules=story.rules)), fleet, "demo"
    )
    if held:
        assert (entry.days_behind, report.days_behind[first.id]) == (5, 5)
        assert updater.ledger.value.offered[first.id] == Version.parse(TARGET)
    else:
        [version] = report.versions
        assert all(took > 5 * DAY for took in version.took)
        assert first.id not in report.days_behind
        assert first.id not in updater.ledger.value.offered


def test_a_version_that_aws_withdrew_is_what_a_person_must_look_at() -> None:
    taken_back = VersionWithdrawn(START + timedelta(minutes=5), "aws-ecs-2/x86_64", NEW, OLD, START)
    report = run_report([*CLEAN_RUN[:-1], taken_back, CLEAN_RUN[-1]])
    [trouble] = report.troubles
    assert trouble.what == "AWS withdrew 1.21.0 for aws-ecs-2/x86_64"
    assert trouble.why == "the newest published version is 1.20.0 again; 3 instances of the cluster run it"
    assert trouble.what in page(report)
    assert run_report(CLEAN_RUN).troubles == ()
