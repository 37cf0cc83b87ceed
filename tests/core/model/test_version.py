from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.strategies import PURE, versions

from bottlerocket_ecs_updater.core.model.version import Version


def test_a_version_is_read_with_or_without_its_v() -> None:
    assert Version.parse("v1.20.5") == Version.parse("1.20.5") == Version(1, 20, 5)


def test_spaces_around_a_version_do_not_matter() -> None:
    assert Version.parse(" 1.20.5\n") == Version(1, 20, 5)


@pytest.mark.parametrize(
    "text", ["", "1.20", "1.20.5.1", "latest", "01.2.3", "1.2.3 4", "1.-2.3", "1.2.3-", "9" * 5000]
)
def test_text_that_is_not_a_semantic_version_is_rejected(text: str) -> None:
    with pytest.raises(ValueError, match="not a version"):
        Version.parse(text)


def test_a_refused_text_is_quoted_in_part_only() -> None:
    with pytest.raises(ValueError, match="not a version") as refusal:
        Version.parse("x" * 5000)
    assert len(str(refusal.value)) < 100


def test_numbers_are_compared_as_numbers() -> None:
    assert Version.parse("1.9.0") < Version.parse("1.10.0")


def test_pre_releases_are_ordered_as_semantic_versioning_orders_them() -> None:
    # The example of Semantic Versioning 2.0.0, clause 11.
    texts = ["-alpha", "-alpha.1", "-alpha.beta", "-beta", "-beta.2", "-beta.11", "-rc.1", ""]
    ordered = [Version.parse(f"1.0.0{text}") for text in texts]
    shuffled = ordered[4:] + ordered[:4]
    assert sorted(shuffled) == ordered


def test_build_metadata_makes_another_version() -> None:
    assert Version.parse("1.2.3+a1b2c3") != Version.parse("1.2.3")


def test_a_version_is_not_compared_with_anything_else() -> None:
    with pytest.raises(TypeError):
        _ = Version(1, 2, 3) < object()


@PURE
@given(versions)
def test_a_version_survives_being_written_and_read(version: Version) -> None:
    assert Version.parse(str(version)) == version


@PURE
@given(versions, versions)
def test_exactly_one_of_less_equal_and_greater_holds(one: Version, other: Version) -> None:
    assert [one < other, one == other, one > other].count(True) == 1


@PURE
@given(st.text(max_size=40))
def test_any_text_is_a_version_or_a_value_error(text: str) -> None:
    try:
        Version.parse(text)
    except ValueError:
        return
