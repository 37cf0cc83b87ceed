"""`simulate --fleet` as a person runs it: six clusters, three waves, and the page at the end."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_six_clusters_end_up_to_date_and_leave_the_page() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bottlerocket_ecs_updater", "simulate", "--fleet", "--speed", "60"],
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert "The state machine ended: SUCCEEDED" in done.stdout
    assert "Broken invariants and stranded instances: none" in done.stdout
    page = Path(done.stdout.partition("All clusters on one page: ")[2].splitlines()[0])
    shown = page.read_text(encoding="utf-8")
    assert all(f"<b>{name}</b>" in shown for name in ("canary", "staging-a", "shop-asia"))
    assert "6 clusters: 6 up to date" in shown
