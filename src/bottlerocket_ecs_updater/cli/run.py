"""`run`: one update run over one cluster, from the settings to the exit code."""

from __future__ import annotations

import os
import sys
from dataclasses import fields

from bottlerocket_ecs_updater import __version__
from bottlerocket_ecs_updater.cli.settings import RunSettings
from bottlerocket_ecs_updater.cli.signals import heard
from bottlerocket_ecs_updater.cli.wiring import Wired, wire
from bottlerocket_ecs_updater.core.event import Event, LeaseRefused, LeaseTaken
from bottlerocket_ecs_updater.engine.lease import HeldBy, Taken
from bottlerocket_ecs_updater.engine.ports import Recorder
from bottlerocket_ecs_updater.engine.run import Run, Stop, World


def run(settings: RunSettings) -> int:
    """Update the cluster's Bottlerocket container instances, as far as may be done now."""
    wired = wire(settings, os.environ)
    recorder = _Lines()
    stop = Stop()
    with heard(stop, wired.clock.interrupted):
        try:
            return _with_right(settings, wired, recorder, stop)
        finally:
            wired.right.release()


def _with_right(settings: RunSettings, wired: Wired, recorder: Recorder, stop: Stop) -> int:
    """Act where the cluster is ours to act on; leave, with thanks, where it is somebody else's."""
    answer = wired.right.acquire()
    now = wired.clock.now()
    match answer:
        case HeldBy(holder=holder, since=since):
            recorder.record(LeaseRefused(now, holder, since))
            return 0
        case Taken(epoch=epoch, from_whom=from_whom, warning=warning):
            recorder.record(LeaseTaken(now, epoch, from_whom, warning))

    def before_call(acting: bool) -> None:  # noqa: FBT001 - the hook's form
        wired.right.keep()
        if acting:
            wired.right.check_before_act()

    wired.api.before_call = before_call
    world = World(wired.cluster, wired.hosts, wired.clock, wired.ledger, wired.right, recorder)
    finished = Run(
        wired.run,
        wired.cluster_name,
        world,
        settings.policy,
        stop=stop,
        wake=settings.limits.lease / 4,
        version=__version__,
        calls=wired.calls,
    ).execute()
    return finished.exit_code


class _Lines:
    """One plain line per event."""

    def record(self, event: Event) -> None:
        facts = {f.name: getattr(event, f.name) for f in fields(event) if f.name not in ("at", "outcomes")}
        shown = " ".join(f"{name}={value}" for name, value in facts.items())
        print(f"{event.at:%H:%M:%S} {event.name:<20} {shown}", file=sys.stderr, flush=True)  # noqa: T201
