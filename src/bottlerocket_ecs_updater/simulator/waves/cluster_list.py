"""One endpoint that lists all simulated clusters, for the task that divides them into waves."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from moto.moto_server.werkzeug_app import create_backend_app
from werkzeug.serving import make_server

from bottlerocket_ecs_updater.simulator.wire.requests import Environ
from bottlerocket_ecs_updater.simulator.wire.server import LOOPBACK
from bottlerocket_ecs_updater.simulator.wire.wsgi import BackendDispatcher, QuietHandler

if TYPE_CHECKING:
    from werkzeug.serving import BaseWSGIServer

    from bottlerocket_ecs_updater.simulator.world.world import World

_TARGET = "AmazonEC2ContainerServiceV20141113."


class Control:
    """Lists the clusters of several worlds; moto serves everything else. A context manager."""

    def __init__(self, worlds: Mapping[str, World], tags: Mapping[str, Mapping[str, str]]) -> None:
        self._worlds = worlds
        self._tags = tags
        self._moto = BackendDispatcher(create_backend_app)
        self._server: BaseWSGIServer = make_server(LOOPBACK, 0, self, threaded=True, request_handler=QuietHandler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="control", daemon=True)

    @property
    def endpoint(self) -> str:
        """The URL for clients."""
        return f"http://{LOOPBACK}:{self._server.server_port}"

    def __enter__(self) -> Control:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        target = environ.get("HTTP_X_AMZ_TARGET", "")
        answer = {"ListClusters": self._list, "DescribeClusters": self._describe}.get(target.removeprefix(_TARGET))
        if answer is None:
            served: Iterable[bytes] = self._moto(environ, start_response)
            return served
        length = int(environ.get("CONTENT_LENGTH") or 0)
        body = json.dumps(answer(json.loads(environ["wsgi.input"].read(length) or b"{}"))).encode()
        start_response("200 OK", [("Content-Type", "application/x-amz-json-1.1"), ("Content-Length", str(len(body)))])
        return [body]

    def _list(self, _: Mapping[str, Any]) -> dict[str, Any]:
        return {"clusterArns": [self._arn(name) for name in sorted(self._worlds)]}

    def _describe(self, request: Mapping[str, Any]) -> dict[str, Any]:
        names = [arn.rsplit("/", 1)[-1] for arn in request.get("clusters", ())]
        shapes = [self._shape(name) for name in names if name in self._worlds]
        return {"clusters": shapes, "failures": []}

    def _shape(self, name: str) -> dict[str, Any]:
        tags = [{"key": key, "value": value} for key, value in self._tags.get(name, {}).items()]
        return {
            "clusterArn": self._arn(name),
            "clusterName": name,
            "status": "ACTIVE",
            "registeredContainerInstancesCount": len(self._worlds[name].hosts),
            "tags": tags,
        }

    def _arn(self, name: str) -> str:
        return self._worlds[name].names.ecs("cluster", name)
