"""The oracle tells the five verdicts apart, agrees with a real loop, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import gc
import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any
from weakref import ref

import oracle
import pytest
from oracle import CaseError, Verdict, judge_source

if TYPE_CHECKING:
    from pathlib import Path

HEAD = "import asyncio\nfrom oracle import failing_worker, worker\nkept = set()\n"


def judge(body: str) -> Verdict:
    """Judge the single case ``def case()`` with this body."""
    indented = "\n".join(f"    {line}" for line in body.strip().splitlines())
    (verdict,) = judge_source(f"{HEAD}async def case():\n{indented}\n")
    return verdict


@pytest.mark.parametrize(
    ("expected", "body"),
    [
        ("lost", "asyncio.create_task(worker())"),
        ("lost", "task = asyncio.create_task(worker())\nawait asyncio.sleep(1)"),
        ("lost", "tasks = set()\ntasks.add(asyncio.create_task(worker()))"),
        ("lost", "asyncio.gather(worker(), worker())"),
        ("kept", "await asyncio.create_task(worker())"),
        ("kept", "return asyncio.create_task(worker())"),
        ("kept", "kept.clear()\nkept.add(asyncio.create_task(worker()))"),
        ("leaks", "kept.add(asyncio.create_task(worker()))"),
        ("leaks", "kept.add(asyncio.create_task(failing_worker()))"),
        ("broken", "t = asyncio.create_task(worker())\nt.add_done_callback(lambda: 0)\nawait t"),
        ("none", "await asyncio.sleep(1)"),
    ],
)
def test_verdict(expected: str, body: str) -> None:
    assert judge(body).verdict == expected


def test_each_of_five_calls_counts() -> None:
    verdict = judge("asyncio.create_task(worker())\nasyncio.create_task(worker())")
    assert (verdict.workers, verdict.lost) == (10, 10)


def test_one_lost_task_among_kept_ones_is_lost() -> None:
    verdict = judge("asyncio.create_task(worker())\nawait asyncio.create_task(worker())")
    assert verdict.verdict == "lost"
    assert (verdict.workers, verdict.lost) == (10, 5)


def test_a_timer_holds_a_sleeping_task() -> None:
    # Why messages say "may": the loop's timer holds what sleeps.
    verdict = judge("async def sleep(): await asyncio.sleep(1); await worker()\nawait sleep()")
    assert verdict.verdict == "kept"
    source = f"""{HEAD}
asleep = []
async def sleeper():
    asleep.append(1)
    await asyncio.sleep(3600)
    asleep.pop()
    await worker()
async def case():
    asyncio.create_task(sleeper())
    await asyncio.sleep(3599)
    assert asleep
"""
    (sleeper, case) = judge_source(source)
    assert sleeper.verdict == "kept"
    assert (case.verdict, case.workers) == ("lost", 5), "it lived through its sleep, not longer"


def test_a_cancelled_worker_is_not_lost() -> None:
    assert judge("task = asyncio.create_task(worker())\nawait asyncio.sleep(1)\ntask.cancel()") == (
        Verdict("case", "kept", workers=5)
    )


def test_a_program_ends_with_its_main_coroutine() -> None:
    main = (
        "async def main():\n    task = asyncio.create_task(worker())\n    await asyncio.sleep(1)\n"
    )
    source = f"{HEAD}{main}"
    assert [v.verdict for v in judge_source(source)] == ["lost"]
    assert [v.verdict for v in judge_source(f"{source}asyncio.run(main())\n")] == ["kept"]


def test_module_body_is_a_case_where_it_creates_tasks() -> None:
    loop = "asyncio.new_event_loop().create_task(worker())"
    assert judge_source(f"{HEAD}task = {loop}\n") == [Verdict("<module>", "kept", workers=1)]
    assert [v.verdict for v in judge_source(f"{HEAD}{loop}\n")] == ["lost"]


def test_cases_are_public_functions_without_parameters() -> None:
    source = f"""{HEAD}
def first(): return asyncio.create_task(worker())
def with_parameter(number): pass
def with_any(*numbers): pass
def generator(): yield
async def asynchronous_generator(): yield
def _private(): pass
class Service:
    def method(self): pass
async def second(): await worker()
"""
    assert [verdict.case for verdict in judge_source(source)] == ["first", "second"]


def test_broken_fixtures_are_errors_not_verdicts() -> None:
    with pytest.raises(CaseError, match="no public function"):
        judge_source("x = 1\n")
    with pytest.raises(CaseError, match="ZeroDivisionError"):
        judge("1 / 0")
    with pytest.raises(CaseError, match="ZeroDivisionError"):
        judge_source("def case(): 1 / 0\n")
    with pytest.raises(CaseError, match="no_such_module"):
        judge_source("import no_such_module\n")
    with pytest.raises(SyntaxError):
        judge_source("def case(:\n")


def test_same_source_same_verdict() -> None:
    source = f"{HEAD}async def case():\n    task = asyncio.create_task(worker())\n"
    assert len({tuple(judge_source(source)) for _ in range(10)}) == 1


def test_leaves_the_interpreter_as_it_was() -> None:
    def state() -> list[Any]:
        names = [getattr(asyncio, name, None) for name in ("run", "Runner", "new_event_loop")]
        return [*names, gc.isenabled(), gc.get_freeze_count(), sys.unraisablehook]

    before = state()
    judge("asyncio.create_task(worker())")
    with pytest.raises(CaseError):
        judge("1 / 0")
    assert state() == before
    with pytest.raises(RuntimeError):
        asyncio.get_running_loop()


def test_leaves_no_task_of_a_case_behind() -> None:
    judge("kept.add(asyncio.create_task(worker()))")
    gc.collect()
    assert not [
        task
        for task in gc.get_objects()
        if isinstance(task, asyncio.Task) and "worker" in repr(task.get_coro())
    ]


@pytest.mark.parametrize(
    "body",
    [
        "asyncio.create_task(worker())",
        "task = asyncio.create_task(worker())",
        "kept.add(asyncio.create_task(worker()))",
        "task = asyncio.create_task(worker())\ntask.add_done_callback(lambda _: task)",
        "asyncio.gather(worker(), worker())",
        "asyncio.shield(worker())",
        "asyncio.get_running_loop().call_soon(lambda: asyncio.create_task(worker()))",
        "asyncio.get_running_loop().call_later(3600, asyncio.create_task(worker()).cancel)",
        "ts = {asyncio.create_task(worker())}\nfor t in ts: t.add_done_callback(ts.discard)\ndel t",
    ],
)
def test_agrees_with_the_stock_loop(body: str) -> None:
    watched: list[tuple[Any, Any]] = []

    async def worker() -> None:
        future = asyncio.get_running_loop().create_future()
        watched.append((ref(asyncio.current_task()), ref(future)))
        await future

    indented = "\n".join(f"    {line}" for line in body.splitlines())
    names: dict[str, Any] = {"asyncio": asyncio, "worker": worker, "kept": set()}
    exec(f"async def case():\n{indented}\n", names)  # noqa: S102

    async def program() -> bool:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _loop, _context: None)
        await names["case"]()
        for _ in range(5):
            await asyncio.sleep(0)
        # A callback of the loop, not a coroutine, collects.
        loop.call_soon(gc.collect)
        await asyncio.sleep(0.01)
        return any(task() is None for task, _ in watched)

    lost = asyncio.run(program())
    assert watched
    assert lost == (judge(body).verdict == "lost")


def test_command_line(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.py", tmp_path / "bad.py"
    good.write_text(f"{HEAD}def case(): asyncio.create_task(worker())\n", encoding="utf-8")
    bad.write_text("x = 1\n", encoding="utf-8")

    def run(*files: Path) -> tuple[int, list[dict[str, Any]]]:
        command = [sys.executable, oracle.__file__, *map(str, files)]
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
        assert not ran.stderr
        return ran.returncode, [json.loads(line) for line in ran.stdout.splitlines()]

    assert run(good) == (
        0,
        [
            {
                "file": str(good),
                "case": "case",
                "verdict": "lost",
                "workers": 5,
                "lost": 5,
                "errors": ["Task was destroyed but it is pending!: None"],
            }
        ],
    )
    status, lines = run(bad, good)
    assert status == 2
    assert ["error" in line for line in lines] == [True, False]
