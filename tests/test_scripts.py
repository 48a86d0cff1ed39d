"""Programs without a server, before and after the fixer: started, then stopped by SIGTERM.

What they print is said in ``lives``. Full collections interrupt them.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
from commands import ROOT
from lives import before_and_after, each, named

if TYPE_CHECKING:
    from pathlib import Path

APPS = ROOT / "fixtures" / "apps"
BOT = APPS / "script_bot"
SIGNAL_HANDLER = APPS / "script_signal_handler"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM"),
]


@each(named("script_*"))
def test_it_stops_at_the_signal_before_and_after(app: Path) -> None:
    for life in before_and_after(app):
        assert life.first("ready") >= 0, life.lines
        assert life.first("teardown:") > life.first("ready"), life.lines
        assert life.returncode == 0, life.lines


@each(named("script_*"))
def test_a_collection_destroys_the_task_before_and_not_after(app: Path) -> None:
    before, after = before_and_after(app)
    assert before.first("Task was destroyed but it is pending!") >= 0, before.lines
    assert before.first("job: done") == -1, before.lines
    assert after.first("Task was destroyed") == -1, after.lines
    assert after.first("job: done") >= 0, after.lines


def test_the_task_of_a_signal_handler_ends_the_program() -> None:
    before, after = before_and_after(SIGNAL_HANDLER)
    assert before.first("teardown: gave up") >= 0, before.lines
    assert 0 <= after.first("job: done") < after.first("teardown: stopped"), after.lines


def test_a_closed_bot_ends_its_loops_before_it_disconnects() -> None:
    before, after = before_and_after(BOT)
    # Whoever asks whether it is connected, is answered as before.
    assert before.first("teardown:") < before.first("worker: cleaned up, connected: False")
    cleaned = after.first("worker: cleaned up, connected: False")
    assert 0 <= after.first("worker: started") < cleaned < after.first("teardown:"), after.lines
