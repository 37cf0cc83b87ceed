"""The reboot document's steps in a real shell, with an apiclient that only tells what it was asked."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from bottlerocket_ecs_updater.core.model.document_steps import STEPS
from bottlerocket_ecs_updater.core.model.reboots import BOUND_EXITS
from bottlerocket_ecs_updater.core.model.run_command import DocumentKind
from bottlerocket_ecs_updater.simulator.services.documents import REBOOT, STANDARD

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
ANOTHER = "0123456789abcdef0123456789abcdef"
STAGED = {
    "update_state": "Ready",
    "available_updates": ["1.21.0", "1.20.0"],
    "staging_partition": {"image": {"arch": "x86_64", "variant": "aws-ecs-2", "version": "1.21.0"}},
}
APICLIENT = """#!/bin/sh
echo "$*" >> "$ASKED"
test "$1" = raw && cat "$STATUS"
test "$1" != update
"""
"""The check fails, as without a connection to the update repository."""

pytestmark = pytest.mark.skipif(not BOOT_ID.exists(), reason="only Linux shows a boot id")


@dataclass(frozen=True)
class Host:
    """A host whose update status is `status`."""

    place: Path
    status: object

    def run(self, boots: str, version: str) -> tuple[int, bool]:
        """The exit code of the document, and whether it asked for a reboot."""
        (self.place / "status").write_text(json.dumps(self.status, indent=2))
        apiclient = self.place / "apiclient"
        apiclient.write_text(APICLIENT)
        apiclient.chmod(0o755)
        asked = self.place / "asked"
        lines = "\n".join(STEPS[DocumentKind.REBOOT]).replace("{{boots}}", boots).replace("{{version}}", version)
        environment = {
            "PATH": f"{self.place}:{os.environ['PATH']}",
            "ASKED": str(asked),
            "STATUS": str(self.place / "status"),
        }
        ended = subprocess.run(["/bin/sh", "-c", lines], env=environment, capture_output=True, check=False)
        return ended.returncode, "reboot" in (asked.read_text().split() if asked.exists() else ())


def this_boot() -> str:
    return BOOT_ID.read_text().strip().replace("-", "")


def test_the_simulated_document_is_the_one_that_doctor_expects() -> None:
    [step] = json.loads(STANDARD[REBOOT])["mainSteps"]
    assert tuple(step["inputs"]["runCommand"]) == STEPS[DocumentKind.REBOOT]


@pytest.mark.parametrize("others", ["", f"{ANOTHER}|"])
def test_a_host_reboots_on_its_boot_into_the_version(tmp_path: Path, others: str) -> None:
    assert Host(tmp_path, STAGED).run(others + this_boot(), "1.21.0") == (0, True)


def test_without_parameters_a_host_reboots_as_it_is(tmp_path: Path) -> None:
    assert Host(tmp_path, {}).run("", "") == (0, True)


@pytest.mark.parametrize("boots", [ANOTHER, f"{ANOTHER}|{ANOTHER[::-1]}"])
def test_a_host_does_not_reboot_on_another_boot(tmp_path: Path, boots: str) -> None:
    code, rebooted = Host(tmp_path, STAGED).run(boots, "1.21.0")
    assert (BOUND_EXITS[code], rebooted) == ("the host had already rebooted when the command ran", False)


def test_the_start_of_a_boot_id_is_not_enough(tmp_path: Path) -> None:
    assert Host(tmp_path, STAGED).run(this_boot()[:8], "1.21.0") == (71, False)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"update_state": "Staged"}, 72),
        ({"update_state": "Available", "staging_partition": None}, 72),
        ({"staging_partition": {"image": {"version": "1.22.0"}}}, 72),
        ({"available_updates": ["1.20.0"]}, 73),
    ],
)
def test_a_host_does_not_reboot_into_another_version(tmp_path: Path, changes: dict[str, object], code: int) -> None:
    assert Host(tmp_path, STAGED | changes).run(this_boot(), "1.21.0") == (code, False)


def test_a_host_that_shows_no_status_does_not_reboot(tmp_path: Path) -> None:
    assert Host(tmp_path, "update lock held").run(this_boot(), "1.21.0") == (72, False)
