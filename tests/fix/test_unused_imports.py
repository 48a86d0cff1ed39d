"""An import that a repair leaves without a use goes, unless somebody may still mean it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from commands import fix as run_fixer
from transform import fix

from flake8_task_refs.fix.engine import FixSettings, fix_source
from flake8_task_refs.fix.other_files import is_taken

if TYPE_CHECKING:
    from pathlib import Path

USE = """\


def start(loop, worker):
    loop.call_soon_threadsafe(create_task, worker.run())
"""
# What the repair itself imports.
ADDED = """\
import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar
"""


def unused(text: str) -> str:
    """Return what pyflakes says of unused imports."""
    command = [sys.executable, "-m", "pyflakes"]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    return "".join(line for line in done.stdout.splitlines(True) if "imported but unused" in line)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("from asyncio import create_task\n", ADDED),
        ("from asyncio import create_task, sleep\n\nsleep\n", "from asyncio import sleep\n"),
        ("from asyncio import Event, create_task\n\nEvent\n", "from asyncio import Event\n"),
        ("from asyncio import Event, create_task  # both\n\nEvent\n", "import Event  # both\n"),
        (
            "from asyncio import (\n    Event,\n    create_task,\n    sleep,\n)\n\nEvent, sleep\n",
            "from asyncio import (\n    Event,\n    sleep,\n)\n",
        ),
        (
            "from asyncio import (\n    Event,  # kept\n    create_task,\n)\n\nEvent\n",
            "from asyncio import (\n    Event,  # kept\n)\n",
        ),
        (
            "from asyncio import create_task, \\\n    sleep\n\nsleep\n",
            "from asyncio import sleep\n",
        ),
        ("from asyncio.tasks import sleep as s, create_task\n\ns\n", "import sleep as s\n"),
    ],
)
def test_a_name_without_a_use_leaves_its_import(before: str, after: str) -> None:
    text = fix(before + USE).text
    assert after in text
    assert "create_task" not in text.replace("asyncio.create_task", "")
    assert not unused(text)


@pytest.mark.parametrize(
    "other",
    [
        "import builtins\n\nbuiltins.eval(input())\n",
        "from importlib import import_module\n\ngetattr(import_module(__name__), input())\n",
        '__all__ = ["start", *("create_" + name for name in ["task"])]\n',
        '__all__ = ["start"]\n__all__ += ["create_" + "task"]\n',
    ],
)
def test_an_import_stays_where_names_are_looked_up(other: str) -> None:
    text = fix(f"from asyncio import create_task\n{other}{USE}").text
    assert "_spawn" in text
    assert "from asyncio import create_task\n" in text


def test_a_module_without_a_use_is_not_imported() -> None:
    source = """\
import asyncio
import os, asyncio as aio
from asyncio import create_task, sleep


class Service:
    def __init__(self):
        self.tasks = set()
        self.home = os.getcwd()

    def _spawn(self, coroutine):
        task = create_task(coroutine)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def start(self):
        asyncio.create_task(self.work(1))
        aio.create_task(self.work(2))

    async def work(self, number):
        await sleep(0)
        seen.append(number)


seen = []
"""
    text = fix(source).text
    assert text.startswith("import os\nfrom asyncio import create_task, sleep\n\n\nclass")
    assert not unused(text)
    space: dict[str, Any] = {}
    exec(text, space)  # noqa: S102

    async def run() -> None:
        await space["Service"]().start()
        await asyncio.sleep(0.01)

    asyncio.run(run())
    assert space["seen"] == [1, 2]


def test_an_import_of_a_function_goes_as_well() -> None:
    source = """\
def start(loop, worker):
    from asyncio import create_task

    loop.call_soon_threadsafe(create_task, worker.run())
"""
    text = fix(source).text
    assert text.endswith(
        "def start(loop, worker):\n    loop.call_soon_threadsafe(_spawn, worker.run())\n"
    )


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('"""Doc."""\n\n{}\nimport house\n', f'"""Doc."""\n\n{ADDED}\nimport house\n'),
        ("#!/usr/bin/python\n{}\nimport house\n", f"#!/usr/bin/python\n{ADDED}\nimport house\n"),
        ("{}\nimport house\n", f"{ADDED}\nimport house\n"),
        ("import house\n\n{}", f"import house\n\n{ADDED}"),
    ],
)
def test_blank_lines_stay_as_the_formatter_wants_them(before: str, after: str) -> None:
    text = fix(before.format("from asyncio import create_task\n") + USE).text
    assert text.startswith(f"{after}\n_T = ")


@pytest.mark.parametrize(
    "head",
    [
        "from asyncio import create_task  # noqa\n",
        "from asyncio import (  # noqa: F401\n    create_task,\n    sleep,\n)\n\nsleep\n",
        "from asyncio import create_task  # for the workers\n",
        "import os\n\n# The workers need it.\nfrom asyncio import create_task\n\nos\n",
        "from asyncio import (\n    create_task,  # makes tasks\n    sleep,\n)\n\nsleep\n",
        "from asyncio import (\n    sleep,\n    create_task,  # makes tasks\n)\n\nsleep\n",
        "from asyncio import (\n    # Makes tasks.\n    create_task,\n    sleep,\n)\n\nsleep\n",
        "from asyncio import create_task as create_task\n",
        "from asyncio import create_task\n\n__all__ = ['create_task', 'start']\n",
        "try:\n    from asyncio import create_task\nexcept ImportError:\n    create_task = None\n",
        "if True:\n    from asyncio import create_task\n",
        "import os; from asyncio import create_task\n\nos\n",
        "from asyncio import create_task\n\nNAMES = globals()\n",
        "from asyncio import create_task\n\nimport sys\n\nOWN = sys.modules[__name__]\n",
        "from asyncio import create_task\n\nother = create_task\n",
        "from asyncio import create_task\n\n\ndef f(x: 'type[create_task]'): ...\n",
        "from asyncio import create_task\n\nx = None  # type: create_task\n",
        "from asyncio import create_task\n\n\ndef f():\n    '''>>> create_task\n    '''\n",
        "from asyncio import create_task\n\n\ndef f():\n    from asyncio import create_task\n",
    ],
)
def test_an_import_that_somebody_may_mean_stays(head: str) -> None:
    text = fix(head + USE).text
    assert "call_soon_threadsafe(_spawn" in text
    imports = [line for line in head.splitlines() if "create_task" in line]
    assert [line for line in text.splitlines() if line in imports][: len(imports)] == imports


def test_words_in_prose_are_no_use() -> None:
    source = f'"""Hands create_task over."""\n\nfrom asyncio import create_task\n{USE}\n\n'
    source += 'print("create_task was handed over")\n'
    assert not unused(fix(source).text)


def test_what_was_unused_before_stays() -> None:
    head = "from asyncio import create_task, ensure_future\nimport os\n"
    text = fix(head + USE).text
    assert "from asyncio import ensure_future\n" in text
    assert "import os\n" in text


@pytest.mark.parametrize("newline", ["\r\n", "\r"])
def test_other_line_ends_stay(newline: str) -> None:
    source = (
        f"import os\nfrom asyncio import (\n    create_task,\n    sleep,\n)\n\nos, sleep\n{USE}"
    )
    text = fix(source.replace("\n", newline)).text
    assert text == fix(source).text.replace("\n", newline)
    assert "(\n    sleep,\n)\n" in fix(source).text


def test_a_package_keeps_what_others_may_import_from_it(tmp_path: Path) -> None:
    source = f"from asyncio import create_task\n{USE}"
    for name in ("__init__.py", "jobs.py"):
        (tmp_path / name).write_text(source)
        run_fixer("--isolated", name, cwd=tmp_path)
    assert "import create_task" in (tmp_path / "__init__.py").read_text()
    assert "import create_task" not in (tmp_path / "jobs.py").read_text()
    assert "import create_task" in fix_source(source, FixSettings(keep_imports=True)).text


@pytest.mark.parametrize(
    ("test", "stays"),
    [
        ("@patch('app.jobs.create_task')\ndef test_start(_): ...\n", True),
        ("def test_start(mocker):\n    mocker.patch('app.jobs.create_task')\n", True),
        ("from app import jobs\n\nmonkeypatch.setattr(jobs, 'create_task', None)\n", True),
        ("MODULE = 'app.jobs'\npatch(f'{MODULE}.create_task')\n", True),
        ("import app.jobs as tested\n\npatch.object(tested, 'create_task')\n", True),
        ("from app.jobs import (\n    start,\n    create_task,\n)\n", True),
        ("from .jobs import start, create_task\n", True),
        ("from .jobs import start, \\\n    create_task\n", True),
        ("from app.jobs import (\n    start,  # (a)\n    create_task,\n)\n", True),
        (f"from app.jobs import (\n    start,  {'# ' * 1000}\n)\n# create_task\n", False),
        ("from app.jobs import *\n\ncreate_task(start())\n", True),
        ("import app.jobs as tested\n\ntested.create_task\n", True),
        ("patch.multiple('app.jobs', create_task=None)\n", True),
        ("MODULE = 'app.jobs'\npatch('%s.create_task' % MODULE)\n", True),
        ("import asyncio\nfrom app.jobs import start\n\nasyncio.create_task(start())\n", False),
        ("from asyncio import create_task\nfrom app.jobs import start\n", False),
        ("patch('app.other.create_task')\n", False),
        ("patch('app.jobs.start')\n", False),
    ],
)
def test_what_another_file_takes_from_the_module_stays(
    tmp_path: Path, test: str, stays: bool
) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "tests" / "unit").mkdir(parents=True)
    (tmp_path / "setup.py").touch()
    (tmp_path / "app" / "jobs.py").write_text(f"from asyncio import create_task\n{USE}")
    (tmp_path / "tests" / "unit" / "test_jobs.py").write_text(test)
    run_fixer("--isolated", "app/jobs.py", cwd=tmp_path)
    text = (tmp_path / "app" / "jobs.py").read_text()
    assert "_spawn, worker.run()" in text
    assert ("import create_task" in text) is stays


def test_where_no_project_begins_its_own_directory_is_looked_at(tmp_path: Path) -> None:
    (tmp_path / "test_jobs.py").write_text("patch('jobs.create_task')\n")
    assert is_taken(str(tmp_path / "jobs.py"), "create_task")
    assert not is_taken(str(tmp_path / "jobs.py"), "ensure_future")
    assert not is_taken(str(tmp_path / "test_jobs.py"), "create_task")


def test_an_import_goes_from_each_function() -> None:
    source = """\
def start(loop, worker):
    from asyncio import create_task

    loop.call_soon_threadsafe(create_task, worker.run())


def start_again(loop, worker):
    from asyncio import create_task

    loop.call_soon_threadsafe(create_task, worker.run())


async def keep(worker):
    from asyncio import create_task

    await create_task(worker.run())
"""
    text = fix(source).text
    assert not unused(text)
    assert text.count("import create_task") == 1
    assert text.endswith(source.partition("async def")[2])


@pytest.mark.parametrize(
    "body",
    [
        "    from asyncio import create_task\n    {}\n\ndef g():\n    {}\n",
        "    if loop:\n        from asyncio import create_task\n    {}\n",
        "    {}\n    print(create_task)\n",
        "    {}\n    def h():\n        return create_task\n",
    ],
)
def test_an_import_of_several_that_may_be_meant_stays(body: str) -> None:
    start = "loop.call_soon_threadsafe(create_task, worker.run())"
    source = "def f(loop, worker):\n    from asyncio import create_task\n" + body.replace(
        "{}", start
    )
    if "def g" in body:
        source = source.replace("    from asyncio import create_task\n", "", 1)
        source = f"from asyncio import create_task\n\n\n{source}"
    text = fix(source).text
    assert "_spawn" in text
    assert text.count("import create_task") == source.count("import create_task")
