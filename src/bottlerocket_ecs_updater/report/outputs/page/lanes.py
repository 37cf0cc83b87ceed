"""The layout of a run's timeline: lanes, bars and axis.

Numbers only; the template writes the SVG. A few instances get a labelled lane each. With many, those that need a person
keep labelled lanes, and the others get thin lanes in the order of their start, so that hundreds of them look like a
slope.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from bottlerocket_ecs_updater.core.model.outcome import OutcomeKind
from bottlerocket_ecs_updater.core.model.time_text import measured_text
from bottlerocket_ecs_updater.core.model.wording import counted
from bottlerocket_ecs_updater.report.analysis.run_report import RunReport, spent_by_part
from bottlerocket_ecs_updater.report.analysis.summary import Row
from bottlerocket_ecs_updater.report.analysis.timeline import Lane, Part, Timeline
from bottlerocket_ecs_updater.report.words.sanitize import sanitize

DRAWING_WIDTH = 1000.0
_LEFT, _RIGHT = 170.0, 110.0
"""The width for the instance id on the left, and for the outcome on the right."""

_LOAD_HEIGHT = 46.0
_AXIS_HEIGHT = 22.0
_HEADING_HEIGHT = 24.0
_BAR_MIN_WIDTH = 0.8
_TICKS_MAX = 9

_TALL, _LOW, _THIN = 20.0, 11.0, 4.0
_TALL_MAX, _LOW_MAX = 40, 120
"""Up to this many lanes of a group have a full label, or a small one."""

_TICKS = [timedelta(seconds=n) for n in (10, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400)]

_THINNER = frozenset({Part.READY, Part.SETTLING, Part.STAGING})
"""Parts of the life in service. They are drawn as a line, so that time out of service stands out."""


@dataclass(frozen=True, slots=True)
class Bar:
    """A stretch, as a rectangle."""

    part: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Drawn:
    """One lane."""

    y: float
    height: float
    label: str
    """Empty if there is no room for it."""
    small: bool
    outcome: str
    became: str
    title: str
    """The lane as text."""
    bars: tuple[Bar, ...]


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading for a group of lanes."""

    y: float
    text: str


@dataclass(frozen=True, slots=True)
class Tick:
    """A time on the axis."""

    x: float
    text: str


@dataclass(frozen=True, slots=True)
class Drawing:
    """The whole drawing. `height` and positions have the same unit as WIDTH."""

    height: float
    left: float
    right: float
    top: float
    day: str
    """The day on which it began, which the axis does not show."""
    lanes: tuple[Drawn, ...]
    headings: tuple[Heading, ...]
    ticks: tuple[Tick, ...]
    load: str
    """The number of instances out of service over time, as an SVG path."""
    load_base: float
    halted: float | None
    """The position of the halt."""
    parts: tuple[str, ...]
    """The parts of life that occur, for the legend."""
    left_out: int
    """How many instances have no lane, because nothing happened to them."""


@dataclass(frozen=True, slots=True)
class _Scale:
    began: datetime
    length: timedelta

    def x(self, at: datetime) -> float:
        share = (at - self.began) / self.length if self.length else 0.0
        return _LEFT + min(max(share, 0.0), 1.0) * (DRAWING_WIDTH - _LEFT - _RIGHT)


def draw(report: RunReport, halted_at: datetime | None = None) -> Drawing | None:
    """Lay out a run. None if nothing happened to any instance."""
    timeline = report.timeline
    if timeline is None:
        return None
    groups = [group for group in _grouped(report) if group[1]]
    if not groups or timeline.ended <= timeline.began:
        return None
    scale = _Scale(timeline.began, timeline.ended - timeline.began)
    load = _load(timeline, scale)
    top = _LOAD_HEIGHT + _AXIS_HEIGHT
    y, lanes, headings = top, list[Drawn](), list[Heading]()
    for text, members in groups:
        headings.append(Heading(round(y + _HEADING_HEIGHT - 8, 1), text))
        y += _HEADING_HEIGHT
        height = _TALL if len(members) <= _TALL_MAX else _LOW if len(members) <= _LOW_MAX else _THIN
        for row, lane in members:
            lanes.append(_drawn(row, lane, scale, y, height))
            y += height
    shown = {stretch.part for _, members in groups for _, lane in members for stretch in lane.stretches}
    return Drawing(
        height=round(y + 6, 1),
        left=_LEFT,
        right=DRAWING_WIDTH - _RIGHT,
        top=top,
        day=f"{timeline.began.astimezone(UTC):%Y-%m-%d}",
        lanes=tuple(lanes),
        headings=tuple(headings),
        ticks=tuple(_ticks(timeline, scale)),
        load=load,
        load_base=_LOAD_HEIGHT,
        halted=round(scale.x(halted_at), 1) if halted_at is not None else None,
        parts=tuple(part.value for part in Part if part in shown),
        left_out=len(report.summary.rows) - sum(len(members) for _, members in groups),
    )


_Members = list[tuple[Row, Lane]]


def _grouped(report: RunReport) -> Iterator[tuple[str, _Members]]:
    """Groups of lanes, worst first; within a group, in the order in which they were taken out of service."""
    known = [(row, lane) for row in report.summary.rows if (lane := report.lane(row)) is not None and lane.stretches]
    late = report.timeline.ended if report.timeline is not None else None
    known.sort(key=lambda both: (both[1].out_from or late or both[1].stretches[0].began, both[0].instance))
    quarantined = [both for both in known if both[0].became is OutcomeKind.QUARANTINED]
    yield f"{OutcomeKind.QUARANTINED.words} · {counted(len(quarantined), 'instance')}", quarantined
    open_ = [both for both in known if both[1].out_since is not None and both not in quarantined]
    yield f"out of service, in the middle of an update · {counted(len(open_), 'instance')}", open_
    failed = [both for both in known if both[0].became is OutcomeKind.FAILED and both not in open_]
    yield f"{OutcomeKind.FAILED.words} · {counted(len(failed), 'instance')}", failed
    rest = [both for both in known if both[0].became not in (OutcomeKind.QUARANTINED, OutcomeKind.FAILED)]
    updated = [both for both in rest if both[0].became is OutcomeKind.UPDATED and both not in open_]
    yield f"updated · {counted(len(updated), 'instance')}, in the order in which they were drained", updated
    other = [both for both in rest if both not in open_ and both not in updated]
    taken = [both for both in other if both[1].worked_on]
    yield f"returned without an update · {counted(len(taken), 'instance')}", taken
    staged = [both for both in other if not both[1].worked_on]
    yield f"staged, not rebooted in this run · {counted(len(staged), 'instance')}", staged


def left_open(row: Row, lane: Lane | None) -> bool:
    """Whether it was out of service and not quarantined at the end of the run, so that another run must finish it."""
    return lane is not None and lane.out_since is not None and row.became is not OutcomeKind.QUARANTINED


def outcome_of(row: Row, lane: Lane | None) -> str:
    """Its outcome in a few words."""
    if left_open(row, lane):
        return "out of service"
    return row.code if row.became is OutcomeKind.FAILED else row.became.words


def _drawn(row: Row, lane: Lane, scale: _Scale, y: float, height: float) -> Drawn:
    thin = height == _THIN
    gap = 0.5 if thin else height * 0.16
    return Drawn(
        y=round(y, 1),
        height=height,
        label="" if thin else sanitize(lane.instance, 40),
        small=height == _LOW,
        outcome="" if thin else outcome_of(row, lane),
        became=OutcomeKind.FAILED.value if left_open(row, lane) else row.became.value,
        title=_in_words(row, lane),
        bars=tuple(_bars(lane, scale, y + gap, height - 2 * gap)),
    )


def _bars(lane: Lane, scale: _Scale, y: float, height: float) -> Iterator[Bar]:
    for stretch in lane.stretches:
        left, right = scale.x(stretch.began), scale.x(stretch.ended)
        width = max(right - left, _BAR_MIN_WIDTH)
        thinner = height * 0.35 if stretch.part in _THINNER else 0.0
        yield Bar(
            stretch.part.value,
            round(min(left, DRAWING_WIDTH - _RIGHT - width), 2),
            round(y + thinner, 2),
            round(width, 2),
            round(height - 2 * thinner, 2),
        )


def _in_words(row: Row, lane: Lane) -> str:
    parts = ", ".join(f"{stretch.part.value} {measured_text(stretch.lasted)}" for stretch in lane.stretches)
    start = f" from {lane.out_from:%H:%M:%S}" if lane.out_from is not None else ""
    return f"{sanitize(lane.instance, 40)}: {row.became.words}; {parts}{start}"


def _load(timeline: Timeline, scale: _Scale) -> str:
    """The area under the number of instances out of service."""
    steps = timeline.out_at_once()
    most = max((count for _, count in steps), default=0)
    if not most:
        return ""
    unit = (_LOAD_HEIGHT - 14) / most
    path = [f"M{_LEFT:.1f} {_LOAD_HEIGHT:.1f}"]
    for at, count in steps:
        path.append(f"H{scale.x(at):.1f}V{_LOAD_HEIGHT - count * unit:.1f}")
    path.append(f"H{scale.x(timeline.ended):.1f}V{_LOAD_HEIGHT:.1f}Z")
    return "".join(path)


def _ticks(timeline: Timeline, scale: _Scale) -> Iterator[Tick]:
    step = next((step for step in _TICKS if scale.length / step <= _TICKS_MAX), _TICKS[-1])
    form = "%H:%M:%S" if step < timedelta(minutes=1) else "%d %b %H:%M" if scale.length > timedelta(days=1) else "%H:%M"
    midnight = timeline.began.replace(hour=0, minute=0, second=0, microsecond=0)
    at = midnight + step * -((midnight - timeline.began) // step)
    while at <= timeline.ended:
        yield Tick(round(scale.x(at), 1), format(at, form))
        at += step


@dataclass(frozen=True, slots=True)
class DurationRow:
    """How long one part of life took on all instances."""

    part: str
    times: int
    shortest: str
    median: str
    longest: str


def durations(report: RunReport) -> Sequence[DurationRow]:
    """The durations of each part of life that occurred, in order."""
    if report.timeline is None:
        return ()
    spans = {part.value: sorted(lasted) for part, lasted in spent_by_part(report.timeline).items()}
    return [
        DurationRow(
            part,
            len(lasted),
            measured_text(lasted[0]),
            measured_text(lasted[len(lasted) // 2]),
            measured_text(lasted[-1]),
        )
        for part, lasted in spans.items()
    ]
