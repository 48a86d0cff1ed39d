r"""Programs that create tasks in random places, as a grammar for hypothesis.

Every program runs: its public functions without parameters are cases for the oracle. ``# kept`` and
``# why`` are comments that no repair may lose. A tab is one indentation, whatever the program uses.
"""

from __future__ import annotations

from textwrap import indent
from typing import Final

from hypothesis import strategies as st

HEADS: Final = (
    "import asyncio",
    '"""Doc."""\n# why\nimport asyncio, sys',
    """# why

from __future__ import annotations

import asyncio
import logging

logger = logging.getLogger(__name__)""",
    """import asyncio as asyncio
from typing import Any

TEXT = '''
  asyncio.create_task(x)
'''""",
    "try:\n\timport asyncio\nexcept ImportError:\n\traise  # why",
    "import asyncio; import sys  # why",
    "import asyncio\n\n_background_tasks = 1\ntask = task_2 = logger = None",
)
RIG: Final = """
from contextlib import asynccontextmanager, nullcontext
from types import SimpleNamespace

from oracle import worker

flag = True


class Nothing:
\tdef __init__(self):
\t\tself.state = SimpleNamespace()

\tasync def __aenter__(self):
\t\treturn self

\tasync def __aexit__(self, *error):
\t\tawait asyncio.sleep(0)

\tasync def close(self):
\t\tawait asyncio.sleep(0)


def note(*what):
\tpass
"""
CREATIONS: Final = (
    "asyncio.create_task(worker())",
    "asyncio.ensure_future(worker())",
    "asyncio.get_running_loop().create_task(worker())",
    "asyncio.create_task(worker(1), name='w')",
    "asyncio.create_task(\n\tworker(\n\t\t1,  # kept\n\t)\n)",
    "asyncio.create_task(worker('''\n  text'''))",
    "asyncio.get_event_loop() \\\n\t.create_task(worker())",
)
STATEMENTS: Final = (
    "{}",
    "{}  # kept",
    "_ = {}",
    "task = {}",
    "other: object = {}",
    "{}.add_done_callback(note)",
    "{}.set_name('x')  # kept",
    "{} if flag else note()",
    "({})",
    "[{} for _ in range(2)]",
    "flag and {}",
    "{} if flag else None",
    "x = 1; {}; y = 2",
    "if flag: {}",
    "asyncio.get_running_loop().call_soon(lambda: {})",
    "asyncio.get_running_loop().call_soon(asyncio.create_task, worker())",
    "made = [{}, {}]",
    "first = second = {}",
    "(walrus := {})",
    "asyncio.gather(worker(), worker())",
    "asyncio.shield(worker())",
)
# What stands around a site, and runs it at once.
BLOCKS: Final = (
    "if flag:\n\t{}\nelse:\n\t# why\n\tpass",
    "if not flag:\n\tpass\nelif flag:\n\t{}",
    "for task in range(2):\n\t# why\n\t{}",
    "while True:\n\t{}\n\tbreak",
    "try:\n\t{}\nfinally:\n\tnote()  # kept",
    "try:\n\traise KeyError\nexcept KeyError:\n\t{}",
    "try:\n\tnote()\nexcept KeyError:\n\tpass\nelse:\n\t{}\n\t# why",
    "with nullcontext():\n\n\t{}",
    "match flag:\n\tcase True:\n\t\t{}",
    "def inner():\n\t{}\ninner()",
    "class Inner:\n\t@staticmethod\n\tdef method(_=1):\n\t\t'''Doc.'''\n\t\t{}\nInner.method()",
    "def deep():\n\tdef deeper():\n\t\t{}\n\treturn deeper\ndeep()()",
)
ASYNC_BLOCKS: Final = (
    *BLOCKS,
    "async with Nothing():\n\t{}",
    "async def inner():\n\t{}\nawait inner()",
)
FILLERS: Final = (
    "note()  # kept",
    "# why",
    "text = '''a\n  b\n'''",
    "background_tasks = [\n\t1,\n\t  2]  # kept",
    "task_2 = 1 + \\\n\t2",
    "pass",
    "",
)
ASYNC_FILLERS: Final = (*FILLERS, "await asyncio.sleep(0)", "await asyncio.sleep(1)  # kept")
UNITS: Final = (
    "def case_N():\n\t{}",
    "@(lambda function: function)  # why\ndef case_N():\n\t'''Doc.'''\n\t{}",
)
ASYNC_UNITS: Final = (
    "async def case_N():\n\t{}",
    "async def case_N(\n):  # kept\n\t'''Doc.'''\n\n\t{}",
    """class CN:
\tdef __init__(self):
\t\tself.made = 1

\tasync def run(self):
\t\t{}


cN = CN()


async def case_N():
\tawait cN.run()""",
    """class CN:
\tasync def run(self):
\t\t{}


async def case_N():
\tawait CN().run()""",
    """class CN(Nothing):
\t__slots__ = ("made",)

\t@classmethod
\tasync def run(cls):
\t\t{}


async def case_N():
\tawait CN.run()""",
    """class CN:
\tdef __init__(self) -> None:
\t\tself.made = 1  # kept

\tasync def start(self):
\t\t{}

\tasync def close(self):
\t\t# why
\t\tawait asyncio.sleep(0)


async def case_N():
\tcN = CN()
\tawait cN.start()
\tawait asyncio.sleep(1)
\tawait cN.close()""",
)
LIFESPANS: Final = tuple(
    f"""@asynccontextmanager
async def lifespan(app):
{indent(body, chr(9))}


async def case_N():
\tasync with lifespan(Nothing()):
\t\tawait asyncio.sleep(1)"""
    for body in (
        "{}\nyield",
        "{}\nyield\nawait app.close()  # kept",
        "try:\n\t{}\n\tyield\nfinally:\n\t# why\n\tawait app.close()",
        "{}\ntry:\n\tyield dict()  # kept\nfinally:\n\tawait app.close()",
        "async with Nothing() as pool:\n\t{}\n\tyield\n\tawait pool.close()",
        "'''Doc.'''\nif flag:\n\t{}\n\tyield\nelse:\n\tyield",
        "text = '''\n  two\n lines'''\n{}\nyield text\n# why",
    )
)


def _fill(frame: str, inside: str) -> str:
    """Put ``inside`` in the place of each ``{}``, at its indentation if it has a line to itself."""
    lines = []
    for line in frame.split("\n"):
        lead = line[: len(line) - len(line.lstrip())]
        lines.append(indent(inside, lead) if line.strip() == "{}" else line.replace("{}", inside))
    return "\n".join(lines)


def _statements(
    fillers: tuple[str, ...], blocks: tuple[str, ...], around: tuple[str, ...]
) -> st.SearchStrategy[str]:
    """Return code with up to three sites, each up to two blocks deep.

    ``around`` are the blocks that hold plain code, which cannot await.
    """
    plain = [block for block in blocks if block not in BLOCKS or "def " not in block]
    deep = st.builds(_fill, st.sampled_from(plain), _lines(fillers))
    sync = st.builds(_fill, st.sampled_from(around), _lines(FILLERS))
    sync = sync | st.builds(_fill, st.sampled_from(around), sync)
    filler = st.sampled_from(fillers)
    parts = st.tuples(filler, _lines(fillers) | deep | sync, _lines(fillers) | filler)
    return st.builds("\n".join, parts)


def _lines(fillers: tuple[str, ...]) -> st.SearchStrategy[str]:
    """Return a site among other statements."""
    site = st.builds(_fill, st.sampled_from(STATEMENTS), st.sampled_from(CREATIONS))
    filler = st.sampled_from(fillers)
    return st.builds("\n".join, st.tuples(filler, site, filler))


_UNIT = st.builds(_fill, st.sampled_from(UNITS), _statements(FILLERS, BLOCKS, BLOCKS)) | st.builds(
    _fill,
    st.sampled_from(ASYNC_UNITS + LIFESPANS),
    _statements(ASYNC_FILLERS, ASYNC_BLOCKS, BLOCKS),
)


def _program(head: str, units: list[str], step: str, newline: str, end: str) -> str:
    parts = [unit.replace("_N", f"_{n}").replace("CN", f"C{n}") for n, unit in enumerate(units)]
    source = f"{head}\n{RIG}\n\n" + "\n\n\n".join(part.replace("cN", "c") for part in parts) + end
    return source.replace("\t", step).replace("\n", newline)


PROGRAMS: Final = st.builds(
    _program,
    st.sampled_from(HEADS),
    st.lists(_UNIT, min_size=1, max_size=3),
    st.sampled_from(["    ", "\t", "  "]),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from(["\n", "", "\n\n# why\n"]),
)
