"""The rule for Fixit, run by the real Fixit."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from commands import FAULT, fix, run

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

SETTINGS = """\
[tool.fixit]
root = true
enable = ["flake8_task_refs.fix.fixit_rule"]
disable = ["fixit.rules"]
"""


def fixit(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[bytes]:
    (cwd / "pyproject.toml").write_text(SETTINGS)
    return run(sys.executable, "-m", "fixit", *arguments, cwd=cwd)


def test_it_reports_and_repairs_what_the_fixer_does(tmp_path: Path) -> None:
    source = f"{FAULT}\n\nasync def other() -> None:\n    asyncio.ensure_future(work())\n"
    path = tmp_path / "a.py"
    path.write_text(source)
    linted = fixit("lint", "a.py", cwd=tmp_path)
    lines = [line.partition(" task ")[0] for line in linted.stdout.decode().splitlines() if line]
    assert lines == ["a.py@5:4 TaskRefs: TSK001", "a.py@13:4 TaskRefs: TSK001"]
    fixit("fix", "--automatic", "a.py", cwd=tmp_path)
    repaired = path.read_text()
    path.write_text(source)
    fix("--isolated", "a.py", cwd=tmp_path)
    assert repaired == path.read_text() != source
    assert b"TSK" not in fixit("lint", "a.py", cwd=tmp_path).stdout


def test_its_own_examples_hold(tmp_path: Path) -> None:
    done = fixit("test", "flake8_task_refs.fix.fixit_rule", cwd=tmp_path)
    assert done.returncode == 0, done.stderr.decode()
    assert b"Ran 2 tests" in done.stdout + done.stderr
