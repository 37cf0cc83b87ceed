"""Generated values for properties: versions, answers, claims, instances, fleets and policies.

Fleets are generated without regard to how they could have come about: decisions must be right for all of them.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from random import Random
from typing import Any, TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from tests.core.builders import (
    BOOT,
    DEAD_RUN,
    NEW,
    NEWER,
    NEXT_BOOT,
    NOW,
    OLD,
    RUN,
    STANDALONE,
    a_claim,
    a_new_boot,
    a_return,
    arn_of,
    claimed,
    drained_by_us,
    marked,
    ready,
    rebooted,
    registration,
    service,
    task,
)

from bottlerocket_ecs_updater.core.model.claim import Claim, ClaimPhase
from bottlerocket_ecs_updater.core.model.container_instance import PingStatus, Registration, Status, Tasks
from bottlerocket_ecs_updater.core.model.fleet import Fleet, Halt
from bottlerocket_ecs_updater.core.model.host_report import HostAnswer, HostProblem, HostReport, Problem, UpdateState
from bottlerocket_ecs_updater.core.model.ids import CommandId, InstanceId, OwnTask, Zone
from bottlerocket_ecs_updater.core.model.instance import Instance
from bottlerocket_ecs_updater.core.model.outcome import Backoff, Outcome, Quarantined, Updated, UpToDate
from bottlerocket_ecs_updater.core.model.reasons import Failure, Reason, failed, hold
from bottlerocket_ecs_updater.core.model.reboots import Acceptance, RebootEnd, SentReboot
from bottlerocket_ecs_updater.core.model.run_command import (
    CheckAnswer,
    CommandResult,
    CommandStatus,
    DocumentKind,
    PendingCommand,
)
from bottlerocket_ecs_updater.core.model.run_progress import Applies, RunProgress, SentDrain
from bottlerocket_ecs_updater.core.model.services import Services, Slot
from bottlerocket_ecs_updater.core.model.version import Version
from bottlerocket_ecs_updater.core.rules.policy import Limit, OwnHost, Policy

T = TypeVar("T")

PURE = settings(deadline=None, derandomize=True, max_examples=150, database=None)
"""Core is pure: the same examples everywhere, as many as fit into a few seconds, without a time limit."""

numbers = st.integers(0, 99)
identifiers = st.from_regex(r"(0|[1-9][0-9]{0,2}|[a-z][a-z0-9-]{0,5})", fullmatch=True)
dotted = st.lists(identifiers, max_size=3).map(".".join)
versions = st.builds(Version, numbers, numbers, numbers, dotted, dotted)

# Times close to limits, for the default policy.
AGES_SECONDS = (0, 1, 5, 14, 20, 30, 60, 120, 300, 600, 1200, 1500, 3600, 43200)
RELEASES = (OLD, NEW, NEWER)
ZONES = (Zone("zone-a"), Zone("zone-b"), Zone("zone-c"))
OUTCOMES: tuple[Outcome, ...] = (
    Updated(OLD, NEW),
    UpToDate(NEW),
    hold(Reason.GONE, why="MISSING"),
    failed(Failure.ROLLED_BACK, version=OLD, target=NEW),
    failed(Failure.APPLY_FAILED, detail="no space left"),
    Quarantined(failed(Failure.NOT_BACK, limit="20m", detail="its ECS agent did not connect")),
)
TASKS = (task(), task("api", "STOPPING"), STANDALONE)


class Dice:
    """Generates the parts of an instance independently, even if they do not fit together."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)

    def among(self, *choices: T) -> T:
        """One of these values; a value that is listed more often is more likely."""
        return self._random.choice(choices)

    def moment(self) -> datetime:
        """A time in the past."""
        return NOW - timedelta(seconds=self.among(*AGES_SECONDS))

    def perhaps(self) -> datetime | None:
        """A time, or None."""
        return self.among(None, self.moment())

    def recent(self) -> datetime:
        """When something was last read: usually just now."""
        return self.among(NOW, NOW, NOW, self.moment())

    def mostly(self) -> bool:
        """Usually true."""
        return self.among(True, True, True, False)

    def answer(self) -> HostAnswer:
        """An answer of a host."""
        if not self.mostly():
            return HostProblem(self.among(*Problem), "its own words")
        releases = (None, *RELEASES, *RELEASES)
        return HostReport(
            self.among(BOOT, NEXT_BOOT),
            self.among(*UpdateState, UpdateState.READY),
            self.among(*RELEASES),
            self.among(*releases),
            self.among(*releases),
        )

    def claim(self) -> Claim:
        """A claim in any phase, of this run or an earlier one."""
        phase = self.among(*ClaimPhase, ClaimPhase.REBOOTING)
        return Claim(phase, self.among(RUN, DEAD_RUN), OLD, NEW, BOOT, self.moment(), self.among(0, 1, 2, 3, 40))

    def ended(self, kind: DocumentKind) -> CommandResult:
        """A command with any result."""
        sent, end = self.moment(), self.among(*CommandStatus)
        busy = self.among(True, False)
        return CommandResult(
            kind, CommandId("a-command"), sent, max(sent, self.moment()), end, 1, "its telling line", busy
        )

    def pending(self, *kinds: DocumentKind) -> PendingCommand:
        """A pending command."""
        return PendingCommand(self.among(*kinds), CommandId("a-command"), self.moment())

    def reboots(self) -> tuple[SentReboot, ...]:
        """Reboot commands that were sent, or may have been."""
        return tuple(self.reboot() for _ in range(self.among(0, 1, 1, 2)))

    def reboot(self) -> SentReboot:
        """A reboot command with any end, or none."""
        sent, acceptance = self.moment(), self.among(*Acceptance)
        end = RebootEnd(acceptance, self.moment(), self.mostly(), "its line", acceptance is Acceptance.ACCEPTED)
        return SentReboot(
            CommandId(self.among("a-reboot", "")),
            sent,
            sent_by_us=self.mostly(),
            end=self.among(None, end),
            end_asked_at=self.perhaps(),
            cancelled=self.among(True, False),
        )

    def progress(self) -> RunProgress:
        """The run's own record."""
        return RunProgress(
            outcome=self.among(None, None, None, None, None, self.among(*OUTCOMES)),
            checks_failed=self.among(0, 0, 1, 3),
            first_busy_at=self.perhaps(),
            applies=Applies(self.among(0, 0, 1, 2)),
            drain=self.among(None, SentDrain(self.moment(), moving={"web": 1})),
            drain_seen=self.mostly(),
            claim_seen=self.mostly(),
            claim_absent_looks=self.among(0, 0, 0, 1, 2),
            claimed_at=self.perhaps(),
            phase_seen_at=self.perhaps(),
            reboot_sent_at=self.perhaps(),
            away_at=self.perhaps(),
            connected_looks=self.among(0, 1, 3, 4),
            new_boot=self.among(None, a_new_boot(self.moment())),
            sent_return=self.among(
                None, None, None, a_return(self.moment(), self.among(*OUTCOMES), confirmed=self.mostly())
            ),
            missing_looks=self.among(0, 0, 1, 4),
        )

    def registration(self, claim: Claim | None) -> Registration:
        """The state of an instance in ECS, which may be older than the claim."""
        healthy = [Status.ACTIVE] * 4 + [Status.DRAINING] * (8 if claim is not None else 2)
        return replace(
            registration("i-x"),
            status=self.among(*healthy, *Status),
            connected=self.mostly(),
            variant=self.among(*["aws-ecs-2"] * 9, "aws-ecs-1", None),
            running_tasks=self.among(0, 0, 0, 2),
            pending_tasks=self.among(0, 0, 0, 1),
            attributes=marked(claim) if claim is not None and self.mostly() else {},
            at=self.recent(),
        )

    def instance(self) -> Instance:
        """An instance in any state, possible or not."""
        claim = self.among(None, self.claim())
        seen = self.registration(claim) if self.mostly() or self.mostly() else None
        asked = self.moment()
        check_answer = CheckAnswer(self.answer(), asked, min(NOW, asked + timedelta(seconds=5)))
        tasks = tuple(self.among(*TASKS) for _ in range(self.among(0, 0, 0, 1, 2)))
        return Instance(
            InstanceId("i-x"),
            registration=seen,
            undescribed="" if seen is not None else "MISSING",
            reach=self.among(*[PingStatus.ONLINE] * 6, *PingStatus),
            check_answer=check_answer if self.mostly() else None,
            pending=self.among(None, None, None, self.pending(DocumentKind.CHECK, DocumentKind.APPLY)),
            applied=self.among(None, None, self.ended(DocumentKind.APPLY)),
            reboots=self.reboots() if claim is not None else (),
            send_refused=self.among("", "", "", "", "InvalidInstanceId"),
            send_denied=self.among("", "", "", "", "ssm:SendCommand on instance/i-a"),
            claim=claim,
            claim_on_instance=claim is not None and seen is not None and bool(seen.attributes),
            claim_unreadable=self.among("", "", "", "", "2 …") if claim is None else "",
            backoff=self.among(None, None, self.rest()),
            tasks=Tasks(tasks, self.recent(), with_stopping=self.mostly()) if self.mostly() else None,
            progress=self.progress() if self.mostly() else RunProgress(),
        )

    def rest(self) -> Backoff:
        """A backoff after a failed attempt, over or not."""
        until = self.among(NOW + timedelta(hours=1), self.moment())
        return Backoff(self.among(*RELEASES), self.among(1, 2), until, "apply-failed", self.among(True, False))


ANY = [Dice(seed).instance() for seed in range(1500)]
"""Instances in random states, generated once: generating each part for every example would take minutes."""

ABLE = Instance(
    InstanceId("i-x"),
    registration=registration("i-x"),
    reach=PingStatus.ONLINE,
    check_answer=CheckAnswer(HostReport(BOOT, UpdateState.READY, OLD, NEW, NEW), NOW, NOW),
    tasks=Tasks((), NOW),
)
"""An instance whose update starts as soon as there is a slot, to fill a budget."""


MARKED = claimed("i-x", a_claim(ClaimPhase.REBOOTING))
"""An instance that is rebooted next."""

PROVEN = claimed(
    "i-x",
    a_claim(ClaimPhase.REBOOTING),
    rebooted(),
    asked=NOW - timedelta(seconds=20),
    progress=drained_by_us(a_claim(ClaimPhase.REBOOTING), reboot_sent_at=NOW - timedelta(seconds=50)),
)
"""An instance that is returned as updated next."""


def spoiled(one: Instance) -> list[Instance]:
    """The same instance, and all instances that differ from it in one relevant fact."""
    seen, claim = one.registration, one.claim
    assert seen is not None
    assert claim is not None
    registrations: list[dict[str, Any]] = [{"status": status} for status in Status]
    registrations += [
        {"connected": False},
        {"running_tasks": 1},
        {"pending_tasks": 1},
        {"at": NOW - timedelta(seconds=1)},
    ]
    changes: list[dict[str, Any]] = [{"registration": replace(seen, **change)} for change in registrations]
    changes += [
        {"tasks": tasks}
        for tasks in (
            None,
            Tasks((task(last_status="STOPPING"),), NOW, with_stopping=True),
            Tasks((), seen.registered_at, with_stopping=True),
            Tasks((), NOW),
        )
    ]
    changes += [{"claim": replace(claim, phase=phase)} for phase in ClaimPhase]
    changes += [
        {"claim": replace(claim, run=DEAD_RUN)},
        {"claim": replace(claim, target=NEWER)},
        {"registration": None},
    ]
    changes += [
        {"check_answer": check_answer}
        for check_answer in (None, CheckAnswer(ready(), NOW, NOW), CheckAnswer(rebooted(OLD), NOW, NOW))
    ]
    changes += [
        {"progress": replace(one.progress, connected_looks=0)},
        {"progress": replace(one.progress, claim_absent_looks=2)},
    ]
    return [one, one, one, *(replace(one, **change) for change in changes)]


def placed(one: Instance, name: str, zone: Zone) -> Instance:
    """The same instance with that id, in that zone."""
    seen = one.registration
    at_home = replace(seen, arn=arn_of(name), id=InstanceId(name), zone=zone) if seen is not None else None
    return replace(one, id=InstanceId(name), registration=at_home)


moments = st.sampled_from([NOW - timedelta(seconds=age) for age in AGES_SECONDS])
recent = st.sampled_from([NOW, NOW, NOW, NOW - timedelta(seconds=1), NOW - timedelta(minutes=5)])
some_instances = st.lists(
    st.tuples(
        st.one_of(
            st.just(ABLE),
            st.just(ABLE),
            st.sampled_from(spoiled(MARKED)),
            st.sampled_from(spoiled(PROVEN)),
            st.sampled_from([one for one in ANY if one.claim is None]),
            st.sampled_from([one for one in ANY if one.claim is not None]),
        ),
        st.sampled_from(ZONES),
    ),
    max_size=8,
).map(lambda drawn: [placed(one, f"i-{number}", zone) for number, (one, zone) in enumerate(drawn)])
some_slots = st.lists(
    st.builds(
        Slot,
        st.sampled_from([InstanceId(f"i-{number}") for number in range(10)]),
        st.sampled_from(ZONES),
        moments,
        st.just({}),
        st.none() | moments,
        st.sampled_from([(), ("web",)]),
    ),
    max_size=2,
    unique_by=lambda slot: slot.instance,
)
STEADY = Services((service(),), NOW)
some_services = st.sampled_from([(service(),), (service("web", 3, 2), service("api")), ()])


@st.composite
def fleets(draw: st.DrawFn) -> Fleet:
    """A cluster at one time."""
    return Fleet(
        run=RUN,
        started_at=draw(moments),
        at=NOW,
        full_at=draw(recent),
        instances={one.id: one for one in draw(some_instances)},
        services=draw(st.one_of(st.builds(Services, some_services, recent), st.just(STEADY), st.none())),
        slots=tuple(draw(st.one_of(st.just([]), st.just([]), some_slots))),
        halt=draw(st.sampled_from([None] * 9 + [Halt("two instances failed")])),
        stopping=draw(st.sampled_from([""] * 9 + ["SIGTERM"])),
        suspects=draw(st.sampled_from([{}, {}, {NEW: 1}, {NEW: 5}, {NEWER: 5}])),
        own=draw(st.sampled_from([None, None, OWN, OwnTask(task("api").arn, "updater")])),
    )


OWN = OwnTask(STANDALONE.arn, "updater")


OUT = (
    replace(ABLE, registration=registration("i-x", status=Status.DRAINING)),
    replace(ABLE, registration=registration("i-x", connected=False)),
    replace(ABLE, registration=registration("i-x", variant=None, status=Status.DRAINING)),
    claimed("i-x", tasks=(task(),)),
    replace(MARKED, registration=None),
)
"""Instances that take a slot in the budget, and one with another operating system, which does not."""


@st.composite
def crowds(draw: st.DrawFn) -> Fleet:
    """A cluster in which many instances wait for few slots, and nothing else holds them."""
    kinds = st.sampled_from([*[ABLE] * 8, *OUT])
    drawn = draw(st.lists(st.tuples(kinds, st.sampled_from(ZONES)), min_size=2, max_size=10))
    named = [placed(one, f"i-{number}", zone) for number, (one, zone) in enumerate(drawn)]
    return Fleet(
        run=RUN,
        started_at=NOW,
        at=NOW,
        full_at=NOW,
        instances={one.id: one for one in named},
        services=STEADY,
        slots=tuple(replace(slot, returned_at=NOW) for slot in draw(st.one_of(st.just([]), some_slots))),
    )


limits = st.builds(Limit, number=st.integers(1, 9)) | st.builds(Limit, percent=st.integers(1, 100))
policies = st.builds(
    Policy,
    max_unavailable=limits,
    max_unavailable_per_zone=st.none() | limits,
    max_failures=st.integers(1, 5),
    deadline=st.sampled_from([None, None, None, timedelta(hours=1)]),
    own_host=st.sampled_from(OwnHost),
)
