"""Translating AWS errors: each becomes an error that says what the caller does next."""

from __future__ import annotations

import pytest
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionClosedError,
    ConnectTimeoutError,
    CredentialRetrievalError,
    EndpointConnectionError,
    NoCredentialsError,
    ParamValidationError,
    ReadTimeoutError,
    SSLError,
)
from botocore.parsers import ResponseParserError
from tests.aws.fakes import refusal
from urllib3.exceptions import ProtocolError

from bottlerocket_ecs_updater.aws.transport.operation import Operation
from bottlerocket_ecs_updater.aws.transport.translate import THROTTLING_CODES, CallRefused, NeverSent, translated
from bottlerocket_ecs_updater.errors import Denied, NotFound, Throttled, Unreachable, UpdaterError

URL = "https://ecs.eu-west-1.amazonaws.com"


def translation(error: Exception, operation: Operation = Operation.LIST_TASKS, about: str = "web") -> UpdaterError:
    with pytest.raises(UpdaterError) as caught, translated(operation, about):
        raise error
    assert caught.value.__cause__ is error
    return caught.value


@pytest.mark.parametrize("code", sorted(THROTTLING_CODES))
def test_every_throttling_code_is_throttled(code: str) -> None:
    assert isinstance(translation(refusal(code)), Throttled)


def test_botocores_own_throttling_codes_are_all_known() -> None:
    from botocore.retries.standard import ThrottledRetryableChecker  # noqa: PLC0415 - an internal, only compared with

    codes = ThrottledRetryableChecker._THROTTLED_ERROR_CODES  # type: ignore[attr-defined]
    assert set(codes) <= THROTTLING_CODES


@pytest.mark.parametrize(
    "error",
    [
        refusal("Whatever", status=429),
        refusal("RequestLimitExceeded", status=503),
        refusal("SlowDown", "Please reduce your request rate.", 503),
    ],
)
def test_throttling_is_known_by_status_too_and_comes_before_a_server_error(error: ClientError) -> None:
    assert isinstance(translation(error), Throttled)


@pytest.mark.parametrize(
    "error",
    [
        refusal("ServerException", status=500),
        refusal("InternalServerError", status=500),
        refusal("ServiceUnavailable", status=503),
        refusal("502", "Bad Gateway", 502),
        refusal("RequestTimeout"),
        ReadTimeoutError(endpoint_url=URL),
        ConnectionClosedError(endpoint_url=URL),
        SSLError(endpoint_url=URL, error=OSError("EOF occurred in violation of protocol")),
        ResponseParserError("not well-formed"),
        ProtocolError("Connection broken"),
        ConnectionResetError(104, "Connection reset by peer"),
    ],
)
def test_servers_faults_and_lost_replies_leave_it_open_whether_the_call_took_effect(error: Exception) -> None:
    found = translation(error)
    assert isinstance(found, Unreachable)
    assert not isinstance(found, NeverSent)


@pytest.mark.parametrize(
    "error",
    [
        EndpointConnectionError(endpoint_url=URL),
        ConnectTimeoutError(endpoint_url=URL),
        SSLError(endpoint_url=URL, error=OSError("certificate")),
        CredentialRetrievalError(provider="container-role", error_msg="timed out"),
    ],
)
def test_a_call_for_which_no_connection_was_made_was_never_sent(error: Exception) -> None:
    assert isinstance(translation(error), NeverSent)


def test_a_denial_names_the_action_and_the_resource_that_aws_names() -> None:
    said = (
        "User: arn:aws:sts::111122223333:assumed-role/updater/1 is not authorized to perform: ssm:SendCommand on "
        "resource: arn:aws:ec2:eu-west-1:111122223333:instance/i-1 because no identity-based policy allows it"
    )
    found = translation(refusal("AccessDeniedException", said), Operation.SEND_COMMAND)
    assert isinstance(found, Denied)
    assert found.action == "ssm:SendCommand"
    assert found.resource == "arn:aws:ec2:eu-west-1:111122223333:instance/i-1"


def test_a_denial_in_which_aws_names_nothing_is_reported_by_the_call() -> None:
    found = translation(refusal("AccessDenied", "Access Denied"), Operation.LIST_OBJECTS, "s3://bucket/prefix/")
    assert isinstance(found, Denied)
    assert (found.action, found.resource) == ("s3:ListBucket", "s3://bucket/prefix/")
    assert "s3:ListBucket on s3://bucket/prefix/" in str(found)


@pytest.mark.parametrize("code", ["ClusterNotFoundException", "InvalidDocument"])
def test_what_does_not_exist_is_named(code: str) -> None:
    found = translation(refusal(code))
    assert isinstance(found, NotFound)
    assert str(found).startswith("web does not exist")


@pytest.mark.parametrize(
    "error",
    [
        refusal("ExpiredTokenException", "The security token included in the request is expired"),
        refusal("UnrecognizedClientException"),
        refusal("InvalidSignatureException"),
        NoCredentialsError(),
    ],
)
def test_credentials_that_are_missing_or_not_accepted_are_called_so(error: Exception) -> None:
    assert "credentials" in str(translation(error))


def test_any_other_refusal_is_one_clear_line_with_its_code() -> None:
    found = translation(refusal("InvalidParameterException", "Identifier is for cluster other. Your cluster is web"))
    assert found == CallRefused(
        "ecs:ListTasks: InvalidParameterException: Identifier is for cluster other. Your cluster is web",
        "InvalidParameterException",
    )


def test_an_operation_that_is_not_offered_is_no_outage() -> None:
    assert isinstance(translation(refusal("NotImplemented", status=501)), CallRefused)


@pytest.mark.parametrize("error", [ParamValidationError(report="wrong"), BotoCoreError()])
def test_an_error_that_is_none_of_these_still_is_one_of_ours(error: Exception) -> None:
    assert type(translation(error)) is UpdaterError


def test_an_error_of_ours_passes_unchanged() -> None:
    with pytest.raises(NotFound, match="as it is"), translated(Operation.LIST_TASKS, "web"):
        raise NotFound("as it is")


def test_an_error_with_an_empty_reply_is_read() -> None:
    assert isinstance(translation(ClientError({}, "ListTasks")), CallRefused)


@pytest.mark.parametrize(
    "error",
    [
        refusal("RateExceeded", "Rate exceeded"),
        refusal("RateLimitExceededException"),
        refusal("ThrottledRequests"),
        refusal("Client.RequestThrottling"),
    ],
)
def test_throttling_under_a_name_that_botocore_does_not_list_ends_no_run(error: ClientError) -> None:
    assert isinstance(translation(error), Throttled)


@pytest.mark.parametrize("code", ["ServiceQuotaExceededException", "AccessDeniedException", "InvalidInstanceId"])
def test_a_refusal_that_no_waiting_ends_is_not_treated_as_throttling(code: str) -> None:
    assert not isinstance(translation(refusal(code, "Rate exceeded")), Throttled)
