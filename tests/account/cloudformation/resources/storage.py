"""Buckets and log groups."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.account.cloudformation.cloud import Cloud
from tests.account.cloudformation.requests import as_text, request_of
from tests.account.cloudformation.resources.base import Made, Place, Properties, changed, without
from tests.account.cloudformation.template import invalid

DEFAULT_REGION = "us-east-1"

Writer = tuple[str, str]
"""An operation, and the member of its request that takes the property."""

BUCKET_WRITERS: Mapping[str, Writer] = {
    "PublicAccessBlockConfiguration": ("PutPublicAccessBlock", "PublicAccessBlockConfiguration"),
    "OwnershipControls": ("PutBucketOwnershipControls", "OwnershipControls"),
    "VersioningConfiguration": ("PutBucketVersioning", "VersioningConfiguration"),
    "BucketEncryption": ("PutBucketEncryption", "ServerSideEncryptionConfiguration"),
    "LifecycleConfiguration": ("PutBucketLifecycleConfiguration", "LifecycleConfiguration"),
}


class Bucket:
    """AWS::S3::Bucket."""

    def create(self, cloud: Cloud, place: Place, properties: Properties) -> Made:
        name = str(properties.get("BucketName", place.name)).lower()
        request: dict[str, Any] = {"Bucket": name}
        if place.names.region != DEFAULT_REGION:
            request["CreateBucketConfiguration"] = {"LocationConstraint": place.names.region}
        cloud("s3", "CreateBucket", request)
        self._write(cloud, name, properties)
        return Made(name, {"Arn": f"arn:{place.names.partition}:s3:::{name}"})

    def update(self, cloud: Cloud, place: Place, made: Made, old: Properties, new: Properties) -> Made:
        if changed(old, new, "BucketName"):
            return self.create(cloud, place, new)
        self._write(cloud, made.physical_id, new)
        return made

    def delete(self, cloud: Cloud, made: Made, properties: Properties) -> None:
        cloud("s3", "DeleteBucket", {"Bucket": made.physical_id})

    def _write(self, cloud: Cloud, name: str, properties: Properties) -> None:
        for key, value in without(properties, "BucketName").items():
            if key not in BUCKET_WRITERS:
                raise invalid(f"Properties validation failed: extraneous key [{key}] is not permitted")
            operation, member = BUCKET_WRITERS[key]
            rules = {member: _as_the_api(value)}
            cloud("s3", operation, {"Bucket": name, **request_of("s3", operation, rules)})


def _as_the_api(value: Any) -> Any:
    """Some names of a bucket's properties differ from the API's."""
    if isinstance(value, dict):
        return _lifecycle_rule({_API_NAMES.get(str(key), str(key)): _as_the_api(inner) for key, inner in value.items()})
    return [_as_the_api(inner) for inner in value] if isinstance(value, list) else value


_API_NAMES = {
    "ServerSideEncryptionConfiguration": "Rules",
    "ServerSideEncryptionByDefault": "ApplyServerSideEncryptionByDefault",
}


def _lifecycle_rule(rule: dict[str, Any]) -> dict[str, Any]:
    """Expiry is flat in a template, and a structure in the API."""
    expiration = {}
    if "ExpirationInDays" in rule:
        expiration["Days"] = rule.pop("ExpirationInDays")
    if "ExpiredObjectDeleteMarker" in rule:
        expiration["ExpiredObjectDeleteMarker"] = rule.pop("ExpiredObjectDeleteMarker")
    if expiration:
        rule["Expiration"] = expiration
    if "Status" in rule and "Id" in rule:
        rule["Filter"] = {"Prefix": rule.pop("Prefix", "")}
        rule["ID"] = rule.pop("Id")
    return rule


class BucketPolicy:
    """AWS::S3::BucketPolicy."""

    def create(self, cloud: Cloud, place: Place, properties: Properties) -> Made:
        policy = as_text(properties["PolicyDocument"])
        cloud("s3", "PutBucketPolicy", {"Bucket": properties["Bucket"], "Policy": policy})
        return Made(str(properties["Bucket"]))

    def update(self, cloud: Cloud, place: Place, made: Made, old: Properties, new: Properties) -> Made:
        return self.create(cloud, place, new)

    def delete(self, cloud: Cloud, made: Made, properties: Properties) -> None:
        cloud("s3", "DeleteBucketPolicy", {"Bucket": made.physical_id})


class LogGroup:
    """AWS::Logs::LogGroup."""

    def create(self, cloud: Cloud, place: Place, properties: Properties) -> Made:
        name = str(properties.get("LogGroupName", place.name))
        request = request_of("logs", "CreateLogGroup", without(properties, "LogGroupName", "RetentionInDays"))
        cloud("logs", "CreateLogGroup", {**request, "logGroupName": name})
        self._retain(cloud, name, properties)
        return Made(name, {"Arn": place.names.arn("logs", f"log-group:{name}:*")})

    def update(self, cloud: Cloud, place: Place, made: Made, old: Properties, new: Properties) -> Made:
        if changed(old, new, "LogGroupName"):
            return self.create(cloud, place, new)
        self._retain(cloud, made.physical_id, new)
        return made

    def delete(self, cloud: Cloud, made: Made, properties: Properties) -> None:
        cloud("logs", "DeleteLogGroup", {"logGroupName": made.physical_id})

    def _retain(self, cloud: Cloud, name: str, properties: Properties) -> None:
        if "RetentionInDays" in properties:
            days = int(properties["RetentionInDays"])
            cloud("logs", "PutRetentionPolicy", {"logGroupName": name, "retentionInDays": days})
