"""One configuration: what the real flake8 passes over, map and fixer leave alone."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest
from commands import FAULT, draw_map, fix, flake8, flake8_inside

if TYPE_CHECKING:
    from pathlib import Path

LINE = FAULT.splitlines()[4]
TWO_LINES = FAULT.replace("(work())", "(\n        work()  # noqa\n    )")
UNUSED = FAULT.replace("    asyncio.c", "    t = asyncio.c")
STORED = FAULT.replace("    asyncio.c", "    handle.t = asyncio.c")


def noqa(comment: str) -> str:
    return FAULT.replace(LINE, f"{LINE}  {comment}")


FILES = {
    "a.py": FAULT,
    "unused.py": UNUSED,
    "stored.py": STORED,
    "pkg/b.py": FAULT,
    "pkg/unused.py": UNUSED,
    "pkg/sub/c.py": FAULT,
    "pkg/_gen/d.py": FAULT,
    "tests/e.py": FAULT,
    ".git/f.py": FAULT,
    ".tox/g.py": FAULT,
    "build/h.py": FAULT,
    "stub.pyi": FAULT,
    "notes.txt": FAULT,
    "script": FAULT,
    "line/all.py": noqa("# noqa"),
    "line/case.py": noqa("#NOQA"),
    "line/code.py": noqa("# noqa: TSK001"),
    "line/prefix.py": noqa("# noqa: TSK"),
    "line/lower.py": noqa("# noqa: tsk001"),
    "line/many.py": noqa("# noqa: E501, TSK001"),
    "line/spaces.py": noqa("# noqa : TSK001"),
    "line/other.py": noqa("# noqa: E501"),
    "line/wrong.py": noqa("# noqa: TSK002"),
    "line/typo.py": noqa("# noqa TSK002"),
    "line/peer.py": noqa("# noqa: RUF006"),
    "line/async300.py": noqa("# noqa: E501,ASYNC300"),
    "line/remark.py": noqa("# fine  # noqa: TSK001"),
    "line/below.py": TWO_LINES,
    "line/string.py": FAULT.replace("work())", 'work("""\n"""))  # noqa: TSK001'),
    "file/all.py": f"# flake8: noqa\n{FAULT}",
    "file/spaces.py": f"    # flake8:noqa\n{FAULT}",
    "file/equals.py": f"# flake8=noqa\n{FAULT}",
    "file/last.py": f"{FAULT}# flake8: NOQA\n",
    "file/code.py": f"# flake8: noqa: TSK001\n{FAULT}",
    "file/other.py": f"# flake8: noqa: E501\n{FAULT}",
    "file/beside.py": f"x = 1  # flake8: noqa\n{FAULT}",
    "file/said.py": f'"""# flake8: noqa"""\n{FAULT}',
    "file/text.py": f'"""\n# flake8: noqa\n"""\n{FAULT}',
    "clean.py": "import asyncio\n",
    "broken.py": f"{FAULT}x = (\n",
}
SETTINGS = {
    "nothing": "",
    "exclude a name": "exclude = pkg",
    "exclude replaces the default": "exclude = nothing",
    "exclude a path": "exclude = pkg/sub, ./tests",
    "exclude a glob": "exclude = */_gen/*, test*",
    "extend-exclude": "extend-exclude =\n    pkg/sub\n    build",
    "filename": "filename = *.pyi, script, ./pkg/*.py",
    "per-file-ignores": "per-file-ignores =\n    pkg/*: TSK001\n    unused.py: TSK002, E",
    "per-file-ignores with a glob": "per-file-ignores = */sub/*:TSK\n",
    "per-file-ignores and select": "select = TSK0\nper-file-ignores = a.py:TSK001",
    "select": "select = TSK002",
    "select another plugin": "select = E,F",
    "select a class": "select = TSK",
    "select an off code": "select = TSK304",
    "extend-select": "extend-select = TSK304",
    "extend-select beats ignore": "ignore = TSK\nextend-select = TSK001",
    "ignore": "ignore = TSK001",
    "ignore a class": "ignore = TSK0, E",
    "ignore another code": "ignore = E203",
    "extend-ignore": "extend-ignore = TSK002",
    "select beats ignore": "select = TSK001\nignore = TSK",
    "ignore beats select": "select = TSK\nignore = TSK001",
    "disable-noqa": "disable-noqa = true",
    "ours": "tsk-managed-spawners = asyncio.create_task",
}
OPTIONS = {
    "select": ["--select=TSK002"],
    "extend-select": ["--extend-select", "TSK304"],
    "ignore": ["--ignore=TSK001,E"],
    "extend-ignore": ["--extend-ignore", "TSK0"],
    "exclude": ["--exclude=pkg,line"],
    "extend-exclude": ["--extend-exclude", "pkg/*,file"],
    "filename": ["--filename=*.txt,unused.py"],
    "per-file-ignores": ["--per-file-ignores=a.py:TSK001,pkg/*:TSK"],
    "disable-noqa": ["--disable-noqa"],
    "isolated": ["--isolated"],
    "config": ["--config", "other.cfg"],
    "append-config": ["--append-config", "other.cfg"],
    "two appended": ["--append-config=other.cfg", "--append-config=third.cfg"],
    "config and append": ["--config=third.cfg", "--append-config=other.cfg"],
    "one process": ["--jobs=1"],
}
PATHS = {
    "directories": ["pkg", "tests/"],
    "files": ["a.py", "./pkg/b.py", "script", "notes.txt", "stub.pyi"],
    "excluded by default": [".git/f.py", ".tox", "build"],
    "above": ["pkg/../a.py", "./line"],
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def agreed(tree: Path, *arguments: str) -> list[str]:
    """Let flake8, the map and the fixer loose on ``tree``; return what all report."""
    done = flake8_inside(*arguments, cwd=tree)
    assert not done.stderr, done.stderr.decode()
    lint = sorted(line for line in done.stdout.decode().splitlines() if ": TSK" in line)
    listed = sorted(fix("--check", *arguments, cwd=tree).stdout.decode().splitlines())
    assert listed == lint
    drawn = json.loads(draw_map("--format=json", *arguments, cwd=tree).stdout)
    assert (
        sorted(
            f"{task['path']}:{found['line']}:{found['column']}: {found['code']} {found['message']}"
            for task in drawn["tasks"]
            for found in task["findings"]
        )
        == lint
    )
    repaired = fix(*arguments, cwd=tree)
    assert repaired.returncode in {0, 123}, repaired.stderr.decode()
    declined = set(
        re.findall(r"^(\S+?):\d+:\d+: TSK\d+ declined", repaired.stderr.decode(), re.MULTILINE)
    )
    reported = {line.partition(":")[0] for line in lint}
    touched = {name for name, text in FILES.items() if (tree / name).read_text() != text}
    normal = {(tree / name).resolve().relative_to(tree.resolve()).as_posix() for name in reported}
    kept = {(tree / name).resolve().relative_to(tree.resolve()).as_posix() for name in declined}
    assert touched == normal - kept
    return lint


@pytest.mark.parametrize("setting", SETTINGS.values(), ids=SETTINGS)
def test_settings(tree: Path, setting: str) -> None:
    (tree / ".flake8").write_text(f"[flake8]\n{setting}\n")
    agreed(tree)


@pytest.mark.parametrize("name", ["setup.cfg", "tox.ini", ".flake8"])
def test_each_file_counts(tree: Path, name: str) -> None:
    (tree / name).write_text("[flake8]\nselect = TSK002\nexclude = pkg\n")
    expected = "./unused.py:5:9: TSK002"
    done = flake8(cwd=tree)
    assert [line.partition(b" task")[0] for line in done.stdout.splitlines()] == [expected.encode()]
    assert [line.partition(" task")[0] for line in agreed(tree)] == [expected]


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_options(tree: Path, options: list[str]) -> None:
    (tree / "setup.cfg").write_text("[flake8]\nextend-exclude = tests\nextend-ignore = TSK001\n")
    (tree / "other.cfg").write_text("[flake8]\nextend-exclude = pkg/sub\nselect = TSK0\n")
    (tree / "third.cfg").write_text("[flake8]\nper-file-ignores = a.py:TSK\n")
    agreed(tree, *options)


@pytest.mark.parametrize("paths", PATHS.values(), ids=PATHS)
def test_paths(tree: Path, paths: list[str]) -> None:
    (tree / "tox.ini").write_text("[flake8]\nper-file-ignores = pkg/*:TSK002\n")
    agreed(tree, *paths)


def test_from_a_directory_below(tree: Path) -> None:
    """flake8 looks for its configuration in the directories above, too."""
    (tree / "setup.cfg").write_text("[flake8]\nexclude = pkg/b.py\n")
    lint = flake8("--select=TSK", cwd=tree / "pkg").stdout
    assert fix("--select=TSK", "--check", cwd=tree / "pkg").stdout == lint
    assert b"b.py" not in lint
    assert b"c.py" in lint


def test_the_comparisons_see_differences(tree: Path) -> None:
    """They would say nothing if every setting came to the same."""
    seen = set()
    for setting in SETTINGS.values():
        (tree / ".flake8").write_text(f"[flake8]\n{setting}\n")
        seen.add(fix("--check", cwd=tree).stdout)
    assert len(seen) > 14
