"""Adds the site of this version to a folder with those of earlier ones: `python site/publish.py FOLDER`.

The release workflow calls it on the branch that GitHub Pages serves. `make docs-site` must have built the version.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import build


def main(folder: Path) -> None:
    """Copy build/site/VERSION over, and list it."""
    found = build.VERSION.search(
        (build.ROOT / "src" / "bottlerocket_ecs_updater" / "__init__.py").read_text(encoding="utf-8")
    )
    assert found is not None
    version = found[1]
    shutil.rmtree(folder / version, ignore_errors=True)
    shutil.copytree(build.SITE / version, folder / version)
    build.open_door(folder, version)
    # GitHub Pages must not process the site with Jekyll.
    (folder / ".nojekyll").touch()
    sys.stdout.write(f"{folder / version}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
