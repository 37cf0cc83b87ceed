"""Errors in the AWS protocols' formats."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from xml.sax.saxutils import escape


@dataclass(frozen=True, slots=True)
class ErrorBody:
    """The content of an error response, and its content type."""

    content_type: str
    text: str


def json_error(code: str, message: str) -> ErrorBody:
    """The format of ECS, SSM and all newer services."""
    return ErrorBody("application/x-amz-json-1.1", json.dumps({"__type": code, "message": message}))


def ec2_error(code: str, message: str) -> ErrorBody:
    """The format of EC2."""
    error = f"<Errors><Error>{_fields(code, message)}</Error></Errors>"
    body = f"<Response>{error}<RequestID>{uuid.uuid4()}</RequestID></Response>"
    return ErrorBody("text/xml;charset=UTF-8", body)


def query_error(code: str, message: str) -> ErrorBody:
    """The format of IAM, SNS and CloudFormation."""
    body = f"<ErrorResponse><Error><Type>Sender</Type>{_fields(code, message)}</Error></ErrorResponse>"
    return ErrorBody("text/xml", body)


def rest_xml_error(code: str, message: str) -> ErrorBody:
    """The format of S3."""
    return ErrorBody("application/xml", f"<Error>{_fields(code, message)}</Error>")


def _fields(code: str, message: str) -> str:
    return f"<Code>{code}</Code><Message>{escape(message)}</Message>"
