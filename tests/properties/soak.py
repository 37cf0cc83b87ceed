"""Endless random scenarios: `make soak SECONDS=600` runs as many as fit, and names the seeds that broke a promise."""

from __future__ import annotations

import os
import sys
import time
from itertools import count

from tests.support.invented import (
    Dice,
    quiet_story,
    story_of_deaths,
    story_of_departures,
    story_of_everything,
    story_of_faults,
    story_of_interruptions,
    story_of_mixed_ground,
    story_of_operators,
    story_of_own_ground,
    story_of_pinned_tasks,
    story_of_reboots,
    story_of_stale_reads,
    story_of_the_field,
    story_of_the_platform,
)
from tests.support.promises import broken_promises
from tests.support.store_stories import story_of_the_store
from tests.support.story import Story, play

KINDS = (
    quiet_story,
    story_of_faults,
    story_of_deaths,
    story_of_everything,
    story_of_operators,
    story_of_own_ground,
    story_of_reboots,
    story_of_the_store,
    story_of_departures,
    story_of_mixed_ground,
    story_of_the_field,
    story_of_the_platform,
    story_of_pinned_tasks,
    story_of_stale_reads,
    story_of_interruptions,
)


def main() -> int:
    """Play scenarios until the time is over. Exit code 1 if any promise was broken."""
    ends = time.monotonic() + float(os.environ.get("SECONDS_TO_SOAK", "60"))
    first = int(os.environ.get("FIRST_SEED", "1000"))
    broken = 0
    for seed in count(first):
        if time.monotonic() > ends:
            print(f"{seed - first} stories from seed {first} on, {broken} broken")  # noqa: T201 - its result
            return 1 if broken else 0
        tell = KINDS[seed % len(KINDS)]
        for promise in _broken(tell(Dice(seed))):
            broken += 1
            print(f"{tell.__name__} {seed}: {promise}", flush=True)  # noqa: T201 - its result
    raise AssertionError("seeds do not end")


def _broken(story: Story) -> list[str]:
    try:
        return broken_promises(play(story))
    except Exception as error:
        return [f"raised {error!r}"[:400]]


if __name__ == "__main__":
    sys.exit(main())
