"""The hooks, run by the real pre-commit from a clone of this repository."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from commands import FAULT, ROOT, run

if TYPE_CHECKING:
    from pathlib import Path

# What pip says when there is no package index to install from.
NO_INDEX = ("Could not find a version", "No matching distribution", "Connection", "Name or service")


def test_pre_commit_accepts_the_manifest() -> None:
    command = [sys.executable, "-m", "pre_commit", "validate-manifest", ".pre-commit-hooks.yaml"]
    done = run(*command, cwd=ROOT)
    assert done.returncode == 0, done.stdout.decode()


def _git(*arguments: str | Path, cwd: Path) -> None:
    done = run("git", *arguments, cwd=cwd)
    if done.returncode:
        pytest.skip(f"git {arguments[0]}: {done.stderr.decode().strip()[-200:]}")


@pytest.mark.slow
def test_hooks_find_then_repair_then_pass(tmp_path: Path) -> None:
    clone, project = tmp_path / "clone", tmp_path / "project"
    _git("clone", "-q", ROOT, clone, cwd=tmp_path)
    project.mkdir()
    _git("init", "-q", ".", cwd=project)
    fault = project / "fault.py"
    fault.write_text(FAULT)
    (project / "notes.txt").write_text(FAULT)
    _git("add", ".", cwd=project)
    environment = {**os.environ, "PRE_COMMIT_HOME": str(tmp_path / "home")}

    def hooks() -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "-m", "pre_commit", "try-repo", clone, "--all-files", "--color=never"],
            cwd=project,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            check=False,
        )
        if any(sign in done.stdout for sign in NO_INDEX):
            pytest.skip(f"no package index: {done.stdout.strip()[-200:]}")
        return done.returncode, done.stdout

    status, output = hooks()
    assert status == 1, output
    assert "fault.py:5:5: TSK001 task running 'work()' is not referenced" in output
    assert "fault.py: fixed 1 TSK001" in output
    assert "files were modified by this hook" in output
    repaired = fault.read_text()
    assert repaired != FAULT
    assert (project / "notes.txt").read_text() == FAULT

    status, output = hooks()
    assert status == 0, output
    assert output.count("Passed") == 2
    assert fault.read_text() == repaired
