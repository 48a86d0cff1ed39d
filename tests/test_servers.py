"""Real servers, before and after the fixer: started, asked, stopped by SIGTERM.

An application in ``fixtures/apps/`` prints what happens to it: ``worker: started`` when its
endless worker begins, ``worker: cleaned up`` at the end of the worker's ``finally``, ``teardown:``
where its own shutdown code runs. It answers ``GET /``. One whose worker fails raises
``RuntimeError``.
"""

from __future__ import annotations

import ast
import re
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.request import urlopen

import pytest
from commands import ROOT

if TYPE_CHECKING:
    from pathlib import Path

APPS = sorted(
    path.parent
    for shape in ("fastapi_*", "starlette_*")
    for path in (ROOT / "fixtures" / "apps").glob(f"{shape}/after.py")
)
ENDED = [path for path in APPS if ".cancel()" in (path / "after.py").read_text("utf-8")]
FAILING = [path for path in APPS if "raise RuntimeError" in (path / "before.py").read_text("utf-8")]
# Seconds for a server to start, to answer or to stop. It needs a tenth of that.
PATIENCE = 20

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM"),
]


@dataclass(frozen=True)
class Life:
    """What a server answered, printed and returned."""

    status: int
    lines: tuple[str, ...]
    returncode: int

    def first(self, start: str) -> int:
        """Return the number of the first line that begins with ``start``, -1 if there is none."""
        found = [number for number, line in enumerate(self.lines) if line.startswith(start)]
        return found[0] if found else -1


def _live(module: Path) -> Life:
    """Serve ``module:app`` on a free port, ask it once, stop it as a supervisor does."""
    command = [sys.executable, "-m", "uvicorn", "--port", "0", "--no-access-log"]
    server = subprocess.Popen(
        [*command, f"{module.stem}:app"],
        cwd=module.parent,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
    )
    killer = threading.Timer(PATIENCE, server.kill)
    killer.start()
    lines: list[str] = []
    status = 0
    try:
        assert server.stdout is not None
        for line in server.stdout:
            lines.append(line.rstrip("\n"))
            address = re.search(r"running on (http://[\d.:]+)", line)
            if address:
                with urlopen(f"{address[1]}/", timeout=PATIENCE) as answer:  # noqa: S310
                    status = answer.status
                server.send_signal(signal.SIGTERM)
        returncode = server.wait()
    finally:
        killer.cancel()
        server.kill()
        server.wait()
        if server.stdout is not None:
            server.stdout.close()
    return Life(status, tuple(lines), returncode)


@lru_cache
def _before_and_after(app: Path) -> tuple[Life, Life]:
    return _live(app / "before.py"), _live(app / "after.py")


def _each(apps: list[Path]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("app", apps, ids=lambda path: path.name)


def test_there_are_applications_of_each_kind() -> None:
    assert ENDED
    assert FAILING


@_each(APPS)
def test_it_answers_and_stops_at_the_signal_before_and_after(app: Path) -> None:
    for life in _before_and_after(app):
        assert life.status == 200, life.lines
        # uvicorn shuts down, then lets the signal do its work.
        assert life.returncode in {0, -signal.SIGTERM}, life.lines


@_each(ENDED)
def test_before_the_workers_finally_never_runs(app: Path) -> None:
    before, _ = _before_and_after(app)
    assert before.first("worker: started") >= 0, before.lines
    assert before.first("worker: cleaned up") == -1, before.lines


@_each(ENDED)
def test_after_the_worker_has_ended_before_the_teardown(app: Path) -> None:
    _, after = _before_and_after(app)
    assert 0 <= after.first("worker: started") < after.first("worker: cleaned up"), after.lines
    teardown = after.first("teardown:")
    if teardown != -1:
        assert after.first("worker: cleaned up") < teardown, after.lines


@_each(FAILING)
def test_after_a_workers_exception_is_logged_with_traceback_and_name(app: Path) -> None:
    _, after = _before_and_after(app)
    source = (app / "before.py").read_text("utf-8")
    [failing] = [
        node.name
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.AsyncFunctionDef)
        and any(isinstance(child, ast.Raise) for child in node.body)
    ]
    start = next((n for n, line in enumerate(after.lines) if failing in line), None)
    assert start is not None, after.lines
    assert re.search(rf"Background task '[\w.]*{failing}' failed", after.lines[start])
    assert after.lines[start + 1] == "Traceback (most recent call last):"
    assert any(line.startswith("RuntimeError: ") for line in after.lines[start:])
