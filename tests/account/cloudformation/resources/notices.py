"""Notifications: topics, subscriptions, queues, alarms."""

from __future__ import annotations

from tests.account.cloudformation.cloud import Cloud
from tests.account.cloudformation.requests import as_text, request_of
from tests.account.cloudformation.resources.base import Made, Place, Properties, changed, without


class Topic:
    """AWS::SNS::Topic."""

    def create(self, cloud: Cloud, place: Place, properties: Properties) -> Made:
        name = str(properties.get("TopicName", place.name))
        attributes = {key: as_text(value) for key, value in without(properties, "TopicName").items()}
        arn = cloud("sns", "CreateTopic", {"Name": name, "Attributes": attributes})["TopicArn"]
        return Made(arn, {"TopicArn": arn, "TopicName": name})

    def update(self, cloud: Cloud, place: Place, made: Made, old: Properties, new: Properties) -> Made:
        if changed(old, new, "TopicName"):
            return self.create(cloud, place, new)
        for key, value in without(new, "TopicName").items():
            request = {"TopicArn": made.physical_id, "AttributeName": key, "AttributeValue": as_text(value)}
            cloud("sns", "SetTopicAttributes", request)
        return made

    def delete(self, cloud: Cloud, made: Made, properties: Properties) -> None:
        cloud("sns", "DeleteTopic", {"TopicArn": made.physical_id})


class Subscription:
    """AWS::SNS::Subscription."""

    def create(self, cloud: Cloud, place: Place, properties: Properties) -> Made:
        request = request_of("sns", "Subscribe", {**properties, "ReturnSubscriptionArn": True})
        return Made(cloud("sns", "Subscribe", request)["SubscriptionArn"])

    def update(self, cloud: Cloud, place: Place, made: Made, old: Properties, new: Properties) -> Made:
        return self.create(cloud, place, new)

    def delete(self, cloud: Cloud, made: Made, properties: Properties) -> None:
        cloud("sns", "Unsubscribe", {"SubscriptionArn": made.physical_id})


class Queue:
    """AWS::SQS::Queue. A Ref gives its URL."""

    def create(self, cloud: Cloud, place: Place, properties: Properties) -> Made:
        name = str(properties.get("QueueName", place.name))[:80]
        request = {"QueueName": name, "Attributes": self._attributes(properties)}
        url = cloud("sqs", "CreateQueue", request)["QueueUrl"]
        return Made(url, {"Arn": place.names.arn("sqs", name), "QueueName": name, "QueueUrl": url})

    def update(self, cloud: Cloud, place: Place, made: Made, old: Properties, new: Properties) -> Made:
        if changed(old, new, "QueueName"):
            return self.create(cloud, place, new)
        cloud("sqs", "SetQueueAttributes", {"QueueUrl": made.physical_id, "Attributes": self._attributes(new)})
        return made

    def delete(self, cloud: Cloud, made: Made, properties: Properties) -> None:
        cloud("sqs", "DeleteQueue", {"QueueUrl": made.physical_id})

    def _attributes(self, properties: Properties) -> dict[str, str]:
        return {key: as_text(value) for key, value in without(properties, "QueueName").items()}


class QueuePolicy:
    """AWS::SQS::QueuePolicy."""

    def create(self, cloud: Cloud, place: Place, properties: Properties) -> Made:
        for url in properties["Queues"]:
            policy = {"Policy": as_text(properties["PolicyDocument"])}
            cloud("sqs", "SetQueueAttributes", {"QueueUrl": url, "Attributes": policy})
        return Made(place.name)

    def update(self, cloud: Cloud, place: Place, made: Made, old: Properties, new: Properties) -> Made:
        self.create(cloud, place, new)
        return made

    def delete(self, cloud: Cloud, made: Made, properties: Properties) -> None:
        for url in properties["Queues"]:
            cloud("sqs", "SetQueueAttributes", {"QueueUrl": url, "Attributes": {"Policy": ""}})


class Dashboard:
    """AWS::CloudWatch::Dashboard."""

    def create(self, cloud: Cloud, place: Place, properties: Properties) -> Made:
        name = str(properties.get("DashboardName", place.name))
        cloud("cloudwatch", "PutDashboard", {"DashboardName": name, "DashboardBody": properties["DashboardBody"]})
        return Made(name)

    def update(self, cloud: Cloud, place: Place, made: Made, old: Properties, new: Properties) -> Made:
        return self.create(cloud, place, new)

    def delete(self, cloud: Cloud, made: Made, properties: Properties) -> None:
        cloud("cloudwatch", "DeleteDashboards", {"DashboardNames": [made.physical_id]})


class Alarm:
    """AWS::CloudWatch::Alarm."""

    def create(self, cloud: Cloud, place: Place, properties: Properties) -> Made:
        return self._put(cloud, place, str(properties.get("AlarmName", place.name)), properties)

    def update(self, cloud: Cloud, place: Place, made: Made, old: Properties, new: Properties) -> Made:
        if changed(old, new, "AlarmName"):
            return self.create(cloud, place, new)
        return self._put(cloud, place, made.physical_id, new)

    def delete(self, cloud: Cloud, made: Made, properties: Properties) -> None:
        cloud("cloudwatch", "DeleteAlarms", {"AlarmNames": [made.physical_id]})

    def _put(self, cloud: Cloud, place: Place, name: str, properties: Properties) -> Made:
        request = request_of("cloudwatch", "PutMetricAlarm", without(properties, "AlarmName"))
        cloud("cloudwatch", "PutMetricAlarm", {**request, "AlarmName": name})
        return Made(name, {"Arn": place.names.arn("cloudwatch", f"alarm:{name}")})
