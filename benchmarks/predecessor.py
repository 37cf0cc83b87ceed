"""A model of the Go updater's order and waits, over the same world. It is a model: not one line of it runs here.

One instance after the other: drain it, check it, download while it is drained, reboot, wait a fixed 15 s and for an
instance status that is normally still good from before, set it ACTIVE, wait a fixed 20 s, check again. Every wait is
the SDK's waiter: asked at once, then every 15 s. A download that is behind a prepared host is not waited for.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from botocore.exceptions import ClientError

from benchmarks.hosts import NEW, Size, cluster
from benchmarks.stopwatch import NOTHING, Stopwatch
from bottlerocket_ecs_updater.simulator.inprocess import InProcessClients
from bottlerocket_ecs_updater.simulator.services.documents import APPLY, CHECK, REBOOT

WAITER = timedelta(seconds=15)
WAITER_ATTEMPTS = 100
AFTER_REBOOT = timedelta(seconds=15)
BEFORE_VERIFY = timedelta(seconds=20)
UNDER_WAY = ("Pending", "InProgress", "Delayed")


@dataclass(frozen=True, slots=True)
class Modelled:
    """What came of it."""

    size: Size
    took: timedelta
    physical: timedelta
    """What drains, reboots and, where hosts were not prepared, nothing else took in all."""
    out_of_service: timedelta
    """The mean, from DRAINING until the host is back and ACTIVE."""
    moves: int
    calls: int
    timeline: Sequence[tuple[timedelta, int]]


def roll_as_before(size: Size, seed: int = 1) -> Modelled:
    """Roll a cluster of that size one by one."""
    world = cluster(size, seed)
    watch = Stopwatch(world)
    began = world.clock.now()
    _Model(InProcessClients(world, caller="predecessor"), world.cluster.name, world.clock.sleep).run()
    took = world.clock.now() - began
    world.clock.sleep(timedelta(minutes=5))
    seen = world.verdict()
    assert all(version == NEW for version in seen.versions.values()), "the model did not update every host"
    laps = [lap for lap in watch.laps.values() if lap.drained and lap.back and lap.returned]
    out = [max(lap.back, lap.returned) - lap.drained for lap in laps if lap.back and lap.returned and lap.drained]
    ends = sorted(lap.back - began for lap in laps if lap.back)
    return Modelled(
        size=size,
        took=took,
        physical=sum((lap.drain + lap.reboot for lap in laps), NOTHING),
        out_of_service=sum(out, NOTHING) / len(out),
        moves=seen.task_moves,
        calls=sum(seen.calls.values()),
        timeline=[(at, number) for number, at in enumerate(ends, 1)],
    )


class _Model:
    def __init__(self, clients: InProcessClients, cluster_name: str, sleep: Callable[[timedelta], None]) -> None:
        self._ecs, self._ssm, self._ec2 = clients.client("ecs"), clients.client("ssm"), clients.client("ec2")
        self._cluster = cluster_name
        self._sleep = sleep

    def run(self) -> None:
        pages = self._ecs.get_paginator("list_container_instances").paginate(cluster=self._cluster, status="ACTIVE")
        arns = [arn for page in pages for arn in page["containerInstanceArns"]]
        hosts: dict[str, str] = {}
        for start in range(0, len(arns), 100):
            some = arns[start : start + 100]
            found = self._ecs.describe_container_instances(cluster=self._cluster, containerInstances=some)
            hosts |= {one["ec2InstanceId"]: one["containerInstanceArn"] for one in found["containerInstances"]}
        names = list(hosts)
        states: dict[str, str] = {}
        for start in range(0, len(names), 50):
            states |= self._check(names[start : start + 50])
        for name in names:
            if states[name] in ("Available", "Ready"):
                self._update(name, hosts[name])

    def _update(self, name: str, arn: str) -> None:
        tasks = self._tasks_on(arn)
        if tasks:
            self._ecs.describe_tasks(cluster=self._cluster, tasks=tasks)
        self._set(arn, "DRAINING")
        self._wait_until_drained(self._tasks_on(arn))
        if self._check([name])[name] == "Available":
            self._send(APPLY, [name])
        self._ssm.send_command(DocumentName=REBOOT, InstanceIds=[name], TimeoutSeconds=600)
        self._sleep(AFTER_REBOOT)
        self._wait(lambda: self._status_is_good(name))
        self._set(arn, "ACTIVE")
        self._sleep(BEFORE_VERIFY)
        self._check([name])

    def _tasks_on(self, arn: str) -> list[str]:
        listed: list[str] = self._ecs.list_tasks(cluster=self._cluster, containerInstance=arn)["taskArns"]
        return listed

    def _set(self, arn: str, status: str) -> None:
        self._ecs.update_container_instances_state(cluster=self._cluster, containerInstances=[arn], status=status)

    def _wait_until_drained(self, tasks: list[str]) -> None:
        def stopped() -> bool:
            found = self._ecs.describe_tasks(cluster=self._cluster, tasks=tasks)["tasks"]
            return all(task["lastStatus"] == "STOPPED" for task in found)

        if tasks:
            self._wait(stopped)

    def _status_is_good(self, name: str) -> bool:
        found = self._ec2.describe_instance_status(InstanceIds=[name])["InstanceStatuses"]
        return bool(found) and found[0]["InstanceStatus"]["Status"] == "ok"

    def _check(self, names: Sequence[str]) -> dict[str, str]:
        answers = self._send(CHECK, names)
        # Our document says more than the predecessor's: what it looked for is the one JSON object in it.
        reports = {name: json.JSONDecoder().raw_decode(text, text.index("{"))[0] for name, text in answers.items()}
        return {name: report["update_state"] for name, report in reports.items()}

    def _send(self, document: str, names: Sequence[str]) -> dict[str, str]:
        sent = self._ssm.send_command(DocumentName=document, InstanceIds=list(names), TimeoutSeconds=600)
        command = sent["Command"]["CommandId"]
        told: dict[str, Any] = {}

        def ended() -> bool:
            for name in [name for name in names if name not in told]:
                try:
                    answer = self._ssm.get_command_invocation(CommandId=command, InstanceId=name)
                except ClientError:
                    continue
                if answer["Status"] not in UNDER_WAY:
                    told[name] = answer
            return len(told) == len(names)

        self._wait(ended)
        return {name: answer["StandardOutputContent"] for name, answer in told.items()}

    def _wait(self, until: Callable[[], bool]) -> None:
        for _ in range(WAITER_ATTEMPTS):
            if until():
                return
            self._sleep(WAITER)
        raise AssertionError("a waiter of the model ran out of attempts")
