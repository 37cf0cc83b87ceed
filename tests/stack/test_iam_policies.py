"""Policies: what is allowed, what is denied, and what holds for all policies."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.account.iam import Decision, IamRequest, Policy, decide
from tests.account.iam.conditions import UnreadablePolicy, hold
from tests.account.iam.matching import Unset, arn_like, like, tokens
from tests.account.iam.policy import trusts

ARN = "arn:aws:ecs:us-east-1:123456789012:container-instance/demo/abc"


def policy(*statements: dict[str, Any], version: str = "2012-10-17") -> Policy:
    return Policy.read({"Version": version, "Statement": list(statements)})


def allow(action: Any = "*", resource: Any = "*", **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


def deny(action: Any = "*", resource: Any = "*", **more: Any) -> dict[str, Any]:
    return {**allow(action, resource, **more), "Effect": "Deny"}


def said(statement: dict[str, Any], ask: IamRequest) -> Decision:
    return decide(ask, (policy(statement),))


# Statements


def test_an_action_without_an_allow_is_denied() -> None:
    assert decide(IamRequest("ecs:ListTasks"), ()) is Decision.NOT_ALLOWED


def test_a_deny_wins_over_every_allow() -> None:
    assert decide(IamRequest("ecs:ListTasks"), (policy(allow()), policy(deny("ecs:List*")))) is Decision.DENIED


@pytest.mark.parametrize("pattern", ["ecs:ListTasks", "ECS:listtasks", "ecs:List*", "ecs:List?asks", "*"])
def test_an_action_is_matched_in_any_case(pattern: str) -> None:
    assert said(allow(pattern), IamRequest("ecs:ListTasks")) is Decision.ALLOWED


def test_not_action_covers_all_others() -> None:
    statement = {"Effect": "Allow", "NotAction": ["iam:*"], "Resource": "*"}
    assert said(statement, IamRequest("ecs:ListTasks")) is Decision.ALLOWED
    assert said(statement, IamRequest("iam:ListRoles")) is Decision.NOT_ALLOWED


def test_not_resource_covers_all_others() -> None:
    statement = {"Effect": "Allow", "Action": "*", "NotResource": "arn:aws:ecs:*:*:container-instance/other/*"}
    assert said(statement, IamRequest("ecs:ListTasks", ARN)) is Decision.ALLOWED
    assert said(statement, IamRequest("ecs:ListTasks", ARN.replace("demo", "other"))) is Decision.NOT_ALLOWED


@pytest.mark.parametrize(
    ("pattern", "matches"),
    [
        (ARN, True),
        ("arn:aws:ecs:*:*:container-instance/demo/*", True),
        ("arn:*:ecs:us-east-1:123456789012:container-instance/demo/ab?", True),
        ("arn:aws:ecs:us-east-1:123456789012:container-instance/*", True),
        ("arn:aws:ecs:us-east-1:*", False),
        ("arn:aws:ecs:*/demo/abc", False),
        ("arn:aws:ecs:us-east-1:123456789012:container-instance/DEMO/*", False),
        ("arn:aws:ecs:us-east-1:123456789012:container-instance/demo", False),
    ],
)
def test_a_wildcard_stays_within_its_part_of_an_arn(pattern: str, matches: bool) -> None:
    assert (said(allow("*", pattern), IamRequest("ecs:ListTasks", ARN)) is Decision.ALLOWED) is matches


def test_a_boundary_allows_nothing_by_itself() -> None:
    assert decide(IamRequest("ecs:ListTasks"), (), policy(allow())) is Decision.NOT_ALLOWED


def test_an_action_outside_the_boundary_is_denied_although_a_policy_allows_it() -> None:
    assert decide(IamRequest("ecs:ListTasks"), (policy(allow()),), policy(allow("ssm:*"))) is Decision.BEYOND_BOUNDARY


def test_a_deny_in_the_boundary_is_a_deny() -> None:
    boundary = policy(allow(), deny("ecs:*"))
    assert decide(IamRequest("ecs:ListTasks"), (policy(allow()),), boundary) is Decision.DENIED


# Variables


def test_a_variable_is_filled_in_from_the_request() -> None:
    statement = allow("*", "arn:aws:s3:::bucket/${aws:PrincipalTag/team}/*")
    ask = IamRequest("s3:GetObject", "arn:aws:s3:::bucket/blue/x", {"aws:principaltag/team": ("blue",)})
    assert said(statement, ask) is Decision.ALLOWED
    assert (
        said(statement, IamRequest(ask.action, ask.resource, {"aws:principaltag/team": ("red",)}))
        is Decision.NOT_ALLOWED
    )


def test_a_wildcard_that_a_variable_brings_is_only_a_character() -> None:
    ask = IamRequest("s3:GetObject", "arn:aws:s3:::bucket/blue/x", {"aws:principaltag/team": ("*",)})
    assert said(allow("*", "arn:aws:s3:::bucket/${aws:PrincipalTag/team}/*"), ask) is Decision.NOT_ALLOWED


def test_a_variable_without_a_value_matches_nothing() -> None:
    assert (
        said(allow("*", "arn:aws:s3:::${aws:username}"), IamRequest("s3:ListBucket", "arn:aws:s3:::"))
        is Decision.NOT_ALLOWED
    )


def test_a_variable_can_have_a_default() -> None:
    statement = allow("*", "arn:aws:s3:::${aws:username, 'nobody'}")
    assert said(statement, IamRequest("s3:ListBucket", "arn:aws:s3:::nobody")) is Decision.ALLOWED


def test_in_old_policies_a_variable_is_text() -> None:
    old = policy(allow("*", "arn:aws:s3:::${aws:username}"), version="2008-10-17")
    ask = IamRequest("s3:ListBucket", "arn:aws:s3:::me", {"aws:username": ("me",)})
    assert decide(ask, (old,)) is Decision.NOT_ALLOWED


# Conditions

CONTEXT = {"ecs:cluster": ("arn:aws:ecs:us-east-1:1:cluster/demo",), "aws:tagkeys": ("a", "b"), "k": ("Blue",)}


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ({"StringEquals": {"k": "Blue"}}, True),
        ({"StringEquals": {"K": ["red", "Blue"]}}, True),
        ({"StringEquals": {"k": "blue"}}, False),
        ({"StringEqualsIgnoreCase": {"k": "blue"}}, True),
        ({"StringNotEquals": {"k": ["red", "Blue"]}}, False),
        ({"StringNotEquals": {"absent": "x"}}, True),
        ({"StringEquals": {"absent": "x"}}, False),
        ({"StringEqualsIfExists": {"absent": "x"}}, True),
        ({"StringLike": {"k": "B*e"}}, True),
        ({"StringEquals": {"k": "B*e"}}, False),
        ({"StringNotLike": {"k": "B*"}}, False),
        ({"ArnEquals": {"ecs:cluster": "arn:aws:ecs:*:1:cluster/d*"}}, True),
        ({"ArnLike": {"ecs:cluster": "arn:aws:ecs:us-east-1:1:cluster/other"}}, False),
        ({"ArnNotLike": {"ecs:cluster": "arn:aws:ecs:us-east-1:1:cluster/other"}}, True),
        ({"Null": {"absent": "true"}}, True),
        ({"Null": {"k": True}}, False),
        ({"Null": {"k": "false"}}, True),
        ({"ForAllValues:StringEquals": {"aws:TagKeys": ["a", "b", "c"]}}, True),
        ({"ForAllValues:StringEquals": {"aws:TagKeys": ["a"]}}, False),
        ({"ForAllValues:StringEquals": {"absent": ["a"]}}, True),
        ({"ForAnyValue:StringEquals": {"aws:TagKeys": ["b"]}}, True),
        ({"ForAnyValue:StringEquals": {"absent": ["b"]}}, False),
        ({"StringEquals": {"k": "Blue"}, "Null": {"absent": "false"}}, False),
    ],
)
def test_a_condition_holds_as_iam_says(condition: dict[str, Any], holds: bool) -> None:
    assert hold(condition, CONTEXT) is holds


@pytest.mark.parametrize(("value", "holds"), [("true", True), ("false", False)])
def test_bool_compares_the_word(value: str, holds: bool) -> None:
    assert hold({"Bool": {"aws:SecureTransport": True}}, {"aws:securetransport": (value,)}) is holds


def test_an_operator_that_is_not_known_is_an_error_and_no_pass() -> None:
    with pytest.raises(UnreadablePolicy, match="NumericEquals"):
        hold({"NumericEquals": {"k": "1"}}, CONTEXT)


@pytest.mark.parametrize("statement", [{"Effect": "Perhaps", "Action": "*"}, {"Effect": "Allow"}, allow(Conditions={})])
def test_an_invalid_statement_is_rejected(statement: dict[str, Any]) -> None:
    with pytest.raises(UnreadablePolicy):
        policy(statement)


def test_a_trust_policy_is_about_the_service_that_it_names() -> None:
    condition = {"StringEquals": {"aws:SourceAccount": "1"}}
    trust = Policy.read(
        {
            "Statement": {
                "Effect": "Allow",
                "Principal": {"Service": "ecs-tasks.amazonaws.com"},
                "Action": "sts:AssumeRole",
                "Condition": condition,
            }
        }
    )
    ours, others = {"aws:sourceaccount": ("1",)}, {"aws:sourceaccount": ("2",)}
    assert trusts(trust, "ecs-tasks.amazonaws.com", ours)
    assert not trusts(trust, "ecs-tasks.amazonaws.com", others)
    assert not trusts(trust, "events.amazonaws.com", ours)


# Properties

ACTIONS = st.sampled_from(["ecs:ListTasks", "ecs:DescribeTasks", "ssm:SendCommand", "s3:GetObject"])
PATTERNS = st.sampled_from(["*", "ecs:*", "ecs:List*", "ssm:SendCommand", "s3:GetObject"])
RESOURCES = st.sampled_from(["*", ARN, "arn:aws:s3:::bucket/a", "arn:aws:s3:::bucket/*"])
STATEMENTS = st.builds(
    lambda effect, action, resource: {"Effect": effect, "Action": action, "Resource": resource},
    st.sampled_from(["Allow", "Deny"]),
    PATTERNS,
    RESOURCES,
)
POLICIES = st.lists(STATEMENTS, max_size=4).map(lambda each: policy(*each))
ASKS = st.builds(IamRequest, ACTIONS, RESOURCES)


@given(ASKS, st.lists(POLICIES, max_size=3), POLICIES)
def test_another_policy_never_lifts_a_deny(ask: IamRequest, policies: list[Policy], more: Policy) -> None:
    if decide(ask, policies) is Decision.DENIED:
        assert decide(ask, [*policies, more]) is Decision.DENIED


@given(ASKS, st.lists(POLICIES, max_size=3), POLICIES)
def test_a_boundary_never_allows_more(ask: IamRequest, policies: list[Policy], boundary: Policy) -> None:
    if decide(ask, policies, boundary) is Decision.ALLOWED:
        assert decide(ask, policies) is Decision.ALLOWED
        assert decide(ask, [boundary]) is Decision.ALLOWED


@given(ASKS, st.lists(POLICIES, max_size=4), st.randoms())
def test_the_order_of_policies_does_not_matter(ask: IamRequest, policies: list[Policy], random: Any) -> None:
    shuffled = list(policies)
    random.shuffle(shuffled)
    assert decide(ask, shuffled) is decide(ask, policies)


@given(ASKS, st.lists(POLICIES, max_size=3))
def test_a_deny_of_everything_denies_everything(ask: IamRequest, policies: list[Policy]) -> None:
    assert decide(ask, [*policies, policy(deny())]) is Decision.DENIED


TEXT = st.text(alphabet="ab*?$:/", max_size=8)


@given(TEXT)
def test_a_text_matches_itself_when_a_variable_brings_it(text: str) -> None:
    assert like(tokens("${k}", {"k": (text,)}, variables=True), text)


@given(TEXT, TEXT)
def test_a_variables_value_matches_only_itself(brought: str, other: str) -> None:
    assert like(tokens("${k}", {"k": (brought,)}, variables=True), other) is (brought == other)


@given(st.lists(st.text(alphabet="abc/", max_size=4), min_size=6, max_size=6))
def test_an_arn_of_wildcards_matches_every_arn(parts: list[str]) -> None:
    arn = ":".join(parts)
    assert arn_like(tokens("*:*:*:*:*:*", {}, variables=True), arn)
    assert arn_like(tokens(arn, {}, variables=True), arn)


def test_a_variable_that_is_not_set_says_which() -> None:
    with pytest.raises(Unset, match="aws:username"):
        tokens("${aws:username}", {}, variables=True)
