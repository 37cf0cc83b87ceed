"""Translates botocore errors into the updater's own errors, which say what the caller does next.

The error codes come from botocore's retry rules and service models, and from AWS's lists of common errors.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,  # noqa: A004 - botocore's own, which is no OSError
    CredentialRetrievalError,
    HTTPClientError,
    IncompleteReadError,
    LoginError,
    MetadataRetrievalError,
    NoCredentialsError,
    PartialCredentialsError,
    SSLError,
    SSOError,
    TokenRetrievalError,
)
from botocore.parsers import ResponseParserError
from urllib3.exceptions import HTTPError

from bottlerocket_ecs_updater.aws.transport.operation import Operation
from bottlerocket_ecs_updater.errors import Denied, NotFound, Throttled, Unreachable, UpdaterError

THROTTLING_CODES = frozenset(
    {
        "BandwidthLimitExceeded",
        "EC2ThrottledException",
        "LimitExceededException",
        "PriorRequestNotComplete",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "SlowDown",
        "ThrottledException",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
        "TransactionInProgressException",
    }
)
_SOUNDS_THROTTLED = re.compile(r"throttl|rate_?(limit_?)?exceeded|too_?many_?requests", re.IGNORECASE)
_OVERLAPPED_CODES = frozenset({"ConditionalRequestConflict", "OperationAborted"})
"""S3 with status 409: "a conflicting operation occurred during the request. Fetch the object's ETag and retry."

Source: "Error responses" of the S3 API reference, and "Prevent object overwrites with conditional writes".
"""
_DENIED_CODES = frozenset(
    {"AccessDenied", "AccessDeniedException", "AuthorizationError", "NotAuthorized", "UnauthorizedOperation"}
)
_CREDENTIALS_CODES = frozenset(
    {
        "ExpiredToken",
        "ExpiredTokenException",
        "IncompleteSignature",
        "IncompleteSignatureException",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "InvalidToken",
        "MissingAuthenticationToken",
        "MissingAuthenticationTokenException",
        "OptInRequired",
        "RequestExpired",
        "RequestTimeTooSkewed",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)
_SERVER_CODES = frozenset(
    {
        "InternalError",
        "InternalFailure",
        "InternalServerError",
        "RequestTimeout",
        "RequestTimeoutException",
        "ServerException",
        "ServiceUnavailable",
        "ServiceUnavailableException",
    }
)
_NOT_FOUND_CODES = frozenset(
    {
        "ClusterNotFoundException",
        "InvalidDocument",
        "InvalidDocumentVersion",
        "NoSuchBucket",
        "ParameterNotFound",
        "ParameterVersionNotFound",
        "ResourceNotFoundException",
    }
)
_NOT_OFFERED_STATUS = 501
_STORE_WRITES = (Operation.PUT_OBJECT, Operation.DELETE_OBJECT)

NOT_ALLOWED = "not allowed: "
"""The prefix of a denial's message."""

# "User: arn:… is not authorized to perform: ecs:ListTasks on resource: arn:… because no identity-based policy …"
_NOT_AUTHORIZED = re.compile(r"not authorized to perform:?\s+([\w-]+:\w+\*?)(?:\s+on resource:?\s+\"?([^\s\"]+))?")


@dataclass
class CallRefused(UpdaterError):
    """AWS rejected the whole call. It took no effect, and a retry would not either."""

    code: str = ""


@dataclass
class Overlapped(Throttled):
    """S3 did not write, because another write of the object was in progress. The call may be retried."""


@dataclass
class NeverSent(Unreachable):
    """No connection was made, so the call took no effect."""


@contextmanager
def translated(operation: Operation, about: str) -> Iterator[None]:
    """Translate every error in the block. `about` is the target of the call, used if AWS does not name it."""
    try:
        yield
    except ClientError as error:
        raise from_reply(error, operation, about) from error
    except ResponseParserError as error:
        raise Unreachable(f"{operation.title}: the reply is not from AWS: {_first_line(error)}") from error
    except BotoCoreError as error:
        raise from_transport(error, operation) from error
    except (HTTPError, OSError) as error:
        # If the connection breaks while a body is read, the error is not always botocore's.
        raise Unreachable(f"{operation.title}: {error!r}") from error


def from_reply(error: ClientError, operation: Operation, about: str) -> UpdaterError:
    """Translate an error response from AWS."""
    code = str(error.response.get("Error", {}).get("Code", ""))
    said = str(error.response.get("Error", {}).get("Message", "")) or "without a message"
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 400)
    line = f"{operation.title}: {code}: {said}"
    if code in _OVERLAPPED_CODES or (status == 409 and operation in _STORE_WRITES):
        return Overlapped(line)
    if status == 429 or _is_throttling(code):
        return Throttled(line)
    if code in _DENIED_CODES:
        return _denied(said, operation, about)
    if code in _CREDENTIALS_CODES:
        return UpdaterError(f"AWS does not accept the credentials: {line}")
    if code in _SERVER_CODES or (status >= 500 and status != _NOT_OFFERED_STATUS):
        return Unreachable(line)
    if code in _NOT_FOUND_CODES:
        what = f"the bucket {_bucket_of(about)}" if code == "NoSuchBucket" else about or operation.title
        return NotFound(f"{what} does not exist ({line})")
    return CallRefused(line, code)


def _is_throttling(code: str) -> bool:
    """Whether AWS asks to slow down: by a known code, or by one that botocore does not list but that says so."""
    return code in THROTTLING_CODES or _SOUNDS_THROTTLED.search(code) is not None


def _bucket_of(place: str) -> str:
    """The bucket of `s3://bucket/prefix/key`."""
    return place.removeprefix("s3://").partition("/")[0]


def from_transport(error: BotoCoreError, operation: Operation) -> UpdaterError:
    """Translate an error that botocore raised before or instead of a response."""
    line = f"{operation.title}: {error}"
    match error:
        case SSLError() if "certificate" not in line.lower():
            # botocore calls it a connection error, but TLS can also fail after the request was sent.
            return Unreachable(line)
        case ConnectionError():
            return NeverSent(line)
        case CredentialRetrievalError() | MetadataRetrievalError():
            # The credentials endpoint did not answer. Nothing was sent, and a retry may work.
            return NeverSent(line)
        case HTTPClientError() | IncompleteReadError():
            return Unreachable(line)
        case NoCredentialsError() | PartialCredentialsError() | TokenRetrievalError() | SSOError() | LoginError():
            return UpdaterError(f"there are no AWS credentials to use: {error}")
        case _:
            return UpdaterError(line)


def _first_line(error: Exception) -> str:
    """botocore adds the body, and a hint to its own retries."""
    return str(error).partition(" Further retries may succeed")[0].strip()


def _denied(said: str, operation: Operation, about: str) -> Denied:
    found = _NOT_AUTHORIZED.search(said)
    action = found[1] if found else operation.action
    named = (found[2] if found else "") or ""
    known = named not in ("", "*")
    resource = named if known else about or named
    line = f"{NOT_ALLOWED}{action} on {resource or 'its resource'} ({said})"
    return Denied(line, action, resource, known)
