"""Lists of commands are planned so that they never take more calls than reading each command by its id."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from math import ceil

from hypothesis import given
from hypothesis import strategies as st
from tests.core.builders import NOW

from bottlerocket_ecs_updater.aws.ssm_lists import COMMANDS_PER_CALL, CROWDED_FOR, CommandLists
from bottlerocket_ecs_updater.core.model.ids import CommandId
from bottlerocket_ecs_updater.core.model.run_command import DocumentKind

CHECK, REBOOT = DocumentKind.CHECK, DocumentKind.REBOOT
SECOND = timedelta(seconds=1)

histories = st.lists(
    st.tuples(st.sampled_from([CHECK, REBOOT]), st.integers(0, 120), st.integers(1, COMMANDS_PER_CALL)), max_size=25
)


def lists_of(history: list[tuple[DocumentKind, int, int]]) -> CommandLists:
    lists = CommandLists()
    for place, (kind, seconds, instances) in enumerate(history):
        lists.note_sent(CommandId(f"c-{place}"), kind, NOW + seconds * SECOND, instances)
    return lists


@given(history=histories, data=st.data())
def test_lists_take_no_more_calls_than_the_commands_in_them(
    history: list[tuple[DocumentKind, int, int]], data: st.DataObject
) -> None:
    lists, places = lists_of(history), st.sets(st.integers(0, 30))
    kinds = {CommandId(f"c-{place}"): kind for place, (kind, _, _) in enumerate(history)}
    unknown = {CommandId(f"c-{place}"): CHECK for place in range(len(history), 31)}
    of = {**kinds, **unknown}
    wanted = {command: of[command] for place in data.draw(places) if (command := CommandId(f"c-{place}"))}
    along = {command: of[command] for place in data.draw(places) if (command := CommandId(f"c-{place}")) not in wanted}
    crowded = data.draw(st.booleans())
    if crowded:
        lists.note_crowded(NOW)
    plan = lists.plan(wanted, along, NOW + SECOND)
    times = Counter(command for one in plan for command in one.commands)
    assert times.keys() <= kinds.keys() & {*wanted, *along}
    assert set(times.values()) <= {1}
    for one in plan:
        shown = [
            count
            for kind, seconds, count in history
            if NOW + seconds * SECOND >= one.after
            and (kind in one.commands.values() or len({*one.commands.values()}) > 1)
        ]
        mine = [command for command in one.commands if command in wanted]
        assert ceil(sum(shown) / COMMANDS_PER_CALL) <= one.pages <= max(1, len(mine) - 1)
        assert not crowded or len(set(one.commands.values())) == 1


def test_after_others_filled_the_pages_each_document_is_listed_by_itself_for_a_while() -> None:
    history = [(CHECK, 0, 1), (CHECK, 1, 1), (REBOOT, 2, 1), (REBOOT, 3, 1)]
    lists = lists_of(history)
    wanted = {CommandId(f"c-{place}"): kind for place, (kind, _, _) in enumerate(history)}
    lists.note_crowded(NOW)
    soon, later = (lists.plan(wanted, {}, NOW + after) for after in (SECOND, CROWDED_FOR))
    assert [set(one.commands.values()) for one in soon] == [{CHECK}, {REBOOT}]
    assert [len(one.commands) for one in later] == [4]


def test_checks_of_all_waiting_hosts_keep_an_older_command_from_being_listed_with_a_new_one() -> None:
    """Its list would show all those checks, a page each."""
    checks = [(CHECK, 10, COMMANDS_PER_CALL)] * 6
    lists = lists_of([(REBOOT, 0, 1), *checks, (CHECK, 20, 1), (CHECK, 21, 1)])
    wanted = {CommandId("c-0"): REBOOT, CommandId("c-7"): CHECK, CommandId("c-8"): CHECK}
    assert [set(one.commands) for one in lists.plan(wanted, {}, NOW + 30 * SECOND)] == [
        {CommandId("c-7"), CommandId("c-8")}
    ]
