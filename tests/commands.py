"""The real programs, run as a user runs them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent

# The smallest fault: one finding, TSK001 at line 5, column 5.
FAULT = """\
import asyncio


async def handle() -> None:
    asyncio.create_task(work())


async def work() -> None:
    await asyncio.sleep(1)
"""


def run(*command: str | Path, cwd: Path, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Run ``command`` in ``cwd`` to its end and return what it wrote, as bytes."""
    return subprocess.run(command, cwd=cwd, input=stdin, capture_output=True, check=False)


def flake8(
    *arguments: str | Path, cwd: Path, stdin: bytes = b""
) -> subprocess.CompletedProcess[bytes]:
    """Run flake8 in ``cwd``."""
    return run(sys.executable, "-m", "flake8", *arguments, cwd=cwd, stdin=stdin)


def reported(*arguments: str | Path, cwd: Path, stdin: bytes = b"") -> list[str]:
    """Return the lines that flake8 prints about our codes, without the message."""
    done = flake8(*arguments, cwd=cwd, stdin=stdin)
    assert not done.stderr, done.stderr.decode()
    lines = done.stdout.decode().splitlines()
    return [" ".join(line.split(" ")[:2]) for line in lines if ": TSK" in line]


def fix(
    *arguments: str | Path, cwd: Path, stdin: bytes = b""
) -> subprocess.CompletedProcess[bytes]:
    """Run the fixer in ``cwd``."""
    return run(sys.executable, "-m", "flake8_task_refs.fix", *arguments, cwd=cwd, stdin=stdin)
