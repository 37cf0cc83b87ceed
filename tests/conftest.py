"""Settings for all tests: results must not depend on whose machine it is, or on how fast it is."""

from __future__ import annotations

import gc
import os
import sys

import pytest
import tests.support.given  # noqa: F401 - it keeps what is forgotten here
from hypothesis import HealthCheck, settings
from tests.support.order import in_blocks

FOREIGN = ("AWS_", "BOTTLEROCKET_ECS_UPDATER_", "ECS_CONTAINER_METADATA_URI", "TASK_DEFINITION_ARN")
"""Variables that would mix the machine's own configuration into the tests."""

# jsonschema compiles its format grammars for seconds when it is imported, in each worker. No schema here has these
# formats.
sys.modules["rfc3987_syntax"] = None  # type: ignore[assignment]

# How long an example takes depends on how busy the machine is, so time limits apply to a whole test run only.
settings.register_profile("explore", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
# Every change is tested with the same examples. New ones are tried once a week, and by `make explore`.
settings.register_profile("default", settings.get_profile("explore"), derandomize=True)


def pytest_configure(config: pytest.Config) -> None:
    """Remove the machine's own AWS configuration."""
    for name in [name for name in os.environ if name.startswith(FOREIGN)]:
        del os.environ[name]
    os.environ["AWS_EC2_METADATA_DISABLED"] = "true"
    os.environ["AWS_CONFIG_FILE"] = os.environ["AWS_SHARED_CREDENTIALS_FILE"] = os.devnull
    if not config.getoption("--hypothesis-profile", None):
        settings.load_profile("default")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Arrange the tests for the workers of xdist. Without workers, their order stays as it is."""
    if workers := getattr(config, "workerinput", {}).get("workercount", 0):
        items[:] = [items[position] for position in in_blocks([item.nodeid for item in items], workers)]


def pytest_collection_finish() -> None:
    """Spare the garbage collector all modules and collected tests: each full collection went over a million objects.

    What tests leave is collected less often as well: worlds and their events are many objects that live for one test.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
