"""The original environment, before tests remove the machine's own AWS configuration.

Only tests that call another endpoint on purpose may read it.
"""

from __future__ import annotations

import os

GIVEN = dict(os.environ)
