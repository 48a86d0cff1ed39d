"""One walk over the directories finds the files that flake8's own function finds."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from flake8.discover_files import expand_paths
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flake8_task_refs.discovery import find_files
from flake8_task_refs.flake8_config import load

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

FILES = (
    "a.py",
    "b.pyi",
    "c.txt",
    ".hidden.py",
    "[x].py",
    "pkg/a.py",
    "pkg/sub/a.py",
    "pkg/sub/test_a.py",
    "pkg/__pycache__/a.py",
    "pkg.egg/a.py",
    "tests/a.py",
    "tests/pkg/deep/er/a.py",
    "tests/dir.py/a.py",
    ".git/hooks/a.py",
    "sp ace/ä.py",
)
PATHS = (
    ".",
    "./",
    "pkg",
    "./pkg/",
    "pkg/../tests",
    "a.py",
    "c.txt",
    "./a.py",
    "pkg/sub/a.py",
    "missing.py",
    "linked",
    "linked.py",
    ".git",
    "-",
)
PATTERNS = (
    "*.py",
    "*.pyi",
    "a*",
    "test_*",
    "pkg",
    "sub",
    "./pkg/sub",
    "*/sub/*",
    "tests/*",
    "./a.py",
    "[[]x].py",
    "*",
    ".*",
    "dir.py",
    "stdin",
    "linked",
)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tree")
    for name in FILES:
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    if os.name == "posix":
        (root / "linked").symlink_to("tests/pkg")
        (root / "linked.py").symlink_to("pkg/sub/a.py")
        (root / "pkg" / "up").symlink_to("..")
        (root / "pkg" / "broken.py").symlink_to("nowhere.py")
        (root / "pkg" / "loop.py").symlink_to("loop.py")
        (root / "pkg" / "dir_as.py").symlink_to("sub")
    return root


def by_flake8(config: argparse.Namespace) -> list[str]:
    """Return what flake8's own function finds, sorted, each file once."""
    found = expand_paths(
        paths=config.filenames,
        stdin_display_name=config.stdin_display_name,
        filename_patterns=config.filename,
        exclude=(*config.exclude, *config.extend_exclude),
    )
    targets: dict[str, str] = {}
    for name in sorted(found):
        targets.setdefault(name if name == "-" else os.path.realpath(name), name)
    return list(targets.values())


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    paths=st.lists(st.sampled_from(PATHS), max_size=3),
    exclude=st.none() | st.lists(st.sampled_from(PATTERNS), max_size=2),
    extend=st.lists(st.sampled_from(PATTERNS), max_size=1),
    filename=st.none() | st.lists(st.sampled_from(PATTERNS), max_size=2),
    stdin_name=st.sampled_from(["stdin", "pkg/a.py", "x.py"]),
    absolute=st.booleans(),
)
def test_the_same_files_as_flake8(  # noqa: PLR0917 (one argument an option)
    tree: Path,
    paths: list[str],
    exclude: list[str] | None,
    extend: list[str],
    filename: list[str] | None,
    stdin_name: str,
    absolute: bool,
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tree)
        if absolute:
            paths = [path if path == "-" else os.path.abspath(path) for path in paths]  # noqa: PTH100
        options = ["--isolated", f"--stdin-display-name={stdin_name}"]
        if exclude is not None:
            options.append(f"--exclude={','.join(exclude)}")
        options.append(f"--extend-exclude={','.join(extend)}")
        if filename is not None:
            options.append(f"--filename={','.join(filename)}")
        loaded = load(options, paths)
        expected = by_flake8(loaded.options)
        for many in (1000, 3):
            patch.setattr("flake8_task_refs.discovery.MANY", many)
            *_, (names, _) = loaded.find_files()
            assert names == expected


def test_a_path_that_is_missing_is_there_as_it_was_named(tmp_path: Path) -> None:
    (tmp_path / "a.py").touch()
    missing = str(tmp_path / "gone")
    found = find_files(
        [str(tmp_path), missing], stdin_display_name="stdin", filename_patterns=["*.py"], exclude=()
    )
    assert list(found) == [([str(tmp_path / "a.py"), missing], True)]


@pytest.mark.parametrize(
    ("error", "found"),
    [(PermissionError, ["a.py", "lib"]), (FileNotFoundError, ["a.py"])],
    ids=["it cannot be read", "it has just gone"],
)
def test_a_directory_that_cannot_be_read_is_there_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[OSError], found: list[str]
) -> None:
    (tmp_path / "a.py").touch()
    (tmp_path / "lib").mkdir()
    scandir = os.scandir

    def fails(path: str) -> object:
        if path.endswith("lib"):
            raise error(path)
        return scandir(path)

    monkeypatch.setattr("os.scandir", fails)
    [(names, _)] = find_files(
        [str(tmp_path)], stdin_display_name="stdin", filename_patterns=["*.py"], exclude=()
    )
    assert names == [str(tmp_path / name) for name in found]


def test_the_first_of_many_files_are_there_before_all_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flake8_task_refs.discovery.MANY", 3)
    for number in range(5):
        (tmp_path / f"a{number}.py").touch()
    paths = [str(tmp_path / "a0.py"), str(tmp_path)]  # one of them twice
    (first, are_all), (found, are_all_now) = find_files(
        paths, stdin_display_name="stdin", filename_patterns=["*.py"], exclude=()
    )
    assert (are_all, are_all_now) == (False, True)
    assert found == [str(tmp_path / f"a{number}.py") for number in range(5)]
    assert set(first) < set(found)
