"""How long the program takes to start, in separate processes: until it has printed its help, and until its first call.

The first call goes to a socket of ours that never answers. Wall time is what a person waits for; CPU time is what the
program itself needs, however busy the machine is.
"""

from __future__ import annotations

import os
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

PROGRAM = (sys.executable, "-m", "bottlerocket_ecs_updater")
REPEATED = 15
PATIENCE_SECONDS = 60
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
LOOPBACK = "127.0.0.1"
BYTECODE = {"PYTHONDONTWRITEBYTECODE": ""}
"""An installed package has its bytecode; here the first of several starts may write it."""


@dataclass(frozen=True, slots=True)
class Start:
    """Seconds over several starts: the median and the minimum, of wall time and CPU time."""

    wall: float
    wall_best: float
    cpu: float
    cpu_best: float


def help_printed(repeated: int = REPEATED) -> Start:
    """From the start of the process until it has printed its help and ended."""
    walls, cpus = [], []
    for _ in range(repeated):
        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run((*PROGRAM, "--help"), check=True, stdout=subprocess.DEVNULL, env={**os.environ, **BYTECODE})
        walls.append(time.perf_counter() - began)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpus.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return _start(walls, cpus)


def first_call(repeated: int = REPEATED) -> Start:
    """From the start of a run until its first request to AWS arrives."""
    with socket.create_server((LOOPBACK, 0)) as server:
        server.settimeout(PATIENCE_SECONDS)
        starts = [_until_first_call(server) for _ in range(repeated)]
    return _start([wall for wall, _ in starts], [cpu for _, cpu in starts])


def _until_first_call(server: socket.socket) -> tuple[float, float]:
    port = server.getsockname()[1]
    arguments = {
        "cluster": "benchmark",
        "check-document": "check",
        "apply-document": "apply",
        "reboot-document": "reboot",
        "state": "s3://benchmark/state",
        "log-format": "json",
    }
    words = [word for name, value in arguments.items() for word in (f"--{name}", value)]
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "ECS_"))},
        **BYTECODE,
        "AWS_ENDPOINT_URL": f"http://{LOOPBACK}:{port}",
        "AWS_ACCESS_KEY_ID": "AKIABENCHMARKBENCHMA",
        "AWS_SECRET_ACCESS_KEY": "benchmark",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }
    began = time.perf_counter()
    process = subprocess.Popen(
        (*PROGRAM, "run", *words), env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        with server.accept()[0] as connection:
            connection.settimeout(PATIENCE_SECONDS)
            connection.recv(1)
            return time.perf_counter() - began, _cpu_of(process.pid)
    finally:
        process.kill()
        process.wait()


def _cpu_of(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND


def _start(walls: Sequence[float], cpus: Sequence[float]) -> Start:
    return Start(median(walls), min(walls), median(cpus), min(cpus))
