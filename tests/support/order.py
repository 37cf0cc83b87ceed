"""The order in which the workers of a whole test run take the tests, so that none waits alone at the end.

xdist gives each worker a block of the collection. A worker that has finished its block steals from the end of the
longest other one, so what begins a block is never stolen late. Two things decide how long the whole run takes on few
cores: tests that wait leave their core to others, so they run beside tests that do not wait, from the start. And no
long test may be among the last.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

WAITING = (
    "tests/many/test_waves.py",
    "tests/e2e/test_deaths.py",
    "tests/many/test_simulate_fleet.py",
    "tests/e2e/test_worlds.py",
    "tests/many/test_account.py",
    "tests/stack/test_image.py",
    "tests/test_acceptance.py",
    "tests/stack/test_own_host.py",
    "tests/e2e/test_doctor.py",
    "tests/stack/test_permissions.py",
    "tests/stack/test_deploy.py",
    "tests/stack/test_events.py",
    "tests/many/test_definition.py",
    "tests/e2e/",
    "tests/many/test_accounts.py",
    "tests/many/test_stack.py",
    "tests/report/outputs/test_browser.py",
    "tests/many/test_fleet_browser.py",
    "tests/cli/test_open.py",
    "tests/cli/test_process.py",
    "tests/cli/test_report_file.py",
    "tests/cli/test_signals.py",
    "tests/cli/test_colours.py",
    "tests/contract/test_wire.py",
    "tests/test_site.py",
    "tests/aws/transport/test_transport.py",
)
"""Files and folders whose tests wait for processes, for a browser, or for real time; the longest first."""

BUSY = (
    "tests/properties/",
    "tests/faults/test_broken_tasks.py",
    "tests/faults/",
    "tests/cli/settings/test_settings.py",
    "tests/core/test_loop.py",
)
"""Files and folders with the tests that compute for many seconds."""


def in_blocks(tests: Sequence[str], workers: int) -> list[int]:
    """An order of the tests, as their positions, from which xdist gives each of the workers its block.

    The tests that wait begin the blocks of the first half of the workers, and those that compute for long the blocks
    of the others. The tests of a file stay together and in their order, because they may share a fixture.
    """
    half = max(1, workers // 2)
    blocks: list[list[int]] = [[] for _ in range(workers)]
    waiting, busy = _files(tests, WAITING), _files(tests, BUSY)
    for number, file in enumerate(waiting):
        blocks[number % half] += file
    for number, file in enumerate(busy):
        blocks[half + number % (workers - half) if workers > half else 0] += file
    first = {position for block in blocks for position in block}
    rest = [position for position in range(len(tests)) if position not in first]
    for block, size in zip(blocks, _sizes(len(tests), workers), strict=True):
        missing = max(0, size - len(block))
        block.extend(rest[:missing])
        del rest[:missing]
    return [*(position for block in blocks for position in block), *rest]


def _sizes(tests: int, workers: int) -> list[int]:
    """The sizes of the blocks as xdist divides the tests: the last workers take what is left over."""
    return [tests // workers] * (workers - tests % workers) + [tests // workers + 1] * (tests % workers)


def _files(tests: Sequence[str], places: Iterable[str]) -> list[list[int]]:
    """The positions of the tests in these places, by file, in the order of the places."""
    found: dict[str, list[int]] = {}
    for position, test in enumerate(tests):
        found.setdefault(test.partition("::")[0], []).append(position)
    order: dict[str, list[int]] = {}
    for place in places:
        order |= {file: positions for file, positions in found.items() if file.startswith(place) and file not in order}
    return list(order.values())
