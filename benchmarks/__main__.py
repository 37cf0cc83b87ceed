"""`make bench`: measure everything and write the page; with `--quick`, measure most of it and only print it."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

from benchmarks.figures import as_json, figures
from benchmarks.measuring import QUICK, WHOLE, measure
from benchmarks.page import machine, rows, write

DOCS = Path(__file__).parent.parent / "docs"


def main() -> int:
    """Measure and write. Returns whether every target is met."""
    words = argparse.ArgumentParser(prog="make bench", description=__doc__)
    words.add_argument("--quick", action="store_true", help="two sizes, one world, no wire; write nothing")
    words.add_argument("--json", type=Path, help="write the figures to this file, too")
    asked = words.parse_args()
    began = time.monotonic()

    def say(what: str) -> None:
        print(f"{time.monotonic() - began:6.0f} s  {what}", file=sys.stderr, flush=True)

    found = measure(QUICK if asked.quick else WHOLE, say)
    text = json.dumps({"machine": machine(), **as_json(found)}, indent=1) + "\n"
    if asked.json is not None:
        asked.json.write_text(text)
    if not asked.quick:
        write(found, DOCS)
        (DOCS / "develop" / "benchmarks.json").write_text(text)
    print(machine(), *rows(figures(found)), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
