"""How long the drain and the reboot of an instance usually take."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from tests.core.builders import STANDALONE, claimed, instance, registration, task

from bottlerocket_ecs_updater.core.model.container_instance import TYPE_ATTRIBUTE, Task
from bottlerocket_ecs_updater.core.model.fleet import DAEMONS, NO_SERVICE, Durations
from bottlerocket_ecs_updater.core.model.instance import Instance

SECOND = timedelta(seconds=1)
STOPS = {"web": 20 * SECOND, "batch": 100 * SECOND, DAEMONS: 4 * SECOND, NO_SERVICE: 7 * SECOND}
AGENT = task("agent", daemon=True)


def of_type(name: str) -> Instance:
    return instance(registered=replace(registration(), attributes={TYPE_ATTRIBUTE: name}))


@pytest.mark.parametrize(
    ("tasks", "seconds"),
    [
        ((task("web"),), 24),
        ((task("web"), task("batch"), AGENT), 104),
        ((task("web"), task("other")), 24),
        ((task("other"),), None),
        ((AGENT,), 7),
        ((STANDALONE, AGENT), 7),
    ],
    ids=["one", "the slowest", "one of two known", "none known", "only daemons", "no service"],
)
def test_a_drain_is_over_when_the_slowest_service_and_then_the_daemons_have_stopped(
    tasks: tuple[Task, ...], seconds: int | None
) -> None:
    expected = None if seconds is None else seconds * SECOND
    assert Durations(stops=STOPS).drain_of(claimed(tasks=tasks)) == expected


@pytest.mark.parametrize(("drain", "seconds"), [(10, 19), (22, 22), (100, 29)])
def test_instances_that_take_about_as_long_are_expected_together(drain: int, seconds: int) -> None:
    durations = Durations(drain=drain * SECOND, stops=STOPS)
    assert durations.drain_of(claimed(tasks=(task("web"),))) == seconds * SECOND


def test_a_drain_of_unknown_services_is_not_expected_to_take_as_long_as_others() -> None:
    assert Durations(drain=100 * SECOND, stops=STOPS).drain_of(claimed(tasks=(task("other"),))) is None


def test_a_type_that_was_not_seen_to_reboot_is_expected_to_take_as_long_as_in_earlier_runs() -> None:
    durations = Durations(reboots={"g5.xlarge": 110 * SECOND}, reboot=40 * SECOND)
    assert durations.reboot_of(of_type("g5.xlarge")) == 110 * SECOND
    assert durations.reboot_of(of_type("t3.large")) == 40 * SECOND
    assert durations.reboot_of(instance()) == 40 * SECOND
