"""Flags, environment and file are merged and validated once; invalid settings are rejected with a reason."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import FrozenInstanceError
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from tests.cli.settings_bench import COMPLETE, DOCUMENTS, PREFIX, refusal, settings

from bottlerocket_ecs_updater.cli.app import build_app
from bottlerocket_ecs_updater.cli.settings.parameters import Folder, StoreBucket
from bottlerocket_ecs_updater.cli.settings.parsing import arguments_of, parse, with_command
from bottlerocket_ecs_updater.cli.settings.settings import RunSettings, load
from bottlerocket_ecs_updater.core.model.time_text import duration_text
from bottlerocket_ecs_updater.core.rules.policy import Limit, Policy
from bottlerocket_ecs_updater.errors import UsageError

ARN = "arn:aws-cn:ecs:cn-north-1:123456789012:cluster/web"
sources = st.none() | st.integers(60, 599).map(lambda seconds: timedelta(seconds=seconds))


def _file(folder: Path, text: str) -> str:
    path = folder / "updater.toml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_settings_that_are_not_given_have_the_policys_defaults() -> None:
    assert settings().policy == Policy()


@given(flag=sources, variable=sources, key=sources)
def test_a_flag_wins_over_a_variable_over_a_file_over_the_default(
    tmp_path_factory: pytest.TempPathFactory,
    flag: timedelta | None,
    variable: timedelta | None,
    key: timedelta | None,
) -> None:
    line = f'settle = "{duration_text(key)}"' if key else ""
    config = _file(tmp_path_factory.mktemp("precedence"), line)
    tokens = ["--settle", duration_text(flag)] if flag else []
    variables = {"SETTLE": duration_text(variable)} if variable else {}
    expected = flag or variable or key or Policy().settle
    assert settings("--config", config, *tokens, **variables).limits.settle == expected


def test_the_last_value_of_a_repeated_flag_counts() -> None:
    assert settings("--settle", "10s", "--settle=20s").limits.settle == timedelta(seconds=20)


def test_the_command_line_of_the_go_updater_is_accepted() -> None:
    documents = ["-check-document", "look", "-apply-document=stage", "-reboot-document", "boot"]
    found = load(["-cluster", "web", "-region=eu-west-1", *documents], {})
    assert (found.target.cluster, found.target.region, found.documents.apply_document) == ("web", "eu-west-1", "stage")


@pytest.mark.parametrize("first", ["-cluster", "--cluster", "-region=eu-west-1", "--check-document=a"])
def test_a_command_line_that_starts_with_a_flag_of_the_go_updater_is_a_run(first: str) -> None:
    assert with_command([first, "web"]) == ["run", first, "web"]


@pytest.mark.parametrize(
    "line", [[], ["--help"], ["--version"], ["plan", "-cluster", "web"], ["-clusters"], ["cluster"]]
)
def test_every_other_command_line_is_left_as_it_is(line: list[str]) -> None:
    assert with_command(line) == line


def test_every_setting_can_come_from_the_environment_alone() -> None:
    names = ("CLUSTER", "CHECK_DOCUMENT", "APPLY_DOCUMENT", "REBOOT_DOCUMENT")
    found = load([], {f"BOTTLEROCKET_ECS_UPDATER_{name}": "some-name" for name in names})
    assert found.documents.reboot_document == "some-name"


def test_an_empty_variable_is_one_that_is_not_set() -> None:
    assert settings(REGION="").target.region is None


def test_a_wait_for_the_lease_needs_a_store_that_keeps_it() -> None:
    assert "lease-wait needs a state store: give --state" in refusal("--lease-wait", "12h")
    waits = settings("--lease-wait", "12h", "--state", "s3://bucket/updater").limits.lease_wait
    assert waits == timedelta(hours=12)


def test_an_empty_state_store_is_refused_since_it_keeps_the_lease_and_the_pause() -> None:
    assert f"{PREFIX}STATE in the environment is empty" in refusal(STATE="")


@pytest.mark.parametrize("prefix", ["..", "a/../b", "a//b", "./x"])
def test_a_prefix_that_tools_would_rewrite_is_refused(prefix: str) -> None:
    assert "empty, . or .." in refusal("--state", f"s3://bucket/{prefix}")


@pytest.mark.parametrize("text", ["\u0661m", "\uff11m"])
def test_digits_are_those_of_ascii(text: str) -> None:
    assert "that is not a duration" in refusal("--drain-timeout", text)


GUARDS = {
    "window": "daily 22:00 6h UTC",
    "freeze": "2026-12-20 UTC",
    "pin": "1.26.*",
    "allow": "1.26.*",
    "deny": "1.26.0",
    "include": "i-0123456789abcdef0",
    "exclude": "i-0123456789abcdef0",
    "checkpoints": "1",
    "max-per-day": "3",
    "minimum-age": "7d",
    "task": "batch hold",
    "alarm": "checkout",
    "probe": "https://example.com",
    "max-unavailable-per-zone": "1",
    "deadline": "4h",
    "before-drain-document": "drained",
    "after-reboot-document": "smoke",
}
"""Settings that hold updates, each with a value. Without a value, nothing is held."""


@pytest.mark.parametrize("guard", GUARDS)
def test_a_guard_without_a_value_is_refused_wherever_it_comes_from(guard: str, tmp_path: Path) -> None:
    """As in `--window "$WINDOW"` if the shell variable is not set."""
    state = ("--state", "s3://bucket/updater")
    settings(f"--{guard}", GUARDS[guard], *state)
    variable = guard.upper().replace("-", "_")
    for said in (
        refusal(f"--{guard}", "", *state),
        refusal(f"--{guard}", " ", *state),
        refusal(*state, **{variable: ""}),
        refusal(*state, "--config", _file(tmp_path, f'{guard} = ""')),
    ):
        assert guard in said or variable in said


@pytest.mark.parametrize("guard", ["window", "freeze", "allow", "deny", "include", "exclude", "task", "alarm", "probe"])
def test_one_empty_value_among_several_is_refused(guard: str, tmp_path: Path) -> None:
    value = GUARDS[guard]
    for said in (
        refusal(f"--{guard}", f"{value};"),
        refusal(f"--{guard}", value, f"--{guard}", ""),
        refusal("--config", _file(tmp_path, f'{guard} = ["{value}", ""]')),
    ):
        assert "empty" in said


@pytest.mark.parametrize("name", ["CONFIG", "CONFIG_TEXT"])
def test_a_settings_file_that_is_named_by_an_empty_variable_is_refused(name: str) -> None:
    assert f"{PREFIX}{name} in the environment is empty" in refusal(**{name: ""})


def test_the_file_is_named_by_a_variable_too(tmp_path: Path) -> None:
    config = _file(tmp_path, "max-unavailable = 3\nquiet = true\n")
    found = settings(CONFIG=config)
    assert (found.limits.max_unavailable, found.output.quiet) == (Limit(number=3), True)


def test_a_key_of_the_file_may_be_written_with_underscores(tmp_path: Path) -> None:
    assert settings("--config", _file(tmp_path, "max_failures = 5")).limits.max_failures == 5


@pytest.mark.parametrize(
    ("text", "limit"), [("3", Limit(number=3)), ("10%", Limit(percent=10)), ("100%", Limit(percent=100))]
)
def test_a_budget_is_a_number_or_a_percentage(text: str, limit: Limit) -> None:
    found = settings("--max-unavailable", text, "--max-unavailable-per-zone", text)
    assert found.policy.max_unavailable == found.policy.max_unavailable_per_zone == limit


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("s3://bucket/some/prefix", StoreBucket("bucket", "some/prefix/")),
        ("s3://bucket/prefix/", StoreBucket("bucket", "prefix/")),
        ("s3://bucket", StoreBucket("bucket", "")),
        ("./state", Folder(Path("state"))),
        ("/var/state", Folder(Path("/var/state"))),
        ("~/state", Folder(Path.home() / "state")),
    ],
)
def test_the_state_is_in_a_bucket_or_in_a_folder(text: str, place: StoreBucket | Folder) -> None:
    assert settings("--state", text).target.state == place


def test_a_limit_of_a_reboot_that_no_slow_reboot_could_keep_is_refused_with_the_reason() -> None:
    assert settings("--reboot-timeout", "7m30s").limits.reboot_timeout == timedelta(seconds=450)
    said = refusal("--reboot-timeout", "7m29s")
    assert "that is too short: a command can be delivered minutes later, and the host may then delay" in said
    assert "from 7m30s to 30d, such as 25m or 1h30m" in said


@pytest.mark.parametrize("text", ["bucket/prefix", "state", "s3//bucket", ".state"])
def test_a_bucket_without_its_scheme_is_no_folder(text: str) -> None:
    with pytest.raises(UsageError, match="s3://BUCKET/PREFIX"):
        settings("--state", text)


def test_the_region_comes_from_the_clusters_arn() -> None:
    assert load(["--cluster", ARN, *DOCUMENTS], {}).target.region_named == "cn-north-1"


def test_without_a_region_the_standard_aws_configuration_is_left_to_say() -> None:
    assert settings().target.region_named is None


@pytest.mark.parametrize(
    ("flags", "level"), [((), "info"), (("-q",), "warning"), (("-v",), "debug"), (("--log-level", "error"), "error")]
)
def test_quiet_and_verbose_are_levels_of_the_log(flags: tuple[str, ...], level: str) -> None:
    assert settings(*flags).output.level == level


def test_settings_cannot_be_changed_once_they_are_loaded() -> None:
    with pytest.raises(FrozenInstanceError):
        settings().limits.settle = timedelta()  # type: ignore[misc]


def test_all_missing_settings_are_named_at_once() -> None:
    with pytest.raises(UsageError, match="check-document, apply-document, reboot-document are required"):
        load(["--cluster", "web"], {})


def test_an_unknown_flag_is_rejected_with_the_nearest_known_one() -> None:
    assert refusal("--drain-timout", "5m") == "unknown flag --drain-timout; did you mean --drain-timeout?"


def test_a_typo_in_a_required_flag_is_reported_instead_of_a_missing_one() -> None:
    with pytest.raises(UsageError, match=r"unknown flag --clustr; did you mean --cluster\?"):
        load(["--clustr", "web", *DOCUMENTS], {})


def test_an_unknown_variable_is_refused_with_the_nearest_known_one() -> None:
    assert "did you mean BOTTLEROCKET_ECS_UPDATER_MAX_UNAVAILABLE?" in refusal(MAX_UNAVAILBLE="3")


def test_an_unknown_key_is_refused_with_the_nearest_known_one(tmp_path: Path) -> None:
    config = _file(tmp_path, 'setle = "5s"')
    assert refusal("--config", config) == f"unknown setting setle in {config}; did you mean settle?"


def test_a_word_that_belongs_to_no_flag_is_rejected() -> None:
    assert "web-2" in refusal("web-2")


def test_a_flag_without_a_value_is_refused() -> None:
    assert refusal("--settle") == "--settle needs a value"


def test_a_refused_value_is_named_with_its_flag_and_what_is_allowed() -> None:
    assert refusal("--drain-timeout", "30") == (
        "drain-timeout cannot be '30' (from --drain-timeout): a number needs a unit, as in 30s; it must be a duration "
        "from 1ms to 30d, such as 300ms, 30s, 25m or 1h30m"
    )


def test_a_refused_value_is_named_with_its_variable() -> None:
    assert "(from BOTTLEROCKET_ECS_UPDATER_MAX_UNAVAILABLE in the environment)" in refusal(MAX_UNAVAILABLE="0")


def test_a_refused_value_is_named_with_its_file(tmp_path: Path) -> None:
    config = _file(tmp_path, 'max-failures = "many"')
    assert f"max-failures cannot be 'many' (from max-failures in {config})" in refusal("--config", config)


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("--cluster", "two words"),
        ("--cluster", "arn:aws:ec2:us-east-1:123456789012:cluster/web"),
        ("--region", "Frankfurt"),
        ("--check-document", "a"),
        ("--state", "s3://B"),
        ("--state", "http://example.com"),
        ("--max-unavailable", "0"),
        ("--max-unavailable", "101%"),
        ("--max-unavailable", "-1"),
        ("--max-failures", "0"),
        ("--max-failures", "two"),
        ("--settle", "31d"),
        ("--poll-interval", "6m"),
        ("--time-scale", "0"),
        ("--time-scale", "nan"),
        ("--time-scale", "fast"),
        ("--log-format", "xml"),
    ],
)
def test_a_value_that_is_not_allowed_is_refused_with_the_allowed_ones(flag: str, value: str) -> None:
    message = refusal(f"{flag}={value}")
    assert message.startswith(f"{flag.lstrip('-')} cannot be {value!r} (from {flag}): ")
    assert "; it must be " in message


def test_a_long_value_is_cut_where_it_is_shown() -> None:
    assert len(refusal("--region", "x" * 5000)) < 300


@pytest.mark.parametrize("text", ["settle = ", "settle = 'a\nb'", "\ufeff\0"])
def test_a_file_that_is_not_toml_is_refused_by_name(tmp_path: Path, text: str) -> None:
    assert refusal("--config", _file(tmp_path, text)).startswith(f"config file {tmp_path / 'updater.toml'}: ")


@pytest.mark.parametrize("text", ["[settle]\nx = 1", "settle = 2026-01-01", "settle = ['1s', '2s']"])
def test_a_key_with_a_value_of_another_shape_is_refused(tmp_path: Path, text: str) -> None:
    assert "settle" in refusal("--config", _file(tmp_path, text))


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    assert "No such file" in refusal("--config", str(tmp_path / "none.toml"))


def test_a_region_that_contradicts_the_clusters_arn_is_refused() -> None:
    with pytest.raises(UsageError, match="the cluster is in cn-north-1, but region is us-east-1"):
        load(["--cluster", ARN, "--region", "us-east-1", *DOCUMENTS], {})


def test_settings_that_contradict_each_other_are_refused_with_where_each_came_from() -> None:
    assert refusal("--settle", "20m") == (
        "settle-timeout (10m) must not be shorter than settle (20m); "
        "settle-timeout is its default, settle is from --settle"
    )


def test_a_lease_that_a_rival_would_not_wait_for_is_refused() -> None:
    assert "15m" in refusal(LEASE="15m1s")
    assert settings(LEASE="15m").limits.lease == timedelta(minutes=15)


def test_a_lease_shorter_than_two_looks_is_refused() -> None:
    assert "lease (30s) must not be shorter than twice poll-interval (20s)" in refusal(LEASE="30s", POLL_INTERVAL="20s")


def test_looks_closer_than_a_second_are_refused_with_the_reason() -> None:
    assert refusal("--poll-interval", "200ms") == (
        "poll-interval (200ms) must not be shorter than 1s: a shorter interval makes more calls than "
        "AWS allows; only a simulator allows it, with --time-scale; poll-interval is from --poll-interval"
    )
    assert settings(POLL_INTERVAL="1s").policy.poll_interval == timedelta(seconds=1)


def test_a_simulator_at_speed_may_be_looked_at_more_closely() -> None:
    assert settings(POLL_INTERVAL="200ms", TIME_SCALE="60").policy.poll_interval == timedelta(milliseconds=200)


def test_quiet_and_verbose_exclude_each_other() -> None:
    assert refusal("--quiet", "--verbose").startswith("quiet and verbose cannot be used together")


@given(st.lists(st.text(max_size=12), max_size=4))
def test_any_words_are_understood_or_refused_in_one_way(words: list[str]) -> None:
    assume(not {"--help", "-h", "--version"} & set(words))
    with suppress(UsageError):
        load([*COMPLETE, *words], {})


def test_no_setting_shares_a_name_with_another() -> None:
    names = [name for argument in arguments_of(RunSettings) if not argument.children for name in argument.names]
    assert len(names) == len(set(names))


def test_a_setting_in_two_spellings_is_refused(tmp_path: Path) -> None:
    file = _file(tmp_path, 'drain_timeout = "40m"\ndrain-timeout = "20m"\n')
    assert f"drain-timeout is set twice in config file {file}" in refusal("--config", file)
    section = _file(tmp_path, '[cluster."*"]\ndrain_timeout = "40m"\ndrain-timeout = "20m"\n')
    assert "drain-timeout is set twice in [cluster" in refusal("--config", section)


@pytest.mark.parametrize("text", ['config = "other.toml"', '[cluster."*"]\nconfig = "other.toml"'])
def test_a_settings_file_cannot_name_another_one(text: str, tmp_path: Path) -> None:
    assert "config" in refusal("--config", _file(tmp_path, text))


def test_a_file_may_start_with_a_byte_order_mark(tmp_path: Path) -> None:
    assert settings("--config", _file(tmp_path, '\ufeffdrain-timeout = "40m"')).limits.drain_timeout.seconds == 2400


def test_a_file_that_is_not_utf_8_is_reported_as_that(tmp_path: Path) -> None:
    file = tmp_path / "latin.toml"
    file.write_bytes(b'window = "t\xe4glich"')
    assert refusal("--config", str(file)) == f"config file {file}: it is not UTF-8 text, at byte 11"


def test_a_file_without_a_name_is_refused() -> None:
    assert (
        refusal("--config", "") == "config cannot be '' (from --config): that is empty; it must be the path of a file"
    )


@pytest.mark.parametrize("name", ["FORMAT", "LAST", "WHY", "WATCH", "YES", "SPEED"])
def test_a_variable_for_another_command_is_ignored(name: str) -> None:
    parse(build_app({f"{PREFIX}{name}": "3"}), ["run", *COMPLETE])
