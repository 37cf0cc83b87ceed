from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.rules import parse_ranges

from bottlerocket_ecs_updater.core.model.reasons import Hold, Reason
from bottlerocket_ecs_updater.core.model.version import Version
from bottlerocket_ecs_updater.core.rules.versions import Downgrades, VersionRange, VersionRules, admit

NOW = datetime(2024, 10, 25, 12, tzinfo=UTC)
WEEK = timedelta(days=7)


def v(text: str) -> Version:
    return Version.parse(text)


def holds(text: str, version: str) -> bool:
    return VersionRange.parse(text).holds(v(version))


def asked(target: str, rules: VersionRules, running: str = "1.25.0", **seen: datetime) -> Hold | None:
    return admit(v(target), v(running), rules, {v(target): at for at in seen.values()}, NOW)


# Ranges


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        ("1.26.0", ["1.26.0", "1.26.0+abc"], ["1.26.1", "1.26.0-rc.1", "1.25.9"]),
        ("==1.26.0", ["1.26.0"], ["1.26.1"]),
        ("v1.26.0", ["1.26.0"], ["1.26.1"]),
        ("1.26.0+abc", ["1.26.0+abc"], ["1.26.0", "1.26.0+abd"]),
        ("1.26.0-rc.1", ["1.26.0-rc.1"], ["1.26.0", "1.26.0-rc.2"]),
        ("1.26.*", ["1.26.0", "1.26.7", "1.26.0-rc.1"], ["1.27.0", "1.25.9", "2.26.0"]),
        ("1.*", ["1.0.0", "1.99.3"], ["2.0.0", "0.9.0"]),
        (">=1.20,<1.26", ["1.20.0", "1.20.0-rc.1", "1.25.9"], ["1.26.0", "1.26.0-rc.1", "1.19.9"]),
        (">= 1.20 , < 1.26", ["1.20.0"], ["1.26.0"]),
        ("<1.26.0", ["1.25.9"], ["1.26.0", "1.26.0-rc.1"]),
        ("<=1.26", ["1.26.0", "1.26.5"], ["1.27.0"]),
        (">1.26", ["1.27.0"], ["1.26.0", "1.26.5"]),
        (">1.26.0", ["1.26.1"], ["1.26.0", "1.26.0+abc"]),
        (">=1.26.0-rc.2", ["1.26.0-rc.2", "1.26.0-rc.2+x", "1.26.0"], ["1.26.0-rc.1", "1.25.9"]),
        (">=1.20,!=1.26.0", ["1.25.0", "1.26.1"], ["1.26.0", "1.19.0"]),
        ("!=1.26.*", ["1.25.0", "1.27.0"], ["1.26.0", "1.26.3"]),
        ("<2", ["1.99.0"], ["2.0.0"]),
    ],
)
def test_a_range_takes_in_what_its_reader_expects(text: str, inside: list[str], outside: list[str]) -> None:
    assert [version for version in inside + outside if holds(text, version)] == inside


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "not a version or range of versions: ''"),
        (">=1.20,", "not a version or range"),
        ("latest", "not a version or range of versions: 'latest'"),
        ("1.26", "write 1.26.\\* or all three numbers"),
        ("!=1.26", "write 1.26.\\* or all three numbers"),
        ("1.26.0.*", "three numbers"),
        (">=1.26.*", "write >=1.26"),
        ("~1.26", "not a version or range"),
        ("=>1.26", "not a version or range"),
        ("1.026.0", "not a version or range"),
        ("1.26.0 1.27.0", "not a version or range"),
        ("*", "not a version or range"),
    ],
)
def test_an_invalid_range_is_refused_with_an_example(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        VersionRange.parse(text)


numbers = st.integers(0, 4)
pres = st.sampled_from(["", "", "alpha", "rc.1", "rc.2"])
versions = st.builds(Version, numbers, numbers, numbers, pres, st.sampled_from(["", "", "abc"]))
clauses = st.one_of(
    st.builds(lambda sign, version: f"{sign}{version}", st.sampled_from(["", "!=", ">=", "<=", ">", "<"]), versions),
    st.builds(lambda a, b: f"{a}.{b}.*", numbers, numbers),
    st.builds(lambda sign, a, b: f"{sign}{a}.{b}", st.sampled_from([">=", "<=", ">", "<"]), numbers, numbers),
    st.builds(lambda sign, a: f"{sign}{a}", st.sampled_from([">=", "<=", ">", "<"]), numbers),
)
ranges = st.lists(clauses, min_size=1, max_size=3).map(lambda parts: VersionRange.parse(",".join(parts)))


@given(ranges)
def test_a_version_range_reads_what_it_writes(text: VersionRange) -> None:
    assert VersionRange.parse(str(text)) == text


@given(clauses.filter(lambda text: text[0] in "<>"), versions)
def test_a_bound_and_its_opposite_divide_all_versions(text: str, version: Version) -> None:
    opposites = {">=": "<", "<": ">=", "<=": ">", ">": "<="}
    sign = text[:2] if text[1] == "=" else text[0]
    opposite = opposites[sign] + text.removeprefix(sign)
    assert VersionRange.parse(text).holds(version) != VersionRange.parse(opposite).holds(version)


@given(clauses.filter(lambda text: text.startswith(">")), versions, versions)
def test_a_newer_version_than_one_above_a_bound_is_above_it_too(text: str, one: Version, other: Version) -> None:
    older, newer = sorted((one, other))
    assert not VersionRange.parse(text).holds(older) or VersionRange.parse(text).holds(newer)


@given(numbers, numbers, versions)
def test_a_star_is_the_range_from_that_number_up_to_the_next(major: int, minor: int, version: Version) -> None:
    star = VersionRange.parse(f"{major}.{minor}.*")
    assert star.holds(version) == VersionRange.parse(f">={major}.{minor},<{major}.{minor + 1}").holds(version)


# Rules


def test_without_rules_every_version_is_admitted() -> None:
    assert asked("1.26.0", VersionRules()) is None
    assert asked("1.24.0", VersionRules()) is None


def test_a_version_that_turned_out_bad_is_denied_by_one_rule() -> None:
    held = asked("1.26.0", VersionRules(deny=parse_ranges("1.26.0")))
    assert str(held) == "the policy denies 1.26.0: 1.26.0"
    assert asked("1.26.1", VersionRules(deny=parse_ranges("1.26.0"))) is None


def test_a_denied_version_is_not_admitted_even_if_pinned_and_allowed() -> None:
    both = VersionRange.parse("1.26.0")
    held = asked("1.26.0", VersionRules(pin=both, allow=(both,), deny=(both,)))
    assert held is not None
    assert held.reason is Reason.VERSION_DENIED


def test_a_pin_holds_back_every_other_version() -> None:
    rules = VersionRules(pin=VersionRange.parse("1.25.*"))
    assert asked("1.25.1", rules) is None
    held = asked("1.26.0", rules)
    assert str(held) == "it is offered 1.26.0, but updates are pinned to 1.25.*"


def test_any_of_the_allowed_ranges_admits() -> None:
    rules = VersionRules(allow=parse_ranges("1.24.*; >=1.25.1,<1.26"))
    assert asked("1.25.1", rules) is None
    held = asked("1.26.0", rules)
    assert str(held) == "1.26.0 is not among the allowed versions: 1.24.* or >=1.25.1,<1.26"


def test_a_downgrade_is_followed_or_held_as_the_operator_says() -> None:
    assert asked("1.24.0", VersionRules(downgrades=Downgrades.FOLLOW)) is None
    held = asked("1.24.0", VersionRules(downgrades=Downgrades.HOLD))
    assert str(held) == "it is offered 1.24.0, which is older than 1.25.0, the version that it runs"


def test_production_takes_a_version_only_after_a_week() -> None:
    rules = VersionRules(minimum_age=WEEK)
    held = asked("1.26.0", rules, seen=NOW - WEEK + timedelta(minutes=1))
    assert str(held) == "1.26.0 was first seen 2024-10-18 12:01 UTC; it is held until it is 7d old"
    assert held is not None
    assert held.remedy == "wait until 2024-10-25 12:01 UTC, or lower --minimum-age"
    assert asked("1.26.0", rules, seen=NOW - WEEK) is None


def test_a_version_without_a_first_sighting_waits_for_its_age() -> None:
    held = asked("1.26.0", VersionRules(minimum_age=WEEK))
    assert held is not None
    assert held.reason is Reason.VERSION_NEW


rules_drawn = st.builds(
    VersionRules,
    st.none() | ranges,
    st.lists(ranges, max_size=2).map(tuple),
    st.lists(ranges, max_size=2).map(tuple),
    st.sampled_from([timedelta(), timedelta(hours=1), WEEK]),
    st.sampled_from(Downgrades),
)
sightings = st.dictionaries(versions, st.timedeltas(-WEEK, 2 * WEEK).map(lambda age: NOW - age))


@given(versions, versions, rules_drawn, sightings)
def test_an_admitted_version_satisfies_every_rule(
    target: Version, running: Version, rules: VersionRules, seen: dict[Version, datetime]
) -> None:
    if admit(target, running, rules, seen, NOW) is not None:
        return
    assert not any(rule.holds(target) for rule in rules.deny)
    assert rules.pin is None or rules.pin.holds(target)
    assert not rules.allow or any(rule.holds(target) for rule in rules.allow)
    assert target >= running or rules.downgrades is Downgrades.FOLLOW
    assert not rules.minimum_age or NOW - seen[target] >= rules.minimum_age


@given(versions, versions, rules_drawn, sightings)
def test_a_version_that_is_held_for_its_age_is_admitted_when_the_hold_says(
    target: Version, running: Version, rules: VersionRules, seen: dict[Version, datetime]
) -> None:
    held = admit(target, running, rules, seen, NOW)
    if held is None or held.reason is not Reason.VERSION_TOO_YOUNG:
        return
    until = seen[target] + rules.minimum_age if target in seen else None
    assert until is not None
    assert admit(target, running, rules, seen, until) is None
    assert admit(target, running, rules, seen, until - timedelta(seconds=1)) is not None


@given(versions, versions, rules_drawn, sightings)
def test_every_hold_can_be_read(
    target: Version, running: Version, rules: VersionRules, seen: dict[Version, datetime]
) -> None:
    held = admit(target, running, rules, seen, NOW)
    if held is not None:
        assert str(target) in str(held)
        assert held.remedy
