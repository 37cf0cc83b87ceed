"""People get at most one message of each kind, programs get every event, and no failure harms the run."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.report.hostile import hostile_run
from tests.report.runs import RUN, events_of
from tests.report.samples import CLEAN_RUN, HALTED_RUN, NEW, OLD, START, STARTED, finished, name
from tests.report.strategies import ANY_EVENT

from bottlerocket_ecs_updater.core.model.event import (
    Event,
    InstanceFailed,
    InstanceQuarantined,
    RunHalted,
    VersionWithdrawn,
)
from bottlerocket_ecs_updater.core.model.ids import InstanceId
from bottlerocket_ecs_updater.core.model.outcome import Outcome, RunOutcome, UpToDate
from bottlerocket_ecs_updater.core.model.reasons import Failure, Reason, failed, hold
from bottlerocket_ecs_updater.errors import Unreachable
from bottlerocket_ecs_updater.report.analysis.suggested_commands import Reach
from bottlerocket_ecs_updater.report.outputs.messages import Message, Messenger, Notice, Occasion, ascii_line

GOLDEN = Path(__file__).parents[1] / "golden"
REPORT = "s3://state/updater/runs/demo/20260105-0901-3f9c/report.html"
REACH = Reach("demo", "eu-central-1", "s3://state/updater/")


@dataclass
class Mailbox:
    """Accepts messages; fails on request."""

    fails: bool = False
    messages: list[Message] = field(default_factory=list)

    def send(self, message: Message) -> None:
        if self.fails:
            raise Unreachable("the topic is gone")
        self.messages.append(message)


@dataclass
class Queue:
    """Accepts notices."""

    fails: bool = False
    batches: list[Sequence[Notice]] = field(default_factory=list)

    def put(self, notices: Sequence[Notice]) -> None:
        if self.fails:
            raise Unreachable("the bus is gone")
        self.batches.append(notices)

    @property
    def notices(self) -> list[Notice]:
        return [notice for batch in self.batches for notice in batch]


def tell(
    events: Iterable[Event], box: Mailbox, queue: Queue | None = None, warn: Callable[[str], None] = lambda _: None
) -> None:
    ways = [queue] if queue else []
    messenger = Messenger([box], ways, run=RUN, cluster="demo", report=REPORT, warn=warn, reach=REACH)
    for event in events:
        messenger.record(event)


def messages_of(events: Iterable[Event]) -> list[Message]:
    box = Mailbox()
    tell(events, box)
    return box.messages


def test_a_run_that_updates_is_reported_at_its_start_and_its_end() -> None:
    assert [message.occasion for message in messages_of(events_of("clean"))] == [Occasion.STARTED, Occasion.FINISHED]


def test_a_run_with_trouble_is_reported_once_of_each_kind() -> None:
    occasions = [message.occasion for message in messages_of(events_of("halted"))]
    assert sorted(occasions, key=list(Occasion).index) == list(Occasion)
    assert occasions[-1] is Occasion.FINISHED


def test_a_run_in_which_nothing_happened_sends_no_message() -> None:
    assert messages_of([STARTED, finished({name(1): UpToDate(NEW)})]) == []


def test_a_run_that_could_not_go_on_is_reported_though_nothing_was_started() -> None:
    (message,) = messages_of(
        [STARTED, finished({}, RunOutcome.ERROR, 1, "no permission for ecs:ListContainerInstances")]
    )
    assert "no permission for ecs:ListContainerInstances" in message.text
    assert message.subject == "[demo] The run could not start: no permission for ecs:ListContainerInstances"


def test_the_subject_says_what_happened_on_which_cluster() -> None:
    first, last = (message.subject for message in messages_of(events_of("clean")))
    assert first == "[demo] update from 1.52.0 to 1.53.1 started"
    assert last.startswith("[demo] All 6 instances updated to 1.53.1, in ")


def test_every_message_names_the_report_and_the_next_step() -> None:
    for message in messages_of(events_of("halted")):
        assert REPORT in message.text
        assert message.facts["run"] == RUN


def test_the_last_message_names_every_instance_that_needs_a_person() -> None:
    events = events_of("broken")
    digest = messages_of(events)[-1].text
    for event in events:
        if isinstance(event, InstanceFailed | InstanceQuarantined):
            assert event.instance in digest
    assert digest.count("To do:") == 8, "four kinds of trouble, and four holds that stay until somebody does something"


@pytest.mark.parametrize(("run", "golden"), [(CLEAN_RUN, "clean"), (HALTED_RUN, "halted")])
def test_the_digest_is_the_golden_one(run: list[Event], golden: str) -> None:
    """Look at the file if this fails: it is what people will read in their mail."""
    message = messages_of(run)[-1]
    assert f"{message.subject}\n\n{message.text}\n" == (GOLDEN / f"{golden}.mail.txt").read_text("utf-8")


def test_programs_get_an_event_for_every_instance_and_for_the_end_with_its_summary() -> None:
    queue = Queue()
    tell(events_of("broken"), Mailbox(), queue)
    names = [notice.name for notice in queue.notices]
    assert names.count("instance.updated") == 13
    assert names.count("instance.quarantined") == 4
    assert (names[0], names[-1]) == ("run.started", "run.finished")
    assert queue.notices[-1].facts["quarantined"] == 4
    assert queue.notices[-1].facts["report"] == REPORT


def test_programs_get_important_events_at_once_and_the_others_in_batches() -> None:
    queue = Queue()
    tell(events_of("large"), Mailbox(), queue)
    assert max(map(len, queue.batches)) <= 10
    assert len(queue.batches) < len(queue.notices) / 5


def test_a_message_of_trouble_brings_the_commands_that_end_it() -> None:
    texts = {message.occasion: message.text for message in messages_of(events_of("halted"))}
    flags = "--cluster demo --region eu-central-1 --state s3://state/updater/"
    assert f"\n    bottlerocket-ecs-updater pause {flags}\n" in texts[Occasion.HALTED]
    for occasion in (Occasion.FAILED, Occasion.QUARANTINED, Occasion.FINISHED):
        assert re.search(rf"\n    bottlerocket-ecs-updater release i-[0-9a-f]+ {flags}\n", texts[occasion])
    assert f"\n    bottlerocket-ecs-updater release 1.53.1 {flags}\n" in texts[Occasion.FINISHED]


# Source: PutEvents: the total size of its entries is less than 256 KB, the detail in UTF-8; Publish of SNS: 256 KB.
@pytest.mark.parametrize("letter", ["x", "\u20ac", "\U0001f4a9", "\x00", '"'])
def test_five_thousand_instances_with_much_to_say_fit_in_one_event_and_one_mail(letter: str) -> None:
    why = failed(Failure.APPLY_FAILED, detail=letter * 24_000)
    outcomes: dict[InstanceId, Outcome] = {name(number): why for number in range(5000)}
    outcomes |= {name(number): hold(Reason.STANDALONE_TASK, task=letter * 24_000) for number in range(100)}
    queue, box = Queue(), Mailbox()
    halted = RunHalted(START, letter * 24_000)
    tell([STARTED, halted, finished(outcomes, RunOutcome.HALTED, 4, letter * 24_000)], box, queue)
    for batch in queue.batches:
        assert sum(len(json.dumps(dict(notice.facts)).encode()) for notice in batch) < 256_000
    for message in box.messages:
        assert len(message.text.encode()) < 256_000


def test_a_topic_that_fails_causes_only_a_warning() -> None:
    complaints: list[str] = []
    tell(events_of("clean"), Mailbox(fails=True), Queue(fails=True), complaints.append)
    assert any("no message about the finish could be sent: the topic is gone" in complaint for complaint in complaints)
    assert any("could not be sent to the event bus: the bus is gone" in complaint for complaint in complaints)


def test_one_output_that_fails_does_not_stop_the_others() -> None:
    well = Mailbox()
    messenger = Messenger([Mailbox(fails=True), well], [], run=RUN, cluster="demo", report="", warn=lambda _: None)
    for event in CLEAN_RUN:
        messenger.record(event)
    assert len(well.messages) == 2


def test_hostile_text_is_text_in_a_message() -> None:
    for message in messages_of(hostile_run()):
        assert message.subject.isascii()
        assert message.subject.isprintable()
        assert [one for one in message.text if not one.isprintable() and one != "\n"] == []
        assert len(message.text) < 100_000


# Source: Subject of SNS Publish: ASCII text that begins with a letter, number or punctuation mark, without line breaks
# or control characters, less than 100 characters long.
@given(text=st.text(max_size=300))
def test_a_subject_is_as_sns_takes_it(text: str) -> None:
    subject = ascii_line(f"[demo] {text}")
    assert subject.isascii()
    assert subject.isprintable()
    assert len(subject) < 100


@given(events=st.lists(ANY_EVENT, max_size=15))
def test_messages_can_be_written_for_any_events(events: list[Event]) -> None:
    occasions = [message.occasion for message in messages_of([STARTED, *events])]
    assert len(occasions) == len(set(occasions))


def test_holds_that_wait_for_a_person_send_no_repeated_messages() -> None:
    outcomes: dict[InstanceId, Outcome] = {name(1): hold(Reason.AGENT_DISCONNECTED), name(2): UpToDate(NEW)}
    assert messages_of([STARTED, finished(outcomes)]) == []


def test_a_withdrawn_version_is_reported_by_the_run_that_saw_it_first() -> None:
    outcomes: dict[InstanceId, Outcome] = {name(1): UpToDate(NEW)}
    seen, earlier = START + timedelta(minutes=1), START - timedelta(days=1)
    first, later = (VersionWithdrawn(seen, "aws-ecs-2/x86_64", NEW, OLD, at) for at in (seen, earlier))
    (message,) = messages_of([STARTED, first, finished(outcomes)])
    assert message.subject == "[demo] AWS withdrew 1.21.0, which 1 instance runs; nothing was updated"
    assert messages_of([STARTED, later, finished(outcomes)]) == []
