"""The outermost layer of the server: every internal error becomes an AWS error, or a dropped connection."""

from __future__ import annotations

import logging
from contextlib import suppress
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from moto.backends import list_of_moto_modules
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler
from moto.s3.models import s3_backends

from bottlerocket_ecs_updater.simulator.aws_basics.errors import AwsError
from bottlerocket_ecs_updater.simulator.wire.errors import json_error, query_error, rest_xml_error
from bottlerocket_ecs_updater.simulator.wire.requests import Environ, read_envelope
from bottlerocket_ecs_updater.simulator.wire.responses import SWAPPED
from bottlerocket_ecs_updater.simulator.world.api_faults import KilledError, ReplyLostError
from bottlerocket_ecs_updater.simulator.world.broken_versions import LEDGER
from bottlerocket_ecs_updater.simulator.world.forbidden_versions import ACTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from bottlerocket_ecs_updater.simulator.wire.errors import ErrorBody
    from bottlerocket_ecs_updater.simulator.wire.requests import Outside
    from bottlerocket_ecs_updater.simulator.world.world import World


_LOG = logging.getLogger(__name__)


class WorldApplication:
    """The server's WSGI application, around moto's."""

    def __init__(self, world: World, inside: Callable[[Environ, Callable[..., Any]], Iterable[bytes]]) -> None:
        self._world = world
        self._inside = inside

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        try:
            return self._serve(environ, start_response)
        except (ReplyLostError, KilledError) as lost:
            # The server silently drops a connection whose client is gone. That simulates a lost reply.
            raise ConnectionResetError(str(lost)) from lost
        except AwsError as error:
            return _refuse(environ, start_response, error)
        except NotImplementedError as error:
            return _refuse(environ, start_response, _not_simulated(environ, str(error)))
        except Exception as error:  # the outermost loop of a request
            # moto fails on something not simulated. A 500 would only make clients retry.
            _LOG.debug("moto failed", exc_info=error)
            why = f"moto cannot serve this: {type(error).__name__}: {error}"
            return _refuse(environ, start_response, _not_simulated(environ, why))

    def _serve(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        outside = read_envelope(environ)
        # The world counts its own operations, and applies faults to them.
        if outside is None or outside.service in SWAPPED:
            return self._inside(environ, start_response)
        call = self._world.overhear(outside.service, outside.operation, outside.key)
        answer = self._inside(environ, start_response)
        if outside.service == "s3":
            self._served_by_s3(environ, outside)
        self._world.overheard(call)
        return answer

    def _served_by_s3(self, environ: Environ, call: Outside) -> None:
        """Report what moto stores and reads to the invariant checker. Runs and people may share an access key."""
        bucket, _, key = environ.get("PATH_INFO", "").lstrip("/").partition("/")
        watch = self._world.watch
        with suppress(KeyError), self._world.clock.lock:
            match call.operation:
                case "PutObject" if key.endswith((LEDGER, ACTS)):
                    account = s3_backends[self._world.names.account][self._world.names.partition]
                    body = account.buckets[bucket].keys[key].value
                    watch.broken.stored(key, body, by_updater=False)
                    watch.forbidden.stored(key, body)
                case "DeleteObject":
                    watch.forbidden.deleted(key)
                case "GetObject":
                    watch.forbidden.read(key, call.key)
                case _:
                    pass


class QuietHandler(MotoRequestHandler):
    """Does not log requests, and drops the connection if a reply should be lost."""

    def connection_dropped(self, *_: object) -> None:
        """Close the connection, because the client would wait on a keep-alive connection."""
        self.close_connection = True

    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002 - werkzeug's name
        """Log nothing."""


class BackendDispatcher(DomainDispatcherApplication):
    """moto's choice of a backend by host, cached per host, and without output on stdout.

    moto scans its own folders on every request, which takes longer than to serve the request.
    """

    def get_backend_for_host(self, host: str | None) -> Any:
        return _backend_for_host(self, host)

    def look_for_backend(self, host: str | None) -> Any:
        """moto's backend for a host. Raises NotImplementedError if it has none."""
        known = host is None or host == "moto_api" or host in list_of_moto_modules()
        if known or any(pattern.match(f"http://{host}") for _, pattern in self.backend_url_patterns):
            return super().get_backend_for_host(host)
        raise NotImplementedError(f"there is no backend for {host}")


@lru_cache(maxsize=256)
def _backend_for_host(dispatcher: BackendDispatcher, host: str | None) -> Any:
    return dispatcher.look_for_backend(host)


def _not_simulated(environ: Environ, why: str) -> AwsError:
    """The error for an operation that is not simulated."""
    outside = read_envelope(environ)
    what = f"{outside.service}:{outside.operation}" if outside is not None else environ.get("PATH_INFO", "this")
    # Clients never retry a 501, unlike the 500 that a server would send by default.
    return AwsError("NotImplemented", f"{what} is not simulated: {why}", 501)


def _refuse(environ: Environ, start_response: Callable[..., Any], error: AwsError) -> Iterable[bytes]:
    body = _writer(environ)(error.code, error.message)
    content = body.text.encode()
    headers = [
        ("Content-Type", body.content_type),
        ("Content-Length", str(len(content))),
        ("x-amzn-ErrorType", error.code),
    ]
    start_response(f"{error.status} {error.code}", headers)
    return [content]


def _writer(environ: Environ) -> Callable[[str, str], ErrorBody]:
    """The error format of a request, by its headers."""
    kind = environ.get("CONTENT_TYPE", "")
    if environ.get("HTTP_X_AMZ_TARGET") or "json" in kind:
        return json_error
    return query_error if "x-www-form-urlencoded" in kind else rest_xml_error
