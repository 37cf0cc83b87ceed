"""The exit code of each way in which a command can end."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bottlerocket_ecs_updater.cli.app import Exit, conclude
from bottlerocket_ecs_updater.errors import (
    Denied,
    LeaseLost,
    NotFound,
    StillHeld,
    Throttled,
    Unreachable,
    UpdaterError,
    UsageError,
)


def _raising(error: BaseException) -> Callable[[], int]:
    def command() -> int:
        raise error

    return command


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError("no such setting"), Exit.USAGE),
        (Denied("ecs:ListTasks is denied"), Exit.COULD_NOT_RUN),
        (NotFound("there is no such cluster"), Exit.COULD_NOT_RUN),
        (Unreachable("no answer"), Exit.COULD_NOT_RUN),
        (Throttled("too many calls"), Exit.COULD_NOT_RUN),
        (LeaseLost("another run acts"), Exit.COULD_NOT_RUN),
        (StillHeld("another run held the lease"), Exit.COULD_NOT_RUN),
    ],
)
def test_an_error_becomes_one_line_and_an_exit_code(
    error: UpdaterError, code: Exit, capsys: pytest.CaptureFixture[str]
) -> None:
    assert conclude(_raising(error), verbose=False) is code
    assert capsys.readouterr().err == f"bottlerocket-ecs-updater: {error.message}\n"


def test_a_message_of_several_lines_is_printed_on_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    conclude(_raising(Unreachable("no\nanswer")), verbose=False)
    assert capsys.readouterr().err == "bottlerocket-ecs-updater: no answer\n"


@pytest.mark.parametrize("code", Exit)
def test_the_exit_code_of_a_command_is_that_of_the_process(code: Exit) -> None:
    assert conclude(lambda: code, verbose=False) is code


def test_a_command_that_gives_nothing_went_well() -> None:
    assert conclude(lambda: None, verbose=False) is Exit.FINE


def test_an_interrupt_is_no_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert conclude(_raising(KeyboardInterrupt()), verbose=False) is Exit.COULD_NOT_RUN
    assert capsys.readouterr().err == ""


def test_a_fault_of_the_program_passes_with_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError):
        conclude(_raising(ZeroDivisionError()), verbose=False)
