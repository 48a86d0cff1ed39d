"""The trees that CPython's parser gives for the rules are those that libcst's would give."""

from __future__ import annotations

import ast
import asyncio
import sys
import textwrap
from pathlib import Path

import libcst as cst
import pytest
from fixture_reader import Fixture, fixtures
from parses import parsed_texts
from test_agreement import PROGRAMS, module

import flake8_task_refs
from flake8_task_refs.analysis import syntax
from flake8_task_refs.analysis.check import check_regions, check_source
from flake8_task_refs.analysis.from_libcst import Layout
from flake8_task_refs.analysis.from_python import UntranslatableError, light_module
from flake8_task_refs.analysis.outline import Region, normalise_newlines, skim
from flake8_task_refs.analysis.syntax import children
from flake8_task_refs.analysis.tree import Tree
from flake8_task_refs.options import Settings
from flake8_task_refs.rules import RULES

REAL_FILES = sorted(
    [
        *Path(asyncio.__file__).parent.glob("*.py"),
        *Path(flake8_task_refs.__file__).parent.rglob("*.py"),
        *Path(cst.__file__).parent.glob("*.py"),
    ]
)
# Strings in a row are one to CPython, and it does not say how a string is written.
STRINGS = (
    syntax.SimpleString,
    syntax.ConcatenatedString,
    syntax.FormattedString,
    syntax.FormattedStringText,
)

CONSTRUCTS = [
    "if a: pass\nelif b: pass\nelse: pass\n",
    "if a:\n    pass\nelse:\n    if b:\n        pass\n",
    "if a:\n    pass\nelse:\n    if b: pass\n    c\n",
    "if a:\n    if b:\n        pass\n    elif c:\n        pass\n",
    "for a, *b in c: d; e\nelse: f\n",
    "while a:\n    b; c = 1; d\n    e;\n",
    "async def f():\n    async for a in b:\n        await c\n    async with d as e, g: pass\n",
    "async def f():\n    return [a async for a in b if c if d for e in g]\n",
    "try: a\nexcept (b, c) as d: e\nexcept f:\n    g\nelse: h\nfinally: i\n",
    "def f(a, b: int, /, c=1, *d: e, g, h: i = 2, **j) -> k: ...\n",
    "def f(*, a=1): ...\n",
    "def f(*a): ...\n",
    "@a\n@b.c(d)\nasync def f(): pass\n",
    "@a\nclass C(b, *c, d=e, **g):\n    'x'\n",
    "class C: a: int; b = 1\n",
    "f(a, *b, c, d=e, *g, h=i, **j)\n",
    "f(a for a in b)\n",
    "a[b], a[b, c], a[b:c:d], a[:, None], a[b:c, ...]\n",
    "a = b = c, *d = e\n",
    "a += b; a -= c; a @= d; a //= e; a **= f; a >>= g; a |= h\n",
    "a + b * c ** d // e % f @ g << h >> i & j | k ^ l\n",
    "a and b and c or d or not e\n",
    "a < b <= c == d != e > f >= g in h not in i is j is not k\n",
    "-a, +b, ~c, not d, -1\n",
    "a if b else c\n",
    "lambda a, *b, c=1, **d: e\n",
    "(a := b)\n",
    "{**a, b: c}, {d, *e}, [g, *h], (i,), ()\n",
    "{a: b for a in c}, {a for a in b}, (a for a in b)\n",
    "f'{a!r:>{b}} {c}' 'd' f'{e}'\n",
    "f'{{}}'\n",
    "x = 'a' 'b', b'c' b'd', r'\\d', '''e\nf'''\n",
    "1, 0x1f, 1.5, 1e300, 1e999, 2j, ..., True, None\n",
    "def f():\n    a = yield b\n    yield\n    c = yield from d\n",
    "raise\n",
    "raise a from b\n",
    "assert a, b\n",
    "del a, b[c], (d)\n",
    "def f():\n    global a, b\n    def g():\n        nonlocal c\n",
    "import a, b.c.d as e\n",
    "from . import a\n",
    "from .. .b.c import d as e, g\n",
    "from a import *\n",
    "from a import (b, c as d,)\n",
    "with (a): b\n",
    "with (a as b, c as d): e\n",
    "print(a)  # a comment\n\n\n# another\n",
    "é = 'ü'; f(é)\n",
    "if a: # why\n    b\n",
    "match a:\n    case 1 | -1.5 | 'b' 'c' | d.e: f\n    case None: pass\n    case _: g\n",
    "match a, b:\n    case [c, *d], (e, *_) if f:\n        g\n    case (h): i\n",
    "match a:\n    case {'b': c, d.e: [f], **g}: h\n    case {}: i\n    case {**j}: k\n",
    "match a:\n    case B(): c\n    case d.E(f, [g], h=i, j=K()) as m: n\n",
    "match = case = type = 1\nmatch(a)\n",
    "if (a\n    and b): c\n",
]


def shape(node: syntax.Node) -> list[object]:
    """Return what the rules see of a tree, strings left out: classes, fields, names, in order."""
    found: list[object] = []
    stack: list[tuple[str, syntax.Node]] = [("", node)]
    while stack:
        name, at = stack.pop()
        stack += reversed(children(at))
        if isinstance(at, STRINGS):
            continue
        found.append((name, type(at).__name__))
        if isinstance(at, syntax.Name):
            found.append(at.value)
        texts = ("star", "level", "operator", "asynchronous")
        found += [getattr(at, field, None) for field in texts]
    return found


def assert_same(source: str) -> None:
    try:
        light, _ = light_module(ast.parse(source), source)
    except UntranslatableError:
        pytest.skip("read with libcst")
    assert shape(light) == shape(Layout(source).nodes)


@pytest.mark.parametrize("fixture", fixtures(), ids=lambda fixture: fixture.name)
@pytest.mark.filterwarnings("ignore::SyntaxWarning", "ignore::DeprecationWarning")
def test_a_fixture_has_the_same_nodes(fixture: Fixture) -> None:
    try:
        ast.parse(fixture.source)
    except SyntaxError:
        pytest.skip("not for this Python")
    assert_same(normalise_newlines(fixture.source))


@pytest.mark.parametrize("path", REAL_FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_real_file_has_the_same_nodes(path: Path) -> None:
    assert_same(normalise_newlines(path.read_text("utf-8-sig")))


def test_programs_have_the_same_nodes() -> None:
    for program in PROGRAMS:
        assert_same(normalise_newlines(module(program)))


@pytest.mark.parametrize("source", CONSTRUCTS)
def test_a_construct_has_the_same_nodes(source: str) -> None:
    assert_same(source)


@pytest.mark.parametrize(
    ("source", "since"),
    [
        ("try:\n    a\nexcept* B as c:\n    d\nexcept* (E, F): g\nelse: h\nfinally: i\n", (3, 11)),
        ("def f[A, B: int, *C, **D](a: A) -> B: pass\n", (3, 12)),
        ("class F[A: (int, str)](G[A]):\n    b: A\n", (3, 12)),
        ("type A = int\ntype B[C] = list[C]\n", (3, 12)),
        ("def f[A = int, *B = *C, **D = [e]](): pass\n", (3, 13)),
    ],
)
def test_a_newer_construct_has_the_same_nodes(source: str, since: tuple[int, int]) -> None:
    if sys.version_info < since:
        pytest.skip("not for this Python")
    assert_same(source)


@pytest.mark.parametrize(
    "source",
    [
        "def f():\n    asyncio.create_task(%s)\n" % ("1" * 5_000),
        "def f():\n    asyncio.create_task(print a)\n",
        "asyncio.create_task(\U0001d49cwork())\n",
    ],
)
def test_what_is_rare_is_read_with_libcst(source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text = f"import asyncio\n{source}"
    settings = Settings()
    expected = whole(text, settings)
    found: list[object] = []
    texts = parsed_texts(lambda: found.append(partly(text, settings)), monkeypatch)
    assert found == [expected]
    assert len(texts) > len(set(texts))


def whole(text: str, settings: Settings) -> object:
    try:
        return check_regions(text, settings, whole_file=True)
    except ValueError as error:
        return type(error)


def partly(text: str, settings: Settings) -> object:
    try:
        return check_regions(text, settings)
    except ValueError as error:
        return type(error)


@pytest.mark.parametrize(
    "call",
    [
        "x = f'{asyncio.create_task(b)}'",
        "x = f'''\n{asyncio.create_task(b)} {asyncio.create_task(c)}'''",
        "x = 'é' f'é{b}{asyncio.create_task(c)}'",
        "é(ü); asyncio.create_task(é)",
        "(asyncio).create_task(b)",
        "((asyncio.create_task)(b))",
        "[b, c].index(d); {b: c}.get(asyncio.create_task(d)); [b for b in c].pop()",
        "(b, c).count(d); (-b).e(); ((b).c()).d(); (await b).c()",
        "x = 'a' 'b' f'{b}'; f(f'{asyncio.create_task(b)}')",
    ],
)
def test_a_call_is_where_libcst_says_it_is(call: str) -> None:
    source = f"import asyncio\n\n\nasync def f(a):\n    {call}\n"
    outline = skim(source)
    region = Region(0, len(source))
    light, full = Tree(outline, region, light=True), Tree(outline, region)
    assert light.is_light
    assert not full.is_light
    assert [light.position(at) for at in light.calls] == [full.position(at) for at in full.calls]


SAID_IN_A_COMMENT = """\
while True:
    q.append(asyncio.create_task(b()))
    # later: await asyncio.gather(*q)
    await asyncio.sleep(1)
"""
COMMENTS_IN_BETWEEN = """\
async for c in d:
    q.append(asyncio.create_task(b()))
    if len(q) > 10:
        for e in q:
            # a long comment,
            # longer than what a rule
            # looks at where it asks
            # what becomes of the tasks
            # that a loop goes through
            # and waits for
            await e
"""


@pytest.mark.parametrize(
    "body",
    [
        SAID_IN_A_COMMENT,
        COMMENTS_IN_BETWEEN,
        "self.tasks[(request_id, kind)] = asyncio.create_task(b())\n",
        "self.tasks[kind, request_id] = asyncio.create_task(b())\n",
        "self . tasks [ request_id ] = (asyncio . create_task (b()))\n",
    ],
)
def test_layout_and_comments_tell_the_rules_nothing(body: str) -> None:
    head = "class A:\n    def __init__(self):\n        self.tasks = {}\n\n"
    method = "async def handle_message(self, request_id, kind):\n" + textwrap.indent(body, "    ")
    source = f"import asyncio\n\nq = []\n\n\n{head}{textwrap.indent(method, '    ')}"
    settings = Settings(enabled_codes=frozenset(rule.code for rule in RULES))
    found = check_regions(source, settings)
    assert found
    assert found == check_regions(source, settings, whole_file=True)


@pytest.mark.parametrize(
    ("text", "is_light"),
    [
        ("f()  # …, ½ and ²\n", True),
        ("f('…', 'ü', ü)\n", True),
        ("ﬁ()\n", False),
        ("e\N{COMBINING ACUTE ACCENT}()\n", False),
    ],
)
def test_only_a_name_in_unusual_letters_needs_libcst(text: str, is_light: bool) -> None:
    assert Tree(skim(text), Region(0, len(text)), light=True).is_light == is_light


def test_a_chain_too_long_for_the_translator_is_no_fault() -> None:
    source = f"import asyncio\nasyncio.create_task(f({' + '.join('a' * 990)}))\n"
    limit = sys.getrecursionlimit()
    assert check_source(source) == check_regions(source, Settings(), whole_file=True)
    assert sys.getrecursionlimit() == limit


def test_form_feeds_at_the_end_leave_positions_as_they_are() -> None:
    """libcst loses the lines before them."""
    source = (
        "import asyncio\n\n\nasync def work():\n    while True:\n        try:\n"
        "            await asyncio.sleep(1)\n        except asyncio.CancelledError:\n"
        "            pass\n\n\nasync def main():\n    return asyncio.create_task(work())\n"
    )
    settings = Settings(enabled_codes=frozenset({"TSK203"}))
    found = check_regions(source, settings, whole_file=True)
    assert [(finding.code, finding.line) for finding in found] == [("TSK203", 8)]
    fed = f"{source}\n\n\f"
    assert check_regions(fed, settings, whole_file=True) == found
