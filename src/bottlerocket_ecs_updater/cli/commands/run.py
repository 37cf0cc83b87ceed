"""`run`: one update run on one cluster, from the settings to the exit code."""

from __future__ import annotations

import gc
import os
import sys
import threading
from contextlib import suppress
from datetime import datetime, timedelta

from bottlerocket_ecs_updater import __version__
from bottlerocket_ecs_updater.cli.outputs import Outputs, open_outputs, successors
from bottlerocket_ecs_updater.cli.settings.settings import RunSettings
from bottlerocket_ecs_updater.cli.signals import RELEASE_GRACE_SECONDS, handle_signals, time_limit
from bottlerocket_ecs_updater.cli.wiring import Wired, wire
from bottlerocket_ecs_updater.core.model.event import LeaseRefused, LeaseTaken, LookPostponed, RunFinished, WaitBegan
from bottlerocket_ecs_updater.core.model.outcome import RunOutcome, count_kinds
from bottlerocket_ecs_updater.core.model.time_text import duration_text, has_passed
from bottlerocket_ecs_updater.engine.lease.lease_wait import wait_for_lease
from bottlerocket_ecs_updater.engine.lease.run_lease import HeldBy, Taken, lease_guard
from bottlerocket_ecs_updater.engine.lease.store_lease import StoreLease, lease_key
from bottlerocket_ecs_updater.engine.ports import Recorder
from bottlerocket_ecs_updater.engine.run import Run
from bottlerocket_ecs_updater.engine.stop import Stop
from bottlerocket_ecs_updater.engine.store.folder_store import FolderStore
from bottlerocket_ecs_updater.engine.waits import Waits
from bottlerocket_ecs_updater.errors import Interrupted, StillHeld, Throttled, Unreachable, UpdaterError, UsageError

MADE_BEFORE_COLLECTED = 50_000
"""The threshold of the garbage collector, in objects; the default is 700.

A decision for thousands of instances creates hundreds of thousands of objects, hardly any of them in reference cycles.
With the default, collections doubled the longest decisions.
"""

WAKES_PER_LEASE = 4
"""How often per lease term a sleeping run wakes up to renew its lease."""


def run(settings: RunSettings) -> int:
    """Update the cluster's Bottlerocket instances, within the configured limits."""
    gc.set_threshold(MADE_BEFORE_COLLECTED)
    stop, interrupted = Stop(), threading.Event()
    with handle_signals(stop, interrupted):
        wired, until = _wired(settings, interrupted), None
        while True:
            answer = _one_run(settings, wired, stop)
            wait, store = settings.limits.lease_wait, wired.store
            if not isinstance(answer, HeldBy):
                return answer
            if wait is None or store is None:
                return 0
            until = until or wired.clock.now() + wait
            if not wait_for_lease(store, lease_key(wired.state), wired.clock, until):
                raise StillHeld(_still_held(answer, wait, stop))
            # Runs are ordered by their ids, which contain their start: this one starts now.
            wired = _wired(settings, interrupted)


def _still_held(by: HeldBy, wait: timedelta, stop: Stop) -> str:
    waited = f"for the {duration_text(wait)} of lease-wait" if not stop.why else f"until {stop.why}"
    return f"another run held the lease {waited}: {by.holder}"


def _one_run(settings: RunSettings, wired: Wired, stop: Stop) -> int | HeldBy:
    """One run: its exit code, or who holds the lease."""
    outputs = open_outputs(settings, wired, sys.stderr)
    try:
        return _with_lease(settings, wired, outputs, stop)
    finally:
        outputs.close()
        # Release the lease so that the next run can start at once, but do not wait long for it.
        with suppress(Interrupted), time_limit(RELEASE_GRACE_SECONDS):
            wired.lease.release()


def _wired(settings: RunSettings, interrupted: threading.Event) -> Wired:
    """Wire the run. If AWS does not answer, wait as long as in any later outage. Raises UpdaterError."""
    bare = wire(settings, os.environ, interrupted, ask=False)
    began, wait = bare.clock.now(), settings.policy.longest_outage_wait
    until = began + settings.limits.drain_timeout
    outputs: Outputs | None = None

    def opened() -> Outputs:
        nonlocal outputs
        outputs = outputs or open_outputs(settings, bare, sys.stderr)
        return outputs

    waits = Waits(lambda one: opened().recorder.record(WaitBegan(bare.clock.now(), one.what, one.since, one.until)))
    while True:
        try:
            return _checked(wire(settings, os.environ, interrupted, waits=waits))
        except (UpdaterError, Interrupted) as error:
            # Report it like every other outage, and like every other run that could not start.
            outputs = opened()
            now = bare.clock.now()
            if isinstance(error, Throttled | Unreachable) and not has_passed(began, settings.limits.drain_timeout, now):
                outputs.recorder.record(LookPostponed(now, str(error), wait, began, until))
                if bare.clock.sleep(wait):
                    continue
            code = 2 if isinstance(error, UsageError) else 1
            outcome = RunOutcome.INTERRUPTED if isinstance(error, Interrupted) else RunOutcome.ERROR
            outputs.recorder.record(_never_began(bare, began, outcome, code, str(error)))
            outputs.close()
            raise


def _checked(wired: Wired) -> Wired:
    """Check that the folder can be a state store. Raises UsageError or Denied immediately if it cannot."""
    if isinstance(wired.store, FolderStore):
        wired.store.check_writable()
    return wired


def _with_lease(settings: RunSettings, wired: Wired, outputs: Outputs, stop: Stop) -> int | HeldBy:
    """Acquire the lease and run; if another run holds it, leave."""
    recorder, clock = outputs.recorder, wired.clock
    wired.waits.listener = lambda one: recorder.record(WaitBegan(clock.now(), one.what, one.since, one.until))
    began = clock.now()
    try:
        answer = _ask_for_lease(settings, wired, recorder)
    except (UpdaterError, Interrupted) as error:
        outcome = RunOutcome.INTERRUPTED if isinstance(error, Interrupted) else RunOutcome.ERROR
        recorder.record(_never_began(wired, began, outcome, 1, str(error)))
        raise
    now = wired.clock.now()
    match answer:
        case HeldBy(holder=holder, since=since):
            recorder.record(LeaseRefused(now, holder, since))
            wait = settings.limits.lease_wait
            then = f"; a new run starts when it ends, if that is within {duration_text(wait)}" if wait else ""
            why = f"another run acts on this cluster: {holder}{then}"
            recorder.record(_never_began(wired, began, RunOutcome.LEFT, 0, why))
            return answer
        case Taken(epoch=epoch, from_whom=from_whom, warning=warning):
            recorder.record(LeaseTaken(now, epoch, from_whom, warning))

    ask = lease_guard(wired.lease)

    def before_call(acting: bool) -> None:  # noqa: FBT001 - the hook's form
        outputs.tick()
        if acting and outputs.record is not None:
            outputs.record.secure()
        ask(acting)

    wired.api.before_call = before_call
    finished = Run(
        wired.run,
        wired.cluster_name,
        wired.ports(recorder, successors(settings, wired), outputs.published),
        settings.policy,
        stop=stop,
        wake=settings.limits.lease / WAKES_PER_LEASE,
        version=__version__,
        calls=wired.calls,
    ).execute()
    return finished.exit_code


def _ask_for_lease(settings: RunSettings, wired: Wired, recorder: Recorder) -> Taken | HeldBy:
    """Acquire the lease. Waits while the store is unavailable."""
    began, wait = wired.clock.now(), settings.policy.longest_outage_wait
    while True:
        try:
            answer = wired.lease.acquire()
            if isinstance(answer, Taken) and isinstance(wired.lease, StoreLease):
                wired.lease.check_store()
        except (Throttled, Unreachable) as problem:
            # A try that failed half-way leaves nothing behind: the next one starts from the beginning.
            wired.lease.release()
            now = wired.clock.now()
            if has_passed(began, settings.limits.drain_timeout, now):
                raise
            recorder.record(LookPostponed(now, str(problem), wait, began, began + settings.limits.drain_timeout))
            if not wired.clock.sleep(wait):
                raise
        else:
            return answer


def _never_began(wired: Wired, began: datetime, outcome: RunOutcome, exit_code: int, why: str) -> RunFinished:
    """The last event of a run that ended before it looked at the cluster."""
    now = wired.clock.now()
    calls, throttles = dict(wired.calls), wired.calls.throttled
    return RunFinished(now, wired.run, outcome, exit_code, count_kinds({}), now - began, why, {}, calls, throttles)
