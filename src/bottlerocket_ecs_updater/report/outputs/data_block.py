"""JSON inside a page, so that one object in the store is both: people open the page, programs read the data.

Browsers do not show what is in a template.
"""

from __future__ import annotations

import json

from bottlerocket_ecs_updater.engine.store.read_json import Unreadable

_OPEN, _CLOSE = '<template id="data">', "</template>"


def with_data(page: str, value: object) -> bytes:
    """The page with the value in it."""
    head, end, tail = page.rpartition("</body>")
    # No "<" in the data, so that it cannot end the block.
    text = json.dumps(value, separators=(",", ":")).replace("<", "\\u003c")
    return f"{head}{_OPEN}{text}{_CLOSE}\n{end}{tail}".encode()


def data_in(page: bytes) -> bytes:
    """The data of a page, as JSON. Raises Unreadable if it has none."""
    _, found, rest = page.rpartition(_OPEN.encode())
    if not found:
        raise Unreadable("the page has no data")
    return rest.partition(_CLOSE.encode())[0]
