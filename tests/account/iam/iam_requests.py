"""The IAM requests of each operation: actions, their resources, and the condition keys.

The table follows the Service Authorization Reference; a test compares it with that reference's data. An operation that
is not in the table requests its action on `*`, without keys, so only a statement about all resources allows it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from bottlerocket_ecs_updater.simulator.aws_basics.names import Names, last_part

EVERYTHING = "*"


class Facts(Protocol):
    """Facts from the world that requests do not contain."""

    @property
    def names(self) -> Names:
        """Where the world is in AWS."""

    def instance_tags(self, instance_id: str) -> Mapping[str, str]:
        """The tags of an EC2 instance."""

    def object_exists(self, bucket: str, key: str) -> bool:
        """Whether the object exists in S3."""

    def bucket_key(self, bucket: str) -> str | None:
        """The ARN of the KMS key that a bucket encrypts with, None if it is S3's own."""

    def roles_of(self, task_definition: str) -> Sequence[str]:
        """The ARNs of the roles that a task definition names."""


@dataclass(frozen=True, slots=True)
class IamRequest:
    """One IAM request: an action on a resource."""

    action: str
    resource: str = EVERYTHING
    context: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """By condition key, in lower case."""


Params = Mapping[str, Any]
Asking = Callable[[str, Params, Facts], Iterable[IamRequest]]


@dataclass(frozen=True, slots=True)
class Row:
    """One operation's row: the kind of resource as the reference names it ("" for none), its keys, and how to ask."""

    kind: str
    keys: frozenset[str]
    asking: Asking


OTHER_SERVICES = {"stepfunctions": "states"}
"""Services that IAM knows by another prefix."""

OTHER_NAMES = {"s3:ListObjects": "s3:ListBucket", "s3:ListObjectsV2": "s3:ListBucket", "s3:HeadObject": "s3:GetObject"}
"""Operations that IAM knows by another action's name."""


def asks_of(service: str, operation: str, params: Params, facts: Facts) -> list[IamRequest]:
    """Everything that IAM must allow before a call is served."""
    operation_name = f"{OTHER_SERVICES.get(service, service)}:{operation}"
    action = OTHER_NAMES.get(operation_name, operation_name)
    row = TABLE.get(action)
    asks = row.asking(action, params, facts) if row else [IamRequest(action)]
    everywhere = {"aws:requestedregion": (facts.names.region,), "aws:resourceaccount": (facts.names.account,)}
    return [replace(ask, context={**everywhere, **ask.context}) for ask in asks]


# ECS

ECS_CLUSTER = "ecs:cluster"
CREATE_ACTION = "ecs:createaction"


def _cluster_arn(params: Params, facts: Facts) -> str:
    return facts.names.ecs("cluster", last_part(params.get("cluster") or "default"))


def _in_cluster(params: Params, facts: Facts) -> dict[str, Sequence[str]]:
    return {ECS_CLUSTER: (_cluster_arn(params, facts),)}


def _full_arn(kind: str, name: str, params: Params, facts: Facts) -> str:
    if name.startswith("arn:"):
        return name
    return facts.names.ecs(kind, last_part(params.get("cluster") or "default"), name)


def _about_cluster(action: str, params: Params, facts: Facts) -> Iterable[IamRequest]:
    yield IamRequest(action, _cluster_arn(params, facts))


def _about_clusters(action: str, params: Params, facts: Facts) -> Iterable[IamRequest]:
    for name in params.get("clusters") or ["default"]:
        yield IamRequest(action, facts.names.ecs("cluster", last_part(name)))


def _about_each(kind: str, parameter: str) -> Asking:
    def asking(action: str, params: Params, facts: Facts) -> Iterable[IamRequest]:
        for name in params.get(parameter, ()):
            yield IamRequest(action, _full_arn(kind, name, params, facts), _in_cluster(params, facts))

    return asking


def _about_providers(action: str, params: Params, facts: Facts) -> Iterable[IamRequest]:
    for name in params.get("capacityProviders", ()):
        yield IamRequest(action, name if name.startswith("arn:") else facts.names.ecs("capacity-provider", name))


def _about_task(action: str, params: Params, facts: Facts) -> Iterable[IamRequest]:
    yield IamRequest(action, _full_arn("task", params["task"], params, facts), _in_cluster(params, facts))


def _about_targets(action: str, params: Params, facts: Facts) -> Iterable[IamRequest]:
    for attribute in params.get("attributes", ()):
        target = attribute.get("targetId") or EVERYTHING
        yield IamRequest(action, _full_arn("container-instance", target, params, facts), _in_cluster(params, facts))


def _within_cluster(action: str, params: Params, facts: Facts) -> Iterable[IamRequest]:
    """Lists: on the container instance that the request names, or on no specific resource."""
    named = params.get("containerInstance")
    resource = _full_arn("container-instance", named, params, facts) if named else EVERYTHING
    yield IamRequest(action, resource, _in_cluster(params, facts))


def _run_task(action: str, params: Params, facts: Facts) -> Iterable[IamRequest]:
    definition = params["taskDefinition"]
    arn = definition if definition.startswith("arn:") else facts.names.ecs("task-definition", definition)
    yield IamRequest(action, arn, _in_cluster(params, facts))
    if params.get("tags") or params.get("propagateTags", "NONE") != "NONE":
        # "Grant permission to tag resources during creation."
        task = facts.names.ecs("task", last_part(params.get("cluster") or "default"), EVERYTHING)
        yield IamRequest("ecs:TagResource", task, {CREATE_ACTION: ("RunTask",)})
    for role in facts.roles_of(definition):
        # ECS checks PassRole with the keys of the call that passes the role: a policy may tie it to a cluster.
        passed = {"iam:passedtoservice": ("ecs-tasks.amazonaws.com",), **_in_cluster(params, facts)}
        yield IamRequest("iam:PassRole", role, passed)


# Systems Manager

RESOURCE_TAG = "ssm:resourcetag/"


def _send_command(action: str, params: Params, facts: Facts) -> Iterable[IamRequest]:
    name = params["DocumentName"]
    # AWS's own documents do not belong to our account.
    own = Names(facts.names.partition, facts.names.region, "" if name.startswith("AWS") else facts.names.account)
    yield IamRequest(action, name if name.startswith("arn:") else own.arn("ssm", f"document/{name}"))
    for instance in params.get("InstanceIds", ()):
        tags = {f"{RESOURCE_TAG}{key}".lower(): (value,) for key, value in facts.instance_tags(instance).items()}
        yield IamRequest(action, facts.names.arn("ec2", f"instance/{instance}"), tags)
    if params.get("Targets"):
        yield IamRequest(action, facts.names.arn("ec2", "instance/*"))


def _whole_service(action: str, _params: Params, facts: Facts) -> Iterable[IamRequest]:
    """Actions without a kind of resource: Systems Manager names all of the account in the Region when it denies one."""
    yield IamRequest(action, facts.names.arn("ssm", EVERYTHING))


def _parameters(action: str, params: Params, facts: Facts) -> Iterable[IamRequest]:
    for name in params.get("Names", ()):
        path = last_part(name) if name.startswith("arn:") else name.lstrip("/")
        # AWS's public parameters do not belong to our account.
        account = "" if path.startswith("aws/service/") else facts.names.account
        names = Names(facts.names.partition, facts.names.region, account)
        yield IamRequest(action, names.arn("ssm", f"parameter/{path}"))


def _parameter(action: str, params: Params, facts: Facts) -> Iterable[IamRequest]:
    yield from _parameters(action, {"Names": [params["Name"]]}, facts)


def _document(action: str, params: Params, facts: Facts) -> Iterable[IamRequest]:
    name = params["Name"]
    yield IamRequest(action, name if name.startswith("arn:") else facts.names.arn("ssm", f"document/{name}"))


def _calendars(action: str, params: Params, facts: Facts) -> Iterable[IamRequest]:
    for name in params["CalendarNames"]:
        yield from _document(action, {"Name": name}, facts)


# Messages

EVENT_SOURCE = "events:source"
EVENT_DETAIL_TYPE = "events:detail-type"


def _start_execution(action: str, params: Params, _facts: Facts) -> Iterable[IamRequest]:
    yield IamRequest(action, params["stateMachineArn"])


def _send_message(action: str, params: Params, facts: Facts) -> Iterable[IamRequest]:
    yield IamRequest(action, facts.names.arn("sqs", last_part(params["QueueUrl"])))


def _publish(action: str, params: Params, _facts: Facts) -> Iterable[IamRequest]:
    yield IamRequest(action, params.get("TopicArn") or EVERYTHING)


def _put_events(action: str, params: Params, facts: Facts) -> Iterable[IamRequest]:
    for entry in params.get("Entries", ()):
        bus = entry.get("EventBusName") or "default"
        arn = bus if bus.startswith("arn:") else facts.names.arn("events", f"event-bus/{bus}")
        said = {EVENT_SOURCE: entry.get("Source", ""), EVENT_DETAIL_TYPE: entry.get("DetailType", "")}
        yield IamRequest(action, arn, {key: (value,) for key, value in said.items()})


def _secret(action: str, params: Params, facts: Facts) -> Iterable[IamRequest]:
    name = params["SecretId"]
    yield IamRequest(action, name if name.startswith("arn:") else facts.names.arn("secretsmanager", f"secret:{name}"))


# S3

S3_PREFIX = "s3:prefix"
S3_IF_NONE_MATCH = "s3:if-none-match"
S3_IF_MATCH = "s3:if-match"
VIA_SERVICE = "kms:viaservice"


def _bucket_arn(params: Params, facts: Facts) -> str:
    return f"arn:{facts.names.partition}:s3:::{params['Bucket']}"


def _object(action: str, params: Params, facts: Facts) -> Iterable[IamRequest]:
    yield IamRequest(action, f"{_bucket_arn(params, facts)}/{params['Key']}")


def _get_object(action: str, params: Params, facts: Facts) -> Iterable[IamRequest]:
    yield from _object(action, params, facts)
    if facts.object_exists(params["Bucket"], params["Key"]):
        yield from _with_key("kms:Decrypt", params, facts)
    else:
        # "If you have the s3:ListBucket permission on the bucket, S3 returns 404, otherwise 403 (access denied)."
        yield IamRequest("s3:ListBucket", _bucket_arn(params, facts))


def _put_object(action: str, params: Params, facts: Facts) -> Iterable[IamRequest]:
    conditions = {S3_IF_NONE_MATCH: params.get("IfNoneMatch"), S3_IF_MATCH: params.get("IfMatch")}
    context = {key: (value,) for key, value in conditions.items() if value}
    yield IamRequest(action, f"{_bucket_arn(params, facts)}/{params['Key']}", context)
    if params.get("IfMatch"):
        # "If-Match … the user also needs s3:GetObject."
        yield IamRequest("s3:GetObject", f"{_bucket_arn(params, facts)}/{params['Key']}")
    yield from _with_key("kms:GenerateDataKey", params, facts)


def _with_key(action: str, params: Params, facts: Facts) -> Iterable[IamRequest]:
    key = facts.bucket_key(params["Bucket"])
    if key is not None:
        yield IamRequest(action, key, {VIA_SERVICE: (f"s3.{facts.names.region}.amazonaws.com",)})


def _list_bucket(action: str, params: Params, facts: Facts) -> Iterable[IamRequest]:
    context = {S3_PREFIX: (params["Prefix"],)} if params.get("Prefix") else {}
    yield IamRequest(action, _bucket_arn(params, facts), context)


# Logs: the agent of ECS calls these for the container.


def _log_stream(action: str, params: Params, facts: Facts) -> Iterable[IamRequest]:
    # Denials of CreateLogGroup name an empty stream too; policies must cover it.
    stream = f":log-stream:{params.get('logStreamName', '')}"
    yield IamRequest(action, facts.names.arn("logs", f"log-group:{params['logGroupName']}{stream}"))


def _log_groups(action: str, params: Params, facts: Facts) -> Iterable[IamRequest]:
    yield IamRequest(action, facts.names.arn("logs", f"log-group:{params.get('logGroupNamePrefix', '')}*"))


def _bus(action: str, params: Params, facts: Facts) -> Iterable[IamRequest]:
    name = params.get("Name") or "default"
    yield IamRequest(action, name if name.startswith("arn:") else facts.names.arn("events", f"event-bus/{name}"))


def _repository(action: str, params: Params, facts: Facts) -> Iterable[IamRequest]:
    yield IamRequest(action, facts.names.arn("ecr", f"repository/{params['repositoryName']}"))


def _nothing_in_particular(action: str, _params: Params, _facts: Facts) -> Iterable[IamRequest]:
    yield IamRequest(action)


def _nothing_at_all(_action: str, _params: Params, _facts: Facts) -> Iterable[IamRequest]:
    # "No permissions are required to perform this operation." Not even an explicit Deny prevents it.
    return ()


def _row(kind: str, asking: Asking, *keys: str) -> Row:
    return Row(kind, frozenset(keys), asking)


TABLE: Mapping[str, Row] = {
    "ecs:DescribeClusters": _row("cluster", _about_clusters),
    "ecs:DescribeCapacityProviders": _row("capacity-provider", _about_providers),
    "ecs:ListContainerInstances": _row("cluster", _about_cluster),
    "ecs:ListAttributes": _row("cluster", _about_cluster),
    "ecs:DescribeContainerInstances": _row(
        "container-instance", _about_each("container-instance", "containerInstances"), ECS_CLUSTER
    ),
    "ecs:UpdateContainerInstancesState": _row(
        "container-instance", _about_each("container-instance", "containerInstances"), ECS_CLUSTER
    ),
    "ecs:PutAttributes": _row("container-instance", _about_targets, ECS_CLUSTER),
    "ecs:DeleteAttributes": _row("container-instance", _about_targets, ECS_CLUSTER),
    "ecs:ListTasks": _row("container-instance", _within_cluster, ECS_CLUSTER),
    "ecs:DescribeTasks": _row("task", _about_each("task", "tasks"), ECS_CLUSTER),
    "ecs:GetTaskProtection": _row("task", _about_each("task", "tasks"), ECS_CLUSTER),
    "ecs:StopTask": _row("task", _about_task, ECS_CLUSTER),
    "ecs:ListServices": _row("", _within_cluster, ECS_CLUSTER),
    "ecs:DescribeTaskDefinition": _row("", _nothing_in_particular),
    "ecs:DescribeServices": _row("service", _about_each("service", "services"), ECS_CLUSTER),
    "ecs:RunTask": _row("task-definition", _run_task, ECS_CLUSTER),
    "ecs:ListClusters": _row("", _nothing_in_particular),
    "states:SendTaskSuccess": _row("", _nothing_in_particular),
    "states:SendTaskFailure": _row("", _nothing_in_particular),
    "autoscaling:DescribeAutoScalingInstances": _row("", _nothing_in_particular),
    "autoscaling:DescribeInstanceRefreshes": _row("", _nothing_in_particular),
    # "You can't return information about composite alarms if your permission has a narrower scope" than everything.
    "cloudwatch:DescribeAlarms": _row("alarm", _nothing_in_particular),
    "ssm:DescribeDocument": _row("document", _document),
    "ssm:GetCalendarState": _row("document", _calendars),
    "ssm:GetDocument": _row("document", _document),
    "logs:DescribeLogGroups": _row("", _log_groups),
    "sns:GetTopicAttributes": _row("topic", _publish),
    "events:DescribeEventBus": _row("", _bus),
    "ecr:BatchGetImage": _row("repository", _repository),
    "ecr:GetDownloadUrlForLayer": _row("repository", _repository),
    "autoscaling:DescribeAutoScalingGroups": _row("", _nothing_in_particular),
    "autoscaling:DescribeLaunchConfigurations": _row("", _nothing_in_particular),
    "ec2:DescribeLaunchTemplateVersions": _row("", _nothing_in_particular),
    "ec2:DescribeInstanceTypes": _row("", _nothing_in_particular),
    "ec2:DescribeInstances": _row("", _nothing_in_particular),
    "ec2:DescribeImages": _row("", _nothing_in_particular),
    "ssm:SendCommand": _row("document", _send_command, f"{RESOURCE_TAG}${{TagKey}}"),
    "ssm:GetCommandInvocation": _row("", _whole_service),
    "ssm:ListCommandInvocations": _row("", _whole_service),
    "ssm:ListCommands": _row("", _whole_service),
    "ssm:CancelCommand": _row("", _whole_service),
    "ssm:DescribeInstanceInformation": _row("", _whole_service),
    "ssm:GetParameters": _row("parameter", _parameters),
    "ssm:GetParameter": _row("parameter", _parameter),
    "secretsmanager:GetSecretValue": _row("Secret", _secret),
    "sns:Publish": _row("topic", _publish),
    "sqs:SendMessage": _row("queue", _send_message),
    "states:StartExecution": _row("statemachine", _start_execution),
    "events:PutEvents": _row("event-bus", _put_events, EVENT_SOURCE, EVENT_DETAIL_TYPE),
    "s3:GetObject": _row("object", _get_object),
    "s3:PutObject": _row("object", _put_object, S3_IF_NONE_MATCH, S3_IF_MATCH),
    "s3:DeleteObject": _row("object", _object),
    "s3:ListBucket": _row("bucket", _list_bucket, S3_PREFIX),
    "sts:GetCallerIdentity": _row("", _nothing_at_all),
    "logs:CreateLogGroup": _row("log-group", _log_stream),
    "logs:CreateLogStream": _row("log-stream", _log_stream),
    "logs:PutLogEvents": _row("log-stream", _log_stream),
    "ecr:GetAuthorizationToken": _row("", _nothing_in_particular),
}
