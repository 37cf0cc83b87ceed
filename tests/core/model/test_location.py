"""Clusters with the same name are distinguished by account and Region."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bottlerocket_ecs_updater.core.model.location import Location, elsewhere, location_of, name_of

HERE = Location("111122223333", "eu-west-1", "web")
CLUSTER = "arn:aws:ecs:eu-west-1:111122223333:cluster/web"
LONG = "arn:aws:ecs:eu-west-1:111122223333:container-instance/web/0123abcd"
SHORT = "arn:aws:ecs:eu-west-1:111122223333:container-instance/0123abcd"


@pytest.mark.parametrize(
    ("arn", "place"),
    [
        (CLUSTER, HERE),
        (LONG, HERE),
        (SHORT, Location("111122223333", "eu-west-1", "")),
        ("arn:aws-cn:ecs:cn-north-1:1:task/web/0", Location("1", "cn-north-1", "web")),
        ("web", None),
        ("", None),
        ("arn:x", None),
        ("arn:aws:ec2:eu-west-1:111122223333:instance/i-1", None),
        ("arn:aws:ecs:::cluster/web", None),
    ],
)
def test_an_arn_says_where_it_is(arn: str, place: Location | None) -> None:
    assert location_of(arn) == place


@pytest.mark.parametrize("written", ["web", CLUSTER, "111122223333/eu-west-1/web"])
def test_the_name_is_the_last_part_in_every_form(written: str) -> None:
    assert name_of(written) == "web"


def test_a_place_as_text_is_different_for_each_account_region_and_name() -> None:
    others = [Location("2", "eu-west-1", "web"), Location("111122223333", "us-east-1", "web")]
    assert len({str(one) for one in (HERE, *others)}) == 3


@pytest.mark.parametrize(
    ("arn", "found"),
    [
        (LONG, False),
        (SHORT, False),
        ("arn:x", False),
        (LONG.replace("eu-west-1", "us-east-1"), True),
        (LONG.replace("111122223333", "999999999999"), True),
        (LONG.replace("/web/", "/api/"), True),
        (SHORT.replace("eu-west-1", "us-east-1"), True),
    ],
)
def test_another_location_differs_in_account_region_or_known_name(arn: str, *, found: bool) -> None:
    assert (elsewhere([LONG, arn], [HERE]) is not None) is found


def test_without_known_locations_nothing_is_elsewhere() -> None:
    assert elsewhere([LONG], []) is None


@given(st.text(max_size=60))
def test_any_text_has_a_place_or_none(text: str) -> None:
    assert location_of(text) is None or location_of(text)
