"""Runs that are killed, stopped or suspended, or that run at the same time."""

from __future__ import annotations

import random
import signal
import time
from datetime import timedelta
from pathlib import Path
from subprocess import Popen

from tests.e2e.town import Output, Town, assert_clean, kill, output_of, town

from bottlerocket_ecs_updater.simulator.scenarios import row

BUSY_SECONDS = 30
"""Seconds that a busy machine may add."""

KILLS = 25
CALLS_SURVIVED_MOST = 40
MANY_ENOUGH = 60
"""The number of runs, including killed ones, after which a cluster of four must be up to date."""


def test_a_run_that_is_killed_again_and_again_strands_nothing(tmp_path: Path) -> None:
    chances = random.Random(3)
    with town(row(4), tmp_path) as here:
        last, killed = None, 0
        for _ in range(MANY_ENOUGH):
            process = here.start("--lease", "30s")
            if killed < KILLS and _killed_after(here, process, chances.randrange(1, CALLS_SURVIVED_MOST)):
                killed += 1
                continue
            last = output_of(process)
            if last.exit_code == 0 and not here.not_as_foretold():
                break
        assert last is not None
        assert killed > 0
        assert here.not_as_foretold() == []
        assert_clean(here.findings())
        assert max(here.findings().boots.values()) <= 2
        assert here.findings().most_out_at_once == 1


def _killed_after(here: Town, process: Popen[str], calls: int) -> bool:
    """Kill it after that many calls; False if it ended by itself before."""
    before = here.calls()
    here.wait_until(lambda: here.calls() - before >= calls or process.poll() is not None)
    if process.poll() is not None:
        return False
    kill(process)
    return process.returncode == -signal.SIGKILL


def test_one_of_three_rival_runs_acts_and_the_others_name_it_and_exit(tmp_path: Path) -> None:
    with town(row(3), tmp_path) as here:
        rivals = [here.start("--lease", "5m") for _ in range(3)]
        outputs = [output_of(rival) for rival in rivals]
        assert [each.exit_code for each in outputs] == [0, 0, 0]
        assert sorted(each.last["outcome"] for each in outputs) == ["left", "left", "ok"]
        assert all(each.of("lease.refused")[0]["holder"] for each in outputs if each.last["outcome"] == "left")
        assert_clean(here.findings())
        assert here.not_as_foretold() == []


def test_rival_runs_that_wait_for_the_lease_run_one_after_the_other(tmp_path: Path) -> None:
    with town(row(3), tmp_path) as here:
        outputs = [output_of(each) for each in [here.start("--lease-wait", "12h") for _ in range(3)]]
        assert [each.exit_code for each in outputs] == [0, 0, 0]
        assert [each.last["outcome"] for each in outputs] == ["ok", "ok", "ok"]
        waited = [each for each in outputs if each.of("lease.refused")]
        assert len(waited) == 2
        for each in waited:
            left, *_, ran = [one["run"] for one in each.of("run.finished")]
            assert left != ran, "each try has an id of its own"
        assert_clean(here.findings())
        assert here.not_as_foretold() == []


def test_a_run_that_waited_too_long_for_the_lease_fails_and_names_the_holder(tmp_path: Path) -> None:
    with town(row(3), tmp_path) as here:
        first = here.start()
        here.wait_until(lambda: here.findings().most_out_at_once == 1)
        second = here.start("--lease-wait", "1s")
        _, err = second.communicate(timeout=BUSY_SECONDS * 2)
        assert second.returncode == 1
        assert "another run held the lease for the 1s of lease-wait: " in err
        assert output_of(first).exit_code == 0
        assert_clean(here.findings())


def test_a_run_that_is_stopped_leaves_in_time_and_the_next_one_finishes_at_once(tmp_path: Path) -> None:
    with town(row(3), tmp_path) as here:
        process = here.start("--lease", "10m")
        here.wait_until(lambda: here.findings().most_out_at_once == 1)
        output, took = _stopped_by(process, signal.SIGTERM)
        assert took < 10 + BUSY_SECONDS
        assert output.last["event"] == "run.finished"
        assert output.last["outcome"] == "interrupted"
        after = here.run("--lease", "10m")
        assert after.of("lease.taken"), "the lease was released"
        assert after.exit_code == 0
        assert_clean(here.findings())
        assert here.not_as_foretold() == []


def test_a_second_interrupt_leaves_at_once(tmp_path: Path) -> None:
    with town(row(3), tmp_path) as here:
        process = here.start("--lease", "10m")
        here.wait_until(lambda: here.calls() > 5)
        process.send_signal(signal.SIGSTOP)
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGCONT)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=10 + BUSY_SECONDS)
        assert process.returncode in (130, 0)


def test_a_run_that_was_suspended_past_its_lease_does_nothing_more(tmp_path: Path) -> None:
    with town(row(3), tmp_path) as here:
        first = here.start("--lease", "1m")
        here.wait_until(lambda: here.findings().most_out_at_once == 1)
        first.send_signal(signal.SIGSTOP)
        # A second run that comes before the lease ends sees a live one, and leaves.
        here.clock.sleep(timedelta(minutes=2))
        second = here.run("--lease", "2m")
        first.send_signal(signal.SIGCONT)
        woken = output_of(first)
        assert (second.exit_code, second.last["outcome"]) == (0, "ok")
        assert woken.exit_code == 1, woken.last
        assert_clean(here.findings())
        assert here.not_as_foretold() == []


def _stopped_by(process: Popen[str], number: int) -> tuple[Output, float]:
    began = time.monotonic()
    process.send_signal(number)
    return output_of(process), time.monotonic() - began
