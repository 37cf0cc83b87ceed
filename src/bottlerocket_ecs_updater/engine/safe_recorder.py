"""The engine's own recorders: one that never fails, and one that keeps nothing."""

from __future__ import annotations

from bottlerocket_ecs_updater.core.model.event import Event
from bottlerocket_ecs_updater.engine.ports import Recorder
from bottlerocket_ecs_updater.errors import LeaseLost


class SafeRecorder:
    """Passes events on, and raises only errors that must end the run.

    An instance may be out of service when a log cannot be written. `report.record.recorders` reports failed recorders;
    here there is nowhere left to report to.
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


class DiscardEvents:
    """Discards events: a plan is shown as a whole."""

    def record(self, event: Event) -> None:
        """Discard the event."""
