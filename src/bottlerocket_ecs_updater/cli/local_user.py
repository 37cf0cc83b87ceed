"""Who runs a command, as far as this machine knows."""

from __future__ import annotations

import getpass
import socket


def local_user() -> str:
    """The user and the machine: `ann on laptop-7`."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a user id without a name, as in most containers
        user = "somebody"
    return f"{user} on {socket.gethostname()}"
