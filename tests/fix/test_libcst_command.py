"""The fixer under libcst's own tool."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from flake8_task_refs.fix.engine import fix_source

if TYPE_CHECKING:
    from pathlib import Path

COMMAND = "flake8_task_refs.fix.libcst_command.FixTasks"
FAULT = (
    "import asyncio\r\n\r\n\r\nasync def start():  # \u00e9\r\n"
    "    asyncio.create_task(work())\r\n\r\n\r\nasync def work():\r\n    pass\r\n"
)
HOPELESS = (
    "import asyncio\n\nfrom fastapi import FastAPI\n\napp = FastAPI()\n\n\n"
    '@app.get("/")\ndef index():\n    asyncio.create_task(work())\n'
)


def run(*names: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    tool = [sys.executable, "-m", "libcst.tool", "codemod", "-x", "--no-format", "-j1"]
    return subprocess.run(
        [*tool, COMMAND, *names], cwd=cwd, capture_output=True, text=True, check=True, timeout=60
    )


def test_the_tool_repairs_as_the_fixer_does(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_bytes(FAULT.encode())
    (tmp_path / "b.py").write_bytes(b"x = 1\r\n")
    run("a.py", "b.py", cwd=tmp_path)
    repaired = fix_source(FAULT).text
    assert repaired != FAULT
    assert (tmp_path / "a.py").read_bytes() == repaired.encode()
    assert (tmp_path / "b.py").read_bytes() == b"x = 1\r\n"


def test_the_tool_warns_of_what_is_declined(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(HOPELESS)
    done = run("a.py", cwd=tmp_path)
    assert "10:5: TSK001 declined: this handler is a plain def" in done.stdout + done.stderr
    assert (tmp_path / "a.py").read_text() == HOPELESS
