"""Parsing only what mentions a task: the same findings as with the whole file, and less work."""

from __future__ import annotations

import ast
import asyncio
import subprocess
import sys
from pathlib import Path

import libcst as cst
import pytest
from fixture_reader import Fixture, fixtures
from parses import parsed_texts

import flake8_task_refs
from flake8_task_refs import fix_source
from flake8_task_refs.analysis import check
from flake8_task_refs.analysis.check import check_regions, check_source
from flake8_task_refs.analysis.finding import SourceError
from flake8_task_refs.analysis.outline import Region, normalise_newlines, skim
from flake8_task_refs.analysis.sieve import may_create_tasks
from flake8_task_refs.analysis.tree import Tree
from flake8_task_refs.options import Settings
from flake8_task_refs.rules import RULES

EVERY_RULE = Settings(enabled_codes=frozenset(rule.code for rule in RULES))
# With few rules on, fewer questions are asked, and less is shown.
RULE_SETS = (Settings(), EVERY_RULE)
REAL_FILES = sorted(
    [
        *Path(asyncio.__file__).parent.glob("*.py"),
        *Path(flake8_task_refs.__file__).parent.rglob("*.py"),
        *Path(cst.__file__).parent.glob("*.py"),
    ]
)

real_file = pytest.mark.parametrize(
    "path", REAL_FILES, ids=lambda path: f"{path.parent.name}/{path.name}"
)


def read(path: Path) -> str:
    return normalise_newlines(path.read_text("utf-8-sig"))


@pytest.fixture(autouse=True)
def _excerpts_of_short_functions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Choose what to parse in the short functions of examples, too."""
    monkeypatch.setattr(check, "_SHORT", -1)


@pytest.mark.parametrize("fixture", fixtures(), ids=lambda fixture: fixture.name)
def test_fixture_says_the_same_as_a_whole(fixture: Fixture) -> None:
    source = normalise_newlines(fixture.source)
    for rules in RULE_SETS:
        assert check_regions(source, rules) == check_regions(source, rules, whole_file=True)


@real_file
def test_real_file_says_the_same_as_a_whole(path: Path) -> None:
    source = read(path)
    for rules in RULE_SETS:
        assert check_regions(source, rules) == check_regions(source, rules, whole_file=True)


@real_file
def test_skim_finds_every_definition(path: Path) -> None:
    source = read(path)
    expected = {
        (node.lineno, node.name)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
    }
    outline = skim(source)
    assert {(outline.position(d.header)[0], d.name) for d in outline.definitions} == expected


@real_file
def test_skim_finds_where_definitions_end(path: Path) -> None:
    source = read(path)
    last_lines = {
        node.lineno: node.end_lineno
        for node in ast.walk(ast.parse(source))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
    }
    outline = skim(source)
    lines = source.split("\n")
    for definition in outline.definitions:
        last = last_lines[outline.position(definition.header)[0]] or 0
        after = lines[last : outline.position(definition.end)[0] - 1]
        # Comments and blank lines after a body may count as its own; code may not.
        assert all(not line.strip() or line.lstrip()[0] == "#" for line in after), definition
        assert outline.position(definition.end - 1)[0] >= last, definition


@real_file
def test_position_of_every_call_is_that_of_the_parser(path: Path) -> None:
    source = read(path)
    lines = source.encode().split(b"\n")
    expected = {
        (node.lineno, len(lines[node.lineno - 1][: node.col_offset].decode()) + 1)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call)
    }
    for light in (False, True):
        tree = Tree(skim(source), Region(0, len(source)), light=light)
        assert {tree.position(call) for call in tree.calls} == expected


@pytest.mark.parametrize(
    "source",
    [
        "x = f'{a}'\ndef g(): pass\n",
        "x = f'{a[\"b\"]}'\ndef g(): pass\n",
        "x = f'{a['b']}'\ndef g(): pass\n",
        'x = f"{a:{width}} {{ {b!r:>10}"\ndef g(): pass\n',
        "x = f'{a:\">3}'\ndef g(): pass\n",
        'x = f"""{a}\ndef no(): pass\n"""\ndef g(): pass\n',
        "x = rf'\\{a}'\ndef g(): pass\n",
        "x = '''\ndef no(): pass\n'''\ndef g(): pass\n",
        "x = 'it\\'s'  # def no(): '\ndef g(): pass\n",
        "x = b'def' rb'\\''\ndef g(): pass\n",
        "x = (\n'''a\n''')\ndef g(): pass\n",
    ],
)
def test_skim_knows_strings(source: str) -> None:
    assert [definition.name for definition in skim(source).definitions] == ["g"]


SITE = "async def one():\n    asyncio.create_task(work())\n"


def parsed_lines(source: str, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return how many lines are parsed, parse by parse, when ``source`` is checked."""
    return [text.count("\n") for text in parsed_texts(lambda: check_source(source), monkeypatch)]


def test_only_the_function_around_a_site_is_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    others = "".join(f"def f{i}(x):\n    return x + {i}\n\n\n" for i in range(2000))
    source = f"import asyncio\n\n\n{others}{SITE}\n\n{others}"
    assert parsed_lines(source, monkeypatch) == [SITE.count("\n")]


def test_only_the_method_around_a_site_is_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    methods = "".join(f"    def f{i}(self):\n        return {i}\n\n" for i in range(1000))
    site = "    async def one(self):\n        asyncio.create_task(self.f1())\n\n"
    source = f"import asyncio\n\n\nclass A:\n{methods}{site}{methods}"
    # The method, behind its class's header, and the coroutine that it spawns.
    assert max(parsed_lines(source, monkeypatch)) <= 4


def test_awaited_aggregates_are_not_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    source = "import asyncio\n\n\nasync def f(x):\n    return await asyncio.gather(*x)\n"
    assert parsed_lines(source, monkeypatch) == []


@pytest.mark.parametrize(
    "source",
    ["import asyncio\nasyncio.sleep(1)\n", "def create(task):\n    return task\n", ""],
)
def test_a_source_without_tasks_does_not_cost_libcst(source: str) -> None:
    assert not may_create_tasks(source)
    program = (
        "import sys; from flake8_task_refs.analysis.check import check_source; "
        f"check_source({source!r}); sys.exit('libcst' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.parametrize(
    "argument",
    [
        "(" * 300 + ")" * 300,
        "g(" * 50_000 + ")" * 50_000,
        "a" + ".b" * 20_000,
        "not " * 5_000 + "a",
        "1 + " * 5_000 + "1",
        "a" + "()" * 5_000,
        "a" + "[0]" * 5_000,
    ],
    ids=["parentheses", "calls", "attributes", "not", "sum", "call-chain", "subscripts"],
)
def test_what_would_stall_the_parser_is_refused(argument: str) -> None:
    with pytest.raises(SourceError):
        check_source(f"import asyncio\nasyncio.create_task({argument})\n")


def test_findings_do_not_depend_on_unrelated_definitions() -> None:
    alone = f"import asyncio\n\n\n{SITE}"
    more = f"import asyncio\n\n\ndef other(x):\n    return [x]\n\n\n{SITE}"
    found = [(f.line + 4, f.column, f.message) for f in check_source(alone)]
    assert found == [(f.line, f.column, f.message) for f in check_source(more)]
    assert len(found) == 1


def test_a_broken_file_for_micropython_is_passed_over_by_all() -> None:
    source = "import asyncio\nfrom machine import Pin\nasyncio.create_task(blink(\n"
    assert check_source(source) == []
    assert fix_source(source).text == source


@pytest.mark.parametrize("word", ["flake8", "FLAKE8", "fla\N{KELVIN SIGN}e8"])
def test_noqa_of_the_file_is_read_as_flake8_reads_it(word: str) -> None:
    assert check_source("import asyncio\nasyncio.create_task(work())\n")
    assert not check_source(f"# {word}: NoQA\nimport asyncio\nasyncio.create_task(work())\n")
