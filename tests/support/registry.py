"""An image registry on loopback that keeps pushed images in memory. Source: OCI distribution specification."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit


@dataclass
class Registry:
    """The pushed manifests and blobs."""

    host: str = ""
    blobs: dict[str, bytes] = field(default_factory=dict)
    manifests: dict[str, bytes] = field(default_factory=dict)
    """By the name under which each was pushed: repository:tag."""

    def digest(self, name: str) -> str:
        """The digest of the manifest that was pushed under a name."""
        return digest_of(self.manifests[name])


def digest_of(content: bytes) -> str:
    """In the format of registries."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@contextmanager
def serving() -> Iterator[Registry]:  # noqa: C901 - one door with a method for each verb
    """A registry that accepts pushes within the context."""
    registry = Registry()
    uploads: dict[str, bytes] = {}

    class Door(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer(200 if self.path == "/v2/" else 404)

        def do_HEAD(self) -> None:
            self._answer(200 if self.path.rsplit("/", 1)[-1] in registry.blobs else 404)

        def do_POST(self) -> None:
            self._body()
            place = f"{urlsplit(self.path).path.rstrip('/')}/{len(uploads)}"
            uploads[place] = b""
            self._answer(202, Location=place)

        def do_PATCH(self) -> None:
            place = urlsplit(self.path).path
            uploads[place] += self._body()
            self._answer(202, Location=place, Range=f"0-{len(uploads[place]) - 1}")

        def do_PUT(self) -> None:
            where, body = urlsplit(self.path), self._body()
            if "/manifests/" in where.path:
                name, tag = where.path.removeprefix("/v2/").split("/manifests/")
                registry.manifests[f"{name}:{tag}"] = body
            else:
                body = uploads.pop(where.path) + body
                [digest] = parse_qs(where.query)["digest"]
                if digest_of(body) != digest:
                    self._answer(400)
                    return
                registry.blobs[digest] = body
            self._answer(201, **{"Docker-Content-Digest": digest_of(body)})

        def _body(self) -> bytes:
            if self.headers.get("Transfer-Encoding") != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length", 0)))
            parts = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)

        def _answer(self, status: int, **headers: str) -> None:
            self.send_response(status)
            for name, value in {"Content-Length": "0", **headers}.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
    registry.host = f"127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield registry
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
