"""The errors that the simulated AWS answers with."""

from __future__ import annotations


class AwsError(Exception):
    """An operation refused or failed as the real API does it; each door hands it on in its own form.

    `code` is the error code as botocore shows it, `status` the HTTP status.
    """

    def __init__(self, code: str, message: str = "", status: int = 400) -> None:
        super().__init__(f"{code}: {message}" if message else code)
        self.code = code
        self.message = message
        self.status = status

    @property
    def fault(self) -> bool:
        """Whether the fault is the server's, so that a client may try the same call again."""
        return self.status >= 500
