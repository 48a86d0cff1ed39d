"""Applications of ``fixtures/apps/``, run from their start to the signal that ends them.

They print what happens to them: ``worker: started`` when an endless worker begins, ``worker:
cleaned up`` at the end of its ``finally``, ``job: done`` when a job that only its task refers to
has ended, ``teardown:`` where their own shutdown code runs. A script prints ``ready`` when it may
be stopped. One whose worker fails raises ``RuntimeError``.
"""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from urllib.request import urlopen

import pytest
from commands import ROOT

# Seconds for an application to start, to answer or to stop. It needs a tenth of that.
PATIENCE = 20
_ADDRESS = re.compile(r"running on (http://[\d.:]+\d)", re.IGNORECASE)
_FORMS = ("before.py", "after.py")
# Applications in the order of the tests, and what runs them.
_ORDER: list[Path] = []
_THREADS = ThreadPoolExecutor(max_workers=4)
_PATH = re.compile(r"""(?:get|Route)\("(/\w*)\"""")


@dataclass(frozen=True)
class Life:
    """What an application answered, printed and returned.

    ``seconds`` passed between the signal and its end.
    """

    statuses: tuple[int, ...]
    lines: tuple[str, ...]
    returncode: int
    seconds: float

    def first(self, start: str) -> int:
        """Return the number of the first line that begins with ``start``, -1 if there is none."""
        found = [number for number, line in enumerate(self.lines) if line.startswith(start)]
        return found[0] if found else -1

    def all(self, start: str) -> list[int]:
        """Return the numbers of all lines that begin with ``start``."""
        return [number for number, line in enumerate(self.lines) if line.startswith(start)]


def named(*shapes: str) -> list[Path]:
    """Return the directories of the applications whose names ``shapes`` match."""
    apps = ROOT / "fixtures" / "apps"
    return sorted(path.parent for shape in shapes for path in apps.glob(f"{shape}/before.py"))


def source(app: Path) -> str:
    """Return the text of ``app`` before the fixer."""
    return (app / "before.py").read_text("utf-8")


def each(apps: list[Path]) -> pytest.MarkDecorator:
    """Run a test for each of ``apps``."""
    _ORDER.extend(app for app in apps if app not in _ORDER)
    return pytest.mark.parametrize("app", apps, ids=lambda path: path.name)


def before_and_after(app: Path) -> tuple[Life, Life]:
    """Run ``app`` as it was written and as the fixer left it, each at most once."""
    # The next one starts meanwhile: most of a life is waiting.
    following = _ORDER[_ORDER.index(app) + 1 :][:1] if app in _ORDER else []
    lives = [_begun(one / name) for one in (app, *following) for name in _FORMS]
    return lives[0].result(), lives[1].result()


@lru_cache
def _begun(module: Path) -> Future[Life]:
    return _THREADS.submit(_live, module)


def _live(module: Path) -> Life:
    """Start ``module``, ask a server for each of its pages, stop it as a supervisor does."""
    kind = module.parent.name.partition("_")[0]
    kind = kind if kind in {"aiohttp", "script"} else "uvicorn"
    program = Path(__file__).with_name("collecting.py")
    running = subprocess.Popen(
        [sys.executable, str(program), kind, module.stem],
        cwd=module.parent,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
    )
    killer = threading.Timer(PATIENCE, running.kill)
    killer.start()
    lines: list[str] = []
    statuses: list[int] = []
    stopped = 0.0
    try:
        assert running.stdout is not None
        for line in running.stdout:
            lines.append(line.rstrip("\n"))
            address = _ADDRESS.search(line)
            if address or line == "ready\n":
                if address:
                    pages = _PATH.findall(module.read_text("utf-8"))
                    statuses += [_status(address[1] + page) for page in pages]
                stopped = time.monotonic()
                running.send_signal(signal.SIGTERM)
        returncode = running.wait()
    finally:
        killer.cancel()
        running.kill()
        running.wait()
        if running.stdout is not None:
            running.stdout.close()
    return Life(tuple(statuses), tuple(lines), returncode, time.monotonic() - stopped)


def _status(url: str) -> int:
    with urlopen(url, timeout=PATIENCE) as answer:  # noqa: S310 (our own server)
        return int(answer.status)
