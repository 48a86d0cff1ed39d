"""Programs print the same before and after their repair."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from transform import fix

PROGRAMS = sorted((Path(__file__).parents[2] / "fixtures" / "behaviour").glob("*.py"))


def _said(program: Path) -> set[str]:
    """Return the lines that ``program`` prints; how often, is a matter of time."""
    done = subprocess.run(
        [sys.executable, program], capture_output=True, text=True, timeout=60, check=False
    )
    return {*done.stdout.splitlines(), f"status {done.returncode}"}


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda path: path.stem)
def test_a_repair_changes_nothing_else(program: Path, tmp_path: Path) -> None:
    result = fix(program.read_text("utf-8"))
    assert result.fixed
    repaired = tmp_path / program.name
    repaired.write_text(result.text, "utf-8")
    said = _said(program)
    assert "status 0" in said
    assert _said(repaired) == said
