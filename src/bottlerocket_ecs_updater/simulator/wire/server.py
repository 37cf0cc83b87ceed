"""An HTTP server for one world on loopback, and the environment for its clients."""

from __future__ import annotations

import os
import threading
from functools import partial
from typing import TYPE_CHECKING

from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.ecs.models import ecs_backends
from moto.moto_server.werkzeug_app import create_backend_app
from moto.ssm.models import ssm_backends
from werkzeug.serving import make_server

from bottlerocket_ecs_updater.simulator.ecs import TaskDefinition, Workload
from bottlerocket_ecs_updater.simulator.wire.responses import WORLDS, install
from bottlerocket_ecs_updater.simulator.wire.wsgi import BackendDispatcher, QuietHandler, WorldApplication

if TYPE_CHECKING:
    from werkzeug.serving import BaseWSGIServer

    from bottlerocket_ecs_updater.simulator.world.world import World

LOOPBACK = "127.0.0.1"
SHUTDOWN_CHECK_SECONDS = 0.05
"""How often a server checks whether to stop; the library's own half second is a long wait for tests."""
_MOTO_ACCOUNT = "MOTO_ACCOUNT_ID"
UPDATER_KEY = "AKIASIMULATEDUPDATER"
"""The default access key in `environment`; moto requires twenty characters."""
OPERATOR_KEY = "AKIAOPERATOROPERATOR"
"""The access key of a person: its calls do not count as the updater's."""


class Wire:
    """Serves a world over HTTP. moto's records (documents, buckets, stacks) are shared within the process."""

    def __init__(self, world: World, port: int = 0) -> None:
        self._world = world
        self._port = port
        self._server: BaseWSGIServer | None = None
        self._thread: threading.Thread | None = None

    @property
    def endpoint(self) -> str:
        """The URL for clients."""
        assert self._server is not None, "the server has not been started"
        return f"http://{LOOPBACK}:{self._server.server_port}"

    def start(self) -> str:
        """Listen on loopback only. Returns the endpoint's URL."""
        install()
        world = self._world
        world.watch.operators |= {OPERATOR_KEY}
        application = WorldApplication(world, BackendDispatcher(create_backend_app))
        self._server = make_server(LOOPBACK, self._port, application, threaded=True, request_handler=QuietHandler)
        WORLDS[self._server.server_port] = world
        self._share_records()
        serve = partial(self._server.serve_forever, poll_interval=SHUTDOWN_CHECK_SECONDS)
        self._thread = threading.Thread(target=serve, name="wire", daemon=True)
        self._thread.start()
        return self.endpoint

    def stop(self) -> None:
        """Stop the server; does nothing if it was not started."""
        if self._server is None or self._thread is None:
            return
        self._server.shutdown()
        self._thread.join()
        del WORLDS[self._server.server_port]
        self._server.server_close()
        if self._world.names.account != DEFAULT_ACCOUNT_ID:
            os.environ.pop(_MOTO_ACCOUNT, None)
        self._server = self._thread = None

    def __enter__(self) -> Wire:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def environment(self, key: str = UPDATER_KEY) -> dict[str, str]:
        """The environment variables that make any AWS client use only this world."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": key,
            "AWS_SECRET_ACCESS_KEY": "simulated",
            "AWS_REGION": self._world.names.region,
            "AWS_DEFAULT_REGION": self._world.names.region,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }

    def _share_records(self) -> None:
        """Copy the world's documents to moto, and let the world read moto's records."""
        names = self._world.names
        if names.account != DEFAULT_ACCOUNT_ID:
            # moto uses this account for a request, unless its own IAM created the key.
            os.environ[_MOTO_ACCOUNT] = names.account
        backend = ssm_backends[names.account][names.region]
        if not any(other.names.account == names.account for other in WORLDS.values() if other is not self._world):
            # An earlier world of this process may have left some.
            backend._parameters.clear()
        for name, content in self._world.documents.all().items():
            if name not in backend._documents:
                backend.create_document(
                    content=content,
                    requires=[],
                    attachments=[],
                    name=name,
                    version_name="",
                    document_type="Command",
                    document_format="JSON",
                    target_type="",
                    tags=[],
                )
        self._world.documents.sources = [self._moto_document]
        self._world.ecs.registry.other_definitions = [self._moto_definition]
        self._world.ecs.registry.other_definition_arns = [self._moto_definition_arns]

    def _moto_document(self, name: str) -> str | None:
        names = self._world.names
        found = ssm_backends[names.account][names.region]._documents.get(name.rsplit("/", 1)[-1])
        return None if found is None else str(found.get_default_version().content)

    def _moto_definition_arns(self, status: str) -> list[str]:
        names = self._world.names
        families = ecs_backends[names.account][names.region].task_definitions.values()
        return [one.arn for revisions in families for one in revisions.values() if one.status == status]

    def _moto_definition(self, name: str) -> TaskDefinition | None:
        names = self._world.names
        family, _, revision = name.rsplit("/", 1)[-1].partition(":")
        revisions = ecs_backends[names.account][names.region].task_definitions.get(family, {})
        if not revisions:
            return None
        found = revisions.get(int(revision) if revision.isdecimal() else max(revisions))
        if found is None:
            return None
        work = Workload(cpu=int(found.cpu or 256), memory=int(found.memory or 256))
        return TaskDefinition(found.arn, family, found.revision, work, self._world.clock.now())
