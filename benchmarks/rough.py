"""The second world: calls take time, reboot commands end in every way there is, and AWS throttles and drops replies.

    latency     each call takes its own time on the world's clock: log-normal, half of them under 45 ms, 99 in 100 under
                180 ms; one in 100 takes a second more
    drain       web tasks end 10-15 s after SIGTERM; two tasks on a host, and one of a daemon service
    reboot      shutdown 5-8 s, boot 22-30 s, agents connected 8-12 s after it: about 45 s in all
    endings     of 100 reboot commands 52 end in success at once, 15 by a signal; of 10 the worker dies with the host,
                6 never end, 6 are reported undeliverable though they ran, 2 run a second time after the boot
    slow        of 100 hosts 5 hold up their shutdown for 20-90 s, and the agent of 4 flaps after the boot
    API         every 60th read is throttled, every 40th SendCommand gets no reply

Every host draws its own fate from a seed, so a roll is repeated exactly. No figure of it was measured on AWS.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from datetime import timedelta

from benchmarks.hosts import NEW, OLD, SIDECAR, ZONES, Size
from bottlerocket_ecs_updater.core.model.document_steps import PLAIN_REBOOT
from bottlerocket_ecs_updater.simulator import faults as f
from bottlerocket_ecs_updater.simulator.clock import VirtualClock, WorldClock
from bottlerocket_ecs_updater.simulator.ecs import ServiceSpec, Strategy, Workload
from bottlerocket_ecs_updater.simulator.faults import Fault, FaultPlan, Placed
from bottlerocket_ecs_updater.simulator.host import HostSpec, HostTiming
from bottlerocket_ecs_updater.simulator.repository import Release, Repository
from bottlerocket_ecs_updater.simulator.services.documents import REBOOT, shell_document
from bottlerocket_ecs_updater.simulator.world.findings import UpdaterLimits
from bottlerocket_ecs_updater.simulator.world.world import World

LATENCY_MEDIAN_SECONDS = 0.045
LATENCY_SPREAD = 0.6
"""Sigma of the log-normal distribution."""

SLOW_CALLS = 0.01
SLOW_CALL_SECONDS = 1.0

ENDINGS: Sequence[tuple[float, str]] = (
    (0.52, "success"),
    (0.15, "signal"),
    (0.10, "worker"),
    (0.06, "never"),
    (0.06, "undeliverable"),
    (0.02, "again"),
    (0.05, "held up"),
    (0.04, "flaps"),
)
"""The endings of a host's reboot command, each with its share."""

API_FAULTS = (
    Placed(f.ApiFails(operation="ecs:DescribeContainerInstances", every=60)),
    Placed(f.ApiFails(operation="ssm:ListCommandInvocations", every=60)),
    Placed(f.RepliesLost("ssm:SendCommand", every=40)),
)


def latency(seed: int) -> Callable[[], timedelta]:
    """Draws how long each call takes."""
    chances = random.Random(f"latency/{seed}")

    def draw() -> timedelta:
        seconds = LATENCY_MEDIAN_SECONDS * chances.lognormvariate(0, LATENCY_SPREAD)
        slow = chances.random() < SLOW_CALLS
        return timedelta(seconds=seconds + (SLOW_CALL_SECONDS if slow else 0))

    return draw


def rough_cluster(size: Size, seed: int = 1, clock: WorldClock | None = None) -> World:
    """A cluster of that size in its steady state, every host one release behind; in virtual time by default."""
    repository = Repository()
    for release in (OLD, NEW):
        repository.publish(Release(release, "aws-ecs-2"))
    world = World(
        clock or VirtualClock(),
        seed,
        repository=repository,
        budget=UpdaterLimits(size.budget),
        faults=FaultPlan(API_FAULTS, seed),
    )
    chances = random.Random(f"rough/{seed}")
    for number in range(size.instances):
        staged = (f.StartsWith(f.Leftover.READY, NEW),) if size.prepared else ()
        faults = (*staged, *_fate(chances))
        host = HostSpec(f"i-{number:017x}", version=OLD, timing=_timing(chances), faults=faults)
        world.add_instance(host, ZONES[number % len(ZONES)])
    for number in range(2):
        shutdown = timedelta(seconds=chances.uniform(10, 15))
        world.add_service(ServiceSpec(f"web-{number}", desired=size.instances, workload=Workload(shutdown=shutdown)))
    world.add_service(ServiceSpec("agent", strategy=Strategy.DAEMON, workload=SIDECAR))
    if size.plain_reboots:
        world.documents.add(REBOOT, shell_document("Reboot", PLAIN_REBOOT, 60))
    world.clock.sleep(timedelta(minutes=2))
    return world


def _fate(chances: random.Random) -> tuple[Fault, ...]:
    drawn = chances.random()
    held_up = timedelta(seconds=chances.uniform(20, 90))
    for share, fate in ENDINGS:
        drawn -= share
        if drawn < 0:
            return _faults_of(fate, held_up)
    return ()


def _faults_of(fate: str, held_up: timedelta) -> tuple[Fault, ...]:
    match fate:
        case "signal":
            return (f.RebootEnds(f.RebootEnding.KILLED),)
        case "worker":
            return (f.RebootEnds(f.RebootEnding.WORKER_TIMED_OUT),)
        case "never":
            return (f.RebootEnds(f.RebootEnding.STUCK),)
        case "undeliverable":
            return (f.ReportedUndeliverable(document=REBOOT),)
        case "again":
            return (f.RebootEnds(f.RebootEnding.RUN_AGAIN),)
        case "held up":
            return (f.RebootDelayed(held_up),)
        case "flaps":
            return (f.EcsAgentLate(timedelta(seconds=2), flaps=1, every=timedelta(seconds=4)),)
        case _:
            return ()


def _timing(chances: random.Random) -> HostTiming:
    def between(shortest: float, longest: float) -> timedelta:
        return timedelta(seconds=chances.uniform(shortest, longest))

    return HostTiming(
        shutdown=between(5, 8),
        boot=between(22, 30),
        ssm_agent_start=between(8, 10),
        ecs_agent_start=between(8, 12),
        prepare=between(15, 30),
    )
