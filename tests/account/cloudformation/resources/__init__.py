"""How each type of resource is created, updated and deleted: one class for each type, all of them in `KINDS`."""

from __future__ import annotations

from collections.abc import Mapping

from tests.account.cloudformation.resources.base import Made, Place, Resource
from tests.account.cloudformation.resources.identity import Role
from tests.account.cloudformation.resources.notices import Alarm, Dashboard, Queue, QueuePolicy, Subscription, Topic
from tests.account.cloudformation.resources.schedules import Rule, Schedule
from tests.account.cloudformation.resources.storage import Bucket, BucketPolicy, LogGroup
from tests.account.cloudformation.resources.tasks import Document, Parameter, TaskDefinition
from tests.account.cloudformation.resources.waves import Cluster, StateMachine

KINDS: Mapping[str, Resource] = {
    "AWS::CloudWatch::Alarm": Alarm(),
    "AWS::CloudWatch::Dashboard": Dashboard(),
    "AWS::ECS::Cluster": Cluster(),
    "AWS::ECS::TaskDefinition": TaskDefinition(),
    "AWS::Events::Rule": Rule(),
    "AWS::IAM::Role": Role(),
    "AWS::Logs::LogGroup": LogGroup(),
    "AWS::S3::Bucket": Bucket(),
    "AWS::S3::BucketPolicy": BucketPolicy(),
    "AWS::SNS::Subscription": Subscription(),
    "AWS::SNS::Topic": Topic(),
    "AWS::SQS::Queue": Queue(),
    "AWS::SQS::QueuePolicy": QueuePolicy(),
    "AWS::SSM::Document": Document(),
    "AWS::SSM::Parameter": Parameter(),
    "AWS::Scheduler::Schedule": Schedule(),
    "AWS::StepFunctions::StateMachine": StateMachine(),
}

__all__ = ["KINDS", "Made", "Place", "Resource"]
