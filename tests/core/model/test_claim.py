from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.builders import BOOT, NEW, NOW, OLD, RUN, a_claim
from tests.core.strategies import PURE, versions

from bottlerocket_ecs_updater.core.model.claim import VALUE_MAX_CHARACTERS, Claim, ClaimPhase
from bottlerocket_ecs_updater.core.model.ids import BootId, RunId, boot_id
from bottlerocket_ecs_updater.core.model.version import Version

ECS_ALLOWS = re.compile(r"[A-Za-z0-9\-_.@/\\: ]{1,128}")
"""The characters that the ECS API reference allows in an attribute's value."""

claims = st.builds(
    Claim,
    phase=st.sampled_from(ClaimPhase),
    run=st.from_regex(r"[A-Za-z0-9-]{1,40}", fullmatch=True).map(RunId),
    source=versions,
    target=versions,
    boot=st.from_regex(r"[0-9a-f]{32}", fullmatch=True).map(BootId),
    since=st.datetimes(datetime(2020, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)).map(  # noqa: DTZ001
        lambda when: when.replace(microsecond=0)
    ),
    reboots=st.integers(0, 9),
    store=st.sampled_from(("", "a1b2c3")),
)


def encoded(claim: Claim) -> str | None:
    """A claim's text; None if it cannot be written."""
    try:
        return claim.encode()
    except ValueError:
        return None


@PURE
@given(claims)
def test_a_claim_that_can_be_written_survives_being_written_and_read(claim: Claim) -> None:
    text = encoded(claim)
    assert text is None or Claim.decode(text) == claim


@PURE
@given(claims)
def test_a_claim_that_can_be_written_is_what_ecs_allows(claim: Claim) -> None:
    text = encoded(claim)
    assert text is None or ECS_ALLOWS.fullmatch(text)


def test_the_sign_before_a_build_is_written_as_a_character_that_ecs_allows() -> None:
    claim = a_claim(target=Version(1, 21, 0, build="a1b2c3"))
    assert " 1.21.0_a1b2c3 " in claim.encode()
    assert Claim.decode(claim.encode()) == claim


def test_a_claim_reads_in_the_console() -> None:
    claim = Claim(ClaimPhase.REBOOTING, RUN, OLD, NEW, BOOT, NOW, 1)
    assert claim.encode() == "1 rebooting this-run 1.20.0 1.21.0 0123456789abcdef0123456789abcdef 1772445600 1"


@pytest.mark.parametrize("phase", ClaimPhase)
def test_two_long_versions_and_a_uuid_fit_in_every_phase(phase: ClaimPhase) -> None:
    run = RunId("01234567-89ab-cdef-0123-456789abcdef")
    claim = Claim(phase, run, Version(10, 100, 100), Version(10, 101, 100), BOOT, NOW, 9)
    assert len(claim.encode()) <= VALUE_MAX_CHARACTERS


@pytest.mark.parametrize(
    "claim",
    [
        a_claim(target=Version(1, 21, 0, pre="a" * 40), source=Version(1, 20, 0, pre="b" * 40)),
        a_claim(run=RunId("run" * 40)),
        a_claim(run=RunId("a+b")),
        a_claim(run=RunId("ärger")),
    ],
    ids=["long releases", "a long run", "a sign in the run", "a letter that is not ASCII"],
)
def test_a_claim_that_ecs_would_refuse_is_refused_before_it_is_sent(claim: Claim) -> None:
    with pytest.raises(ValueError, match="cannot hold this claim"):
        claim.encode()


@pytest.mark.parametrize("run", ["", "a b"])
def test_a_run_that_would_shift_the_fields_is_refused(run: str) -> None:
    with pytest.raises(ValueError, match="cannot hold this claim"):
        a_claim(run=RunId(run)).encode()


def test_a_time_in_another_zone_is_the_same_time() -> None:
    elsewhere = timezone(timedelta(hours=9))
    assert a_claim(since=NOW.astimezone(elsewhere)).encode() == a_claim(since=NOW).encode()


GOOD = a_claim().encode()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "by hand",
        GOOD + " more",
        "2" + GOOD[1:],
        GOOD.replace("draining", "DRAINING"),
        GOOD.replace("1.20.0", "latest"),
        GOOD.replace("1.20.0", "v1.20.0"),
        GOOD[:-1] + "-1",
        GOOD[:-1] + "1e3",
        GOOD[:-1] + "+1",
        GOOD.replace(" 17", " 1_7"),
        re.sub(r" 17\d+ ", " 99999999999999999999 ", GOOD),
        re.sub(r" 17\d+ ", " now ", GOOD),
        GOOD.replace(BOOT, BOOT.upper()),
        GOOD.replace(BOOT, "no-boot-id"),
    ],
)
def test_text_that_encode_would_not_write_is_not_a_claim(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Claim.decode(text)


@PURE
@given(st.text(max_size=200))
def test_any_text_is_a_claim_or_a_value_error(text: str) -> None:
    try:
        claim = Claim.decode(text)
    except ValueError:
        return
    assert claim.encode() == text


def test_entering_a_phase_notes_when_to_the_second() -> None:
    later = NOW + timedelta(seconds=7, microseconds=5)
    expected = replace(a_claim(), phase=ClaimPhase.REBOOTING, since=NOW + timedelta(seconds=7), reboots=1)
    assert a_claim().enter(ClaimPhase.REBOOTING, later, reboots=1) == expected


def test_entering_a_phase_keeps_the_count_of_reboots() -> None:
    claim = a_claim(ClaimPhase.REBOOTING, reboots=2)
    assert claim.enter(ClaimPhase.QUARANTINED, NOW).reboots == 2


def test_a_boot_id_is_compared_in_one_form() -> None:
    assert boot_id("01234567-89AB-cdef-0123-456789abcdef\n") == BOOT
