"""A world in its own process behind the AWS wire protocol, so that the updater's process can be measured alone.

As a program it serves until its standard input ends:

    python -m benchmarks.serving INSTANCES BUDGET SPEED
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.request import Request, urlopen

from benchmarks.hosts import Size

if TYPE_CHECKING:
    from subprocess import Popen

BUCKET = "benchmark"


@dataclass(frozen=True, slots=True)
class Served:
    """A served world, and how to reach it."""

    environment: dict[str, str]
    arguments: Sequence[str]
    """The arguments that `run` needs for it."""
    process: Popen[str]

    def seen(self) -> dict[str, int]:
        """Stop the world; returns its counts."""
        said, _ = self.process.communicate()
        counted: dict[str, int] = json.loads(said.splitlines()[-1])
        return counted


@contextmanager
def served(size: Size, speed: float) -> Iterator[Served]:
    """Serve a cluster of this size within the context, at this speed."""
    words = [str(size.instances), str(size.budget), str(speed), str(int(size.prepared))]
    process = subprocess.Popen(
        (sys.executable, "-m", __spec__.name, *words), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        mine = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "ECS_"))}
        yield Served({**mine, **ready["environment"]}, ready["arguments"], process)
    finally:
        process.kill()
        process.wait()


def main(words: Sequence[str]) -> None:
    """Serve, and at the end print what the world saw."""
    # Imported here, because a process that measures another one does not need them.
    from benchmarks.hosts import cluster  # noqa: PLC0415
    from bottlerocket_ecs_updater.simulator.clock import ScaledClock  # noqa: PLC0415
    from bottlerocket_ecs_updater.simulator.services.documents import APPLY, CHECK, REBOOT  # noqa: PLC0415
    from bottlerocket_ecs_updater.simulator.wire import Wire  # noqa: PLC0415

    size, speed = Size(int(words[0]), int(words[1]), prepared=words[3] == "1"), float(words[2])
    clock = ScaledClock(speed)
    origin = clock.now().isoformat()
    world = cluster(size, clock=clock)
    clock.start()
    with Wire(world) as wire:
        with urlopen(Request(f"{wire.endpoint}/{BUCKET}", method="PUT"), timeout=10):
            pass
        values = {
            "cluster": world.cluster.name,
            "region": wire.environment()["AWS_REGION"],
            "check-document": CHECK,
            "apply-document": APPLY,
            "reboot-document": REBOOT,
            "state": f"s3://{BUCKET}/state",
            "max-unavailable": str(size.budget),
            "time-scale": str(speed),
            "time-origin": origin,
        }
        arguments = [word for name, value in values.items() for word in (f"--{name}", value)]
        print(json.dumps({"environment": wire.environment(), "arguments": arguments}), flush=True)
        sys.stdin.read()
        seen = world.findings()
        counted = {"updated": sum(boots for boots in seen.boots.values()), "calls": sum(seen.calls.values())}
        kept = not (seen.violations or any(task.by_updater for task in seen.tasks_killed))
        checked = {"clean": seen.clean, "kept": kept, "moves": seen.task_moves}
        print(json.dumps({**counted, **checked}), flush=True)
    clock.stop()


if __name__ == "__main__":
    main(sys.argv[1:])
