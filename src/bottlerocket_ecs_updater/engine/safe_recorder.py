"""The engine's own recorder: whatever is wrong with whoever is told, the run goes on."""

from __future__ import annotations

from bottlerocket_ecs_updater.core.model.event import Event
from bottlerocket_ecs_updater.engine.ports import Recorder
from bottlerocket_ecs_updater.errors import LeaseLost


class SafeRecorder:
    """Hands events on, and raises nothing but what ends the run.

    An instance may be out of service when a log cannot be written. Who was not told is said by whoever gathers the
    recorders (`report.recorders`); here nobody is left to say it to.
    """

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def record(self, event: Event) -> None:
        try:
            self._recorder.record(event)
        except LeaseLost:
            raise
        except Exception:  # noqa: S110 - see above
            pass
