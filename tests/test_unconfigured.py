"""Where nobody configured flake8, what it would do is known without loading it."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from commands import FAULT, flake8_inside

from flake8_task_refs import unconfigured
from flake8_task_refs.flake8_config import load
from flake8_task_refs.unconfigured import Unconfigured, is_unconfigured

if TYPE_CHECKING:
    from pathlib import Path

FILES = ("a.py", "b.pyi", "c.txt", "d.egg/e.py", ".git/f.py", ".tox/g.py", "pkg/h.py", ".i.py")
LOADED = """
import sys
from flake8_task_refs import scan
found = [scanned for scanned in scan(jobs=1) if scanned.findings]
assert len(found) == 1, found
print("flake8.main.options" in sys.modules)
"""


@pytest.fixture(autouse=True)
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(FAULT)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("paths", [[], ["."], ["pkg", "c.txt"], ["-"], [".tox"]], ids=str)
@pytest.mark.parametrize("options", [[], ["--isolated"]], ids=str)
def test_flake8_says_the_same(options: list[str], paths: list[str]) -> None:
    assert is_unconfigured(options)
    told, known = load(options, paths), Unconfigured(paths)
    assert known.config == told.config
    assert list(known.find_files()) == list(told.find_files())
    for name in ("a.py", "pkg/h.py", "-"):
        assert known.codes(name) == told.codes(name) != ()


@pytest.mark.parametrize("name", ["setup.cfg", "tox.ini", ".flake8"])
@pytest.mark.parametrize("above", [False, True])
def test_a_configuration_file_is_left_to_flake8(
    name: str, above: bool, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tree / name).write_text("")
    if above:
        monkeypatch.chdir(tree / "pkg")
    assert not is_unconfigured([])
    assert is_unconfigured(["--isolated"])


@pytest.mark.parametrize("option", ["--select=TSK", "--config=x", "--jobs=1", "--disable-noqa"])
def test_options_are_left_to_flake8(option: str) -> None:
    assert not is_unconfigured([option])
    assert not is_unconfigured(["--isolated", option])


def test_flake8_pyproject_is_left_to_flake8(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unconfigured, "find_spec", lambda name: name == "flake8p" or None)
    assert not is_unconfigured([])


def test_flake8_is_loaded_only_if_it_is_asked(tree: Path) -> None:
    for name in FILES[1:]:
        (tree / name).unlink()

    def is_loaded() -> str:
        done = subprocess.run(
            [sys.executable, "-c", LOADED], capture_output=True, check=True, text=True
        )
        return done.stdout.strip()

    assert is_loaded() == "False"
    (tree / "tox.ini").write_text("[flake8]\n")
    assert is_loaded() == "True"


def test_the_real_flake8_finds_as_much(tree: Path) -> None:
    done = flake8_inside("--select=TSK", cwd=tree)
    names = {line.partition(b":")[0] for line in done.stdout.splitlines()}
    assert names == {f"{name}".encode() for name in next(Unconfigured([]).find_files())[0]}
