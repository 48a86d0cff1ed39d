"""The table: what it looks like in a terminal and in a pipe."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands import ROOT
from hostile import FILE, NAMES, SOURCE

from flake8_task_refs.files import decode
from flake8_task_refs.map.inventory import MappedFile, TaskMap, map_text, task_map
from flake8_task_refs.map.table import render
from flake8_task_refs.options import Settings


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch) -> TaskMap:
    monkeypatch.chdir(ROOT / "fixtures" / "map")
    return task_map(["shop/app.py", "shop/stock.py"], ["--isolated"])


LOOKS = {"pipe": None, "wide": 120, "narrow": 60}


@pytest.mark.parametrize(("name", "width"), LOOKS.items(), ids=list(LOOKS))
def test_it_looks_as_it_was_seen(shop: TaskMap, name: str, width: int | None) -> None:
    seen = Path(__file__).with_name("tables") / f"{name}.txt"
    assert render(shop, width) == seen.read_text("utf-8")


@pytest.fixture(scope="module")
def apps() -> TaskMap:
    return task_map([str(ROOT / "fixtures" / "apps")], ["--isolated"])


@pytest.mark.parametrize("width", [30, 40, 60, 80, 100, 132, 200])
def test_no_line_is_wider_than_the_terminal(apps: TaskMap, width: int) -> None:
    names = {file.name for file in apps.files}
    lines = [line for line in render(apps, width).splitlines() if line not in names]
    assert max(map(len, lines)) <= max(width, 37)


def test_what_user_code_says_cannot_speak_to_the_terminal() -> None:
    file = map_text(Settings(), f"{FILE}\x1b[2J", decode(SOURCE.encode()), ("TSK001",))
    assert len(file.tasks) == len(NAMES)
    text = render(TaskMap((file,)))
    assert all(char.isprintable() or char == "\n" for char in text)
    assert len(text.splitlines()) == len(NAMES) + 2


def test_findings_without_a_task_are_told(tmp_path: Path) -> None:
    path = tmp_path / "callbacks.py"
    path.write_text(
        "import asyncio\n\n\ndef watch(task):\n    task.add_done_callback(lambda: None)\n"
    )
    (file,) = task_map([str(path)], ["--isolated"]).files
    assert [finding.code for finding in file.other_findings] == ["TSK102"]
    assert "\n5:5  TSK102 done-callback" in render(TaskMap((file,)))


def test_nothing_is_said_of_files_without_tasks() -> None:
    assert render(TaskMap(())) == render(TaskMap((MappedFile("a.py"),))) == ""
