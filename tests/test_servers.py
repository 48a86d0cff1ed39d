"""Real servers, before and after the fixer: started, asked, stopped by SIGTERM.

What the applications print is said in ``lives``. Full collections interrupt all of them.
"""

from __future__ import annotations

import ast
import re
import signal
import sys
from typing import TYPE_CHECKING

import pytest
from commands import ROOT
from lives import before_and_after, each, named, source

from flake8_task_refs.fix.engine import FixSettings, fix_source

if TYPE_CHECKING:
    from pathlib import Path

APPS = named("fastapi_*", "starlette_*", "litestar_*", "aiohttp_*")
ENDED = [app for app in APPS if ".cancel()" in (app / "after.py").read_text("utf-8")]
FAILING = [app for app in APPS if "raise RuntimeError" in source(app)]
# Their jobs wait for what only weak references know.
LOST = [app for app in APPS if "WeakSet" in source(app)]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM"),
]


def test_there_are_applications_of_each_kind() -> None:
    assert len(ENDED) >= 14
    assert len(FAILING) >= 3
    assert len(LOST) >= 2
    assert {app.name.partition("_")[0] for app in APPS} == {
        "aiohttp",
        "fastapi",
        "litestar",
        "starlette",
    }


@each(APPS)
def test_it_answers_and_stops_at_the_signal_before_and_after(app: Path) -> None:
    for life in before_and_after(app):
        assert life.statuses, life.lines
        assert set(life.statuses) == {200}, life.lines
        # uvicorn shuts down, then lets the signal do its work.
        assert life.returncode in {0, -signal.SIGTERM}, life.lines
        # A shutdown that waits in vain takes the ten seconds of its bound.
        assert life.seconds < 5, life.lines


@each(ENDED)
def test_before_no_worker_has_ended_when_the_teardown_runs(app: Path) -> None:
    before, _ = before_and_after(app)
    assert before.first("worker: started") >= 0, before.lines
    cleaned = before.first("worker: cleaned up")
    # aiohttp cancels what is left, after its cleanup; uvicorn leaves it.
    assert cleaned == -1 or cleaned > before.first("teardown:") >= 0, before.lines


@each(ENDED)
def test_after_each_worker_has_ended_before_the_teardown(app: Path) -> None:
    _, after = before_and_after(app)
    started, cleaned = after.all("worker: started"), after.all("worker: cleaned up")
    assert 0 < len(started) == len(cleaned), after.lines
    assert max(started) < min(cleaned), after.lines
    assert all(max(cleaned) < number for number in after.all("teardown:")), after.lines
    # What the worker uses while it cleans up is still there.
    assert not [line for line in after.lines if line.endswith("open: False")], after.lines


@each(FAILING)
def test_after_a_workers_exception_is_logged_with_traceback_and_name(app: Path) -> None:
    _, after = before_and_after(app)
    [failing] = [
        node.name
        for node in ast.walk(ast.parse(source(app)))
        if isinstance(node, ast.AsyncFunctionDef)
        and any(isinstance(child, ast.Raise) for child in node.body)
    ]
    start = next((n for n, line in enumerate(after.lines) if failing in line), None)
    assert start is not None, after.lines
    assert re.search(rf"Background task '[\w.]*{failing}' failed", after.lines[start])
    assert after.lines[start + 1] == "Traceback (most recent call last):"
    assert any(line.startswith("RuntimeError: ") for line in after.lines[start:])


@each(LOST)
def test_a_collection_destroys_the_job_before_and_not_after(app: Path) -> None:
    before, after = before_and_after(app)
    assert before.first("Task was destroyed but it is pending!") >= 0, before.lines
    assert before.first("job: done") == -1, before.lines
    assert after.first("job: done") >= 0, after.lines


@each(APPS)
def test_after_no_collection_destroys_a_task(app: Path) -> None:
    _, after = before_and_after(app)
    lost = [line for line in after.lines if "was destroyed" in line or "never retrieved" in line]
    assert not lost, after.lines


def test_a_queue_is_drained_before_its_worker_is_cancelled() -> None:
    _, after = before_and_after(ROOT / "fixtures" / "apps" / "fastapi_queue_join")
    done = [line for line in after.lines if line.startswith("job ")]
    assert done == [f"job {job}: done, pool open: True" for job in range(3)]
    assert after.all("job ")[-1] < after.first("worker: cleaned up") < after.first("teardown:")


def test_a_worker_that_is_asked_to_stop_does_so_before_the_rest_is_cancelled() -> None:
    _, after = before_and_after(ROOT / "fixtures" / "apps" / "fastapi_stop_event")
    goodbye = after.first("server: said goodbye, pool open: True")
    assert 0 <= goodbye < after.first("worker: cleaned up") < after.first("teardown:")


def test_a_worker_that_gets_its_last_item_has_ended_before_the_rest_is_cancelled() -> None:
    before, after = before_and_after(ROOT / "fixtures" / "apps" / "fastapi_sentinel")
    assert before.first("writer: saved") == -1, before.lines
    saved = after.first("writer: saved, pool open: True")
    assert after.first("writer: wrote 1") < saved < after.first("worker: cleaned up"), after.lines
    assert 0 <= after.first("writer: wrote 1") < after.first("teardown:"), after.lines


def test_a_service_ends_its_loop_after_what_it_waits_for_and_before_its_pool() -> None:
    _, after = before_and_after(ROOT / "fixtures" / "apps" / "fastapi_service_stops")
    sent = after.first("sender: sent the last batch, pool open: True")
    assert 0 <= sent < after.first("worker: cleaned up") < after.first("teardown:"), after.lines


def test_only_a_worker_that_swallows_its_cancellation_is_declined() -> None:
    app = ROOT / "fixtures" / "apps" / "fastapi_swallows_cancellation"
    result = fix_source(source(app), FixSettings())
    [refusal] = result.declined
    assert "stubborn() catches CancelledError" in refusal.reason
    _, after = before_and_after(app)
    # Cancelled, it would have saved something at once.
    [teardown] = after.all("teardown: saved")
    assert "at once" not in after.lines[teardown], after.lines


def test_a_shutdown_that_closes_and_then_waits_is_left_as_it_is() -> None:
    app = ROOT / "fixtures" / "apps" / "fastapi_closes_then_waits"
    [refusal] = fix_source(source(app), FixSettings()).declined
    assert "no place to cancel it before that is clearly right" in refusal.reason
    for life in before_and_after(app):
        # The worker gets its last job when the pool is closed, and the shutdown waits for it.
        assert life.first("teardown: the pool is closed") >= 0, life.lines
        [job] = life.all("job: done, the last, pool open: False")
        assert job > life.first("teardown:"), life.lines


def test_unsafe_fixes_cancel_after_the_wait_where_a_shutdown_closes_first() -> None:
    app = ROOT / "fixtures" / "apps" / "fastapi_closes_then_waits"
    result = fix_source(source(app), FixSettings(unsafe_fixes=True))
    assert not result.declined
    assert result.text.index("await jobs.join()") < result.text.index(".cancel()")
