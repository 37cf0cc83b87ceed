import re
from collections.abc import Mapping
from contextlib import suppress
from types import SimpleNamespace
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bottlerocket_ecs_updater.core.rules.expression import (
    All,
    Any,
    Comparison,
    Expression,
    Not,
    Operator,
    evaluate,
    parse_expression,
    subjects,
)
from bottlerocket_ecs_updater.simulator.ecs.expressions import parse_placement
from bottlerocket_ecs_updater.simulator.ecs.model import ContainerInstance

HOST = {
    "attribute:ring": "prod",
    "attribute:ecs.instance-type": "m6i.large",
    "attribute:slots": "9",
    "attribute:note": "two words",
    "attribute:empty": "",
    "ec2InstanceId": "i-0123456789abcdef0",
    "agentConnected": "true",
    "runningTasksCount": "12",
    "registeredAt": "2026-03-01T10:00:00+00:00",
}


def true_of(text: str, host: Mapping[str, str] = HOST) -> bool:
    return evaluate(parse_expression(text), host.get)


@pytest.mark.parametrize(
    "text",
    [
        "attribute:ring == prod",
        "attribute:ring equals prod",
        "attribute:ring==prod",
        "attribute:ring != staging",
        "attribute:ring in [staging, prod]",
        "attribute:ring in [prod]",
        "attribute:ring not_in [staging, test]",
        "attribute:ring !in [staging]",
        "attribute:ring exists",
        "attribute:other !exists",
        "attribute:other not_exists",
        "attribute:ecs.instance-type =~ m6i.*",
        "attribute:ecs.instance-type matches '(m|c)6i[.]large'",
        "attribute:ecs.instance-type !~ m6",
        "attribute:note == 'two words'",
        'attribute:note == "two words"',
        "attribute:empty == ''",
        "attribute:slots < 10",
        "attribute:slots <= 9",
        "runningTasksCount > 9",
        "runningTasksCount greater_than_equal 12",
        "registeredAt < 2026-03-02",
        "registeredAt >= 2026-03-01T10:00:00+00:00",
        "agentConnected == true",
        "ec2InstanceId in [i-0123456789abcdef0, i-0]",
        "not attribute:ring == staging",
        "!(attribute:ring == staging)",
        "attribute:ring == prod and runningTasksCount < 20",
        "attribute:ring == staging or attribute:ring == prod",
        "attribute:ring == staging || attribute:ring == prod",
        "attribute:ring == prod or attribute:ring == prod and attribute:ring == staging",
        "(attribute:ring == staging or attribute:ring == prod) && attribute:slots exists",
        "not attribute:ring == staging and attribute:ring == prod",
    ],
)
def test_an_expression_means_what_it_means_in_ecs(text: str) -> None:
    assert true_of(text)


@pytest.mark.parametrize(
    "text",
    [
        "attribute:ring == Prod",
        "attribute:other == prod",
        "attribute:other < 3",
        "attribute:other =~ .*",
        "attribute:ecs.instance-type =~ m6i",
        "attribute:slots > 10",
        "attribute:ring == prod and attribute:ring == staging",
        "(attribute:ring == prod or attribute:ring == prod) and attribute:ring == staging",
    ],
)
def test_an_expression_is_false_for_instances_that_it_does_not_select(text: str) -> None:
    assert not true_of(text)


def test_a_missing_attribute_differs_from_every_value() -> None:
    assert true_of("attribute:other != prod and attribute:other not_in [prod] and attribute:other !~ prod")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "at its end there should be attribute:NAME"),
        ("ring == prod", "at 'ring == prod' there should be attribute:NAME or one of agentConnected"),
        ("attribute: == prod", "there should be attribute:NAME"),
        ("attribute:ring", "at its end there should be an operator"),
        ("attribute:ring = prod", "cannot read the expression"),
        ("attribute:ring is prod", "at 'is prod' there should be an operator"),
        ("attribute:ring ==", "at its end there should be a value"),
        ("attribute:ring == two words", "at 'words' there should be and, or, or the end"),
        ("attribute:ring in prod", r"there should be '\['"),
        ("attribute:ring in [prod", r"at its end there should be '\]'"),
        ("(attribute:ring == prod", r"at its end there should be '\)'"),
        ("attribute:ring == prod)", r"at '\)' there should be and, or, or the end"),
        ("attribute:ring == prod and", "at its end there should be attribute:NAME"),
        ("attribute:ring =~ '('", "not a pattern"),
        ("attribute:ring == 'prod", "cannot read the expression"),
        ("attribute:ring == " + "x" * 2000, "at most 2000 characters"),
        ("(" * 200 + "attribute:ring == prod" + ")" * 200, "nested at most 50 deep"),
    ],
)
def test_an_invalid_expression_is_refused_with_the_place_and_the_reason(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        parse_expression(text)


names = st.sampled_from(["attribute:ring", "attribute:slots", "runningTasksCount", "attribute:none"])
values = st.sampled_from(["prod", "9", "not", "and", "two words", "a,b", "", "it's", "12", "equals", "in"])
comparisons: st.SearchStrategy[Expression] = st.one_of(
    st.builds(Comparison, names, st.sampled_from([Operator.EXISTS, Operator.NOT_EXISTS])),
    st.builds(
        Comparison,
        names,
        st.sampled_from([Operator.EQUALS, Operator.NOT_EQUALS, Operator.ABOVE, Operator.AT_MOST]),
        st.tuples(values),
    ),
    st.builds(
        Comparison,
        names,
        st.sampled_from([Operator.IN, Operator.NOT_IN]),
        st.lists(values, min_size=1, max_size=3).map(tuple),
    ),
)
expressions = st.recursive(
    comparisons,
    lambda inner: st.one_of(
        st.builds(Not, inner),
        st.builds(All, st.lists(inner, min_size=2, max_size=3).map(tuple)),
        st.builds(Any, st.lists(inner, min_size=2, max_size=3).map(tuple)),
    ),
    max_leaves=6,
)
hosts = st.dictionaries(names, values)


@given(expressions)
def test_an_expression_reads_what_it_writes(expression: Expression) -> None:
    assert parse_expression(str(expression)) == expression


@given(expressions, hosts)
def test_not_is_the_opposite(expression: Expression, host: Mapping[str, str]) -> None:
    assert evaluate(Not(expression), host.get) is not evaluate(expression, host.get)


@given(expressions, hosts)
def test_the_simulated_ecs_has_its_own_parser_and_says_the_same(
    expression: Expression, host: Mapping[str, str]
) -> None:
    attributes = {name.removeprefix("attribute:"): value for name, value in host.items()}
    instance = cast(ContainerInstance, SimpleNamespace(custom=attributes, built_in={}, tasks={}))
    text = re.sub("runningTasksCount", "attribute:runningTasksCount", str(expression))
    assert parse_placement(text)(instance) is evaluate(expression, host.get)


@given(expressions, expressions, hosts)
def test_not_both_is_either_not(left: Expression, right: Expression, host: Mapping[str, str]) -> None:
    both, either = Not(All((left, right))), Any((Not(left), Not(right)))
    assert evaluate(both, host.get) == evaluate(either, host.get)


@given(expressions, hosts)
def test_only_the_subjects_that_it_names_are_read(expression: Expression, host: Mapping[str, str]) -> None:
    asked: set[str] = set()

    def read(subject: str) -> str | None:
        asked.add(subject)
        return host.get(subject)

    evaluate(expression, read)
    assert asked <= subjects(expression)


@given(st.text(alphabet="abi :=!<>~[](),'\"&|notradeuxs0123456789\n", max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    with suppress(ValueError):
        assert subjects(parse_expression(text))
