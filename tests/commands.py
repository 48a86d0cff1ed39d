"""The real programs, run as a user runs them."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from flake8.main.cli import main as flake8_main

from flake8_task_refs.fix.__main__ import main
from flake8_task_refs.map.__main__ import main as map_main

if TYPE_CHECKING:
    from collections.abc import Callable

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


def run_bound_by_modes(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[bytes]:
    """Run ``command`` as ``run`` does, bound by the modes and owners of files even for root."""
    if getattr(os, "geteuid", lambda: 1)() == 0:
        lesser = ("setpriv", "--inh-caps=-all", "--bounding-set=-all")
        if shutil.which("setpriv") is None or run(*lesser, "true", cwd=cwd).returncode:
            pytest.skip("root may do anything, and cannot give that up here")
        command = (*lesser, *command)
    return run(*command, cwd=cwd)


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


def fix_program(
    *arguments: str | Path, cwd: Path, stdin: bytes = b""
) -> subprocess.CompletedProcess[bytes]:
    """Run the fixer in ``cwd``, as a program of its own."""
    return run(sys.executable, "-m", "flake8_task_refs.fix", *arguments, cwd=cwd, stdin=stdin)


def fix(
    *arguments: str | Path, cwd: Path, stdin: bytes = b""
) -> subprocess.CompletedProcess[bytes]:
    """Run the fixer in ``cwd`` inside this process, which takes a tenth of the time."""
    return _inside(main, arguments, cwd, stdin)


def draw_map(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[bytes]:
    """Run the map in ``cwd`` inside this process."""
    return _inside(map_main, arguments, cwd)


def flake8_inside(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[bytes]:
    """Run flake8 in ``cwd`` inside this process and no other."""
    return _inside(flake8_main, ("--jobs=1", *arguments), cwd)


def _inside(
    program: Callable[[list[str]], int],
    arguments: tuple[str | Path, ...],
    cwd: Path,
    stdin: bytes = b"",
) -> subprocess.CompletedProcess[bytes]:
    here = Path.cwd()
    outer = sys.stdin, sys.stdout, sys.stderr
    streams = [io.TextIOWrapper(io.BytesIO(data), "utf-8") for data in (stdin, b"", b"")]
    sys.stdin, sys.stdout, sys.stderr = streams
    os.chdir(cwd)
    try:
        returncode = program([str(argument) for argument in arguments])
    except SystemExit as end:
        returncode = int(end.code or 0)
    finally:
        os.chdir(here)
        sys.stdin, sys.stdout, sys.stderr = outer
    written = []
    for stream in streams[1:]:
        stream.seek(0)
        written.append(stream.buffer.read())
    return subprocess.CompletedProcess([program.__name__, *arguments], returncode, *written)
