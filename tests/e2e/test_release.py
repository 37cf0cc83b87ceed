"""`release` in a terminal, over HTTP: it shows, asks, looks again, and acts or not."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.e2e.town import ENDS_WITHIN_SECONDS, Town, town

from bottlerocket_ecs_updater.core.model.claim import CLAIM_ATTRIBUTE, Claim, ClaimPhase
from bottlerocket_ecs_updater.core.model.ids import BootId, RunId
from bottlerocket_ecs_updater.core.model.version import Version
from bottlerocket_ecs_updater.simulator.ecs.model import InstanceStatus
from bottlerocket_ecs_updater.simulator.inprocess import InProcessClient, InProcessClients
from bottlerocket_ecs_updater.simulator.scenarios import NEW, OLD, row

HOST = row(2).members[0].host.instance_id


@pytest.fixture
def built(tmp_path: Path) -> Iterator[Town]:
    with town(row(2), tmp_path / "state") as made:
        quarantine(made)
        yield made


def quarantine(built: Town) -> None:
    """An instance as a run leaves it after it did not come back."""
    old, new, now = Version.parse(OLD), Version.parse(NEW), built.world.clock.now()
    claim = Claim(ClaimPhase.QUARANTINED, RunId("run-0"), old, new, BootId("0b" * 16), now, 1)
    attribute = {"name": CLAIM_ATTRIBUTE, "value": claim.encode(), "targetId": built.world.instance(HOST).arn}
    sets(built, "DRAINING")
    by_run(built).put_attributes(cluster=built.scenario.cluster, attributes=[attribute])


def by_run(built: Town) -> InProcessClient:
    return InProcessClients(built.world, "run-0").client("ecs")


def sets(built: Town, status: str) -> None:
    """A run sets the status of the instance."""
    arns = [built.world.instance(HOST).arn]
    by_run(built).update_container_instances_state(
        cluster=built.scenario.cluster, containerInstances=arns, status=status
    )


def release(built: Town, meanwhile: Callable[[], None] = lambda: None) -> tuple[int, str]:
    """A person in a terminal runs the command, does something else for a while, and then confirms."""
    person, terminal = pty.openpty()
    names = ("--cluster", built.scenario.cluster, "--region", built.scenario.names.region, "--state", str(built.state))
    process = subprocess.Popen(
        [sys.executable, "-m", "bottlerocket_ecs_updater", "release", HOST, *names],
        env=built.environment(),
        stdin=terminal,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    built.processes.append(process)
    assert process.stdout is not None
    read = ""
    while not read.endswith("[y/N] "):
        letter = process.stdout.read(1)
        assert letter, read
        read += letter
    meanwhile()
    os.write(person, b"y\n")
    rest, _ = process.communicate(timeout=ENDS_WITHIN_SECONDS)
    os.close(person)
    os.close(terminal)
    return process.returncode, read + rest


def test_a_person_who_says_yes_gets_the_instance_back(built: Town) -> None:
    code, said = release(built)
    assert (code, f"set {HOST} ACTIVE" in said, said.endswith("Done.\n")) == (0, True, True)
    instance = built.world.instance(HOST)
    assert (instance.status, CLAIM_ATTRIBUTE in instance.custom) == (InstanceStatus.ACTIVE, False)


def test_an_instance_that_somebody_drained_while_the_person_thought_stays_drained(built: Town) -> None:
    def meanwhile() -> None:
        """A run returns it, and then somebody drains it for another reason."""
        sets(built, "ACTIVE")
        attribute = {"name": CLAIM_ATTRIBUTE, "targetId": built.world.instance(HOST).arn}
        by_run(built).delete_attributes(cluster=built.scenario.cluster, attributes=[attribute])
        built.world.operator_drain(HOST)

    code, said = release(built, meanwhile)
    assert code == 1
    assert "nothing was done, because something changed in the meantime" in said
    assert built.world.instance(HOST).status is InstanceStatus.DRAINING
    assert built.findings().violations == ()
