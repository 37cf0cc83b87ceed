"""Health probes: one GET for each of the operator's URLs. A 2xx status means healthy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from urllib.error import URLError
from urllib.request import Request

from bottlerocket_ecs_updater.aws.transport.web import Reply, Terms, ask_all

PROBE_SECONDS = 5.0
"""A slower probe counts as not healthy. A run must exit within ten seconds of a signal."""

PROBE_REDIRECTS = 5
"""More than enough for http to https, a canonical host name and a language page."""

PROBES_AT_ONCE = 20
"""Each probe has a thread, and all share one deadline."""

TERMS = Terms(PROBE_SECONDS, PROBE_REDIRECTS)


def ask_probes(urls: Sequence[str]) -> Mapping[str, str]:
    """Why each URL is not healthy, by URL; empty for one that answers with a 2xx status.

    Probes follow redirects. All are sent at the same time, and together take no longer than one.
    """
    # The settings accept only http and https.
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
