"""Reading the answers to commands takes few calls, for any mix of commands, senders and hosts."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, cast

from hypothesis import given, settings
from hypothesis import strategies as st

from bottlerocket_ecs_updater.aws.ssm import SsmHosts
from bottlerocket_ecs_updater.aws.ssm_lists import COMMANDS_PER_CALL
from bottlerocket_ecs_updater.aws.transport.api import Api
from bottlerocket_ecs_updater.aws.transport.pace import CallPace, Calls
from bottlerocket_ecs_updater.aws.transport.session import Pair
from bottlerocket_ecs_updater.core.model.ids import CommandId, InstanceId
from bottlerocket_ecs_updater.core.model.run_command import DocumentKind
from bottlerocket_ecs_updater.simulator.clock import VirtualClock
from bottlerocket_ecs_updater.simulator.host import HostSpec
from bottlerocket_ecs_updater.simulator.inprocess import InProcessClients
from bottlerocket_ecs_updater.simulator.repository import Release, Repository
from bottlerocket_ecs_updater.simulator.services.documents import APPLY, CHECK, REBOOT
from bottlerocket_ecs_updater.simulator.world.world import World

DOCUMENTS = {DocumentKind.CHECK: CHECK, DocumentKind.APPLY: APPLY, DocumentKind.REBOOT: REBOOT}
KINDS = (DocumentKind.CHECK, DocumentKind.REBOOT)
LISTS = "ssm:ListCommandInvocations"


class Account:
    """Some hosts, and updaters that send them commands; `calls` counts only those of `hosts`."""

    def __init__(self, size: int) -> None:
        repository = Repository()
        repository.publish(Release("1.20.0", "aws-ecs-2"))
        self.world = World(VirtualClock(), repository=repository)
        self.ids = [InstanceId(f"i-{number:017x}") for number in range(size)]
        for id_ in self.ids:
            self.world.add_instance(HostSpec(id_, version="1.20.0"), "us-east-1a")
        self.pass_time(minutes=2)
        self.calls = Calls()
        self.hosts, self.others = self._updater(self.calls), self._updater(Calls())

    def _updater(self, calls: Calls) -> SsmHosts:
        ssm = Pair.of(InProcessClients(self.world).ssm)
        return SsmHosts(cast("Any", ssm), Api(self, CallPace(self), calls), DOCUMENTS, "a test")

    def now(self) -> Any:
        return self.world.clock.now()

    def sleep(self, span: timedelta) -> bool:
        self.world.clock.sleep(span)
        return True

    def pass_time(self, **span: float) -> None:
        self.world.clock.sleep(timedelta(**span))

    def send(self, kind: DocumentKind, count: int, first: int = 0) -> CommandId:
        [command] = set(self.hosts.send(kind, self.ids[first : first + count]).commands.values())
        return command


def test_the_answers_to_commands_of_several_documents_take_one_call() -> None:
    account = Account(2)
    commands = {account.send(kind, 1, place): kind for place, kind in enumerate(KINDS)}
    account.pass_time(seconds=30)
    answers = account.hosts.answers_to(commands)
    assert account.calls[LISTS] == 1
    assert [set(answers[command]) for command in commands] == [{id_} for id_ in account.ids]


def test_commands_to_many_hosts_do_not_keep_later_ones_from_being_listed_together() -> None:
    """Their own answers fill a page each, so a list of them saves nothing. That says nothing about other clusters."""
    account = Account(2 * COMMANDS_PER_CALL)
    large = [account.send(DocumentKind.CHECK, COMMANDS_PER_CALL, first) for first in (0, COMMANDS_PER_CALL)]
    account.pass_time(seconds=30)
    assert set(account.hosts.answers_to(dict.fromkeys(large, DocumentKind.CHECK))) == set(large)
    account.pass_time(minutes=5)
    commands = {account.send(kind, 1, place): kind for place, kind in enumerate(KINDS)}
    account.pass_time(seconds=30)
    before = account.calls[LISTS]
    assert account.hosts.answers_to(commands).keys() == commands.keys()
    assert account.calls[LISTS] - before == 1


def test_a_command_that_is_not_listed_yet_does_not_keep_later_ones_from_being_listed_together() -> None:
    """Systems Manager lists a command a moment after it accepted it."""
    account = Account(4)
    early = [account.send(DocumentKind.CHECK, 1, place) for place in range(2)]
    account.hosts.answers_to(dict.fromkeys(early, DocumentKind.CHECK))
    account.pass_time(minutes=5)
    commands = {account.send(kind, 1, place): kind for place, kind in enumerate(KINDS, 2)}
    account.pass_time(seconds=30)
    before = account.calls[LISTS]
    assert account.hosts.answers_to(commands).keys() == commands.keys()
    assert account.calls[LISTS] - before == 1


@given(
    sizes=st.lists(st.integers(1, 4), min_size=1, max_size=6),
    along=st.sets(st.integers(0, 5)),
    noise=st.sampled_from([0, 5, 40]),
)
@settings(max_examples=40)
def test_every_answer_is_read_in_few_calls_for_any_commands(sizes: list[int], along: set[int], noise: int) -> None:
    account = Account(4)
    sent = {account.send(KINDS[place % 2], size): size for place, size in enumerate(sizes)}
    kinds = {command: KINDS[place % 2] for place, command in enumerate(sent)}
    for _ in range(noise):
        account.others.send(DocumentKind.CHECK, account.ids)
    account.pass_time(minutes=2)
    beside = {command: kind for place, (command, kind) in enumerate(kinds.items()) if place in along}
    wanted = {command: kind for command, kind in kinds.items() if command not in beside}
    answers = account.hosts.answers_to(wanted, beside)
    assert wanted.keys() <= answers.keys() <= kinds.keys()
    assert all(set(answers[command]) == set(account.ids[: sent[command]]) for command in answers)
    assert account.calls[LISTS] <= (1 if not noise and wanted else 2 * len(kinds))


def test_a_search_for_lost_commands_reads_the_results_of_no_others() -> None:
    """A lost reply to a reboot command in a large cluster must not cost a call for each other host's reboot."""
    account = Account(6)
    since = account.now()
    commands = [account.send(DocumentKind.REBOOT, 1, place) for place in range(6)]
    account.pass_time(seconds=30)
    found = account.hosts.listed(DocumentKind.REBOOT, since, account.ids[2:3])
    assert {id_: [one.command for one in ones] for id_, ones in found.items()} == {account.ids[2]: [commands[2]]}
    assert account.calls[LISTS] == 1
