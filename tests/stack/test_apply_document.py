"""The steps of the apply document in a real shell, with an apiclient that prints what a host prints."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.stack.stage import deployed, properties

from bottlerocket_ecs_updater.core.model.document_steps import STEPS
from bottlerocket_ecs_updater.core.model.run_command import DocumentKind
from bottlerocket_ecs_updater.simulator.services.documents import APPLY, STANDARD

STATUS = """{
  "active_partition": {
    "image": {
      "arch": "x86_64",
      "variant": "aws-ecs-2",
      "version": "1.20.0"
    },
    "next_to_boot": false
  },
  "chosen_update": {
    "arch": "x86_64",
    "variant": "aws-ecs-2",
    "version": "1.22.0"
  },
  "staging_partition": {
    "image": {
      "arch": "x86_64",
      "variant": "aws-ecs-2",
      "version": "1.21.0"
    },
    "next_to_boot": true
  },
  "update_state": "Ready"
}
"""
APICLIENT = f"""#!/bin/sh
echo "$*" >> "$CALLS"
case "$*" in
  "update check") cat <<'END'
{STATUS}END
  ;;
  "update apply") exit 7 ;;
esac
"""


@pytest.mark.skipif(shutil.which("sh") is None, reason="there is no shell")
@pytest.mark.parametrize(
    ("replace", "calls"),
    [
        pytest.param("", ["update apply"], id="nothing to replace"),
        pytest.param("1.21.0", ["update check", "update cancel", "update apply"], id="what is staged"),
        pytest.param("1.22.0", ["update check", "update apply"], id="what is not staged"),
        pytest.param("1.20.0", ["update check", "update apply"], id="what runs"),
        pytest.param("1.21.0+build", ["update check", "update apply"], id="another build"),
    ],
)
def test_it_cancels_only_the_version_that_it_names(tmp_path: Path, replace: str, calls: list[str]) -> None:
    tool = tmp_path / "apiclient"
    tool.write_text(APICLIENT)
    tool.chmod(0o755)
    [step] = properties(deployed(), "UpdateApplyCommand")["Content"]["mainSteps"]
    script = "\n".join(step["inputs"]["runCommand"]).replace("{{replace}}", replace)
    said = tmp_path / "calls"
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "CALLS": str(said)}
    ended = subprocess.run(["sh", "-c", script], env=environment, capture_output=True, check=False)
    assert said.read_text().splitlines() == calls
    assert ended.returncode == 7


def test_simulator_doctor_and_stack_know_the_same_steps() -> None:
    [step] = properties(deployed(), "UpdateApplyCommand")["Content"]["mainSteps"]
    [simulated] = json.loads(STANDARD[APPLY])["mainSteps"]
    assert step["inputs"]["runCommand"] == simulated["inputs"]["runCommand"] == [*STEPS[DocumentKind.APPLY]]
