"""The fault catalogue: every fault by number, with its effect, where it was seen, and the classes that cause it.

F1 to F49 are faults of hosts and AWS; W1 to W7 concern the updater's own calls and process.
Issues are cited as `repository#number`, source files by their program.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from bottlerocket_ecs_updater.simulator.faults import boots, updates, world

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bottlerocket_ecs_updater.simulator.faults.plan import Fault


@dataclass(frozen=True, slots=True)
class CatalogueEntry:
    """One catalogue entry: the effect, where it was seen, and the classes that cause it."""

    effect: str
    evidence: str
    kinds: tuple[type[Fault], ...]


def _entry(effect: str, evidence: str, *kinds: type[Fault]) -> CatalogueEntry:
    return CatalogueEntry(effect, evidence, kinds)


FAULTS: Mapping[str, CatalogueEntry] = MappingProxyType(
    {
        "F1": _entry("the repository refuses connections", "ecs-updater#84", updates.RepositoryDown),
        "F2": _entry(
            "the repository does not answer: the client gives up in 10 s, the lock stays for 50 s",
            "timeouts of apiclient and tough",
            updates.RepositoryBlackHole,
        ),
        "F3": _entry("the repository's URL is wrong", "ecs-updater#84", updates.RepositoryNotFound),
        "F4": _entry("expired metadata, or a wrong clock", "updog, tough", updates.MetadataExpired),
        "F5": _entry("the metadata's version goes back", "updog, tough", updates.MetadataRegressed),
        "F6": _entry("the image's hash is wrong", "updog, tough", updates.HashMismatch),
        "F7": _entry(
            "a download longer than the client waits; Staged by the background job",
            "limits of apiclient",
            updates.SlowDownload,
        ),
        "F8": _entry("the data volume is full", "updog", updates.DataVolumeFull),
        "F9": _entry("activate fails on the partition table", "signpost", updates.ActivateFails),
        "F10": _entry("an image with one partition set", "signpost", updates.SingleBank),
        "F11": _entry("the update lock is held by something stuck", "brupop#483", updates.LockBusy),
        "F12": _entry("an operator at the host", "brupop#459", updates.OutOfBand),
        "F13": _entry(
            "a version is published or retracted in the middle of an update",
            "bottlerocket#4136, bottlerocket#4262",
            updates.ReleaseAppears,
            updates.ReleaseRetracted,
        ),
        "F14": _entry("an update was left half done", "ecs-updater#59", updates.StartsWith),
        "F15": _entry("apply is killed", "thar-be-updates", updates.ApplyKilled),
        "F16": _entry(
            "a command cut off by the reboot ends in one of five ways",
            "ecs-updater#53, ssm-agent#169, ssm-agent#234",
            boots.RebootEnds,
        ),
        "F17": _entry(
            "the reboot is refused, or delayed by inhibitors",
            "systemd-logind, apiserver",
            boots.RebootRefused,
            boots.RebootDelayed,
        ),
        "F18": _entry("the reboot is accepted but never happens", "assumed", boots.RebootIgnored),
        "F19": _entry("GRUB cannot load the new bank", "bottlerocket#585", boots.GrubFails),
        "F20": _entry("the boot hangs before it is marked", "bottlerocket#2589, #4136", boots.BootHangs),
        "F21": _entry("marked successful, but docker is dead", "bottlerocket#4135", boots.DockerDead),
        "F22": _entry(
            "up, but the control container cannot be pulled", "bottlerocket#4372", boots.ControlContainerMissing
        ),
        "F23": _entry("the ECS agent is late, or flaps", "ecs-agent#618, #782", boots.EcsAgentLate),
        "F24": _entry("the ECS agent exits and does not restart", "ecs-agent#583", boots.EcsAgentTerminal),
        "F25": _entry("a version keeps rolling back", "brupop#123", boots.RollsBack),
        "F26": _entry("another version is written than was chosen", "updog", updates.ThirdVersion),
        "F27": _entry("a command right after the boot gets stuck", "ecs-updater#54", boots.CheckStuckAfterBoot),
        "F28": _entry("SSM cannot reach the host", "public incident reports", boots.SsmUnreachable),
        "F29": _entry("executed, and reported Undeliverable", "public incident report", boots.ReportedUndeliverable),
        "F30": _entry("the check's output is malformed", "ecs-updater#38", updates.OddOutput),
        "F31": _entry("the instance is terminated at any step", "ecs-updater#94", world.InstanceTerminated),
        "F32": _entry("registered again after the reboot", "ecs-agent#782, #1507", world.NewContainerInstance),
        "F33": _entry("someone else drains or returns it", "ecs-updater#43", world.SomebodySets),
        "F34": _entry("waves divide the cluster", "update_metadata", updates.WaveLate),
        "F35": _entry("a variant at the end of its life", "Bottlerocket variants", updates.VariantEnded),
        "F36": _entry("a version lock", "Bottlerocket settings", updates.VersionLocked),
        "F37": _entry("a downgrade is offered", "bottlerocket#4262", updates.DowngradeOffered),
        "F38": _entry("throttling, outages, errors of the API", "public incident reports", world.ApiFails),
        "F39": _entry("a task arrives between the last look and the reboot", "ECS", world.TaskArrives),
        "F40": _entry(
            "ECS shows it in a state that no one set, in which it accepts no tasks",
            "awsvpcTrunking in ECS",
            world.InBetween,
        ),
        "F41": _entry("someone stages another version", "brupop#459", world.SomebodyStages),
        "F42": _entry(
            "its Auto Scaling group takes the instance away, and a hook or managed draining holds that up",
            "containers-roadmap#2467, containers-roadmap#2685, aws-cdk#13506",
            world.GroupTakes,
        ),
        "F43": _entry(
            "someone stops the EC2 instance; ECS keeps it registered",
            "bottlerocket#4888, ecs-agent#3000",
            world.InstanceStopped,
        ),
        "F44": _entry(
            "a version boots fine but breaks containers",
            "bottlerocket#3960, #3513, #3849",
            boots.TasksBreak,
        ),
        "F45": _entry("ECS finds the container instance IMPAIRED", "containers-roadmap#759", boots.HealthImpaired),
        "F46": _entry(
            "the public parameter of a variant goes back, names a version late, or is missing",
            "bottlerocket#4262, public parameters of Systems Manager",
            world.PublicationMoves,
        ),
        "F47": _entry(
            "ECS has no result of its health checks: INITIALIZING, INSUFFICIENT_DATA, none, or an old one",
            "ECS container instance health, ecs-agent before 1.57",
            boots.HealthUnknown,
        ),
        "F48": _entry("GPUs are missing on a version", "bottlerocket#3960", boots.GpusGone),
        "F49": _entry(
            "its Auto Scaling group puts the instance into its warm pool, and into service again later",
            "instance reuse policy of warm pools, bottlerocket#4888",
            world.GroupKeepsWarm,
        ),
        "F50": _entry(
            "EC2 takes a Spot Instance back two minutes after a notice",
            "ECS_ENABLE_SPOT_INSTANCE_DRAINING, Spot interruption notices",
            world.SpotInterrupted,
        ),
        "F51": _entry("someone deregisters the container instance with force", "people", world.Deregistered),
        "F52": _entry("someone deletes the attribute with the claim", "people", world.ClaimDeleted),
        "W1": _entry("stale reads", "eventual consistency of AWS", world.StaleReads),
        "W2": _entry("a call takes effect, but the reply is lost", "networks", world.RepliesLost),
        "W3": _entry("the updater is killed at any call", "Spot, deployments, people", world.UpdaterDies),
        "W4": _entry("two updaters at once", "schedules that overlap", world.SecondUpdater),
        "W5": _entry("a batch call fails partially", "`failures` of ECS", world.PartialFailures),
        "W6": _entry("an outage of the state store", "public incident reports", world.StoreOutage),
        "W7": _entry(
            "commands are denied for one instance, and so for all in its call",
            "policies that name groups or tags",
            world.CommandsDenied,
        ),
    }
)
