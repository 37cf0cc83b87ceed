"""A run finishes its updates even if its recorders fail."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

import pytest
from tests.support.simulated import NEW, Tape, Updater, row

from bottlerocket_ecs_updater.core.model.event import Drained, Event
from bottlerocket_ecs_updater.core.model.outcome import RunOutcome
from bottlerocket_ecs_updater.errors import LeaseLost
from bottlerocket_ecs_updater.report.outputs.log import log_to
from bottlerocket_ecs_updater.report.words.severity import Level


@dataclass
class Breaking(Tape):
    """Accepts every event, and raises from the first drain on."""

    error: BaseException = field(default_factory=BrokenPipeError)

    def record(self, event: Event) -> None:
        super().record(event)
        if self.of(Drained):
            raise self.error


@pytest.mark.parametrize(
    "error",
    [
        BrokenPipeError("the reader went away"),
        OSError(28, "No space left on device"),
        ValueError("I/O operation on closed file."),
        UnicodeEncodeError("ascii", "→", 0, 1, "ordinal not in range(128)"),
        KeyError("a fault of the program"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_run_whose_recorder_fails_finishes_its_updates(error: Exception) -> None:
    world = row(2)
    finished = Updater(world, tape=Breaking(error=error)).run()
    assert (finished.outcome, finished.exit_code, finished.counts["updated"]) == (RunOutcome.OK, 0, 2)
    seen = world.findings()
    assert (seen.stranded, seen.violations, set(seen.versions.values())) == ((), (), {NEW})


def test_a_lease_that_is_lost_while_something_is_reported_ends_the_run() -> None:
    finished = Updater(row(2), tape=Breaking(error=LeaseLost("somebody has it"))).run()
    assert (finished.outcome, finished.why) == (RunOutcome.ERROR, "somebody has it")


def test_a_run_finishes_its_updates_if_its_log_is_no_longer_read() -> None:
    read, write = os.pipe()
    with os.fdopen(write, "w") as stream:
        log = log_to(stream, run="run-1", cluster="demo", form="json", level=Level.DEBUG)

        class Logged(Tape):
            def record(self, event: Event) -> None:
                super().record(event)
                if isinstance(event, Drained) and len(self.of(Drained)) == 1:
                    os.close(read)
                log.record(event)

        world = row(2)
        finished = Updater(world, tape=Logged()).run()
        os.dup2(os.open(os.devnull, os.O_WRONLY), write)
    assert (finished.outcome, finished.counts["updated"]) == (RunOutcome.OK, 2)
    assert world.findings().stranded == ()
