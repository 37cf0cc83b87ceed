"""The cluster that is examined: a throwaway one in a real account, or a simulated one."""

from __future__ import annotations

import base64
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol

from botocore.exceptions import ClientError

from acceptance.account import Account
from acceptance.result import Skipped

ROOT = Path(__file__).resolve().parent.parent
TEMPLATE = (ROOT / "stacks" / "bottlerocket-ecs-updater.yaml").read_text(encoding="utf-8")
PREDECESSOR = (ROOT / "tests" / "stack" / "predecessor.yaml").read_text(encoding="utf-8")
STACK = "updater-acceptance"
GROUP = "/updater-acceptance"
SETTINGS = f"/{STACK}/settings"
_BY_NAME: tuple[tuple[str, str, str, dict[str, str]], ...] = (
    (f"log group {GROUP}", "logs", "delete_log_group", {"logGroupName": GROUP}),
    (f"parameter {SETTINGS}", "ssm", "delete_parameter", {"Name": SETTINGS}),
)
"""What no stack makes, so that it has a name of its own."""


class Ground(Protocol):
    """What checks stand on. `fresh` brings hosts of the old version, in service, without the updater's stack."""

    account: Account
    cluster: str
    subnets: str
    image: str
    groups: tuple[str, ...]
    public: str
    settings: str

    def fresh(self) -> None: ...

    def only_real(self, what: str) -> None:
        """Raises Skipped where this is a simulated account."""

    def remove(self) -> None: ...


def parameters(ground: Ground, **more: str) -> dict[str, str]:
    """The parameters of the updater's stack here."""
    given = {
        "ClusterName": ground.cluster,
        "Subnets": ground.subnets,
        "LogGroupName": GROUP,
        "UpdaterImage": ground.image,
        "AutoScalingGroups": ",".join(ground.groups),
        "ScheduleState": "DISABLED",
        "AssignPublicIp": ground.public,
        "Settings": ground.settings,
    }
    return {**given, **more}


@dataclass
class RealGround:
    """A throwaway cluster: four small hosts on an old AMI in two Auto Scaling groups, a service, a daemon, a task."""

    account: Account
    subnets: str
    image: str
    version: str
    public: str = "DISABLED"
    instance_type: str = "t3.small"
    cluster: str = STACK
    settings: str = "settle = '30s'"
    groups: tuple[str, ...] = field(default=(f"{STACK}-a", f"{STACK}-b"))

    def only_real(self, what: str) -> None:
        """Everything is real here."""

    def make(self) -> None:
        """Make the cluster, by a stack of its own, so that one deletion removes it."""
        template = (Path(__file__).with_name("cluster.yaml")).read_text(encoding="utf-8")
        first, *others = self.subnets.split(",")
        user_data = f'[settings.ecs]\ncluster = "{self.cluster}"\n'
        status = self.account.deploy(
            f"{STACK}-cluster",
            template,
            Name=self.cluster,
            SubnetA=first,
            SubnetB=(others or [first])[0],
            InstanceType=self.instance_type,
            Ami=f"/aws/service/bottlerocket/aws-ecs-2/x86_64/{self.version}/image_id",
            UserData=base64.b64encode(user_data.encode()).decode(),
        )
        if not status.endswith("CREATE_COMPLETE") and not status.endswith("UPDATE_COMPLETE"):
            raise RuntimeError(f"the cluster's stack came to {status}")
        self._in_service()

    def fresh(self) -> None:
        """Replace every host by one from the old AMI, and remove the updater's stack."""
        if self.account.stack(STACK):
            self.account.delete_stack(STACK)
        old = {one["ec2InstanceId"] for one in self.account.instances(self.cluster)}
        groups = self.account.client("autoscaling")
        for instance in old:
            groups.terminate_instance_in_auto_scaling_group(InstanceId=instance, ShouldDecrementDesiredCapacity=False)
        self._in_service(without=old)

    def _in_service(self, without: set[str] | None = None) -> None:
        def enough() -> bool:
            ready = [one for one in self.account.instances(self.cluster) if one["agentConnected"]]
            names = {one["ec2InstanceId"] for one in ready if one["status"] == "ACTIVE"}
            return len(names - (without or set())) >= 4

        self.account.wait("four hosts in service", enough, timedelta(minutes=20))

    def remove(self) -> None:
        """Delete everything that was made."""
        clean(self.account)


def clean(account: Account) -> list[str]:
    """Delete what earlier runs left, by its tag; gives what was found, and "…, still there" for what could not be deleted.

    Tasks go first, since they keep the cluster; then stacks, the updater's before the cluster's; then what a crash between
    two deletions left behind: a bucket, the log group, a parameter.
    """
    found = []
    for name in sorted(account.stacks_with_tag(), key=lambda each: each.endswith("-cluster")):
        found += [f"task {task}" for task in account.stop_tasks(name)]
        account.delete_stack(name)
        found.append(f"stack {name}" if account.gone(name) else f"stack {name}, still there")
    for bucket in account.buckets_with_tag():
        account.empty(bucket)
        found.append(f"bucket {bucket}")
    found += [f"key {arn}, within a week" for arn in account.delete_keys()]
    for what, service, operation, request in _BY_NAME:
        with suppress(ClientError):
            getattr(account.client(service), operation)(**request)
            found.append(what)
    return found


@dataclass
class SimulatedGround:
    """The tests' own account: a world of hosts behind the AWS wire, with stacks, IAM and tasks that run."""

    account: Account = field(init=False)
    cluster: str = "demo"
    subnets: str = "subnet-1,subnet-2"
    image: str = "123456789012.dkr.ecr.us-east-1.amazonaws.com/updater@sha256:0"
    groups: tuple[str, ...] = ("web-a", "web-b")
    public: str = "DISABLED"
    # At this speed a lease of a minute is less than a busy machine may take for one request.
    settings: str = "lease = '15m'"
    site: Any = None

    def only_real(self, what: str) -> None:
        """Raises Skipped: the simulator does not have it."""
        raise Skipped(what)

    def fresh(self) -> None:
        """A new world."""
        from acceptance.simulated import new_site  # noqa: PLC0415 - real accounts need no simulator

        self.remove()
        self.site, self.account = new_site(self.groups)

    def remove(self) -> None:
        """Stop the world."""
        if self.site is not None:
            self.site.__exit__(None, None, None)
            self.site = None
