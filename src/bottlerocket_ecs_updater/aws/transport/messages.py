"""Where messages go: an SNS topic, an EventBridge bus, a chat or any other webhook.

Errors here are UpdaterErrors. The sender catches them, so that they never stop a run.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from http import HTTPStatus
from http.client import HTTPException
from typing import TYPE_CHECKING, Any, Protocol
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import Request

from bottlerocket_ecs_updater.aws.transport.api import Api
from bottlerocket_ecs_updater.aws.transport.operation import Operation
from bottlerocket_ecs_updater.aws.transport.web import Terms, ask
from bottlerocket_ecs_updater.engine.store.read_json import Unreadable, read_object, text_of
from bottlerocket_ecs_updater.errors import Unreachable, UsageError

if TYPE_CHECKING:
    from types_boto3_events import EventBridgeClient
    from types_boto3_secretsmanager import SecretsManagerClient
    from types_boto3_sns import SNSClient
    from types_boto3_ssm import SSMClient

SOURCE = "bottlerocket-ecs-updater"
"""The source of our events. Rules match on it."""

EVENTS_PER_CALL = 10
"""Limit of entries for PutEvents. Source: its service model."""

WEBHOOK = Terms(seconds=5.0)
"""A webhook that does not answer must not delay a run for longer. Redirects are not followed."""

SLACK_HOSTS = ("hooks.slack.com", "hooks.slack-gov.com")
SLACK_TEXT_MAX_CHARACTERS = 12_000
"""Slack truncates longer messages."""


class OutgoingMessage(Protocol):
    """A message to people."""

    @property
    def subject(self) -> str: ...
    @property
    def text(self) -> str: ...
    @property
    def facts(self) -> Mapping[str, Any]: ...


class OutgoingNotice(Protocol):
    """An event for programs."""

    @property
    def name(self) -> str: ...
    @property
    def facts(self) -> Mapping[str, Any]: ...


class Topic:
    """An SNS topic: email and other subscriptions."""

    def __init__(self, client: Callable[[], SNSClient], api: Api, arn: str) -> None:
        self._client = client
        self._api = api
        self._arn = arn

    def send(self, message: OutgoingMessage) -> None:
        """Publish the message."""
        send = self._client().publish
        self._api.act(
            Operation.PUBLISH, self._arn, send, TopicArn=self._arn, Subject=message.subject, Message=message.text
        )


class Bus:
    """An EventBridge event bus."""

    def __init__(self, client: Callable[[], EventBridgeClient], api: Api, name: str) -> None:
        self._client = client
        self._api = api
        self._name = name

    def put(self, notices: Sequence[OutgoingNotice]) -> None:
        """Put each notice as an event, with its name as the detail type."""
        for start in range(0, len(notices), EVENTS_PER_CALL):
            self._put(notices[start : start + EVENTS_PER_CALL])

    def _put(self, notices: Sequence[OutgoingNotice]) -> None:
        entries: list[Any] = [
            {
                "Source": SOURCE,
                "DetailType": notice.name,
                "Detail": json.dumps(dict(notice.facts), separators=(",", ":")),
                "EventBusName": self._name,
            }
            for notice in notices
        ]
        reply = self._api.act(Operation.PUT_EVENTS, self._name, self._client().put_events, Entries=entries)
        if reply.get("FailedEntryCount"):
            why = {entry.get("ErrorMessage") or entry.get("ErrorCode", "") for entry in reply.get("Entries", [])}
            raise Unreachable(
                f"{self._name} refused {reply['FailedEntryCount']} events: {', '.join(sorted(why - {''}))}"
            )


class Webhook:
    """An HTTPS address that accepts JSON, such as Slack's. The URL is a secret."""

    def __init__(self, read_url: Callable[[], str]) -> None:
        self._read_url = read_url

    def send(self, message: OutgoingMessage) -> None:
        """Post the message, in Slack's format if it is Slack's address. Errors never contain the URL."""
        data = json.dumps(slack_form(message) if self._slack else _for_others(message)).encode()
        request = Request(self._url, data, {"Content-Type": "application/json"}, method="POST")  # noqa: S310 - checked
        try:
            status = ask(request, WEBHOOK).status
        except URLError as error:
            raise Unreachable(f"the webhook could not be reached: {error.reason}") from None
        except (OSError, HTTPException, ValueError) as error:
            raise Unreachable(f"the webhook could not be reached: {type(error).__name__}") from None
        if not HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
            raise Unreachable(f"the webhook answered {status}")

    @cached_property
    def _url(self) -> str:
        url = _url_in(self._read_url())
        parts = urlsplit(url)
        local = parts.hostname in ("localhost", "127.0.0.1", "::1")
        if not parts.hostname or not (parts.scheme == "https" or (parts.scheme == "http" and local)):
            raise UsageError("the webhook's secret does not contain an https:// address")
        return url

    @property
    def _slack(self) -> bool:
        return urlsplit(self._url).hostname in SLACK_HOSTS


def read_secret(client: Callable[[], SecretsManagerClient], api: Api, name: str) -> str:
    """The text of a secret in Secrets Manager."""
    reply = api.look(Operation.GET_SECRET_VALUE, name, client().get_secret_value, SecretId=name)
    return reply.get("SecretString", "")


def read_parameter(client: Callable[[], SSMClient], api: Api, name: str) -> str:
    """The decrypted text of a parameter in Parameter Store."""
    reply = api.look(Operation.GET_PARAMETER, name, client().get_parameter, Name=name, WithDecryption=True)
    return reply["Parameter"].get("Value", "")


def _url_in(secret: str) -> str:
    """The address itself, or the `url` key of a JSON object, which the Secrets Manager console creates."""
    text = secret.strip()
    if text.startswith("{"):
        try:
            return read_object(text, lambda value: text_of(value["url"]))
        except Unreadable:
            return ""
    return text


def slack_form(message: OutgoingMessage) -> dict[str, Any]:
    """A message in Slack's format: bold subject, and the text in a code block so that commands can be copied."""
    # Source: "Formatting text for app surfaces": these three characters, and no others, are control characters.
    text = f"*{message.subject}*\n```{message.text[:SLACK_TEXT_MAX_CHARACTERS].replace('```', chr(0x27) * 3)}```"
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return {"text": escaped}


def _for_others(message: OutgoingMessage) -> dict[str, Any]:
    return {"text": f"{message.subject}\n\n{message.text}", "subject": message.subject, "facts": dict(message.facts)}
