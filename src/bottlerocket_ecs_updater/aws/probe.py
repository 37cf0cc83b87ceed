"""Asking URLs of the operator's whether all is well: one GET each, and a status of success or not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from urllib.error import URLError
from urllib.request import Request

from bottlerocket_ecs_updater.aws.transport.web import Reply, Terms, ask_all

PROBE_SECONDS = 5.0
"""A probe that takes longer is not well; a run that was told to stop must leave in ten seconds."""

PROBE_REDIRECTS = 5
"""More than from http to https, to a host's full name, and to a page of another language."""

PROBES_AT_ONCE = 20
"""Each has a thread, and all of them one deadline."""

TERMS = Terms(PROBE_SECONDS, PROBE_REDIRECTS)


def ask_probe(url: str) -> str:
    """Why the URL is not well, empty where it answers with a status of success. Redirects are followed."""
    return ask_probes([url])[url]


def ask_probes(urls: Sequence[str]) -> Mapping[str, str]:
    """The same of several, asked at the same time: all that they take together is one probe's time."""
    # The settings take http and https only.
    requests = [Request(url, headers={"User-Agent": "bottlerocket-ecs-updater"}) for url in urls]  # noqa: S310
    return dict(zip(urls, map(_unwell, ask_all(requests, TERMS)), strict=True))


def _unwell(answer: Reply | Exception) -> str:
    match answer:
        case Reply(status=status):
            return "" if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES else f"answered {status}"
        case TimeoutError():
            return f"did not answer within {PROBE_SECONDS:g} s"
        case URLError(reason=TimeoutError()):
            return f"did not answer within {PROBE_SECONDS:g} s"
        case URLError(reason=reason):
            return f"could not be reached: {reason}"
        case _:
            return f"could not be reached: {type(answer).__name__}"
