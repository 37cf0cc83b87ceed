"""The tested cluster: a throwaway one in a real account, or a simulated one."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

from botocore.exceptions import ClientError

from acceptance.account import Account
from acceptance.result import Skipped, Wrong

ROOT = Path(__file__).resolve().parent.parent
TEMPLATE = (ROOT / "stacks" / "bottlerocket-ecs-updater.yaml").read_text(encoding="utf-8")
PREDECESSOR = (ROOT / "tests" / "stack" / "predecessor.yaml").read_text(encoding="utf-8")
STACK = "updater-acceptance"
GROUP = "/updater-acceptance"
LOAD_GROUP = "/updater-acceptance-load"
IMAGES = "/aws/service/bottlerocket/aws-ecs-2/x86_64"
"""The public parameters of the hosts' AMIs, a folder for each version."""

HOSTS = 4

USER_DATA = """\
[settings.ecs]
cluster = "{cluster}"

# Each host is offered a new version at its own time within a week, unless `ignore-waves` is set.
[settings.updates]
ignore-waves = true

# From there the control container, which holds the Systems Manager agent, is stopped and started again.
[settings.host-containers.admin]
enabled = true
"""
SETTINGS = f"/{STACK}/settings"
_BY_NAME: tuple[tuple[str, str, str, dict[str, str]], ...] = (
    (f"log group {GROUP}", "logs", "delete_log_group", {"logGroupName": GROUP}),
    (f"parameter {SETTINGS}", "ssm", "delete_parameter", {"Name": SETTINGS}),
)
"""The name of a resource that no stack creates."""


class Ground(Protocol):
    """The cluster that checks use.

    `fresh` provides hosts of the old version, in service, without the updater's stack.
    """

    account: Account
    cluster: str
    subnets: str
    image: str
    groups: tuple[str, ...]
    public: str
    settings: str

    @property
    def where(self) -> str: ...

    def make(self) -> None:
        """Create what must exist before the first check."""

    def fresh(self) -> None: ...

    def only_real(self, what: str) -> None:
        """Raises Skipped in a simulated account."""

    def load(self) -> AbstractContextManager[Callable[[], Sequence[str]]]:
        """Constant requests to the service behind the load balancer; at the end, the load's own log."""

    def denials(self, since: datetime) -> list[str] | None:
        """The denied calls of the updater's roles in CloudTrail; None without CloudTrail."""

    def remove(self) -> list[str]:
        """Delete everything that was created; returns what could not be deleted."""


def parameters(ground: Ground, **more: str) -> dict[str, str]:
    """The parameters of the updater's stack on this cluster."""
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
    """The hosts' first version; empty for the one from two versions ago."""
    public: str = "DISABLED"
    instance_type: str = "t3.small"
    cluster: str = STACK
    settings: str = "settle = '30s'"
    groups: tuple[str, ...] = field(default=(f"{STACK}-a", f"{STACK}-b"))

    @property
    def where(self) -> str:
        """The Region, and the hosts' first version."""
        return f"{self.account.region}, on hosts of {self.version}"

    def only_real(self, what: str) -> None:
        """Everything is real here."""

    def make(self) -> None:
        """Create the cluster with its own stack, so that one deletion removes it."""
        self.version = self.version or self.account.third_newest(IMAGES)
        template = (Path(__file__).with_name("cluster.yaml")).read_text(encoding="utf-8")
        first, *others = self.subnets.split(",")
        [subnet] = self.account.client("ec2").describe_subnets(SubnetIds=[first])["Subnets"]
        status = self.account.deploy(
            f"{STACK}-cluster",
            template,
            Name=self.cluster,
            Vpc=subnet["VpcId"],
            SubnetA=first,
            SubnetB=(others or [first])[0],
            InstanceType=self.instance_type,
            Ami=f"{IMAGES}/{self.version}/image_id",
            UserData=base64.b64encode(USER_DATA.format(cluster=self.cluster).encode()).decode(),
            LogGroupName=LOAD_GROUP,
        )
        if not status.endswith("CREATE_COMPLETE") and not status.endswith("UPDATE_COMPLETE"):
            raise Wrong(f"the status of the cluster's stack is {status}")
        self._in_service()

    def fresh(self) -> None:
        """Replace every host with one from the old AMI, and remove the updater's stack."""
        if self.account.stack(STACK):
            self.account.delete_stack(STACK)
        old = {one["ec2InstanceId"] for one in self.account.instances(self.cluster)}
        groups = self.account.client("autoscaling")
        for instance in old:
            # ECS lists an instance for a while after its termination.
            with suppress(ClientError):
                groups.terminate_instance_in_auto_scaling_group(
                    InstanceId=instance, ShouldDecrementDesiredCapacity=False
                )
        self._in_service(without=old)

    def _in_service(self, without: set[str] | None = None) -> None:
        def enough() -> bool:
            ready = [one for one in self.account.instances(self.cluster) if one["agentConnected"]]
            names = {one["ec2InstanceId"] for one in ready if one["status"] == "ACTIVE"}
            return len(names - (without or set())) >= HOSTS

        self.account.wait("four hosts in service", enough, timedelta(minutes=20))

    @contextmanager
    def load(self) -> Iterator[Callable[[], Sequence[str]]]:
        """Raises Skipped without a load balancer."""
        definition = self.account.outputs(f"{STACK}-cluster").get("LoadDefinition")
        if not definition:
            raise Skipped("a load balancer needs two subnets in two zones")
        network = {"subnets": self.subnets.split(","), "assignPublicIp": self.public}
        ecs = self.account.client("ecs")
        reply = ecs.run_task(
            cluster=self.cluster,
            launchType="FARGATE",
            taskDefinition=definition,
            networkConfiguration={"awsvpcConfiguration": network},
        )
        task = reply["tasks"][0]["taskArn"]

        def heard() -> Sequence[str]:
            return list(self.account.log(LOAD_GROUP, task.rsplit("/", 1)[-1]))

        def ended() -> Sequence[str]:
            ecs.stop_task(cluster=self.cluster, task=task, reason="the roll is over")
            return self.account.ended(self.cluster, task, LOAD_GROUP, timedelta(minutes=10)).lines

        try:
            self.account.wait("the first thousand requests", heard, timedelta(minutes=15))
            yield ended
        finally:
            with suppress(ClientError):
                ecs.stop_task(cluster=self.cluster, task=task, reason="the check is over")

    def denials(self, since: datetime) -> list[str] | None:
        """For the updater's roles, which have the stack's name as their path."""
        return self.account.denials(since, f"/{STACK}")

    def remove(self) -> list[str]:
        """Delete everything that was created."""
        return [what for what in clean(self.account) if what.endswith(STILL_THERE)]


STILL_THERE = ", still there"


def clean(account: Account) -> list[str]:
    """Delete what earlier runs left, by its tag.

    Returns what was found, with "…, still there" if it was not deleted.

    Tasks go first, because they keep the cluster; then stacks, the updater's before the cluster's; then what a crash
    between two deletions left behind: a bucket, the log group, a parameter.
    """
    found = []
    for name in sorted(account.stacks_with_tag(), key=lambda each: each.endswith("-cluster")):
        # A resource that cannot be deleted must not stop the deletion of the others.
        with suppress(Wrong):
            found += [f"task {task}" for task in account.stop_tasks(name)]
            if name.endswith("-cluster"):
                # The log groups of an updater's stack that is already deleted, and of the load.
                found += [f"task {task}" for task in account.stop(STACK, launchType="FARGATE")]
            account.delete_stack(name)
        found.append(f"stack {name}" if account.gone(name) else f"stack {name}{STILL_THERE}")
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
    """The tests' own account: a world of hosts behind the AWS protocols, with stacks, IAM and running tasks."""

    account: Account = field(init=False)
    cluster: str = "demo"
    subnets: str = "subnet-1,subnet-2"
    image: str = "123456789012.dkr.ecr.us-east-1.amazonaws.com/updater@sha256:" + "0" * 64
    groups: tuple[str, ...] = ("web-a", "web-b")
    public: str = "DISABLED"
    # At this speed, a busy machine may need longer than a one-minute lease for one request.
    settings: str = "lease = '15m'"
    site: Any = None

    @property
    def where(self) -> str:
        """A statement that this is not AWS."""
        return "a simulated account: this page shows that the checks work, and says nothing about AWS"

    def make(self) -> None:
        """Nothing: each check has its own world."""

    def only_real(self, what: str) -> None:
        """Raises Skipped: the simulator does not support it."""
        raise Skipped(what)

    def fresh(self) -> None:
        """A new world."""
        from acceptance.simulated import new_site  # noqa: PLC0415 - real accounts need no simulator

        self.remove()
        self.site, self.account = new_site(self.groups)

    def load(self) -> AbstractContextManager[Callable[[], Sequence[str]]]:
        """Raises Skipped: nothing answers requests."""
        raise Skipped("the simulator serves no requests")

    def denials(self, since: datetime) -> list[str] | None:
        """There is no CloudTrail."""

    def remove(self) -> list[str]:
        """Stop the world."""
        if self.site is not None:
            self.site.__exit__(None, None, None)
            self.site = None
        return []
