"""Generated programs: whatever stands around a creation site, a repair keeps its promises."""

from __future__ import annotations

from textwrap import dedent, indent

from hypothesis import given, settings
from hypothesis import strategies as st
from transform import fix

CREATE = st.sampled_from(
    [
        "asyncio.create_task({})",
        "asyncio.ensure_future({})",
        "self.loop.create_task({})",
        "asyncio.get_running_loop().create_task({})",
    ]
)
COROUTINE = st.sampled_from(["g()", "self.run(1)", "a.b(x,\n    y)", "coroutine", "g(\n    1,\n)"])
USE = st.sampled_from(
    [
        "{}",
        "_ = {}",
        "task = {}",
        "task: object = {}",
        "{}.add_done_callback(print)",
        "print({}, task)",
        "[{} for x in y]",
        "x and {}",
        "{} if x else None",
        "y = lambda: {}; z = 1",
        "({})",
    ]
)
AROUND = st.sampled_from(
    [
        "{}",
        "if x:\n    {}\nelse:\n    pass",
        "for x in y:\n    # why\n    {}",
        "try:\n    {}\nfinally:\n    pass",
        "with x:\n\n    {}",
        "while x:\n    {}\n    break",
        "async def inner():\n    {}",
        "class Inner:\n    def method(self):\n        {}",
    ]
)
HEAD = st.sampled_from(
    [
        "async def f(self, x, y):\n    {}",
        "def f(self, x):\n    '''doc'''\n\n    {}",
        "class C:\n    def __init__(self):\n        pass\n\n    async def f(self):\n        {}",
        "class C(Base):\n    async def f(self):\n        {}",
        "@asynccontextmanager\nasync def lifespan(app):\n    {}\n    yield\n    await app.close()",
        """@asynccontextmanager
async def lifespan(app):
    try:
        {}
        yield
    finally:
        await x.close()""",
    ]
)
IMPORTS = st.sampled_from(
    [
        "import asyncio",
        "from __future__ import annotations\n\nimport asyncio\nimport os",
        '"""Doc."""\n# comment\nimport asyncio, sys',
        "import asyncio\nfrom typing import Any\n\nlogger = make()",
    ]
)


def _fill(frame: str, inside: str) -> str:
    """Put ``inside`` in the place of ``{}``, at its indentation."""
    before = frame.partition("{}")[0]
    column = len(before) - (before.rfind("\n") + 1)
    if before[len(before) - column :].strip():
        return frame.replace("{}", inside)
    return frame.replace("{}", indent(inside, " " * column)[column:])


STATEMENT = st.builds(
    lambda around, use, create, coroutine: _fill(
        around, use.replace("{}", create.replace("{}", coroutine)) + "  # kept"
    ),
    AROUND,
    USE,
    CREATE,
    COROUTINE,
)


@settings(max_examples=100, deadline=None)
@given(IMPORTS, st.lists(st.tuples(HEAD, STATEMENT, STATEMENT), min_size=1, max_size=3))
def test_a_repair_keeps_its_promises(imports: str, parts: list[tuple[str, str, str]]) -> None:
    functions = [_fill(head, f"{first}\n{second}") for head, first, second in parts]
    source = "\n\n\n".join([imports, *functions]) + "\n"
    compile(source, "generated", "exec")
    text = fix(source).text
    compile(text, "generated", "exec")
    assert text.count("# kept") == source.count("# kept")
    assert text.count("# why") == source.count("# why")


def test_the_filler_keeps_the_indentation() -> None:
    assert _fill("if x:\n    {}", "a\nb") == dedent("if x:\n    a\n    b")
