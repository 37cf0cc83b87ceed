"""The format of a message in a chat."""

from __future__ import annotations

from dataclasses import replace

from tests.report.hostile import hostile_run
from tests.report.outputs.test_messages import messages_of
from tests.report.runs import events_of

from bottlerocket_ecs_updater.aws.transport.messages import SLACK_TEXT_MAX_CHARACTERS, slack_form
from bottlerocket_ecs_updater.core.model.event import Event
from bottlerocket_ecs_updater.report.outputs.messages import Message

FENCE = "```"


def messages() -> list[Message]:
    runs: list[list[Event]] = [list(events_of("halted")), list(events_of("clean")), hostile_run()]
    return [message for run in runs for message in messages_of(run)]


def test_slack_shows_the_subject_above_one_block_that_holds_the_rest() -> None:
    for message in messages():
        text = slack_form(message)["text"]
        subject, _, block = text.partition("\n")
        assert subject.startswith("*[demo] ")
        assert subject.endswith("*")
        assert block.startswith(FENCE)
        assert block.endswith(FENCE)
        assert text.count(FENCE) == 2


# Source: "Formatting text for app surfaces": &, < and > are the control characters; the rest of a block is as it is.
def test_nothing_in_a_message_is_a_link_or_calls_anybody_in_slack() -> None:
    for message in messages():
        text = slack_form(message)["text"]
        assert "<" not in text
        assert ">" not in text
        assert text.replace("&lt;", "").replace("&gt;", "").replace("&amp;", "").count("&") == 0


def test_a_command_is_whole_in_slack() -> None:
    (quarantine,) = [message for message in messages_of(events_of("halted")) if message.occasion.value == "quarantine"]
    flags = "--cluster demo --region eu-central-1 --state s3://state/updater/"
    assert any(
        line.startswith("    bottlerocket-ecs-updater release i-") and line.endswith(flags)
        for line in slack_form(quarantine)["text"].splitlines()
    )


def test_a_message_that_is_too_long_for_slack_still_ends_its_block() -> None:
    long = replace(messages()[0], text="a line\n" * 5000)
    text = slack_form(long)["text"]
    assert len(text) < SLACK_TEXT_MAX_CHARACTERS + 200
    assert text.endswith(FENCE)
