"""The errors that the simulated AWS returns."""

from __future__ import annotations


class AwsError(Exception):
    """An error of the real API. HTTP and in-process clients each return it in their own form.

    `code` is the error code as botocore shows it, `status` the HTTP status.
    """

    def __init__(self, code: str, message: str = "", status: int = 400) -> None:
        super().__init__(f"{code}: {message}" if message else code)
        self.code = code
        self.message = message
        self.status = status

    @property
    def fault(self) -> bool:
        """Whether it is a server fault, so that a client may retry."""
        return self.status >= 500
