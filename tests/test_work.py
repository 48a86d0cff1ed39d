"""The fast path, by the work that is done, not by seconds: what is parsed, how calls grow."""

from __future__ import annotations

import ast
import cProfile
import gc
import platform
import pstats
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from parses import note_parses
from test_agreement import PROGRAMS, module
from test_nodes import REAL_FILES

from flake8_task_refs import fix_source
from flake8_task_refs.analysis import check
from flake8_task_refs.analysis.check import check_regions, check_source
from flake8_task_refs.analysis.effects import TIME_LIMITS
from flake8_task_refs.analysis.excerpt import Detail, Excerpt, RegionLines, Unseen
from flake8_task_refs.analysis.outline import Outline, normalise_newlines, skim
from flake8_task_refs.analysis.sieve import may_create_tasks, mentions
from flake8_task_refs.analysis.statement_text import parts_to_spare
from flake8_task_refs.options import Settings
from flake8_task_refs.rules import RULES

sys.path.append(str(Path(__file__).parent.parent / "benchmarks"))
from typing import TYPE_CHECKING

import speed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import libcst as cst
    from libcst.metadata import CodeRange

LOOP_OF_AN_ATTRIBUTE = """\
import asyncio


class A:
    def f(self):
        self._ioloop.create_task(work())


"""
FIXTURES = Path(__file__).parent.parent / "fixtures"
FUNCTION = """\
import asyncio


async def serve(request, limit: int = 5):
    '''Left out.'''
    total = compute(request, limit)
    if total > limit:
        raise TooMuch(
            total,
        )
    for item in request:
        log(item)
    else:
        log("none")
    %s
    try:
        store(total)
    finally:
        close()
"""


@pytest.fixture(autouse=True)
def _excerpts_of_short_functions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Choose what to parse in the short functions of examples, too."""
    monkeypatch.setattr(check, "_SHORT", -1)


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Collect what is parsed."""
    return note_parses(monkeypatch)


def test_only_the_statement_that_throws_a_task_away_is_parsed(parsed: list[str]) -> None:
    assert len(check_source(FUNCTION % "asyncio.create_task(work(total))")) == 1
    assert parsed == ["async def serve(request, limit= 5):\n    asyncio.create_task(work(total))\n"]


def test_where_a_local_is_bound_is_parsed_if_its_task_is_thrown_away(parsed: list[str]) -> None:
    (found,) = check_source(FUNCTION % "asyncio.create_task(total)")
    assert found.coroutine == "compute()"
    assert len(parsed) == 2
    assert "raise " not in parsed[1]


def test_where_no_local_is_bound_is_not_asked(parsed: list[str]) -> None:
    (found,) = check_source(FUNCTION % "asyncio.create_task(request)")
    assert found.coroutine == "request"
    assert len(parsed) == 1


def test_the_control_flow_is_parsed_when_a_task_is_bound(parsed: list[str]) -> None:
    assert len(check_source(FUNCTION % "task = asyncio.create_task(work(total))")) == 1
    assert len(parsed) == 1
    assert "raise " in parsed[0]
    assert "compute" not in parsed[0]
    assert "store" not in parsed[0]


def test_most_of_a_long_function_is_never_parsed(parsed: list[str]) -> None:
    source = speed.function(20_000)
    assert len(check_source(source)) == 1
    assert sum(map(len, parsed)) < 200


def test_data_is_never_parsed(parsed: list[str]) -> None:
    assert len(check_source(speed.generated(1))) == 1
    assert sum(map(len, parsed)) < 200


def calls(source: str, ask: Callable[[str], object] = check_source) -> int:
    """Return how many functions are called while ``source`` is checked, or asked otherwise."""
    profile = cProfile.Profile()
    profile.runcall(ask, source)
    return int(pstats.Stats(profile).total_calls)  # type: ignore[attr-defined]


def bound_anew(statements: str) -> Callable[[int], str]:
    """Return what repeats ``statements``, which bind the name ``t``, in one function."""
    return lambda count: f"import asyncio\n\n\nasync def f(t):\n{statements * count}"


def waits(count: int) -> str:
    """Return a function that makes ``count`` tasks, and as many that it awaits."""
    awaited = "".join(f"async def f{n}():\n    await g()\n\n\n" for n in range(count))
    made = "".join(f"    t{n} = asyncio.create_task(x())\n    await f{n}()\n" for n in range(count))
    return f"import asyncio\n\n\n{awaited}async def f():\n{made}"


def leases(count: int) -> str:
    """Return a context manager that makes ``count`` tasks, and tells them to end."""
    made = "    t = asyncio.create_task(x(stop))\n" * count
    told = "    stop.set()\n" * count
    head = "import asyncio\nfrom contextlib import asynccontextmanager\n\n\n"
    worker = "async def x(stop):\n    while not stop.is_set():\n        await stop.wait()\n\n\n"
    lease = f"@asynccontextmanager\nasync def f(stop):\n{made}    yield\n{told}"
    return f"{head}{worker}{lease}"


def quiet(count: int) -> str:
    """Return a function that adds ``count`` callbacks to tasks that end quietly."""
    head = "import asyncio\n\n\ndef look(task):\n    task.result()\n\n\n"
    worker = (
        "async def x():\n    try:\n        await asyncio.sleep(1)\n"
        "    except asyncio.CancelledError:\n        pass\n\n\n"
    )
    made = "    t = asyncio.create_task(x())\n    t.add_done_callback(look)\n    await t\n" * count
    return f"{head}{worker}async def f():\n{made}"


def rooms(count: int) -> str:
    """Return a class that puts tasks into ``count`` containers of a container."""
    head = "import asyncio\n\n\nclass A:\n    def __init__(self):\n        self.rooms = {}\n"
    made = "        self.rooms[room].add(asyncio.create_task(x()))\n" * count
    return f"{head}\n    async def on_message(self, room):\n{made}"


def comprehensions(count: int) -> str:
    """Return a function that makes ``count`` lists of tasks."""
    made = "".join(
        f"    a{n} = [asyncio.create_task(x(b)) for b in bs]\n    await asyncio.gather(*a{n})\n"
        for n in range(count)
    )
    return f"import asyncio\n\n\nasync def f(bs):\n{made}"


def taken_up(count: int) -> str:
    """Return a loop that waits for the first of its tasks, and makes ``count`` more."""
    head = "import asyncio\n\n\nasync def f():\n    tasks = set()\n    while tasks:\n"
    wait = "        done, tasks = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)\n"
    more = "        t = asyncio.create_task(x())\n        tasks.add(t)\n" * count
    return f"{head}{wait}{more}        if done:\n            break\n"


def signs(count: int) -> str:
    """Return a function that waits ``count`` times for what nobody gives."""
    made = "".join(
        f"    t{n} = asyncio.create_task(x())\n    await e.wait()\n" for n in range(count)
    )
    return f"import asyncio\n\n\nasync def f():\n    e = asyncio.Event()\n{made}"


def let_go(count: int) -> str:
    """Return a class that lets ``count`` tasks go when they are done."""
    head = "import asyncio\n\n\nclass A:\n    def __init__(self):\n        self.tasks = set()\n"
    made = (
        "\n    async def f{0}(self):\n        t = asyncio.create_task(self.x())\n"
        "        self.tasks.add(t)\n        t.add_done_callback(self.tasks.discard)\n"
    )
    return head + "".join(map(made.format, range(count)))


BRANCHES = "    if a:\n        t = asyncio.create_task(x())\n    if t:\n        await t\n"
IN_ONE_LOOP = textwrap.indent(BRANCHES, "    ")


@pytest.mark.parametrize(
    ("make", "size"),
    [
        (speed.function, 1_000),
        (speed.sites, 60),
        (speed.lifespan, 60),
        (speed.methods, 200),
        (speed.nesting, 24),
        (speed.registered, 50),
        (speed.generated, 1),
        (speed.rebound, 100),
        (leases, 50),
        (quiet, 50),
        (rooms, 50),
        (speed.filled, 100),
        (comprehensions, 60),
        (taken_up, 60),
        (signs, 60),
        (let_go, 60),
        (bound_anew("    t = asyncio.create_task(x())\n    t.done()\n"), 100),
        (bound_anew("    while a:\n        t = asyncio.create_task(x())\n        await t\n"), 100),
        (lambda count: f"{bound_anew('    while a:')(1)}\n{IN_ONE_LOOP * count}", 100),
        (bound_anew("    print(f'{asyncio.create_task(x())}')\n"), 30),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_the_work_grows_with_the_source(make: Callable[[int], str], size: int) -> None:
    calls(make(2))  # fills caches
    once, twice = calls(make(size)), calls(make(2 * size))
    assert twice < 2.3 * once


def dropped(count: int) -> str:
    """Return a class whose methods drop ``count`` tasks, and which is closed."""
    head = "import asyncio\n\n\nclass A:\n    def __init__(self):\n        self.a = 1\n"
    made = "\n    async def f{0}(self):\n        asyncio.create_task(self.x{0}())\n"
    end = "\n    async def close(self):\n        pass\n"
    return head + "".join(map(made.format, range(count))) + end


@pytest.mark.parametrize(
    ("make", "size"), [(dropped, 40), (speed.lifespan, 40), (taken_up, 40), (let_go, 40)]
)
def test_the_work_of_a_repair_grows_with_the_source(make: Callable[[int], str], size: int) -> None:
    calls(make(2), fix_source)  # fills caches
    once, twice = calls(make(size), fix_source), calls(make(2 * size), fix_source)
    assert twice < 2.3 * once


def test_the_work_grows_with_what_is_awaited(monkeypatch: pytest.MonkeyPatch) -> None:
    # A long helper is looked at again, and so is who asks.
    monkeypatch.setattr(check, "_SHORT", 1_500)
    test_the_work_grows_with_the_source(waits, 50)


@pytest.mark.parametrize(
    "line",
    [
        "def f(): pass",
        "def f(a, b): pass",
        "def f(a: int, b: dict[str, list[int]] = {'a': [1, 2]}) -> tuple[str, int]: pass",
        "async def f(self, *args: int, key: str = 'x', **more: Any) -> None: pass",
        "def f(a: Callable[[int, str], None] = default(1, b=2), /, *, c: int = 3 + 4 + 5): pass",
        "def f(a: 'list[int]' = None, b=x == 1, c=(1 if x != 2 else 3)) -> 'Any': pass",
        "def f(a=lambda x, y: x + y, b: int = 1): pass",
        "def f(a=(n := 1111111111), b: int = 1): pass",
        "def f[T: (int, str)](a: T, b: list[T] = []) -> T: pass",
        "def f(\n    a: int,  # what, exactly: (this)\n    b: str = 'x',\n) -> None: pass",
        "@route('/a', dependencies=[Depends(user)], tags=['a'])\ndef f(): pass",
        "@route(path='/a', tags=['a'])\ndef f(): pass",
        "@route(paths(a=1), tags=['a'])\ndef f(): pass",
        "@route('/a', of=app.get('/b'))\ndef f(): pass",
        "@route('/a', *b, **c)\ndef f(): pass",
        "return",
        "return value",
        "return {'a': 1, 'b': [2, 3]}, total + another",
        "return 'a text that goes on for a while'",
        "return first or 'a text that goes on for a while'",
        "return (first,\n    second,  # a comment\n    third)",
        "return (await first(second, third))",
        "return [x for x in range(20) if (y := x)]",
        "return one_of_many(names); never()",
        "raise",
        "raise ValueError(f'{name} is wrong: {reason}') from error",
    ],
)
def test_what_is_spared_leaves_a_statement(line: str) -> None:
    if "[T:" in line and sys.version_info < (3, 12):
        pytest.skip("type parameters came with Python 3.12")
    first, *rest = line.split("\n") if line.startswith("@") else [line]
    code = skim(first).flat(0, len(first))
    spared = first
    for cut in reversed(parts_to_spare(code)):
        spared = spared[: cut.start] + cut.filler + spared[cut.end :]
    line, spared = ("\n ".join([text, *rest]) for text in (first, spared))
    before, after = (ast.parse(f"async def outer():\n {text}") for text in (line, spared))
    kinds = [
        [type(n) for n in ast.walk(tree) if isinstance(n, ast.stmt)] for tree in (before, after)
    ]
    assert kinds[0] == kinds[1]
    assert [node.arg for node in ast.walk(before) if isinstance(node, ast.arg)] == [
        node.arg for node in ast.walk(after) if isinstance(node, ast.arg)
    ]
    for text in ("await", ":=", "never", "lambda", ".get"):
        assert (text in line) == (text in spared)


@pytest.mark.parametrize(
    ("body", "count"),
    [
        ("async def f(engine: asyncio.AbstractEventLoop, n: int):\n    engine.create_task(n)\n", 1),
        ("async def f(engine: Engine, n: int = 1):\n    engine.create_task(n)\n", 0),
        ("async def f(x: asyncio.Future[int]):\n    asyncio.ensure_future(x)\n", 0),
        ("async def f(x: Awaitable[int]):\n    asyncio.ensure_future(x)\n", 1),
    ],
)
def test_an_annotation_that_matters_is_seen(body: str, count: int) -> None:
    assert len(check_source(f"import asyncio\n\n\n{body}")) == count


@pytest.mark.parametrize("hidden", [(), ("TSK304",)])
def test_programs_say_the_same_as_a_whole(hidden: tuple[str, ...]) -> None:
    settings = Settings(enabled_codes=frozenset(hidden))
    for program in PROGRAMS:
        source = normalise_newlines(module(program))
        whole = check_regions(source, settings, whole_file=True)
        assert check_regions(source, settings) == whole, program


@pytest.mark.parametrize(
    "body",
    [
        "pass",
        "...",
        "'''Kept by those who inherit.'''",
        "raise NotImplementedError",
        "log(1)",
        "'''It does.'''\n        log(1)",
        "if self.x:\n            pass",
        "return None",
        "f'{1}'",
    ],
)
@pytest.mark.parametrize("parameters", ["self, task", "self, *tasks"])
def test_helpers_say_the_same_as_a_whole(body: str, parameters: str) -> None:
    source = (
        f"import asyncio\n\n\nclass A:\n    def keep({parameters}):\n        {body}\n\n"
        "    def start(self):\n        self.keep(asyncio.create_task(work()))\n"
    )
    for rules in (Settings(), Settings(enabled_codes=frozenset({"TSK304"}))):
        whole = check_regions(source, rules, whole_file=True)
        assert check_regions(source, rules) == whole


def excerpt(source: str, mark: str, detail: Detail | None = None) -> Excerpt:
    outline = skim(source)
    at = source.index(mark)
    return Excerpt(RegionLines(outline, outline.region(at)), [at], detail or Detail())


def test_an_excerpt_says_what_it_leaves_out() -> None:
    source = FUNCTION % "asyncio.create_task(total)"
    shown = excerpt(source, "create_task")
    for answered in ("asyncio", "log", "limit", "store", "unheard_of"):
        shown.shows_bindings(answered)
    for name in ("total", "item"):
        with pytest.raises(Unseen):
            shown.shows_bindings(name)
    with pytest.raises(Unseen):
        shown.shows_uses("item")
    with pytest.raises(Unseen):
        shown.shows_steering()
    with pytest.raises(Unseen):
        shown.shows_everything()
    more = excerpt(source, "create_task", Detail(bound=frozenset(["total", "item"])))
    more.shows_bindings("total")
    more.shows_bindings("item")
    assert "compute" in more.text
    assert "store" not in more.text


@pytest.mark.parametrize(
    "statement",
    [
        "x = 1",
        "x: int = 1",
        "(x, y) = z",
        "y = x = 1",
        "for x in z: pass",
        "with z as x: pass",
        "import x",
        "from z import x",
        "def x(): pass",
        "class x: pass",
        "del x",
        "(x := 1)",
        "f(x := 1)",
        "global x",
        "async for x in z: pass",
        "y, *x = z",
    ],
)
def test_whatever_may_bind_a_name_is_seen(statement: str) -> None:
    source = f"async def f():\n    {statement}\n    asyncio.create_task(y)\n"
    with pytest.raises(Unseen):
        excerpt(source, "create_task").shows_bindings("x")


@pytest.mark.parametrize(
    "statement",
    [
        "f(x)",
        "x.y = 1",
        "x[0] = 1",
        "y = x",
        "x()",
        "return x",
        "y.x = 1",
        "if x == 1: pass",
        "f(x=1)",
        "y = '''\nx = 1\n'''",
    ],
)
def test_a_mere_use_binds_nothing(statement: str) -> None:
    source = f"async def f():\n    {statement}\n    asyncio.create_task(y)\n"
    excerpt(source, "create_task").shows_bindings("x")


@pytest.mark.parametrize("separator", [", ", ", 'x', ", "\n"])
def test_a_line_that_names_an_attribute_often_is_read_once(
    separator: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = f"{LOOP_OF_AN_ATTRIBUTE}x = [{separator.join(['a._ioloop'] * 2_000)}]\n"
    sizes: list[int] = []
    blanked = Outline.blanked

    def noted(self: Outline, start: int, end: int) -> str:
        sizes.append(end - start)
        return blanked(self, start, end)

    monkeypatch.setattr(Outline, "blanked", noted)
    check_source(source)
    assert sum(sizes) < 10 * len(source)


def test_no_other_plugin_is_imported_for_its_options() -> None:
    program = (
        "import sys; from flake8_task_refs.flake8_config import load; "
        "list(load(['--isolated']).find_files()); "
        "sys.exit(bool({'flake8_async', 'libcst', 'pyflakes'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_a_package_is_checked_without_libcst() -> None:
    program = (
        "import sys; from flake8_task_refs import scan; "
        "found = [scanned for scanned in scan(['apps'], ['--isolated'], jobs=1)]; "
        "assert any(scanned.findings for scanned in found); sys.exit('libcst' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], check=False, cwd=FIXTURES)
    assert done.returncode == 0


def test_options_of_other_plugins_are_understood() -> None:
    from flake8_task_refs.flake8_config import load

    assert load(["--isolated", "--max-complexity=7"]).options.max_complexity == 7


STACKED = """\
t = asyncio.create_task(y)
    @x(t)
    @y
    def f(): ...
    x()
    def g(a, b): return a
    t.add_done_callback(g)
    await t
"""


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("if x: import foo as asyncio\n    asyncio.create_task(y)", None),
        ("if x: pass\n    else: import foo as asyncio\n    asyncio.create_task(y)", None),
        ("x(); import foo as asyncio\n    asyncio.create_task(y)", None),
        ("if x: del asyncio\n    asyncio.create_task(y)", None),
        ("if x: asyncio = y\n    asyncio.create_task(y)", None),
        ("x(); asyncio = y; x()\n    asyncio.create_task(y)", None),
        ("x(f'{(asyncio := y)}')\n    asyncio.create_task(y)", None),
        ("for asyncio in x: x()\n    asyncio.create_task(y)", None),
        ("x([asyncio for y in x])\n    asyncio.create_task(y)", "TSK001"),
        (STACKED, "TSK102"),
    ],
)
def test_what_may_matter_is_seen_wherever_it_stands(body: str, code: str | None) -> None:
    source = f"import asyncio\n\n\nasync def f(x, y):\n    {body}\n"
    findings = check_regions(source, Settings())
    assert findings == check_regions(source, Settings(), whole_file=True)
    assert [finding.code for finding in findings] == ([code] if code else [])


@pytest.mark.parametrize(
    ("imports", "call", "code"),
    [
        ("import os, asyncio as aio", "aio.create_task(x)", "TSK001"),
        ("import os, asyncio as aio", "aio.gather(x())", "TSK003"),
        ("import asyncio \\\n    as aio", "aio.create_task(x)", "TSK001"),
        ("import asyncio\naio = asyncio", "aio.create_task(x)", "TSK001"),
        ("from asyncio import tasks as tk", "tk.create_task(x)", "TSK001"),
        ("from asyncio import gather as together", "together(x())", "TSK003"),
        ("from asyncio import sleep, shield as sh", "sh(x())", "TSK003"),
        ("import asyncio", "asyncio.tasks.gather(x())", "TSK003"),
        ("import asyncio", "asyncio . gather (x())", "TSK003"),
        ("import asyncio", "asyncio.\\\n        gather(x())", "TSK003"),
        ("import asyncio\naio =asyncio  # short", "aio.gather(x())", "TSK003"),
        ("import asyncio\naio = " + " " * 40 + "asyncio", "aio.gather(x())", "TSK003"),
        ("from asyncio import Task", "Task\\\n        (x())", "TSK001"),
        ("import asyncio.tasks as at", "at.gather(x())", "TSK003"),
        ("import asyncio", "await asyncio.sleep(1); asyncio.gather(x())", "TSK003"),
    ],
)
def test_the_sieve_knows_every_name_of_asyncio(imports: str, call: str, code: str) -> None:
    source = f"{imports}\n\n\nasync def f(x):\n    {call}\n"
    assert may_create_tasks(source.encode())
    assert may_create_tasks(source.replace("\n", "\r").encode())
    assert [finding.code for finding in check_source(source)] == [code]


@pytest.mark.parametrize("path", REAL_FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_the_sieve_of_bytes_lets_pass_what_a_text_mentions(path: Path) -> None:
    source = path.read_text("utf-8-sig")
    mentioned = mentions(normalise_newlines(source), Settings())
    assert may_create_tasks(path.read_bytes()) or not mentioned.offsets
    assert may_create_tasks(source) or not mentioned.offsets


@pytest.mark.parametrize(
    "call", ["await asyncio.gather(x())", "await self.wait()", "hass.async_create_task(x())"]
)
def test_what_is_right_on_the_face_of_it_is_not_even_decoded(call: str) -> None:
    source = f"import asyncio\n\n\nasync def f(self, x, hass):\n    {call}\n"
    assert not may_create_tasks(source.encode())


def test_over_a_directory_flake8_is_asked_by_another_process() -> None:
    """Neither this process nor those that check files wait for flake8's modules."""
    program = (
        "import sys\n"
        "from flake8_task_refs import elsewhere\n"
        "elsewhere._processors = lambda: 2\n"
        "if not elsewhere.can_work_elsewhere(): sys.exit(3)\n"
        "from flake8_task_refs.fix.__main__ import main\n"
        "status = main(['--isolated', '--check', 'apps'])\n"
        "assert status == 1, status\n"
        "sys.exit('flake8.main.options' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], check=False, cwd=FIXTURES, capture_output=True
    )
    if done.returncode == 3:
        pytest.skip("no process can go on with what this one does")
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="only glibc gives memory back so soon"
)
def test_a_worker_keeps_the_memory_that_it_lets_go_of() -> None:
    program = (
        "import resource\n"
        "from flake8_task_refs import pool\n"
        "{}\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "for megabytes in range(1, 21):\n"
        "    b'x' * (megabytes << 20)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)\n"
    )
    faults = [
        int(subprocess.check_output([sys.executable, "-c", program.format(first)]))
        for first in ("pool._keep_memory()", "")
    ]
    assert faults[0] < faults[1] / 2


def test_a_repair_asks_for_no_position_of_what_it_leaves_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from flake8_task_refs.analysis.from_libcst import positions

    asked: list[cst.Module] = []

    def noted(module: cst.Module) -> Mapping[cst.CSTNode, CodeRange]:
        asked.append(module)
        return positions(module)

    monkeypatch.setattr("flake8_task_refs.analysis.spans.positions", noted)
    lost = "import asyncio\n\n\nasync def main(work):\n    asyncio.create_task(work())\n\n\n"
    counts = []
    for statements in (1, 200):
        asked.clear()
        assert len(fix_source(lost + 'print("a name")\n' * statements).fixed) == 1
        counts.append(len(asked))
    assert counts[0] == counts[1]


@pytest.mark.parametrize("limit", sorted(TIME_LIMITS))
def test_the_sieve_knows_every_time_limit(limit: str) -> None:
    module, _, name = limit.rpartition(".")
    source = f"""\
import asyncio
import {module}


async def main():
    async with {module}.{name}(5):
        await asyncio.shield(work())


async def work():
    await asyncio.sleep(1)
"""
    assert may_create_tasks(source)
    assert [finding.code for finding in check_source(source)] == ["TSK002"]


def test_a_comment_behind_a_return_costs_no_more_than_its_length() -> None:
    # With a pattern that can read it in many ways, this takes for ever.
    source = f"""\
import asyncio


def start(work):
    task = asyncio.create_task(work())
    if work:
        return  # {"# " * 1000}
    return task


def begin(work):
    start(work)
"""
    assert [finding.code for finding in check_source(source)] == ["TSK001"]


def test_what_a_check_makes_goes_with_it() -> None:
    settings = Settings(enabled_codes=frozenset(rule.code for rule in RULES))
    paths = [*REAL_FILES, *sorted(FIXTURES.glob("rules/**/*.py"))]
    left = set()
    gc.freeze()  # what is there already need not be looked at each time
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        for path in paths:
            check_source(path.read_text("utf-8"), settings)
            gc.collect()
            modules = {type(thing).__module__ for thing in gc.garbage}
            left |= {(path, module) for module in modules if module.startswith("flake8_task_refs")}
            gc.garbage.clear()
    finally:
        gc.set_debug(0)
        gc.enable()
        gc.unfreeze()
    assert len(paths) > 300
    assert not left
