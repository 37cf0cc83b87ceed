"""Which of the commands that this run sent are listed together, so that one call reads the results of several.

A list goes back to the oldest command in it, and shows everything that was sent since: the run's own later commands,
and those of other clusters. So it may take more calls than reading each command by its id.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil

from bottlerocket_ecs_updater.core.model.ids import CommandId
from bottlerocket_ecs_updater.core.model.run_command import DocumentKind
from bottlerocket_ecs_updater.core.model.time_text import has_passed

COMMANDS_PER_CALL = 50
"""Page size of ListCommandInvocations."""

CROWDED_FOR = timedelta(minutes=10)
"""How long lists are kept to one document after others' commands filled the pages."""

Commands = Mapping[CommandId, DocumentKind]


@dataclass(frozen=True, slots=True)
class _Sent:
    kind: DocumentKind
    at: datetime
    instances: int


@dataclass(frozen=True, slots=True)
class CommandList:
    """Commands to list with one series of calls."""

    commands: Commands
    after: datetime
    """When Systems Manager accepted the oldest of them, by its own clock."""
    pages: int
    """More pages than this would take more calls than reading each command by its id."""


class CommandLists:
    """Keeps what this run sent, and plans the lists that read the results."""

    def __init__(self) -> None:
        self._sent: dict[CommandId, _Sent] = {}
        self._crowded_at: datetime | None = None

    def note_sent(self, command: CommandId, kind: DocumentKind, at: datetime, instances: int) -> None:
        """Systems Manager accepted a command for this many instances, at `at` by its own clock."""
        self._sent[command] = _Sent(kind, at, instances)

    def note_crowded(self, now: datetime) -> None:
        """A list did not show all its commands, and has more pages: others send many commands, too."""
        self._crowded_at = now

    def sent_after(self, commands: Collection[CommandId]) -> datetime | None:
        """When the oldest of these was accepted; None if this run did not send all of them."""
        if not commands or any(command not in self._sent for command in commands):
            return None
        return min(self._sent[command].at for command in commands)

    def shows_all(self, command: CommandId, instances: int) -> bool:
        """Whether the results of this many instances are all results of a command."""
        return instances >= self._sent[command].instances

    def plan(self, commands: Commands, along: Commands, now: datetime) -> Sequence[CommandList]:
        """The lists to read for these commands, and for those in `along` if that takes no extra call.

        Commands that are in none of the lists are read by their ids.
        """
        sent = {command: kind for command, kind in commands.items() if command in self._sent}
        beside = {command: kind for command, kind in along.items() if command in self._sent}
        if not sent:
            return ()
        if self._crowded_at is None or has_passed(self._crowded_at, CROWDED_FOR, now):
            for group in (sent | beside, sent):
                if (whole := self._list_of(group, len(sent))) is not None:
                    return (whole,)
        of_kinds = ({one: of for one, of in sent.items() if of is kind} for kind in DocumentKind)
        lists = (self._list_of(group, len(group)) for group in of_kinds if group)
        return [one for one in lists if one is not None]

    def _list_of(self, group: Commands, wanted: int) -> CommandList | None:
        """One list with all of these commands; None if reading the `wanted` ones by id takes no more calls."""
        after = min(self._sent[command].at for command in group)
        pages = max(1, wanted - 1)
        own = sum(one.instances for one in self._sent_since(after, set(group.values())))
        saves = len(group) > 1 and ceil(own / COMMANDS_PER_CALL) <= pages
        return CommandList(group, after, pages) if saves else None

    def _sent_since(self, after: datetime, kinds: Collection[DocumentKind]) -> Iterator[_Sent]:
        """Our own commands that a list will show. A list of several documents shows those of all documents."""
        for one in self._sent.values():
            if one.at >= after and (one.kind in kinds or len(kinds) > 1):
                yield one
