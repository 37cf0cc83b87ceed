"""The fifteen checks. Each uses AWS's own operations, so that it means the same everywhere."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta

from botocore.exceptions import ClientError

from acceptance.account import TAG, Ran
from acceptance.ground import GROUP, PREDECESSOR, SETTINGS, STACK, TEMPLATE, Ground, parameters
from acceptance.result import Check, Notes, Skipped, Wrong, expect

WRITES = 20
TICK, TOGETHER = timedelta(minutes=10), timedelta(minutes=3)
"""How often the schedule starts a run, and the largest difference between starts of one tick."""

ATTRIBUTE = "acceptance.mark"
SWITCH = "apiclient set host-containers.control.enabled={}"
BLOCK = (
    f"apiclient exec admin bash -c \"setsid nohup bash -c '{SWITCH.format('false')}; sleep {{seconds}}; "
    f"{SWITCH.format('true')}' >/dev/null 2>&1 &\""
)
"""Stops the control container with the Systems Manager agent in it, from the admin container, which stays."""

LONGEST_VALUE = "a" * 128
"""The longest text of a claim."""

DEPLOYED = ("CREATE_COMPLETE", "UPDATE_COMPLETE")


def deploy(ground: Ground, template: str = TEMPLATE, **more: str) -> str:
    """Deploy the updater's stack. Raises Wrong if that fails."""
    status = ground.account.deploy(STACK, template, **parameters(ground, **more))
    if status not in DEPLOYED:
        raise Wrong(f"the status of the stack is {status}")
    return status


def run(ground: Ground, **more: object) -> Ran:
    """One run of the updater, to its end."""
    task = ground.account.start(ground.cluster, STACK, ground.subnets, public=ground.public, **more)
    return ground.account.ended(ground.cluster, task, GROUP)


def boots(ground: Ground) -> dict[str, str]:
    """The boot id of every host."""
    hosts = [one["ec2InstanceId"] for one in ground.account.instances(ground.cluster)]
    return {host: ground.account.check(STACK, host).split()[0] for host in hosts}


def all_active(ground: Ground) -> None:
    """Raises Wrong unless every host is in service."""
    expect({one["status"] for one in ground.account.instances(ground.cluster)}, {"ACTIVE"}, "statuses of hosts")


def predecessor(ground: Ground, notes: Notes) -> None:
    """1: the predecessor's stack, and ours over it."""
    account, names = ground.account, ("ClusterName", "Subnets", "LogGroupName")
    required = {name: value for name, value in parameters(ground).items() if name in names}
    expect(account.deploy(STACK, PREDECESSOR, **required, ScheduleState="DISABLED"), "CREATE_COMPLETE", "theirs")
    before = account.resource(STACK, "TaskRole")
    deploy(ground)
    expect(account.resource(STACK, "TaskRole"), before, "the task role")
    notes.fact(f"ours took the place of the predecessor's stack; the role {before} stayed")


def variants(ground: Ground, notes: Notes) -> None:
    """2: ways to deploy; a failed creation, and another attempt."""
    account = ground.account
    with suppress(ClientError):
        account.deploy(STACK, TEMPLATE, **parameters(ground, UpdaterImage=""))
        raise Wrong("a stack without an image was accepted")
    broken = TEMPLATE.replace("TreatMissingData: missing", "TreatMissing: missing")
    status = account.deploy(STACK, broken, **parameters(ground, LogRetentionInDays="3"))
    if status in DEPLOYED:
        raise Wrong(f"with the broken template, the status of the stack is {status}")
    notes.fact(f"a creation that fails comes to {status}")
    account.delete_stack(STACK)
    variants_: tuple[dict[str, str], ...] = (
        {"LogRetentionInDays": "3"},
        {"ScheduleTimezone": "Europe/Berlin", "ScheduleExpression": "cron(0 3 * * ? *)"},
        {"LaunchType": "EC2"},
        {"EventBus": "default", "MaxUnavailable": "50%"},
        {"KmsKeyArn": account.key()},
    )
    for changed in variants_:
        notes.fact(f"{json.dumps(changed)}: {deploy(ground, **changed)}")
        account.delete_stack(STACK)
        with suppress(ClientError):
            account.client("logs").delete_log_group(logGroupName=GROUP)


def zones(ground: Ground, notes: Notes) -> None:
    """3: from UTC to a time zone and back: one start at a tick."""
    account, events = ground.account, ground.account.client("events")
    for zone in ("UTC", "Europe/Berlin", "UTC"):
        before = started(ground)
        deploy(ground, ScheduleTimezone=zone, ScheduleExpression="cron(0/10 * * * ? *)", ScheduleState="ENABLED")
        rule = events.describe_rule(Name=account.resource(STACK, "BottlerocketUpdaterSchedule"))
        schedule = account.resource(STACK, "ZonedSchedule")
        expect((rule["State"], bool(schedule)), ("ENABLED", False) if zone == "UTC" else ("DISABLED", True), zone)

        def new(seen: set[str] = before) -> set[str]:
            return started(ground) - seen

        account.wait(f"a start by the schedule in {zone}", new, TICK + timedelta(minutes=5))
        # A second start at the same tick would happen within this time, but the next tick would not.
        account.pass_time(TOGETHER)
        shapes = account.client("ecs").describe_tasks(cluster=ground.cluster, tasks=sorted(new()))["tasks"]
        times = sorted(shape["createdAt"] for shape in shapes)
        expect(sum(time_ < times[0] + TOGETHER for time_ in times), 1, f"starts at one tick in {zone}")
        notes.fact(
            f"{zone}: the rule is {rule['State']}, there is {'a' if schedule else 'no'} schedule, and one start a tick"
        )
    deploy(ground, ScheduleState="DISABLED")


def started(ground: Ground) -> set[str]:
    """The recently started tasks of the updater, in any state."""
    account = ground.account
    if not account.stack(STACK):
        return set()
    ecs, definition = account.client("ecs"), account.outputs(STACK)["UpdaterTaskDefinitionArn"]
    family = definition.rsplit("/", 1)[-1].split(":")[0]
    asked = {"cluster": ground.cluster, "family": family}
    return {
        arn for status in ("RUNNING", "STOPPED") for arn in ecs.list_tasks(**asked, desiredStatus=status)["taskArns"]
    }


def first_run(ground: Ground, notes: Notes) -> None:
    """4: a first run: exit code 0, a log of JSON, nothing denied."""
    deploy(ground)
    ran = run(ground)
    expect(ran.denied[:2], [], "denials in the log")
    expect(ran.finished.get("exit_code"), 0, "exit code")
    notes.fact(
        f"{len(ran.log)} lines of JSON; the last: {ran.finished.get('outcome')}, {ran.finished.get('updated')} updated"
    )


def attributes(ground: Ground, notes: Notes) -> None:
    """5: an attribute on a DRAINING host, across a reboot."""
    account = ground.account
    deploy(ground)
    ecs, host = account.client("ecs"), account.instances(ground.cluster)[0]
    arn, instance = host["containerInstanceArn"], host["ec2InstanceId"]
    said = account.check(STACK, instance)
    before = said.split()[0]
    notes.record(f"what a host prints has {'escape codes in it' if chr(27) in said else 'no escape codes'}")
    reply = ecs.update_container_instances_state(cluster=ground.cluster, containerInstances=[arn], status="DRAINING")
    mark = {"name": ATTRIBUTE, "targetType": "container-instance", "targetId": arn}
    for value in ("first", LONGEST_VALUE):
        ecs.put_attributes(cluster=ground.cluster, attributes=[{**mark, "value": value}])
    notes.fact("put and overwritten while DRAINING", reply["ResponseMetadata"]["RequestId"])
    reboot(ground, notes, instance, before)

    def connected() -> bool:
        [shape] = [one for one in account.instances(ground.cluster) if one["ec2InstanceId"] == instance]
        return bool(shape["agentConnected"])

    account.wait(f"the agent of {instance}", connected, timedelta(minutes=10))
    [after] = [one for one in account.instances(ground.cluster) if one["ec2InstanceId"] == instance]
    kept = {each["name"]: each.get("value", "") for each in after["attributes"]}.get(ATTRIBUTE)
    notes.record(f"after a reboot the attribute is {'kept' if kept == LONGEST_VALUE else 'gone'}")
    notes.record(f"after a reboot the status is {after['status']}")
    ecs.delete_attributes(cluster=ground.cluster, attributes=[mark])
    ecs.update_container_instances_state(
        cluster=ground.cluster, containerInstances=[after["containerInstanceArn"]], status="ACTIVE"
    )


def reboot(ground: Ground, notes: Notes, instance: str, before: str) -> None:
    """Reboot a host with the stack's document, and record what Systems Manager reports in the meantime."""
    account, ssm = ground.account, ground.account.client("ssm")
    document = account.resource(STACK, "RebootCommand")
    command = ssm.send_command(DocumentName=document, InstanceIds=[instance])["Command"]["CommandId"]
    began, lost = time.monotonic(), list[float]()

    def seconds() -> float:
        return (time.monotonic() - began) * account.speed

    def reached() -> bool:
        asked = {"Filters": [{"Key": "InstanceIds", "Values": [instance]}]}
        found = ssm.describe_instance_information(**asked)["InstanceInformationList"]
        return bool(found) and found[0]["PingStatus"] == "Online"

    def booted() -> bool:
        if not reached():
            lost.append(seconds())
            return False
        with suppress(Wrong, IndexError, ClientError):
            return account.check(STACK, instance).split()[0] != before
        return False

    account.wait(f"the reboot of {instance}", booted, timedelta(minutes=20))
    notes.record(f"a host answered {seconds():.0f} s after its reboot was asked for")
    said = f"not Online after {lost[0]:.0f} s" if lost else "Online all the while"
    notes.record(f"PingStatus during the reboot: {said}")
    found = ssm.get_command_invocation(CommandId=command, InstanceId=instance)
    notes.record(f"the command that rebooted it: {found['StatusDetails']}, ResponseCode {found['ResponseCode']}")


def roll(ground: Ground, notes: Notes) -> None:
    """6: a whole rollout: every boot id changed, every host back in service."""
    deploy(ground)
    held, task = with_a_standalone_task(ground)
    before = boots(ground)
    try:
        with ground.load() as ended:
            ran = run(ground)
            said = ended()
        unanswered = [line for line in said if line.startswith("no answer")]
        expect(unanswered[:3], [], f"requests without an answer during the roll ({len(unanswered)})")
        notes.fact(f"under load: {next((line for line in reversed(said) if line.startswith('requests')), 'no count')}")
    except Skipped as skipped:
        notes.fact(f"without load: {skipped}")
        ran = run(ground)
    expect(ran.finished.get("exit_code"), 0, "exit code")
    after = boots(ground)
    expect([host for host in before if before[host] == after.get(host)], [held], "hosts that did not reboot")
    notes.fact(f"{len(after) - 1} hosts rebooted in {ran.finished.get('duration_seconds')} s")
    notes.fact(f"{held} was held because of its standalone task")
    ground.account.client("ecs").stop_task(cluster=ground.cluster, task=task, reason="acceptance")
    expect(run(ground).finished.get("exit_code"), 0, "exit code of the second run")
    expect(boots(ground)[held] != before[held], True, f"reboot of {held} after its task was stopped")
    all_active(ground)


def with_a_standalone_task(ground: Ground) -> tuple[str, str]:
    """A host with a new task that belongs to no service, and the task."""
    account, ecs = ground.account, ground.account.client("ecs")
    [service] = ecs.describe_services(cluster=ground.cluster, services=["web"])["services"]
    reply = ecs.run_task(cluster=ground.cluster, launchType="EC2", taskDefinition=service["taskDefinition"])
    if not reply["tasks"]:
        raise Wrong(f"the standalone task did not start: {reply.get('failures')}")
    task = reply["tasks"][0]["taskArn"]

    def runs() -> str:
        [shape] = ecs.describe_tasks(cluster=ground.cluster, tasks=[task])["tasks"]
        return str(shape["containerInstanceArn"]) if shape["lastStatus"] == "RUNNING" else ""

    host = account.wait("the standalone task", runs, timedelta(minutes=5))
    [found] = [one for one in account.instances(ground.cluster) if one["containerInstanceArn"] == host]
    return str(found["ec2InstanceId"]), str(task)


def one_group(ground: Ground, notes: Notes) -> None:
    """7: one of two groups named: only it is updated, the other is held."""
    deploy(ground, AutoScalingGroups=ground.groups[0])
    before, ran = boots_by_group(ground), run(ground)
    held = [line for line in ran.log if line.get("event") == "instance.held" and line.get("hold") == "send-denied"]
    expect({line["instance"] for line in held}, before[ground.groups[1]], "hosts held as send-denied")
    expect((ran.finished.get("exit_code"), ran.finished.get("updated")), (0, len(before[ground.groups[0]])), "the run")
    notes.fact(f"{len(held)} hosts of the group that was not named were held")


def boots_by_group(ground: Ground) -> dict[str, set[str]]:
    """The hosts of each group."""
    hosts = [one["ec2InstanceId"] for one in ground.account.instances(ground.cluster)]
    found = ground.account.client("autoscaling").describe_auto_scaling_instances(InstanceIds=hosts)
    groups: dict[str, set[str]] = {group: set() for group in ground.groups}
    for shape in found["AutoScalingInstances"]:
        groups[shape["AutoScalingGroupName"]].add(shape["InstanceId"])
    return groups


def blocked(ground: Ground, notes: Notes) -> None:
    """8: Systems Manager blocked on a host around each document, for 45 and 120 seconds."""
    ground.only_real("blocking Systems Manager on a host takes its network")
    deploy(ground)
    account, ssm = ground.account, ground.account.client("ssm")
    host = account.instances(ground.cluster)[0]["ec2InstanceId"]
    documents = ("UpdateCheckCommand", "UpdateApplyCommand", "RebootCommand")
    for name, seconds in ((name, seconds) for name in documents for seconds in (45, 120)):
        document = account.resource(STACK, name)
        shell = {"commands": [BLOCK.format(seconds=seconds)]}
        ssm.send_command(DocumentName="AWS-RunShellScript", InstanceIds=[host], Parameters=shell)
        time.sleep(10)  # noqa: TID251 - not the program itself
        reply = ssm.send_command(DocumentName=document, InstanceIds=[host], TimeoutSeconds=30)
        sent, request = reply["Command"], reply["ResponseMetadata"]["RequestId"]

        def over(command: str = sent["CommandId"]) -> str:
            found = ssm.list_command_invocations(CommandId=command)["CommandInvocations"]
            status = found[0]["StatusDetails"] if found else ""
            return status if status not in ("", "Pending", "InProgress", "Delayed") else ""

        status = account.wait("the end of the command", over, timedelta(minutes=40))
        life = sent["ExpiresAfter"] - sent["RequestedDateTime"]
        ran = ssm.get_command_invocation(CommandId=sent["CommandId"], InstanceId=host)["ExecutionStartDateTime"]
        asked = f"{name} with TimeoutSeconds=30, sent at {sent['RequestedDateTime']:%H:%M:%S}Z"
        seen = f"ended as {status}, began {ran or 'never'}; ExpiresAfter is {life} later"
        notes.record(f"blocked for {seconds} s: {asked}, {seen}", request)
        account.wait(f"an answer of {host} after that", lambda: answers(ground, host), timedelta(minutes=15))


def answers(ground: Ground, host: str) -> bool:
    """Whether Systems Manager reaches a host."""
    with suppress(Wrong, ClientError):
        return bool(ground.account.check(STACK, host).split())
    return False


def interrupted(ground: Ground, notes: Notes) -> None:
    """9: the task stopped at a drain, and while a host reboots: the next run finishes."""
    account = ground.account
    deploy(ground)
    for moment, found in (("was drained", draining), ("rebooted", rebooting)):
        task = account.start(ground.cluster, STACK, ground.subnets, public=ground.public)
        [first, *_] = account.wait(f"a host that {moment}", lambda: found(ground), timedelta(minutes=40))  # noqa: B023
        reply = account.client("ecs").stop_task(cluster=ground.cluster, task=task, reason="acceptance")
        notes.fact(f"stopped while {first} {moment}", reply["ResponseMetadata"]["RequestId"])
        ended = account.ended(ground.cluster, task, GROUP)
        notes.fact(f"that run: {ended.finished.get('outcome')}, exit code {ended.finished.get('exit_code')}")
    ran = run(ground)
    expect(ran.finished.get("exit_code"), 0, "exit code of the last run")
    all_active(ground)


def draining(ground: Ground) -> list[str]:
    """The hosts that are out of service."""
    return [one["ec2InstanceId"] for one in ground.account.instances(ground.cluster) if one["status"] == "DRAINING"]


def rebooting(ground: Ground) -> list[str]:
    """The hosts with a disconnected agent."""
    out = draining(ground)
    hosts = ground.account.instances(ground.cluster)
    return [one["ec2InstanceId"] for one in hosts if one["ec2InstanceId"] in out and not one["agentConnected"]]


def rivals(ground: Ground, notes: Notes) -> None:
    """10: two updaters at once: one acts. Overlapping conditional writes: how many 409 and 412."""
    account = ground.account
    deploy(ground)
    tasks = [account.start(ground.cluster, STACK, ground.subnets, public=ground.public) for _ in range(2)]
    ran = [account.ended(ground.cluster, task, GROUP) for task in tasks]
    left = [one for one in ran if one.finished.get("outcome") == "left"]
    acted = [one for one in ran if one.finished.get("updated")]
    if len(acted) > 1 or len(left) + len(acted) < 1:
        raise Wrong(f"outcomes: {[one.finished.get('outcome') for one in ran]}")
    expect([one.finished.get("exit_code") for one in ran], [0, 0], "exit codes")
    notes.fact(f"outcomes: {', '.join(str(one.finished.get('outcome')) for one in ran)}")
    bucket, s3 = account.resource(STACK, "StateBucket"), account.client("s3")

    def write(number: int) -> int:
        try:
            s3.put_object(Bucket=bucket, Key="acceptance", Body=str(number).encode(), IfNoneMatch="*")
        except ClientError as error:
            return int(error.response["ResponseMetadata"]["HTTPStatusCode"])
        return 200

    with ThreadPoolExecutor(WRITES) as together:
        codes = list(together.map(write, range(WRITES)))
    expect(codes.count(200), 1, "writes that were taken")
    taken = f"{codes.count(412)} came back with 412, {codes.count(409)} with 409"
    notes.record(f"of {WRITES} writes at once with If-None-Match, {taken}")


def short_arns(ground: Ground, notes: Notes) -> None:
    """11: a service with a short ARN."""
    ground.only_real("services with short ARNs are of before 2021")
    services = ground.account.client("ecs").list_services(cluster=ground.cluster)["serviceArns"]
    short = [arn for arn in services if arn.count("/") == 1]
    if not short:
        raise Skipped("this account makes services with long ARNs only, and a throwaway cluster has no old one")
    notes.record(f"{short[0]} was described in the first run without a denial")


def failed_starts(ground: Ground, notes: Notes) -> None:
    """12: a task that cannot start reaches the queue, with its reason."""
    account = ground.account
    deploy(ground, UpdaterImage=f"{ground.image.partition('@')[0]}@sha256:{'0' * 64}")
    if ground.account.speed > 1:
        # The simulator has no registry: there, a permission to pull is missing.
        role = account.resource(STACK, "ExecutionRole")
        account.client("iam").delete_role_policy(RoleName=role, PolicyName="StartTheTask")
    task = account.start(ground.cluster, STACK, ground.subnets, public=ground.public)
    stopped = account.ended(ground.cluster, task, GROUP, timedelta(minutes=20)).stopped
    queue = account.outputs(STACK)["FailedStartsQueue"]
    receive = lambda: account.client("sqs").receive_message(QueueUrl=queue, WaitTimeSeconds=1).get("Messages")  # noqa: E731
    [message, *_] = account.wait("a message in the queue", receive, timedelta(minutes=10))
    detail = json.loads(message["Body"]).get("detail", {})
    expect(detail.get("taskArn"), task, "the task in the message")
    notes.record(f"stoppedReason: {stopped}")


def alarms(ground: Ground, notes: Notes) -> None:
    """13: alarms and dashboard use metrics that a run emits."""
    account = ground.account
    deploy(ground)
    ran = run(ground)
    emitted = {name for line in ran.log for name in line if line.get("_aws")}
    cloudwatch = account.client("cloudwatch")
    watched = {
        alarm["MetricName"]
        for alarm in cloudwatch.describe_alarms(AlarmNamePrefix=STACK)["MetricAlarms"]
        if alarm["Namespace"] == "BottlerocketEcsUpdater"
    }
    if not watched:
        raise Skipped("this account's alarms cannot be described")
    expect(watched - emitted, set(), "alarms on metrics that a run does not emit")
    notes.fact(f"{len(watched)} metrics are watched by alarms, and a run emits each")
    try:
        ground.only_real("states of alarms")
    except Skipped:
        return
    states = {
        alarm["AlarmName"]: alarm["StateValue"]
        for alarm in cloudwatch.describe_alarms(AlarmNamePrefix=STACK)["MetricAlarms"]
    }
    notes.record(f"states after a run: {json.dumps(states, sort_keys=True)}")


def on_instances(ground: Ground, notes: Notes) -> None:
    """14: LaunchType EC2, with both buses: every host is updated, the run's own by a second run."""
    ground.only_real("a bus of one's own, and placement by two groups, are tried in tests/stack/test_own_host.py")
    if ground.public == "ENABLED":
        raise Skipped("a task on an instance has no public address, so it needs private subnets with a NAT gateway")
    account = ground.account
    for bus in ("", "default"):
        deploy(ground, LaunchType="EC2", EventBus=bus)
        before = boots(ground)
        reply = account.client("ecs").run_task(
            cluster=ground.cluster,
            launchType="EC2",
            taskDefinition=account.outputs(STACK)["UpdaterTaskDefinitionArn"],
            networkConfiguration={"awsvpcConfiguration": {"subnets": ground.subnets.split(",")}},
        )
        ran = account.ended(ground.cluster, reply["tasks"][0]["taskArn"], GROUP)
        notes.fact(f"bus {bus or 'none'}: {ran.finished.get('outcome')}, {ran.finished.get('updated')} updated")
        changed = lambda: all(before[host] != now for host, now in boots(ground).items())  # noqa: E731, B023
        account.wait("the update of every host", changed, timedelta(hours=1))
        ground.fresh()


def protection(ground: Ground, notes: Notes) -> None:
    """15: edited settings after another deployment; managed termination protection."""
    account = ground.account
    ssm, name = account.client("ssm"), SETTINGS
    edited = f"{ground.settings}\ndeny = ['99.0.0']"
    with suppress(ClientError):
        ssm.delete_parameter(Name=name)
    ssm.put_parameter(Name=name, Value=edited, Type="String", Tags=[{"Key": TAG, "Value": "yes"}])
    deploy(ground, SettingsParameter=name)
    deploy(ground, SettingsParameter=name, MaxUnavailable="2")
    expect(ssm.get_parameter(Name=name)["Parameter"]["Value"], edited, "settings of one's own after a deployment")
    notes.fact("an edited parameter of one's own is as it was after another deployment")
    ssm.delete_parameter(Name=name)
    try:
        ground.only_real("a capacity provider that ECS scales")
        notes.record(
            "managed termination protection: make a capacity provider on one group with it, and repeat check 6"
        )
    except Skipped as skipped:
        notes.fact(f"not made here: {skipped}")


def _check(number: int, minutes: int, run: object) -> Check:
    title = str(run.__doc__).split(": ", 1)[1].rstrip(".")
    return Check(number, title, timedelta(minutes=minutes), run)  # type: ignore[arg-type]


CHECKS = (
    _check(1, 30, predecessor),
    _check(2, 60, variants),
    _check(3, 90, zones),
    _check(4, 120, first_run),
    _check(5, 45, attributes),
    _check(6, 150, roll),
    _check(7, 120, one_group),
    _check(8, 240, blocked),
    _check(9, 180, interrupted),
    _check(10, 150, rivals),
    _check(11, 10, short_arns),
    _check(12, 45, failed_starts),
    _check(13, 150, alarms),
    _check(14, 240, on_instances),
    _check(15, 45, protection),
)
