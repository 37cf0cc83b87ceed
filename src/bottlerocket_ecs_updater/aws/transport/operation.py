"""Every AWS operation that the updater uses. It makes no other calls."""

from __future__ import annotations

from enum import Enum


class ThrottleBucket(Enum):
    """Operations that share a rate limit. Source: "Request throttling for the Amazon ECS API"."""

    CLUSTER_RESOURCE_READ = "cluster resource read"
    CLUSTER_RESOURCE_MODIFY = "cluster resource modify"
    SERVICE_READ = "service read"
    SYSTEMS_MANAGER = "Systems Manager"
    AUTO_SCALING = "Auto Scaling"
    ALARMS = "alarms"
    EC2 = "EC2"
    STORE = "store"
    MESSAGES = "messages"
    IDENTITY = "identity"


class Operation(Enum):
    """An operation's name and rate limit bucket, and its IAM action if that has another name."""

    LIST_CONTAINER_INSTANCES = ("ecs:ListContainerInstances", ThrottleBucket.CLUSTER_RESOURCE_READ)
    DESCRIBE_CONTAINER_INSTANCES = ("ecs:DescribeContainerInstances", ThrottleBucket.CLUSTER_RESOURCE_READ)
    LIST_TASKS = ("ecs:ListTasks", ThrottleBucket.CLUSTER_RESOURCE_READ)
    DESCRIBE_TASKS = ("ecs:DescribeTasks", ThrottleBucket.CLUSTER_RESOURCE_READ)
    UPDATE_CONTAINER_INSTANCES_STATE = ("ecs:UpdateContainerInstancesState", ThrottleBucket.CLUSTER_RESOURCE_MODIFY)
    PUT_ATTRIBUTES = ("ecs:PutAttributes", ThrottleBucket.CLUSTER_RESOURCE_MODIFY)
    DELETE_ATTRIBUTES = ("ecs:DeleteAttributes", ThrottleBucket.CLUSTER_RESOURCE_MODIFY)
    STOP_TASK = ("ecs:StopTask", ThrottleBucket.CLUSTER_RESOURCE_MODIFY)
    LIST_SERVICES = ("ecs:ListServices", ThrottleBucket.SERVICE_READ)
    DESCRIBE_SERVICES = ("ecs:DescribeServices", ThrottleBucket.SERVICE_READ)
    DESCRIBE_TASK_DEFINITION = ("ecs:DescribeTaskDefinition", ThrottleBucket.SERVICE_READ)
    DESCRIBE_CAPACITY_PROVIDERS = ("ecs:DescribeCapacityProviders", ThrottleBucket.CLUSTER_RESOURCE_READ)
    GET_TASK_PROTECTION = ("ecs:GetTaskProtection", ThrottleBucket.SERVICE_READ)
    DESCRIBE_AUTO_SCALING_INSTANCES = ("autoscaling:DescribeAutoScalingInstances", ThrottleBucket.AUTO_SCALING)
    DESCRIBE_INSTANCE_REFRESHES = ("autoscaling:DescribeInstanceRefreshes", ThrottleBucket.AUTO_SCALING)
    DESCRIBE_INSTANCE_TYPES = ("ec2:DescribeInstanceTypes", ThrottleBucket.EC2)
    DESCRIBE_INSTANCES = ("ec2:DescribeInstances", ThrottleBucket.EC2)
    DESCRIBE_ALARMS = ("cloudwatch:DescribeAlarms", ThrottleBucket.ALARMS)
    DESCRIBE_DOCUMENT = ("ssm:DescribeDocument", ThrottleBucket.SYSTEMS_MANAGER)
    DESCRIBE_AUTO_SCALING_GROUPS = ("autoscaling:DescribeAutoScalingGroups", ThrottleBucket.AUTO_SCALING)
    DESCRIBE_LAUNCH_CONFIGURATIONS = ("autoscaling:DescribeLaunchConfigurations", ThrottleBucket.AUTO_SCALING)
    DESCRIBE_LAUNCH_TEMPLATE_VERSIONS = ("ec2:DescribeLaunchTemplateVersions", ThrottleBucket.EC2)
    DESCRIBE_IMAGES = ("ec2:DescribeImages", ThrottleBucket.EC2)
    GET_CALENDAR_STATE = ("ssm:GetCalendarState", ThrottleBucket.SYSTEMS_MANAGER)
    GET_PARAMETERS = ("ssm:GetParameters", ThrottleBucket.SYSTEMS_MANAGER)
    SEND_COMMAND = ("ssm:SendCommand", ThrottleBucket.SYSTEMS_MANAGER)
    CANCEL_COMMAND = ("ssm:CancelCommand", ThrottleBucket.SYSTEMS_MANAGER)
    LIST_COMMANDS = ("ssm:ListCommands", ThrottleBucket.SYSTEMS_MANAGER)
    LIST_COMMAND_INVOCATIONS = ("ssm:ListCommandInvocations", ThrottleBucket.SYSTEMS_MANAGER)
    GET_COMMAND_INVOCATION = ("ssm:GetCommandInvocation", ThrottleBucket.SYSTEMS_MANAGER)
    DESCRIBE_INSTANCE_INFORMATION = ("ssm:DescribeInstanceInformation", ThrottleBucket.SYSTEMS_MANAGER)
    GET_OBJECT = ("s3:GetObject", ThrottleBucket.STORE)
    PUT_OBJECT = ("s3:PutObject", ThrottleBucket.STORE)
    DELETE_OBJECT = ("s3:DeleteObject", ThrottleBucket.STORE)
    LIST_OBJECTS = ("s3:ListObjectsV2", ThrottleBucket.STORE, "s3:ListBucket")
    PUBLISH = ("sns:Publish", ThrottleBucket.MESSAGES)
    PUT_EVENTS = ("events:PutEvents", ThrottleBucket.MESSAGES)
    GET_SECRET_VALUE = ("secretsmanager:GetSecretValue", ThrottleBucket.MESSAGES)
    GET_PARAMETER = ("ssm:GetParameter", ThrottleBucket.MESSAGES)
    LIST_CLUSTERS = ("ecs:ListClusters", ThrottleBucket.CLUSTER_RESOURCE_READ)
    DESCRIBE_CLUSTERS = ("ecs:DescribeClusters", ThrottleBucket.CLUSTER_RESOURCE_READ)
    SEND_TASK_SUCCESS = ("states:SendTaskSuccess", ThrottleBucket.MESSAGES)
    SEND_TASK_FAILURE = ("states:SendTaskFailure", ThrottleBucket.MESSAGES)
    GET_DOCUMENT = ("ssm:GetDocument", ThrottleBucket.SYSTEMS_MANAGER)
    DESCRIBE_LOG_GROUPS = ("logs:DescribeLogGroups", ThrottleBucket.MESSAGES)
    GET_TOPIC_ATTRIBUTES = ("sns:GetTopicAttributes", ThrottleBucket.MESSAGES)
    DESCRIBE_EVENT_BUS = ("events:DescribeEventBus", ThrottleBucket.MESSAGES)
    BATCH_GET_IMAGE = ("ecr:BatchGetImage", ThrottleBucket.IDENTITY)
    GET_DOWNLOAD_URL_FOR_LAYER = ("ecr:GetDownloadUrlForLayer", ThrottleBucket.IDENTITY)
    GET_CALLER_IDENTITY = ("sts:GetCallerIdentity", ThrottleBucket.IDENTITY)

    @property
    def by_setting(self) -> bool:
        """Whether only a setting that the stack does not offer needs it. The operator adds the permission by hand."""
        return self is Operation.STOP_TASK

    @property
    def by_everybody(self) -> bool:
        """Whether every caller may use it: AWS requires no permission."""
        return self is Operation.GET_CALLER_IDENTITY

    @property
    def by_people(self) -> bool:
        """Whether only plan, status, doctor and fleet use it, with their caller's permissions. A run never does."""
        return self in (
            Operation.LIST_CLUSTERS,
            Operation.SEND_TASK_SUCCESS,
            Operation.SEND_TASK_FAILURE,
            Operation.DESCRIBE_LAUNCH_CONFIGURATIONS,
            Operation.DESCRIBE_LAUNCH_TEMPLATE_VERSIONS,
            Operation.DESCRIBE_IMAGES,
            *_ASKED_BY_DOCTOR,
        )

    def __init__(self, title: str, bucket: ThrottleBucket, action: str = "") -> None:
        self.title = title
        self.bucket = bucket
        self.action = action or title


_ASKED_BY_DOCTOR = (
    Operation.DESCRIBE_CLUSTERS,
    Operation.GET_DOCUMENT,
    Operation.DESCRIBE_LOG_GROUPS,
    Operation.GET_TOPIC_ATTRIBUTES,
    Operation.DESCRIBE_EVENT_BUS,
    Operation.BATCH_GET_IMAGE,
    Operation.GET_DOWNLOAD_URL_FOR_LAYER,
)
