"""Settings for all tests: results must not depend on whose machine it is, or on how fast it is."""

from __future__ import annotations

import gc
import os
import sys

import pytest
import tests.support.given  # noqa: F401 - it keeps what is forgotten here
from hypothesis import HealthCheck, settings

FOREIGN = ("AWS_", "BOTTLEROCKET_ECS_UPDATER_", "ECS_CONTAINER_METADATA_URI", "TASK_DEFINITION_ARN")
"""Variables by which the machine's own configuration would be tested along."""

# jsonschema compiles its grammars for seconds when it is imported, in each worker; no schema here has such a format.
sys.modules["rfc3987_syntax"] = None  # type: ignore[assignment]

# A property is as slow as its machine is busy: limits of time belong to the run of all tests, not to one example.
settings.register_profile("explore", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
# Every change is judged by the same examples. New ones are tried once a week, and by `make explore`.
settings.register_profile("default", settings.get_profile("explore"), derandomize=True)


def pytest_configure(config: pytest.Config) -> None:
    """Forget the machine's own AWS configuration."""
    for name in [name for name in os.environ if name.startswith(FOREIGN)]:
        del os.environ[name]
    os.environ["AWS_EC2_METADATA_DISABLED"] = "true"
    os.environ["AWS_CONFIG_FILE"] = os.environ["AWS_SHARED_CREDENTIALS_FILE"] = os.devnull
    if not config.getoption("--hypothesis-profile", None):
        settings.load_profile("default")


def pytest_collection_finish() -> None:
    """Spare the garbage collector all modules and collected tests: each full collection went over a million objects."""
    gc.collect()
    gc.freeze()
