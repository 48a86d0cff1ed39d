"""The linter and CPython agree about every program of ``programs.txt``, in many disguises.

No expectation is written down: CPython itself says which programs lose their task.
"""

from __future__ import annotations

import re
import textwrap
from functools import cache
from pathlib import Path
from typing import Final

import pytest
from oracle import judge_source

from flake8_task_refs.analysis.check import check_source

LOSING_CODES: Final = {"TSK001", "TSK002", "TSK003"}

PRELUDE: Final = """\
import asyncio
import asyncio as aio
import logging
import weakref
from asyncio import create_task as spawn
from contextlib import AsyncExitStack, ExitStack, suppress
from functools import partial

from oracle import worker

registry = set()
by_name = {}
last = None
log = logging.getLogger(__name__)


class Holder:
    def __init__(self):
        self.task = None
        self.tasks = []
        self.loop = asyncio.get_event_loop()

    def hold(self, task):
        self.task = task
        return self


holder = Holder()


def keep(task):
    registry.add(task)
    task.add_done_callback(registry.discard)
    return task


def thin(coroutine):
    return asyncio.create_task(coroutine)


"""

# Ways to create a task; the first is the plain one.
CREATIONS: Final = (
    "asyncio.create_task(worker())",
    'aio.create_task(worker(), name="worker")',
    "asyncio.ensure_future(worker())",
    "spawn(worker())",
    "asyncio.get_running_loop().create_task(worker())",
    "holder.loop.create_task(worker())",
    "asyncio.Task(worker())",
    "thin(worker())",
    "(asyncio.create_task(worker()))",
    "(asyncio.create_task(worker()) if worker else None)",
)
# An aggregate makes its tasks itself, and is followed less far than a task.
AGGREGATES: Final = ("asyncio.gather(worker())", "asyncio.gather(worker(1), worker(2))")
# Places where a program may stand, as PROGRAM.
PLACES: Final = (
    "if worker:\n    PROGRAM",
    "if not worker:\n    pass\nelse:\n    PROGRAM",
    "try:\n    PROGRAM\nfinally:\n    pass",
    "try:\n    PROGRAM\nexcept ValueError:\n    pass",
    "try:\n    pass\nfinally:\n    PROGRAM",
    "with suppress(ValueError):\n    PROGRAM",
    "async with asyncio.Lock():\n    PROGRAM",
    "for _ in range(1):\n    PROGRAM",
    "match 1:\n    case 1:\n        PROGRAM",
    "async def inner():\n    PROGRAM\n\nreturn await inner()",
    "class Local:\n    async def run(self):\n        PROGRAM\n\nreturn await Local().run()",
    "await asyncio.sleep(1)\nif True:\n    PROGRAM\nawait asyncio.sleep(1)",
)


def read_programs() -> dict[str, str]:
    """Return all programs, each with its remark on a silence ("" where the judges must agree)."""
    text = (Path(__file__).parent / "programs.txt").read_text(encoding="utf-8")
    programs: dict[str, str] = {}
    for block in text.rstrip().split("\n\n")[1:]:
        remark, _, rest = block.partition("\n")
        silent = remark.startswith("# silent: ")
        programs[rest if silent else block] = remark if silent else ""
    return programs


PROGRAMS: Final = read_programs()
AGREED: Final = [program for program, silent in PROGRAMS.items() if not silent]


def module(program: str, creation: str = CREATIONS[0], place: str = "PROGRAM") -> str:
    """Return the source of a module whose ``case`` is the program, created and placed so."""
    body = re.sub(
        r"^( *)PROGRAM",
        lambda found: textwrap.indent(program.replace("TASK", creation), found[1]),
        place,
        flags=re.MULTILINE,
    )
    return f"{PRELUDE}async def case():\n{textwrap.indent(body, '    ')}\n"


def loses(source: str) -> bool:
    """Ask CPython."""
    (lost,) = (verdict.lost for verdict in judge_source(source) if verdict.case == "case")
    return lost > 0


@cache
def plainly_loses(program: str) -> bool:
    return loses(module(program))


def speaks(source: str) -> bool:
    """Ask the linter."""
    return any(finding.code in LOSING_CODES for finding in check_source(source))


@pytest.mark.parametrize("program", PROGRAMS)
def test_linter_and_cpython_agree(program: str) -> None:
    expected = plainly_loses(program) and not PROGRAMS[program]
    assert speaks(module(program)) == expected


def test_silence_is_only_where_a_task_is_lost() -> None:
    assert not [
        program for program, silent in PROGRAMS.items() if silent and not loses(module(program))
    ]


@pytest.mark.slow
@pytest.mark.parametrize("creation", CREATIONS[1:])
def test_way_of_creation_changes_nothing(creation: str) -> None:
    assert not [
        program
        for program in AGREED
        if speaks(source := module(program, creation)) != loses(source)
    ]


@pytest.mark.slow
@pytest.mark.parametrize("creation", AGGREGATES)
def test_no_false_alarm_on_an_aggregate(creation: str) -> None:
    sources = [module(program, creation) for program in AGREED]
    spoken = [source for source in sources if speaks(source)]
    assert spoken
    assert not [source for source in spoken if not loses(source)]


@pytest.mark.slow
@pytest.mark.parametrize("place", PLACES)
def test_place_changes_nothing(place: str) -> None:
    differing = []
    for program in AGREED:
        source = module(program, place=place)
        try:
            compile(source, "program", "exec")
        except SyntaxError:  # "global" behind a use of the name, say
            continue
        if speaks(source) != loses(source):
            differing.append(program)
    assert not differing
