"""The environment as it was given, before tests forget the machine's own AWS configuration.

Only tests that ask another endpoint on purpose may read it.
"""

from __future__ import annotations

import os

GIVEN = dict(os.environ)
