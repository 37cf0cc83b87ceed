"""Records a real run in a terminal as an SVG: `python site/record.py`, which writes docs/images/terminal.svg.

The program runs `simulate` in its own terminal. The picture shows the last lines that it printed.
"""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "docs" / "images" / "terminal.svg"
COLUMNS, ROWS = 110, 60
COMMAND = ["simulate", "--instances", "8", "--seed", "3", "--speed", "120"]
# Cursor movements with which the live display overwrites itself.
UP = re.compile(r"\x1b\[(\d*)A")
MOVES = re.compile(r"\x1b\[\d*(?:;\d*)*[BCDEFGHJKSTf]|\x1b\[\?\d+[hl]|\x1b[78=>]")


def recorded() -> str:
    """Everything that a run printed to its terminal."""
    here, there = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": str(COLUMNS), "LINES": "40"}
    process = subprocess.Popen(
        [sys.executable, "-m", "bottlerocket_ecs_updater", *COMMAND],
        env=environment,
        stdin=there,
        stdout=there,
        stderr=there,
        close_fds=True,
    )
    os.close(there)
    parts = []
    while True:
        try:
            part = os.read(here, 65536)
        except OSError:
            break
        if not part:
            break
        parts.append(part)
    process.wait()
    return b"".join(parts).decode("utf-8", "replace")


def on_screen(text: str) -> list[str]:
    """The lines that stay on screen, without overwritten lines."""
    lines = [""]
    row = 0
    for piece in re.split(r"(\r\n|\n|\r|\x1b\[\d*A|\x1b\[\d*K|\x1b\[\d*J)", text):
        if piece in ("\r\n", "\n"):
            row += 1
            if row == len(lines):
                lines.append("")
        elif piece == "\r":
            lines[row] = ""
        elif UP.fullmatch(piece):
            row = max(0, row - int(UP.fullmatch(piece)[1] or 1))  # type: ignore[index]
        elif piece.endswith("J") and piece.startswith("\x1b["):
            del lines[row + 1 :]
            lines[row] = ""
        elif piece.endswith("K") and piece.startswith("\x1b["):
            continue
        else:
            lines[row] += MOVES.sub("", piece)
    return lines


def main() -> None:
    """Record, and draw."""
    lines = [line for line in on_screen(recorded()) if line.strip()]
    ends = [place for place, line in enumerate(lines) if "calls by operation" in line]
    lines = lines[: ends[0] if ends else None]
    console = Console(record=True, width=COLUMNS, file=open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
    console.print(Text("$ bottlerocket-ecs-updater " + " ".join(COMMAND), style="bold"))
    shown = lines[-ROWS:]
    # Start with a whole entry, not in the middle of one.
    first = next(place for place, line in enumerate(shown) if not MOVES.sub("", line).startswith(" "))
    for line in shown[first:]:
        console.print(Text.from_ansi(line), no_wrap=True, overflow="crop")
    svg = console.export_svg(title="An update run over a simulated cluster")
    # The site loads nothing from other sites.
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)
    TARGET.write_text(svg, encoding="utf-8")
    sys.stdout.write(f"{TARGET}\n")


if __name__ == "__main__":
    main()
