"""`python -m acceptance`: create a throwaway cluster, run the checks, write the page, delete everything."""

from __future__ import annotations

import argparse
import re
import signal
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError

from acceptance.account import Account
from acceptance.checks import CHECKS
from acceptance.ground import HOSTS, STILL_THERE, Ground, RealGround, SimulatedGround, clean
from acceptance.page import page
from acceptance.result import Check, Notes, Result, Skipped, Verdict, Wrong

HOURS = 12
"""After this time, checks that have not started are skipped, so that the estimate holds."""

HOST_DOLLARS, OTHER_DOLLARS = 0.06, 4
"""Per hour: a small host with its volume and a share of the load balancer; and everything else, such as Fargate and
logs.
"""

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

WHY_MAX_CHARACTERS = 1000

BY_DIGEST = re.compile(r"\S+@sha256:[0-9a-f]{64}")


def main(words: Sequence[str]) -> int:
    """Run the checks. Returns 1 if one failed."""
    given = _arguments(words)
    if given.clean:
        return _clean(given.region)
    # A closed terminal and a stopped job must delete everything too.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    ground = _ground(given)
    chosen = [check for check in CHECKS if not given.only or check.number in given.only]
    if isinstance(ground, RealGround) and not _agreed(given, chosen):
        return 2
    results: list[Result] = []
    stopped = left = False
    began = datetime.now(UTC)  # noqa: TID251 - CloudTrail is asked from then on
    try:
        ground.make()
        for check in chosen:
            results.append(_made(check, ground, began + timedelta(hours=HOURS)))
            print(_line(results[-1]), flush=True)
            # Results that took hours must not be lost.
            _write(given.page, results, ground)
        _write(given.page, results, ground, ground.denials(began))
    except KeyboardInterrupt:
        stopped = True
    except (Wrong, BotoCoreError, ClientError) as error:
        # Within a check, it would be the check's result.
        print(f"The acceptance run could not start: {error}", flush=True)
        return 1
    finally:
        # Another Ctrl-C must not stop the deletion.
        before = {number: signal.signal(number, signal.SIG_IGN) for number in SIGNALS}
        left = _removed(ground, given.region)
        for number, handler in before.items():
            signal.signal(number, handler)
    if results:
        print(f"The page is {given.page}")
    if stopped:
        what = "Some resources are not deleted yet" if left else "All resources are deleted"
        print(f"Interrupted. {what}; make acceptance-clean checks again.")
        return 130
    return int(left or any(result.verdict is Verdict.FAIL for result in results))


def _clean(region: str) -> int:
    try:
        found = clean(Account(region))
    except (BotoCoreError, ClientError) as error:
        print(f"The search for leftovers is incomplete: {error}")
        return 1
    print(f"Deleted: {', '.join(found) or 'nothing was left'}")
    return int(any(what.endswith(STILL_THERE) for what in found))


def _removed(ground: Ground, region: str) -> bool:
    """Delete everything that was created. Returns whether something is left."""
    print("Deleting all resources …", flush=True)
    again = f"Sign in, and run: make acceptance-clean REGION={region}"
    try:
        left = ground.remove()
    except (BotoCoreError, ClientError) as error:
        print(f"It could not be deleted: {error}. {again}", flush=True)
        return True
    for what in left:
        print(f"{what}. {again}", flush=True)
    return bool(left)


def _write(path: str, results: Sequence[Result], ground: Ground, denials: Sequence[str] | None = None) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    text = page(results, where=ground.where, image=ground.image, denials=denials)
    Path(path).write_text(text, encoding="utf-8")


def _arguments(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="acceptance", description=__doc__)
    parser.add_argument("--simulated", action="store_true", help="against the tests' simulated account, for nothing")
    parser.add_argument("--region", default="", help="the Region of your account")
    parser.add_argument("--subnets", default="", help="one or two subnets, with a way to AWS")
    parser.add_argument("--public", action="store_true", help="the subnets are public")
    parser.add_argument("--image", default="", help="the updater's image by its digest")
    parser.add_argument(
        "--version", default="", help="the Bottlerocket version that hosts start with; two releases old if not given"
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
        f"{len(chosen)} checks on {HOSTS} hosts in {given.region}: at most {hours:.0f} hours, and about ${dollars:.0f}."
    )
    print("Everything is tagged and deleted afterwards; make acceptance-clean deletes what a crash leaves behind.")
    return given.yes or input("Continue? [y/N] ").strip().lower() == "y"


def _made(check: Check, ground: Ground, ends: datetime) -> Result:
    began, notes = time.monotonic(), Notes()
    # Real time, because it is about the person's money.
    left = ends - datetime.now(UTC)  # noqa: TID251
    if left <= timedelta(0):
        return Result(check, Verdict.SKIPPED, timedelta(0), f"the {HOURS} hours were over", ())
    try:
        ground.fresh()
        ground.account.evidence.clear()
        ground.account.limit(min(check.at_most, left))
        check.run(ground, notes)
        verdict, why = (Verdict.RECORDED if notes.recorded else Verdict.PASS), ""
    except Skipped as skipped:
        verdict, why = Verdict.SKIPPED, str(skipped)
    except Exception as error:
        verdict, why = Verdict.FAIL, f"{type(error).__name__}: {error}"[:WHY_MAX_CHARACTERS]
    ground.account.limit(None)
    took = timedelta(seconds=time.monotonic() - began)
    if verdict in (Verdict.PASS, Verdict.RECORDED) and took > check.at_most:
        verdict, why = Verdict.FAIL, f"it took longer than {check.at_most}"
    return Result(check, verdict, took, why, tuple(notes.facts), tuple(ground.account.evidence))


def _line(result: Result) -> str:
    seconds = result.took.total_seconds()
    return f"{result.verdict.value:<9}{result.check.number:>2}  {result.check.title} ({seconds:.0f} s)  {result.why}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
