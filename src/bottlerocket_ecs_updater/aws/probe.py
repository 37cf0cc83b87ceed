"""Asking a URL of the operator's whether all is well: one GET, and a status of success or not."""

from __future__ import annotations

from http import HTTPStatus
from http.client import HTTPException
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

PROBE_TIMEOUT_SECONDS = 5.0
"""A probe that takes longer is not well; a run that was told to stop must leave in ten seconds."""


def ask_probe(url: str) -> str:
    """Why the URL is not well, empty where it answers with a status of success. Redirects are followed."""
    request = Request(url, headers={"User-Agent": "bottlerocket-ecs-updater"})  # noqa: S310 - the settings take http and https only
    try:
        with urlopen(request, timeout=PROBE_TIMEOUT_SECONDS) as answer:  # noqa: S310 - as above
            status = int(answer.status)
    except HTTPError as error:
        error.close()
        status = error.code
    except URLError as error:
        return f"could not be reached: {error.reason}"
    except (OSError, HTTPException, ValueError) as error:
        return f"could not be reached: {type(error).__name__}"
    return "" if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES else f"answered {status}"
