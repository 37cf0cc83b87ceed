from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.builders import registration as registered

from bottlerocket_ecs_updater.core.model.auto_scaling import InGroup, LifecycleState, Membership, NoGroup
from bottlerocket_ecs_updater.core.model.container_instance import Registration
from bottlerocket_ecs_updater.core.model.ids import Zone
from bottlerocket_ecs_updater.core.model.reasons import Hold, Reason
from bottlerocket_ecs_updater.core.rules.selection import OPT_OUT_ATTRIBUTE, Selection, Selector, parse_selector, select

AT = datetime(2026, 5, 1, tzinfo=UTC)
WEB = InGroup("web-asg-1X2Y", LifecycleState.IN_SERVICE)


def host(**attributes: str) -> Registration:
    named = {name.replace("__", "-"): value for name, value in attributes.items()}
    return registered("i-0123456789abcdef0", zone=Zone("eu-central-1a"), running_tasks=3, attributes=named)


def selected(
    selection: Selection,
    registration: Registration | None = None,
    provider: str | None = "",
    membership: Membership | None = WEB,
) -> Hold | None:
    return select(registration or host(ring="prod"), selection, provider, membership)


def only(*texts: str) -> Selection:
    return Selection(include=tuple(map(parse_selector, texts)))


def without(*texts: str) -> Selection:
    return Selection(exclude=tuple(map(parse_selector, texts)))


def test_without_rules_every_host_is_updated() -> None:
    assert selected(Selection(), provider=None, membership=None) is None


@pytest.mark.parametrize("value", ["true", "True", "yes", "1", "", "treu"])
def test_a_host_that_opted_out_in_its_user_data_is_left_alone(value: str) -> None:
    registration = host()
    held = selected(Selection(), _with(registration, OPT_OUT_ATTRIBUTE, value))
    assert held is not None
    assert held.reason is Reason.OPTED_OUT
    assert OPT_OUT_ATTRIBUTE in str(held)


@pytest.mark.parametrize("value", ["false", "No", "0", " off "])
def test_a_host_that_says_no_to_opting_out_is_updated(value: str) -> None:
    assert selected(Selection(), _with(host(), OPT_OUT_ATTRIBUTE, value)) is None


def test_a_host_that_opted_out_stays_out_even_if_it_is_included_by_its_id() -> None:
    held = selected(only("i-0123456789abcdef0"), _with(host(), OPT_OUT_ATTRIBUTE, "yes"))
    assert held is not None
    assert held.reason is Reason.OPTED_OUT


@pytest.mark.parametrize(
    "text",
    [
        "attribute:ring == prod",
        "i-0123456789abcdef0",
        "instance:i-0123456789abcdef0",
        "capacity-provider:batch",
        "capacity-provider:ba*",
        "auto-scaling-group:web-asg-1X2Y",
        "auto-scaling-group: web-*",
        "runningTasksCount < 5 and agentConnected == true and ec2InstanceId =~ i-0.*",
    ],
)
def test_a_selector_that_means_the_host_includes_it_or_excludes_it(text: str) -> None:
    assert selected(only(text), provider="batch") is None
    held = selected(without(text), provider="batch")
    assert held is not None
    assert held.reason is Reason.EXCLUDED
    assert str(parse_selector(text)) in str(held)


@pytest.mark.parametrize(
    "text",
    [
        "attribute:ring == staging",
        "i-0aaaaaaaaaaaaaaaa",
        "capacity-provider:web",
        "auto-scaling-group:web",
        "auto-scaling-group:web.asg*",
    ],
)
def test_a_selector_that_means_others_neither_includes_the_host_nor_excludes_it(text: str) -> None:
    assert selected(without(text), provider="batch") is None
    held = selected(only(text), provider="batch")
    assert held is not None
    assert held.reason is Reason.NOT_INCLUDED


def test_an_exclusion_goes_before_an_inclusion() -> None:
    both = parse_selector("attribute:ring == prod")
    held = selected(Selection((both,), (both,)))
    assert held is not None
    assert held.reason is Reason.EXCLUDED


def test_a_host_in_no_group_is_not_in_the_group_that_is_meant() -> None:
    assert selected(without("auto-scaling-group:*"), membership=NoGroup()) is None


@pytest.mark.parametrize("selection", [only("auto-scaling-group:web-*"), without("auto-scaling-group:web-*")])
def test_a_host_whose_group_could_not_be_read_is_held_by_every_rule_about_groups(selection: Selection) -> None:
    held = selected(selection, membership=None)
    assert str(held) == ("a rule needs its Auto Scaling group, which could not be read: auto-scaling-group:web-*")


def test_another_inclusion_suffices_where_the_group_could_not_be_read() -> None:
    assert selected(only("auto-scaling-group:web-*", "attribute:ring == prod"), membership=None) is None


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("ring == prod", "cannot read the expression"),
        ("task:group == service:web", "selects by attributes"),
        ("capacity-provider:", "names nothing"),
        ("agentVersion == 1.89.2", "selects by attributes"),
    ],
)
def test_a_text_that_selects_nothing_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        parse_selector(text)


selectors = st.sampled_from(
    [
        "attribute:ring == prod",
        "attribute:ring == staging",
        "attribute:ring !exists",
        "i-0123456789abcdef0",
        "i-0aaaaaaaaaaaaaaaa",
        "capacity-provider:b*",
        "auto-scaling-group:web-*",
        "auto-scaling-group:*",
    ]
).map(parse_selector)
memberships = st.sampled_from([None, NoGroup(), WEB])
providers = st.sampled_from([None, "", "batch"])
registrations = st.sampled_from([host(), host(ring="prod"), host(ring="staging")])
lists = st.lists(selectors, max_size=3).map(tuple)


@given(selectors)
def test_a_selector_reads_what_it_writes(selector: Selector) -> None:
    assert parse_selector(str(selector)) == selector


@given(registrations, lists, lists, selectors, providers, memberships)
def test_an_extra_exclusion_never_selects_a_host(
    registration: Registration,
    include: tuple[Selector, ...],
    exclude: tuple[Selector, ...],
    more: Selector,
    provider: str | None,
    membership: Membership | None,
) -> None:
    if selected(Selection(include, exclude), registration, provider, membership) is not None:
        assert selected(Selection(include, (*exclude, more)), registration, provider, membership) is not None


@given(registrations, lists, lists, providers, memberships)
def test_an_unknown_fact_only_ever_excludes_a_host(
    registration: Registration,
    include: tuple[Selector, ...],
    exclude: tuple[Selector, ...],
    provider: str | None,
    membership: Membership | None,
) -> None:
    selection = Selection(include, exclude)
    if selected(selection, registration, None, None) is None:
        assert selected(selection, registration, provider, membership) is None


def _with(registration: Registration, name: str, value: str) -> Registration:
    return replace(registration, attributes={**registration.attributes, name: value})
