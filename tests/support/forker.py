"""The process that has imported the program or awscli, and forks itself for each start.

`forked` starts it and sends it what to start. It has no threads, so a fork is complete.
"""

from __future__ import annotations

import gc
import io
import json
import os
import signal
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from runpy import run_module
from typing import Any

ROOM = "bottlerocket_ecs_updater"
AWSCLI = str(Path(sys.executable).with_name("aws"))

COMMANDS = ("run", "plan", "status", "explain", "doctor", "release", "report", "history", "fleet")
MODULES = {
    ROOM: [f"{ROOM}.{part}" for part in ("cli", "cli.app", *(f"cli.commands.{each}" for each in COMMANDS))],
    "simulate": [f"{ROOM}.cli.commands.simulate", f"{ROOM}.simulator.wire.server"],
    AWSCLI: ["awscli.clidriver", "awscli.handlers"],
    "acceptance": ["acceptance.checks", "acceptance.ground"],
    "tests.acceptance_driver": ["acceptance.checks", "acceptance.ground"],
}
"""What can be started, and `simulate`, each with the modules that are imported before its first start."""

SERVICES = ("ecs", "ssm", "ec2", "autoscaling", "s3")
TEMPLATES = ("report.html.j2", "index.html.j2")

LENGTH_BYTES = 4
"""Each message begins with the length of the rest."""


def read(connection: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        part = connection.recv(size - len(found))
        if not part:
            raise EOFError
        found += part
    return found


def _requests(connection: socket.socket) -> Iterator[tuple[dict[str, Any], list[int]]]:
    """The requests, each with its streams, until the connection ends."""
    while True:
        head, streams, _, _ = socket.recv_fds(connection, LENGTH_BYTES, 3)
        if not head:
            return
        yield json.loads(read(connection, int.from_bytes(head, "big"))), streams


def _prepare(words: Sequence[str]) -> None:
    """Import what this start needs."""
    for kind in words[:2]:
        if kind in MODULES:
            _import(kind)


_set_by_imports: dict[str, str] = {}
"""Variables that the modules set when they are imported: awscli says where its data are."""


@cache
def _import(kind: str) -> None:
    before = dict(os.environ)
    for module in MODULES[kind]:
        import_module(module)
    _set_by_imports.update(set(os.environ.items()) - set(before.items()))
    if kind == ROOM:
        _read_descriptions()
    # What is there now needs no collection in any fork, so its pages stay shared.
    gc.freeze()


def _read_descriptions() -> None:
    """Fill the program's own caches of what it reads in every run, and compiles for every page."""
    loader = import_module(f"{ROOM}.aws.transport.session")._loader(None)
    for service in SERVICES:
        loader.load_service_model(service, "service-2")
    templates = import_module(f"{ROOM}.report.outputs.page.html")._templates()
    for template in TEMPLATES:
        templates.get_template(template)


def serve(connection: socket.socket) -> None:
    """Fork a process for each request. Returns never in this process, and once in each of those."""
    for request, streams in _requests(connection):
        _prepare(request["words"])
        reader, writer = os.pipe()
        between = os.fork()
        if not between:
            # Its child becomes a child of the process that sent the request, once this one has ended.
            process = os.fork()
            if process:
                os.write(writer, process.to_bytes(LENGTH_BYTES, "big"))
                os._exit(0)
            os.close(reader)
            os.close(writer)
            connection.close()
            _become(request, streams)
            return
        os.waitpid(between, 0)
        os.close(writer)
        connection.sendall(os.read(reader, LENGTH_BYTES))
        for number in (reader, *streams):
            os.close(number)
    os._exit(0)


def _become(request: Mapping[str, Any], streams: Sequence[int]) -> None:
    """Take over what a new process gets from its parent."""
    if request["session"]:
        os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"] | _set_by_imports)
    sys.argv = list(request["words"])
    at_once = bool(os.environ.get("PYTHONUNBUFFERED"))
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - a stream of the process
    sys.stdout = _stream(1, "strict", lines=os.isatty(1), at_once=at_once)
    sys.stderr = _stream(2, "backslashreplace", lines=True, at_once=at_once)


def _stream(number: int, errors: str, *, lines: bool, at_once: bool) -> io.TextIOWrapper:
    binary = open(number, "wb", closefd=False)  # noqa: SIM115 - a stream of the process
    return io.TextIOWrapper(binary, "utf-8", errors, line_buffering=lines, write_through=at_once)


if __name__ == "__main__":
    # Ctrl-C is for the processes that it starts; it ends with the one that started it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    serve(socket.socket(fileno=int(sys.argv[1])))
    if sys.argv[0] == AWSCLI:
        sys.exit(import_module("awscli.clidriver").main())
    run_module(sys.argv[0], run_name="__main__", alter_sys=True)
