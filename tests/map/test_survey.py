"""The survey says of the fixtures what the rules, CPython and the running applications say."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import oracle
import pytest
from commands import ROOT
from fixture_reader import Fixture, fixtures
from lives import before_and_after, each, named

from flake8_task_refs.analysis.check import check_source
from flake8_task_refs.analysis.survey import survey_source
from flake8_task_refs.options import Settings
from flake8_task_refs.rules import RULES

if TYPE_CHECKING:
    from pathlib import Path

    from flake8_task_refs.analysis.task import Task

FIXTURES = fixtures()
# CPython loses some of their tasks, and no rule speaks: excused, or not certain enough.
SILENT = {
    "TSK001-discarded-task/blind_spots.py",
    "TSK001-discarded-task/noqa.py",
    "TSK001-discarded-task/noqa_file_of_ruff.py",
    "TSK001-discarded-task/option_allow_underscore.py",
    "TSK002-unretained-task/bare_shield.py",
    "TSK102-broken-done-callback/bad.py",
}
LOST = {"TSK001", "TSK002", "TSK003"}
EVERY_RULE = Settings(enabled_codes=frozenset(rule.code for rule in RULES))


def by_name(chosen: list[Fixture]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("fixture", chosen, ids=[fixture.name for fixture in chosen])


def codes(task: Task) -> set[str]:
    return {finding.code for finding in task.findings}


def surveyed(code: str, settings: Settings = EVERY_RULE) -> list[Task]:
    """Return the tasks of the fixtures that ``code`` speaks of."""
    paths = [fixture for fixture in FIXTURES if fixture.code == code]
    tasks = [task for f in paths for task in survey_source(f.source, settings).tasks]
    return [task for task in tasks if code in codes(task)]


def only(source: str, settings: Settings | None = None) -> Task:
    """Return the one task of ``source``."""
    (task,) = survey_source(source, settings).tasks
    return task


@by_name(FIXTURES)
def test_every_finding_is_told_once_and_no_other(fixture: Fixture) -> None:
    survey = survey_source(fixture.source, fixture.settings)
    told = [finding for task in survey.tasks for finding in task.findings]
    expected = check_source(fixture.source, fixture.settings)
    assert sorted({*told, *survey.other_findings}) == expected
    assert not set(told) & set(survey.other_findings)
    # A handle that came as a parameter may get a callback, or be cancelled.
    assert {finding.code for finding in survey.other_findings} <= {"TSK102", "TSK202"}


@by_name([fixture for fixture in FIXTURES if not fixture.path.stem.startswith("noqa")])
def test_a_lost_task_has_no_holder_and_another_has_one(fixture: Fixture) -> None:
    for task in survey_source(fixture.source, fixture.settings).tasks:
        assert bool(task.held_by) != bool(codes(task) & LOST), task


@by_name(
    [
        fixture
        for fixture in FIXTURES
        if not fixture.lint_only
        and fixture.python <= sys.version_info[:2]
        and fixture.name not in SILENT
    ]
)
def test_cpython_loses_what_nobody_holds(fixture: Fixture) -> None:
    # Between survey and CPython alone: no rule has a say here.
    tasks = survey_source(fixture.source, fixture.settings).tasks
    verdicts = {verdict.case: verdict.verdict for verdict in oracle.judge_file(fixture.path)}
    for case, verdict in verdicts.items():
        held = [bool(t.held_by) for t in tasks if t.function.partition(".")[0] == case]
        if held and verdict == "lost":
            assert not all(held), case
        if held and verdict == "kept":
            assert any(held), case


@pytest.mark.parametrize("code", ["TSK201", "TSK204"])
def test_what_nothing_stops_is_ended_by_nobody(code: str) -> None:
    tasks = surveyed(code)
    assert tasks
    # A restart ends the one before.
    assert not [task for task in tasks if {end.kind for end in task.ended_by} - {"replaced"}]
    assert all(task.endless and task.held_by for task in tasks)


def test_what_is_cancelled_and_not_awaited_is_so() -> None:
    tasks = surveyed("TSK202")
    assert tasks
    assert all("cancelled" in {end.kind for end in task.ended_by} for task in tasks)


def test_what_nobody_looks_at_is_heard_by_nobody() -> None:
    tasks = surveyed("TSK301")
    assert tasks
    assert not [task for task in tasks if task.heard_by]


@pytest.mark.parametrize("code", ["TSK102", "TSK203", "TSK205", "TSK302"])
def test_findings_elsewhere_are_told_of_their_task(code: str) -> None:
    sources = [fixture.source for fixture in FIXTURES if fixture.code == code and fixture.is_bad]
    surveys = [survey_source(source, EVERY_RULE) for source in sources]
    others = [f for survey in surveys for f in survey.other_findings if f.code == code]
    assert surveyed(code)
    # A callback of a handle that came as a parameter belongs to no task of the file.
    assert len(others) <= 1


APPLICATIONS = [path.parent for path in sorted((ROOT / "fixtures" / "apps").glob("*/after.py"))]


@pytest.mark.parametrize("app", APPLICATIONS, ids=lambda path: path.name)
def test_the_repair_of_an_application_shows_in_the_survey(app: Path) -> None:
    before = survey_source((app / "before.py").read_text("utf-8")).tasks
    after = survey_source((app / "after.py").read_text("utf-8")).tasks
    gathered = [task.kind for task in before] == ["aggregate"]
    if gathered:
        before *= len(after)  # each of what was gathered is a task of its own
    assert len(before) == len(after)
    for was, now in zip(before, after, strict=True):
        assert gathered or was.coroutine == now.coroutine
        if was.findings and not now.findings:
            assert now.held_by
            # By a callback, or by the log once it is collected; or as it was, if all it wanted was
            # an end.
            assert now.heard_by or {finding.code for finding in was.findings} == {"TSK201"}
            if now.endless and now.in_sight:
                # Cancelled, and then awaited, in whatever ends the application.
                assert {"cancelled", "awaited"} <= {end.kind for end in now.ended_by}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM")
@each(named("fastapi_receivers", "aiohttp_cleanup_ctx", "script_bot"))
def test_a_worker_that_somebody_ends_cleans_up(app: Path) -> None:
    for module, life in zip(("before", "after"), before_and_after(app), strict=True):
        tasks = survey_source((app / f"{module}.py").read_text("utf-8")).tasks
        ended = [task for task in tasks if task.endless and task.ended_by]
        begun, cleaned = life.all("worker: started"), life.all("worker: cleaned up")
        assert begun
        # Before: SIGTERM may still end a worker, but none before the teardown that it needs.
        assert bool(ended) == (module == "after")
        if ended:
            assert len(cleaned) == len(begun), life.lines


# What the rules' fixtures leave open.

HELD = {
    "self.task = asyncio.create_task(work())": ("attribute", "self.task", "Owner"),
    "self.tasks.add(asyncio.create_task(work()))": ("container", "self.tasks", "Owner"),
    "self.tasks['a'] = asyncio.create_task(work())": ("attribute", "self.tasks", "Owner"),
    "other.task = asyncio.create_task(work())": ("attribute", "other.task", "other"),
    "other['poller'] = asyncio.create_task(work())": ("attribute", "other['poller']", "other"),
    "shared.append(asyncio.create_task(work()))": ("container", "shared", ""),
    "task = asyncio.create_task(work()); await task": ("local", "task", "Owner.start"),
    "await asyncio.create_task(work())": ("local", "", "Owner.start"),
    "ts = [asyncio.create_task(work())]; await asyncio.wait(ts)": ("local", "ts", "Owner.start"),
    "return asyncio.create_task(work())": ("returned", "", "Owner.start"),
    "other.keep(asyncio.create_task(work()))": ("passed", "other.keep", "Owner.start"),
    "self.track(asyncio.create_task(work()))": ("container", "self.tracked", "Owner"),
    "async with asyncio.TaskGroup() as tg: tg.create_task(work())": (
        "group",
        "tg",
        "Owner.start",
    ),
    "async with anyio.create_task_group() as tg: tg.start_soon(work)": (
        "group",
        "tg",
        "Owner.start",
    ),
}


def module(statement: str, *, close: str = "pass", body: str = "await other()") -> str:
    return f"""\
import asyncio
import anyio

shared = []


class Owner:
    def __init__(self):
        self.tasks = set()
        self.tracked = set()

    async def start(self, other):
        {statement}

    async def close(self, other):
        {close}

    def track(self, task):
        self.tracked.add(task)
        task.add_done_callback(self.tracked.discard)


async def work():
    {body}
"""


@pytest.mark.parametrize(("statement", "holder"), HELD.items(), ids=list(HELD))
def test_holders(statement: str, holder: tuple[str, str, str]) -> None:
    (held,) = only(module(statement)).held_by
    assert (held.kind, held.name, held.owner) == holder


ENDED = {
    "self.task.cancel()": {"cancelled"},
    "await self.task": {"awaited"},
    "self.task.cancel(); await asyncio.wait({self.task}, timeout=1)": {"cancelled", "awaited"},
    "task, self.task = self.task, None\n        task.cancel()": {"cancelled"},
    "await asyncio.gather(self.task, other)": {"awaited"},
    "other.push_async_callback(self.task.cancel)": {"cancelled"},
    "print(self.task)": set(),
    "self.task.done()": set(),
    "other.task.cancel()": {"cancelled"},
}


@pytest.mark.parametrize(("close", "kinds"), ENDED.items(), ids=list(ENDED))
def test_ends(close: str, kinds: set[str]) -> None:
    task = only(module("self.task = asyncio.create_task(work())", close=close))
    assert {end.kind for end in task.ended_by} == kinds
    assert {end.function for end in task.ended_by} <= {"Owner.close"}


def test_the_attribute_of_another_class_is_another_task() -> None:
    source = (
        module("self.task = asyncio.create_task(work())")
        + """

class Other:
    async def close(self):
        self.task.cancel()


class Child(Owner):
    async def aclose(self):
        await self.task
"""
    )
    assert {(end.kind, end.function) for end in only(source).ended_by} == {
        ("awaited", "Child.aclose")
    }


def test_a_restart_ends_the_one_before() -> None:
    start = "self.task.cancel(); self.task = asyncio.create_task(work())"
    assert [(end.kind, end.function) for end in only(module(start)).ended_by] == [
        ("replaced", "Owner.start")
    ]


def test_asyncio_run_ends_the_locals_of_main() -> None:
    source = """\
import asyncio

async def main():
    task = asyncio.create_task(work())
    await asyncio.sleep(1)

asyncio.run(main())
"""
    assert [(end.kind, end.function) for end in only(source).ended_by] == [("runner", "main")]


HEARD = {
    "await self.task": {"awaited"},
    "await asyncio.gather(self.task, return_exceptions=True)": set(),
    "print(await asyncio.gather(self.task, return_exceptions=True))": {"awaited"},
    "await asyncio.wait({self.task})": set(),
    "done, _ = await asyncio.wait({self.task})": set(),
    "done, _ = await asyncio.wait({self.task}); [t.result() for t in done]": {"result"},
    "print(self.task.exception())": {"result"},
    "self.task.add_done_callback(lambda t: t.result())": {"callback"},
    "self.task.add_done_callback(self.tasks.discard)": set(),
    "self.task.add_done_callback(other.log)": {"callback"},
    "self.task.add_done_callback(lambda t: print(t))": set(),
    "self.task.cancel()": set(),
}


@pytest.mark.parametrize(("close", "kinds"), HEARD.items(), ids=list(HEARD))
def test_listeners(close: str, kinds: set[str]) -> None:
    task = only(module("self.task = asyncio.create_task(work())", close=close))
    assert {heard.kind for heard in task.heard_by} == kinds
    assert task.in_sight


def test_the_coroutine_may_hear_its_own_errors() -> None:
    start = "self.task = asyncio.create_task(work())"
    handled = "try:\n        await other()\n    except Exception:\n        {}"
    for handler, kinds in (("print()", {"handler"}), ("raise", set())):
        task = only(module(start, body=handled.format(handler)))
        assert {heard.kind for heard in task.heard_by} == kinds


def test_what_is_let_go_when_done_is_logged_when_it_is_collected() -> None:
    tracked = only(module("self.track(asyncio.create_task(work()))"))
    assert {heard.kind for heard in tracked.heard_by} <= {"collector"}
    kept = only(module("self.task = asyncio.create_task(work())"))
    assert not kept.heard_by


def test_what_a_function_without_end_holds_is_not_let_go() -> None:
    start = "task = asyncio.create_task(work()); await asyncio.Event().wait()"
    assert not only(module(start)).heard_by
    assert not only(module(start)).ended_by


OUT_OF_SIGHT = {
    "return": "return self.task",
    "handed on": "other.take(self.task)",
    "found by its name": "getattr(self, 'task').cancel()",
    "kept elsewhere": "other.kept = self.task",
}


@pytest.mark.parametrize("close", OUT_OF_SIGHT.values(), ids=list(OUT_OF_SIGHT))
def test_what_leaves_the_file_is_out_of_sight(close: str) -> None:
    start = "self.task = asyncio.create_task(work())"
    assert only(module(start)).in_sight
    assert not only(module(start, close=close)).in_sight


@pytest.mark.parametrize(
    "close", ["hasattr(self, 'task')", "print(name='task')", "__slots__ = ('task',)"]
)
def test_a_name_that_gives_nobody_the_task_leaves_it_in_sight(close: str) -> None:
    assert only(module("self.task = asyncio.create_task(work())", close=close)).in_sight


@pytest.mark.parametrize(
    ("statement", "name"),
    [
        ("await asyncio.create_task(work(), name='a')", "a"),
        ("await asyncio.create_task(work(), name=f'{other}')", "f'{other}'"),
        ("task = asyncio.create_task(work()); task.set_name('b'); await task", "b"),
        ("await asyncio.create_task(work())", ""),
    ],
)
def test_names(statement: str, name: str) -> None:
    assert only(module(statement)).name == name


@pytest.mark.parametrize(
    ("body", "endless"),
    [
        ("await other()", False),
        ("while True:\n        await other()", True),
        ("async for message in other:\n        print(message)", True),
    ],
)
def test_whether_it_ends_by_itself(*, body: str, endless: bool) -> None:
    assert only(module("await asyncio.create_task(work())", body=body)).endless is endless


def test_a_coroutine_of_another_file_may_be_anything() -> None:
    assert only(module("await asyncio.create_task(other.fetch())")).endless is None


def test_where_it_starts() -> None:
    task = only(module("await asyncio.create_task(work())"))
    assert (task.line, task.column, task.function) == (13, 15, "Owner.start")
    assert (task.creator, task.coroutine, task.kind) == ("asyncio.create_task", "work()", "task")


def test_a_gather_that_waits_where_it_stands_is_no_task_of_its_own() -> None:
    assert not survey_source(module("await asyncio.gather(work(), work())")).tasks
    (task,) = survey_source(module("self.all = asyncio.gather(work(), work())")).tasks
    assert (task.kind, task.coroutine) == ("aggregate", "work(), work()")


def test_a_loop_is_no_coroutine() -> None:
    task = only(module("self.f = asyncio.run_coroutine_threadsafe(work(), other)"))
    assert (task.kind, task.coroutine) == ("aggregate", "work()")


def test_a_managed_spawner_is_shown_where_it_is_named() -> None:
    source = "async def start(app):\n    app.add_task(work(), name='w')\n"
    assert not survey_source(source).tasks
    task = only(source, Settings(managed_spawners=("app.add_task",)))
    assert (task.kind, task.name, task.in_sight) == ("managed", "w", False)
    assert [held.name for held in task.held_by] == ["app.add_task"]


def test_the_loop_of_a_workflow_holds_its_tasks() -> None:
    source = (ROOT / "fixtures/rules/TSK001-discarded-task/workflows.py").read_text("utf-8")
    tasks = survey_source(source).tasks
    kept = {task.line for task in tasks if "Temporal" in {held.name for held in task.held_by}}
    flagged = {finding.line for finding in check_source(source)}
    assert kept
    assert kept.isdisjoint(flagged)
    assert len(kept) + len(flagged) == len(tasks)


def test_a_factory_that_keeps_every_task_holds_them() -> None:
    source = (ROOT / "fixtures/rules/TSK001-discarded-task/safe_task_factory.py").read_text("utf-8")
    tasks = survey_source(source).tasks
    assert tasks
    assert all("factory" in {held.kind for held in task.held_by} for task in tasks)
