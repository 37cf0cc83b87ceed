"""What ECS offers to a container on loopback: its role's credentials and its task's metadata.

Credentials need the task's own token and last an hour, like real ones.
"""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from bottlerocket_ecs_updater.simulator.aws_basics.errors import AwsError
from bottlerocket_ecs_updater.simulator.wire.server import SHUTDOWN_CHECK_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable

LOOPBACK = "127.0.0.1"

Answer = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Offer:
    """What one task may request."""

    token: str
    credentials: Callable[[], Answer]
    metadata: Callable[[], Answer]


class TaskEndpoint:
    """The server. Each task has its own path."""

    def __init__(self) -> None:
        self._offers: dict[str, Offer] = {}
        offers = self._offers

        class Handler(BaseHTTPRequestHandler):
            """Answers a GET, and logs nothing."""

            def do_GET(self) -> None:
                status, body = _answer(offers, self.path, self.headers.get("Authorization", ""))
                content = json.dumps(body, default=str).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                with suppress(ConnectionError):  # the caller may have left by now
                    self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                """Log nothing."""

        self._server = ThreadingHTTPServer((LOOPBACK, 0), Handler)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(SHUTDOWN_CHECK_SECONDS,), name="task-endpoint", daemon=True
        )

    def start(self) -> None:
        """Listen on loopback only."""
        self._thread.start()

    def stop(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def offer(self, task_id: str, credentials: Callable[[], Answer], metadata: Callable[[], Answer]) -> dict[str, str]:
        """Start to serve a task; returns the environment variables for its containers."""
        token = secrets.token_urlsafe(24)
        self._offers[task_id] = Offer(token, credentials, metadata)
        base = f"http://{LOOPBACK}:{self._server.server_port}"
        return {
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{base}/v2/credentials/{task_id}",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN": token,
            "ECS_CONTAINER_METADATA_URI_V4": f"{base}/v4/{task_id}",
        }

    def withdraw(self, task_id: str) -> None:
        """Stop serving a task."""
        self._offers.pop(task_id, None)


def _answer(offers: Mapping[str, Offer], path: str, token: str) -> tuple[int, Answer]:
    parts = path.strip("/").split("/")
    offer = offers.get(parts[-1]) or (offers.get(parts[-2]) if len(parts) > 1 else None)
    if offer is None:
        return 404, {"message": "no such task"}
    try:
        if parts[:2] == ["v2", "credentials"]:
            return (200, offer.credentials()) if token == offer.token else (403, {"message": "not your task"})
        return 200, offer.metadata()
    except AwsError as error:
        return 500, {"code": error.code, "message": error.message}
