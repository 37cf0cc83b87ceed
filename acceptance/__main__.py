"""`python -m acceptance`: make a throwaway cluster, make the checks, write the page, delete everything."""

from __future__ import annotations

import argparse
import re
import signal
import sys
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from acceptance.account import Account
from acceptance.checks import CHECKS
from acceptance.ground import Ground, RealGround, SimulatedGround, clean
from acceptance.page import page
from acceptance.result import Check, Notes, Result, Skipped, Verdict

HOSTS, HOURS = 4, 8
HOST_DOLLARS, OTHER_DOLLARS = 0.03, 2
"""An hour of a small host with its volume; everything else (Fargate, logs, requests), at most."""

WHY_MAX_CHARACTERS = 1000

BY_DIGEST = re.compile(r"\S+@sha256:[0-9a-f]{64}")


def main(words: Sequence[str]) -> int:
    """Make the checks; 1 where one failed."""
    given = _arguments(words)
    if given.clean:
        found = clean(Account(given.region))
        print(f"Deleted: {', '.join(found) or 'nothing was left'}")
        return 0
    # A closed terminal and a stopped job must delete what was made, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    ground = _ground(given)
    chosen = [check for check in CHECKS if not given.only or check.number in given.only]
    if isinstance(ground, RealGround) and not _agreed(given, chosen):
        return 2
    results: list[Result] = []
    stopped = False
    try:
        if isinstance(ground, RealGround):
            ground.make()
        for check in chosen:
            results.append(_made(check, ground))
            print(_line(results[-1]), flush=True)
    except KeyboardInterrupt:
        stopped = True
    finally:
        # Another Ctrl-C must not leave half of it behind.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        print("Deleting what was made …", flush=True)
        ground.remove()
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if stopped:
        print("Interrupted. What was made is deleted; make acceptance-clean looks once more.")
        return 130
    text = page(
        results, simulated=isinstance(ground, SimulatedGround), region=given.region or "simulated", image=ground.image
    )
    Path(given.page).parent.mkdir(parents=True, exist_ok=True)
    Path(given.page).write_text(text, encoding="utf-8")
    print(f"The page is {given.page}")
    return int(any(result.verdict is Verdict.FAIL for result in results))


def _arguments(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="acceptance", description=__doc__)
    parser.add_argument("--simulated", action="store_true", help="against the tests' simulated account, for nothing")
    parser.add_argument("--region", default="", help="the Region of your account")
    parser.add_argument("--subnets", default="", help="one or two subnets, with a way to AWS")
    parser.add_argument("--public", action="store_true", help="the subnets are public")
    parser.add_argument("--image", default="", help="the updater's image by its digest")
    parser.add_argument(
        "--version", default="1.50.0", help="the Bottlerocket version that hosts start with: two releases old"
    )
    parser.add_argument("--only", type=lambda text: {int(part) for part in text.split(",")}, help="numbers of checks")
    parser.add_argument("--page", default="build/acceptance/verified.md", help="where the page is written")
    parser.add_argument("--yes", action="store_true", help="do not ask before it costs money")
    parser.add_argument("--clean", action="store_true", help="delete what earlier runs left, and do nothing else")
    given = parser.parse_args(words)
    needed = ("region",) if given.clean else () if given.simulated else ("region", "subnets", "image")
    missing = [f"--{name}" for name in needed if not getattr(given, name)]
    if missing:
        parser.error(f"needed: {', '.join(missing)}; or --simulated")
    if given.image and not BY_DIGEST.fullmatch(given.image):
        parser.error("--image must name the image by its digest: REPOSITORY@sha256:…")
    return given


def _ground(given: argparse.Namespace) -> RealGround | SimulatedGround:
    if given.simulated:
        return SimulatedGround()
    account = Account(given.region)
    return RealGround(
        account, given.subnets, given.image, given.version, public="ENABLED" if given.public else "DISABLED"
    )


def _agreed(given: argparse.Namespace, chosen: Sequence[Check]) -> bool:
    hours = min(HOURS, sum((check.at_most for check in chosen), timedelta()) / timedelta(hours=1))
    dollars = HOSTS * HOST_DOLLARS * hours + OTHER_DOLLARS
    print(
        f"{len(chosen)} checks on {HOSTS} hosts in {given.region}: up to {hours:.0f} hours, about ${dollars:.0f} at most."
    )
    print("Everything is tagged and deleted afterwards; make acceptance-clean deletes what a crash left.")
    return given.yes or input("Go on? [y/N] ").strip().lower() == "y"


def _made(check: Check, ground: Ground) -> Result:
    began, notes = time.monotonic(), Notes()
    try:
        ground.fresh()
        check.run(ground, notes)
        verdict, why = (Verdict.RECORDED if notes.recorded else Verdict.PASS), ""
    except Skipped as skipped:
        verdict, why = Verdict.SKIPPED, str(skipped)
    except Exception as error:
        verdict, why = Verdict.FAIL, f"{type(error).__name__}: {error}"[:WHY_MAX_CHARACTERS]
    took = timedelta(seconds=time.monotonic() - began)
    if verdict is not Verdict.FAIL and took > check.at_most:
        verdict, why = Verdict.FAIL, f"it took longer than {check.at_most}"
    return Result(check, verdict, took, why, tuple(notes.facts))


def _line(result: Result) -> str:
    seconds = result.took.total_seconds()
    return f"{result.verdict.value:<9}{result.check.number:>2}  {result.check.title} ({seconds:.0f} s)  {result.why}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
