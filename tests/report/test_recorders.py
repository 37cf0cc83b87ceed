"""Who hears of an event, and in which order."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from bottlerocket_ecs_updater.core.event import Event, RunFinished, RunStopping
from bottlerocket_ecs_updater.core.ids import RunId
from bottlerocket_ecs_updater.report.recorders import Fan, LastWord

NOW = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)


class Noted:
    def __init__(self, name: str, heard: list[str]) -> None:
        self._name, self._heard = name, heard

    def record(self, event: Event) -> None:
        self._heard.append(f"{self._name} {event.name}")


def test_the_log_has_the_first_word_of_what_happens_and_the_last_of_the_end() -> None:
    heard: list[str] = []
    told = LastWord(Noted("log", heard), Fan([Noted("metrics", heard), Noted("record", heard)]))
    told.record(RunStopping(NOW, "SIGTERM"))
    told.record(RunFinished(NOW, RunId("r"), "ok", 0, {}, timedelta(), "", {}, {}))
    assert heard == [
        "log run.stopping",
        "metrics run.stopping",
        "record run.stopping",
        "metrics run.finished",
        "record run.finished",
        "log run.finished",
    ]
