"""What is written follows the project: its quotes, its imports, its oldest Python."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from transform import fix

from flake8_task_refs.fix.project import (
    ImportStyle,
    import_style_for,
    oldest_python_for,
    quote_for,
)

if TYPE_CHECKING:
    from pathlib import Path

APP = """\
import asyncio

from fastapi import FastAPI

{strings}

app = FastAPI()


@app.on_event({event})
async def start():
    asyncio.create_task(poll())


async def poll():
    while True:
        await asyncio.sleep(1)
"""


@pytest.mark.parametrize(
    ("strings", "settings", "event", "quote"),
    [
        ("A = 'a'", {}, "'startup'", "'"),
        ("A = f'a{1}'", {}, "'startup'", "'"),
        ('A = f\'{"a" + "b" + "c"}\'', {"quote": '"'}, "'startup'", "'"),
        ('A = "a", "b"', {"quote": "'"}, "'startup'", '"'),
        ('"""It is a docstring."""', {}, "'startup'", "'"),
        ('"""It is a docstring."""', {}, '"startup"', '"'),
    ],
)
def test_the_quotes_are_those_of_the_file(
    strings: str, settings: dict[str, Any], event: str, quote: str
) -> None:
    text = fix(APP.format(strings=strings, event=event), **settings).text
    for written in (
        f"on_event({quote}shutdown{quote})",
        f"logger.error({quote}Background task %r failed{quote},",
        f"{quote}Background task %r ignored cancellation{quote}",
        f"name={quote}poll{quote}",
    ):
        assert written in text.replace("logger.error(\n            ", "logger.error(")


def test_a_file_without_strings_has_the_projects_quotes() -> None:
    source = "import asyncio\n\n\ndef f(loop, g):\n    loop.call_soon(lambda: create(g()))\n"
    source = source.replace("create", "asyncio.create_task")
    assert "TypeVar('_T')" in fix(source, quote="'").text
    assert 'TypeVar("_T")' in fix(source).text


HEADS = {
    "asyncio alone": "import asyncio\n",
    "plain ones": "import asyncio\nimport sys\n\nimport libcst\n\nprint(sys, libcst)\n",
    "both kinds": "import asyncio\n{0}from abc import ABC\n\nprint(ABC)\n",
    "typing": "import asyncio\n{0}from typing import Any\n\nprint(Any)\n",
    "only from": "from abc import ABC\n\nprint(ABC)\n",
    "none": "import libcst\n\nprint(libcst)\n",
}
BODY = """

def start(loop, get):
    loop.call_soon(loop.create_task, get.work())
    loop.call_later(1, lambda: loop.create_task(get.work()))


loop = __import__("asyncio").new_event_loop()
start(loop, asyncio)
"""
STYLES = [
    ImportStyle(),
    ImportStyle(lines_after=2),
    ImportStyle(lines_between_types=1),
    ImportStyle(single_line=True),
    ImportStyle(lines_after=2, lines_between_types=1, single_line=True),
]


@pytest.mark.parametrize("style", STYLES, ids=str)
def test_isort_is_content_with_the_imports(style: ImportStyle, tmp_path: Path) -> None:
    settings = [f"lint.isort.lines-between-types={style.lines_between_types}"]
    settings.append(f"lint.isort.force-single-line={str(style.single_line).lower()}")
    if style.lines_after is not None:
        settings.append(f"lint.isort.lines-after-imports={style.lines_after}")
    command = [sys.executable, "-m", "ruff", "check", "--isolated", "--select", "I,F401,F811"]
    command += [option for setting in settings for option in ("--config", setting)]
    for number, head in enumerate(HEADS.values()):
        text = head.format("\n" * style.lines_between_types) + BODY
        (tmp_path / f"before_{number}.py").write_text(text)
    sort = [*command, "--select", "I", "--ignore", "F", "--fix", "--quiet"]
    subprocess.run([*sort, str(tmp_path)], check=True)
    for path in sorted(tmp_path.iterdir()):
        after = fix(path.read_text(), imports=style)
        assert after.fixed
        path.write_text(after.text)
    done = subprocess.run([*command, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_file_shows_better_how_it_writes_imports() -> None:
    head = "import asyncio\n\nfrom abc import ABC\nfrom abc import abstractmethod\n"
    told = ImportStyle(lines_between_types=3)
    text = fix(head + "\n\nif ABC:\n    print(abstractmethod)\n" + BODY, imports=told).text
    imports = "from collections.abc import Coroutine\nfrom typing import Any\n"
    assert text.startswith(f"{head}{imports}from typing import TypeVar\n\n\n_T = ")


OLD = """\
import asyncio
{future}

def start(loop, get):
    loop.call_soon(asyncio.create_task, get.work())
    asyncio.create_task(get.work())
    print(loop)
"""


@pytest.mark.parametrize("python", [(3, 7), (3, 8)])
def test_an_old_python_evaluates_no_subscripts(python: tuple[int, int]) -> None:
    text = fix(OLD.format(future=""), python=python).text
    assert '_background_tasks: "set[asyncio.Task[object]]" = set()' in text
    assert 'def _track(task: "asyncio.Task[_T]") -> "asyncio.Task[_T]":' in text
    assert '    coroutine: "Coroutine[Any, Any, _T]",\n) -> "asyncio.Task[_T]":' in text or (
        'def _spawn(coroutine: "Coroutine[Any, Any, _T]") -> "asyncio.Task[_T]":' in text
    )
    assert ("name=" in text) is (python == (3, 8))
    later = "from __future__ import annotations\n" + OLD.format(future="")
    assert '"' not in fix(later, python=(3, 7)).text.replace('TypeVar("_T")', "")
    assert "_background_tasks: set[asyncio.Task[object]] = set()" in fix(later).text


LIFESPAN = """\
import asyncio
from contextlib import asynccontextmanager
{}

@asynccontextmanager
async def lifespan(app):
    asyncio.create_task(poll())
    yield


async def poll():
    while True:
        await asyncio.sleep(1)
"""
SERVICE = """\
import asyncio
{}

class Service:
    def __init__(self):
        self.is_open = True

    async def start(self):
        asyncio.create_task(self.poll())

    async def close(self):
        self.is_open = False

    async def poll(self):
        while True:
            await asyncio.sleep(1)
"""


@pytest.mark.parametrize(
    "source",
    [
        APP.format(strings="", event='"startup"'),
        LIFESPAN.format(""),
        LIFESPAN.format("from loguru import logger\n"),
        SERVICE.format(""),
        SERVICE.format("from loguru import logger\n"),
    ],
)
def test_a_task_is_asked_for_no_name_that_it_has_not(source: str) -> None:
    text = fix(source, python=(3, 7)).text
    assert "ignored cancellation" in text
    assert "get_name" not in text
    stuck = '"Background task %r ignored cancellation", background_task'
    if "loguru" in source:
        stuck = 'f"Background task {background_task!r} ignored cancellation"'
    assert stuck in text
    if "_log_failed_task" in text:
        assert "Background task {task!r} failed" in text or '%r failed", task,' in text
    assert "background_task.get_name()" in fix(source, python=(3, 8)).text


@pytest.mark.parametrize(
    ("files", "quote", "style", "python"),
    [
        ({}, '"', ImportStyle(), None),
        ({"pyproject.toml": "[tool.ruff]\nformat.quote-style = 'single'"}, "'", None, None),
        ({"ruff.toml": "lint.flake8-quotes.inline-quotes = 'single'"}, "'", None, None),
        ({"ruff.toml": "format.quote-style = 'preserve'"}, '"', None, None),
        (
            {"pyproject.toml": "[tool.isort]\nlines_after_imports = 2\nforce_single_line = true"},
            '"',
            ImportStyle(lines_after=2, single_line=True),
            None,
        ),
        (
            {".ruff.toml": "lint.isort.lines-between-types = 1\nlint.isort.lines-after-imports=-1"},
            '"',
            ImportStyle(lines_between_types=1),
            None,
        ),
        ({"pyproject.toml": "[project]\nrequires-python = '>=3.8,<4'"}, '"', None, (3, 8)),
        ({"pyproject.toml": "tool.poetry.dependencies.python = '^3.10'"}, '"', None, (3, 10)),
        ({"setup.cfg": "[options]\npython_requires = ~= 3.7\n"}, '"', None, (3, 7)),
        ({"setup.py": "setup(python_requires='>=3.9')\n"}, '"', None, (3, 9)),
        ({"pyproject.toml": "[project]\nrequires-python = '<4'"}, '"', None, None),
        ({"pyproject.toml": "[tool.black]\ntarget-version = ['py310', 'py38']"}, '"', None, (3, 8)),
        ({"ruff.toml": "target-version = 'py311'"}, '"', None, (3, 11)),
        (
            {
                "pyproject.toml": "[project]\nrequires-python = '>=3.9'",
                "ruff.toml": "target-version = 'py37'",
            },
            '"',
            None,
            (3, 9),
        ),
        (
            {
                "pyproject.toml": "[project]\nrequires-python = '>=3.8'",
                "app/pyproject.toml": "[project]\nrequires-python = '>=3.12'",
            },
            '"',
            None,
            (3, 12),
        ),
    ],
)
def test_the_nearest_configuration_tells(
    tmp_path: Path,
    files: dict[str, str],
    quote: str,
    style: ImportStyle | None,
    python: tuple[int, int] | None,
) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / "app").mkdir()
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    name = str(tmp_path / "app" / "main.py")
    assert quote_for(name) == quote
    assert import_style_for(name) == (style or ImportStyle())
    assert oldest_python_for(name) == python
