"""The README's table of features: every cell is measured, every link of ours leads to a test.

``python tests/test_ecosystem_features.py`` measures again and writes the table. Cells about S7502
are read off its published source, which cannot be run here: sonar-python's
``AsyncioTaskNotStoredCheck`` takes calls that it knows as ``asyncio.create_task`` or
``ensure_future`` and that stand inside no assignment, call or ``return``.
"""

from __future__ import annotations

import ast
import re
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
from commands import ROOT, run

from flake8_task_refs import Settings, check_source, fix_source
from flake8_task_refs.rules import RULES

README: Final = ROOT / "README.md"
_MARKS: Final = ("<!-- features:begin -->\n", "<!-- features:end -->")
_WORK: Final = "async def work() -> None:\n    await asyncio.sleep(1)\n"


@dataclass(frozen=True)
class Feature:
    """A row: what it is about, our test, a program, and whether a linter should speak of it.

    ``sonar`` is whether S7502 speaks, by its source.
    """

    title: str
    test: str
    program: str
    sonar: bool
    bad: bool = True

    @property
    def source(self) -> str:
        return f"import asyncio\n{self.program}\n\n{_WORK}"


def _handle(body: str, before: str = "") -> str:
    return f"{before}\n\nasync def handle() -> None:\n    {body}\n"


_EXAMPLES = "tests/test_rules.py#test_bad_example_is_flagged"
_PROGRAMS = "tests/test_agreement.py#test_linter_and_cpython_agree"
_FIXTURES = "tests/test_fixtures.py#test_linter_says_what_the_markers_say"

FEATURES: Final = (
    Feature(
        "finds a handle thrown away",
        _EXAMPLES,
        _handle("asyncio.create_task(work())"),
        sonar=True,
    ),
    Feature(
        "… where only a callback is added",
        _PROGRAMS,
        _handle("asyncio.create_task(work()).add_done_callback(print)"),
        sonar=False,
    ),
    Feature(
        "… of an event loop on an attribute",
        _FIXTURES,
        "\n\nclass House:\n    def __init__(self) -> None:\n"
        "        self.loop = asyncio.get_running_loop()\n\n"
        "    def start(self) -> None:\n        self.loop.create_task(work())\n",
        sonar=False,
    ),
    Feature(
        "… of a thin wrapper in the same file",
        _FIXTURES,
        "from collections.abc import Coroutine\nfrom typing import Any\n\n\n"
        "def spawn(coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:\n"
        "    return asyncio.create_task(coroutine)\n" + _handle("spawn(work())"),
        sonar=False,
    ),
    Feature(
        "… in a lambda that the loop calls",
        _FIXTURES,
        _handle("asyncio.get_running_loop().call_later(5, lambda: asyncio.create_task(work()))"),
        sonar=False,
    ),
    Feature(
        "finds a task that only a local holds",
        _PROGRAMS,
        _handle("task = asyncio.create_task(work())\n    print(task.get_name())"),
        sonar=False,
    ),
    Feature(
        "… or a local set with a discard callback",
        _PROGRAMS,
        _handle(
            "tasks = set()\n    task = asyncio.create_task(work())\n    tasks.add(task)\n"
            "    task.add_done_callback(tasks.discard)"
        ),
        sonar=False,
    ),
    Feature(
        "… or a weak container",
        _PROGRAMS,
        _handle(
            "tasks.add(asyncio.create_task(work()))",
            "import weakref\n\ntasks: weakref.WeakSet[asyncio.Task[None]] = weakref.WeakSet()",
        ),
        sonar=False,
    ),
    Feature(
        "finds a dropped `gather`",
        _EXAMPLES,
        _handle("asyncio.gather(work(), work())"),
        sonar=False,
    ),
    Feature(
        "finds a registry that only grows",
        _EXAMPLES,
        _handle(
            "tasks.add(asyncio.create_task(work()))", "\ntasks: set[asyncio.Task[None]] = set()"
        ),
        sonar=False,
    ),
    Feature(
        "finds a callback that cannot work",
        _EXAMPLES,
        _handle(
            "task = asyncio.create_task(work())\n    tasks.add(task)\n"
            "    task.add_done_callback(lambda: print(task))",
            "\ntasks: set[asyncio.Task[None]] = set()",
        ),
        sonar=False,
    ),
    Feature(
        "finds an endless task that a lifespan leaves running",
        _EXAMPLES,
        next(rule for rule in RULES if rule.code == "TSK201").example.partition("\n")[2],
        sonar=False,
    ),
    Feature(
        "silent on `await asyncio.create_task(...)`",
        _PROGRAMS,
        _handle("await asyncio.create_task(work())"),
        sonar=True,
        bad=False,
    ),
    Feature(
        "silent on `group.create_task(...)` of a `TaskGroup`",
        _FIXTURES,
        _handle("async with asyncio.TaskGroup() as group:\n        group.create_task(work())"),
        sonar=False,
        bad=False,
    ),
    Feature(
        "silent on a task that a name of the module keeps",
        _FIXTURES,
        "\n\ntask = asyncio.create_task(work())\n",
        sonar=False,
        bad=False,
    ),
)
REPAIRS: Final = "tests/test_cli.py#test_in_place_is_the_default"
SHUTDOWN: Final = "tests/test_servers.py#test_after_each_worker_has_ended_before_the_teardown"


def spoken(directory: Path) -> dict[str, set[str]]:
    """Write the programs into ``directory``; return the titles of which each peer speaks."""
    paths = {}
    for number, feature in enumerate(FEATURES):
        name = f"program{number}.py"
        (directory / name).write_text(feature.source)
        paths[name] = feature.title
    python = [sys.executable, "-m"]
    ruff = ["ruff", "check", "--isolated", "--no-cache", "--output-format=concise"]
    tools = {
        "RUF006": [*python, *ruff, "--select=RUF006", *paths],
        "ASYNC300": [*python, "flake8", "--isolated", "--jobs=1", "--select=ASYNC300", *paths],
        "unused-awaitable": [
            *python,
            *["mypy", "--config-file=", "--enable-error-code=unused-awaitable"],
            *["--check-untyped-defs", "--no-error-summary", "--cache-dir=.mypy", *paths],
        ],
    }
    said = {}
    for peer, command in tools.items():
        done = run(*command, cwd=directory)
        lines = [line for line in done.stdout.decode().splitlines() if peer in line]
        assert lines, done.stdout.decode() + done.stderr.decode()
        said[peer] = {paths[line.partition(":")[0]] for line in lines}
    said["S7502"] = {feature.title for feature in FEATURES if feature.sonar}
    return said


def table() -> str:
    """Measure, and return the table in Markdown."""
    with tempfile.TemporaryDirectory() as directory:
        said = spoken(Path(directory))
    peers = ("RUF006", "ASYNC300", "S7502", "unused-awaitable")
    heads = "ruff RUF006 | flake8-async ASYNC300 | SonarQube S7502 | mypy `unused-awaitable`"
    rows = [f"| | flake8-task-refs | {heads} |", "|---|---|---|---|---|---|"]
    for feature in FEATURES:
        cells = ["yes" if (feature.title in said[peer]) is feature.bad else "no" for peer in peers]
        rows.append(f"| {feature.title} | [yes]({feature.test}) | {' | '.join(cells)} |")
    for title, test in (
        ("repairs the code", REPAIRS),
        ("ends the tasks of an application at its shutdown", SHUTDOWN),
    ):
        rows.append(f"| {title} | [yes]({test}) | no | no | no | no |")
    return "\n".join(rows) + "\n"


def _shown() -> str:
    return README.read_text("utf-8").partition(_MARKS[0])[2].partition(_MARKS[1])[0]


def test_the_table_says_what_is_measured() -> None:
    assert _shown() == table()


@pytest.mark.parametrize("feature", FEATURES, ids=lambda feature: feature.title)
def test_our_own_cells_are_true(feature: Feature) -> None:
    found = check_source(feature.source, Settings())
    assert bool(found) is feature.bad
    assert feature.title.startswith("silent") is not feature.bad


def test_every_link_of_ours_leads_to_a_test() -> None:
    links = re.findall(r"\[yes\]\(([^)]+)\)", _shown())
    assert len(links) == len(_shown().splitlines()) - 2
    for link in links:
        path, _, function = link.partition("#")
        tree = ast.parse((ROOT / path).read_text("utf-8"))
        names = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        assert function in names, link
        assert function.startswith("test_"), link


def test_no_peer_repairs(tmp_path: Path) -> None:
    """The cells of "repairs the code": each tool's own fixing mode leaves the fault alone."""
    source = FEATURES[0].source
    path = tmp_path / "a.py"
    for command in (
        ["ruff", "check", "--isolated", "--no-cache", "--select=RUF006", "--fix", "--unsafe-fixes"],
        ["flake8_async", "--enable=ASYNC300", "--autofix=ASYNC300"],
    ):
        path.write_text(source)
        done = run(sys.executable, "-m", *command, path, cwd=tmp_path)
        assert done.returncode in {0, 1, 2}
        assert path.read_text() == source
    assert fix_source(source).text != source


if __name__ == "__main__":
    head, mark, rest = README.read_text("utf-8").partition(_MARKS[0])
    README.write_text(f"{head}{mark}{table()}{_MARKS[1]}{rest.partition(_MARKS[1])[2]}", "utf-8")
