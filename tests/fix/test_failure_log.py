"""The callback that a repair adds: it logs whatever ended a task, and raises nothing."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from transform import fix

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = """\
import asyncio
from contextlib import asynccontextmanager

{head}


async def work():
    raise {error}


@asynccontextmanager
async def lifespan(app):
    asyncio.create_task(work())
    yield


async def main():
    try:
        async with lifespan(None):
            await asyncio.sleep(0.05)
    finally:
        await asyncio.sleep(0.01)
        print("cleaned up")


if __name__ == "__main__":
    asyncio.run(main())
"""
HOUSE = "def house_logger():\n    {}\n    return logger\n\n\nlogger = house_logger()"
LOGGERS = {
    "none": "",
    "logging": "import logging\n\nLOG = logging.getLogger(__name__)",
    "adapter": "import logging\n\nlogger = logging.LoggerAdapter(logging.getLogger(__name__), {})",
    "loguru": "from loguru import logger",
    "bound": "from loguru import logger as base\n\nlogger = base.bind(name='jobs')",
    "structlog": "import structlog\n\nlogger = structlog.get_logger()",
    "logging of another file": HOUSE.format("import logging as logger"),
    "loguru of another file": HOUSE.format("from loguru import logger"),
    "structlog of another file": HOUSE.format("import structlog; logger = structlog.get_logger()"),
}


def run(text: str, directory: Path) -> tuple[int, str]:
    """Run the program ``text``; return its status and what it printed and logged."""
    program = directory / "program.py"
    program.write_text(text, "utf-8")
    done = subprocess.run(
        [sys.executable, program],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout


@pytest.mark.parametrize("logger", LOGGERS)
@pytest.mark.parametrize("error", ["ConnectionError('gone')", "SystemExit(3)", "KeyboardInterrupt"])
def test_what_ended_a_task_is_logged_and_the_loop_cleans_up(
    error: str, logger: str, tmp_path: Path
) -> None:
    before = PROGRAM.format(head=LOGGERS[logger], error=error)
    status, _ = run(before, tmp_path)
    after, said = run(fix(before).text, tmp_path)
    assert after == status
    assert "cleaned up" in said
    logged = said.partition("Background task 'work' failed")
    assert "in work" in logged[2], "the log has no traceback"
    assert "was destroyed but it is pending" not in said
    assert "never retrieved" not in said
    assert "Exception in callback" not in said


def test_a_cancelled_task_is_no_failure(tmp_path: Path) -> None:
    before = PROGRAM.format(head="", error="asyncio.CancelledError")
    status, said = run(fix(before).text, tmp_path)
    assert status == 0
    assert said == "cleaned up\n"


FROM_A_THREAD = """\
import asyncio

{head}


async def work():
    raise {error}


def hand_over(loop):
    {call}


async def main():
    await asyncio.to_thread(hand_over, asyncio.get_running_loop())
    await asyncio.sleep(0.1)
    print("cleaned up")


if __name__ == "__main__":
    asyncio.run(main())
"""
HANDED_OVER = "asyncio.run_coroutine_threadsafe(work(), loop)"


@pytest.mark.parametrize("logger", LOGGERS)
def test_what_failed_for_another_thread_is_logged(logger: str, tmp_path: Path) -> None:
    error = "ConnectionError('gone')"
    before = FROM_A_THREAD.format(head=LOGGERS[logger], error=error, call=HANDED_OVER)
    assert run(before, tmp_path) == (0, "cleaned up\n")  # nobody tells of it
    status, said = run(fix(before).text, tmp_path)
    assert status == 0
    assert "in work" in said.partition("Background future failed")[2]
    assert said.endswith("cleaned up\n")


def test_what_is_cancelled_for_another_thread_is_no_failure(tmp_path: Path) -> None:
    error = "asyncio.CancelledError"
    before = FROM_A_THREAD.format(head="", error=error, call=HANDED_OVER)
    assert run(fix(before).text, tmp_path) == (0, "cleaned up\n")


@pytest.mark.parametrize(
    "call",
    [
        f"future = {HANDED_OVER}\n    future.add_done_callback(print)",
        f"{HANDED_OVER}.add_done_callback(print)",
    ],
)
def test_who_is_told_already_needs_no_log(call: str) -> None:
    text = fix(FROM_A_THREAD.format(head="", error="OSError", call=call)).text
    assert "_background_futures.add(future)" in text
    assert "logger" not in text


def test_no_log_is_added_where_logging_is_something_else() -> None:
    source = FROM_A_THREAD.format(head="import house as logging", error="OSError", call=HANDED_OVER)
    text = fix(source).text
    assert "_background_futures.add(future)" in text
    assert "_log_failed_future" not in text


def test_a_banner_stays_above_what_it_is_for() -> None:
    banner = "# -----\n# Threads\n# -----\n"
    source = FROM_A_THREAD.format(head="", error="OSError", call=HANDED_OVER)
    text = fix(source.replace("def hand_over", f"{banner}\n\ndef hand_over")).text
    assert f"exc_info=error)\n\n\n{banner}\n\ndef hand_over" in text


def test_the_log_of_an_earlier_repair_is_used_again() -> None:
    once = fix(FROM_A_THREAD.format(head="", error="OSError", call=HANDED_OVER)).text
    more = once.replace(
        "async def main", f"def again(loop):\n    {HANDED_OVER}\n\n\nasync def main"
    )
    text = fix(more).text
    assert text.count("def _log_failed_future") == 1
    assert text.count("future.add_done_callback(_log_failed_future)") == 2


@pytest.mark.parametrize("future", ["gather(work())", "shield(work())"])
def test_a_future_that_is_no_task_is_not_asked_for_its_name(future: str, tmp_path: Path) -> None:
    before = PROGRAM.format(head="", error="OSError").replace(
        "create_task(work())", f"ensure_future(asyncio.{future})"
    )
    result = fix(before, unsafe_fixes=True)
    assert "_background_futures: set[asyncio.Future[Any]] = set()" in result.text
    status, said = run(result.text, tmp_path)
    assert status == 0
    assert "get_name" not in said
    assert "in work" in said, "the loop has not told of it"


EARLIER = """\
def _log_failed_task(task: asyncio.Task[object]) -> None:
    try:
        task.result()
    except asyncio.CancelledError:
        pass
    except Exception:
        logger.exception("Background task %r failed", task.get_name())
"""
NOW = """\
def _log_failed_task(task: asyncio.Task[object]) -> None:
    error = None if task.cancelled() else task.exception()
    if error is not None:
        logger.error("Background task %r failed", task.get_name(), exc_info=error)
"""
OTHERS = (
    "def _log_failed_task(job):\n    logger.error(job)\n",
    "def _log_failed_task(job):\n    job.exception()\n",
    "def _log_failed_task(job, error):\n    logger.error(job.exception())\n",
)
APPLICATION = """\
import asyncio
import logging
from contextlib import asynccontextmanager

from fastapi import FastAPI

logger = logging.getLogger(__name__)


{}

@asynccontextmanager
async def lifespan(app: FastAPI):
    asyncio.create_task(app.state.worker.run())
    yield
"""


OF_LOGURU = """\
def _log_failed_task(task: asyncio.Task[object]) -> None:
    error = None if task.cancelled() else task.exception()
    if error is not None:
        logger.opt(exception=error).error(f"Background task {task.get_name()!r} failed")
"""


@pytest.mark.parametrize("callback", [EARLIER, NOW, OF_LOGURU])
def test_a_file_that_has_the_callback_gets_no_second(callback: str) -> None:
    text = fix(APPLICATION.format(callback)).text
    assert callback in text
    assert text.count("def _log_failed_task") == 1
    assert "        task.add_done_callback(_log_failed_task)\n" in text


def test_a_file_that_lacks_the_callback_gets_it() -> None:
    assert NOW in fix(APPLICATION.format("")).text


@pytest.mark.parametrize("other", OTHERS)
def test_another_function_of_its_name_is_not_taken_for_it(other: str) -> None:
    text = fix(APPLICATION.format(other)).text
    assert NOW.replace("_log_failed_task", "_log_failed_task_2") in text
    assert "        task.add_done_callback(_log_failed_task_2)\n" in text


def test_several_futures_have_a_helper(tmp_path: Path) -> None:
    calls = "\n    ".join([HANDED_OVER] * 3)
    before = FROM_A_THREAD.format(head="", error="OSError", call=calls)
    text = fix(before).text
    assert text.count(f"    _track_future({HANDED_OVER})\n") == 3
    status, said = run(text, tmp_path)
    assert status == 0
    assert said.count("Background future failed") == 3
    assert fix(text).text == text


def test_a_helper_gives_nothing_back() -> None:
    calls = "\n    ".join([f"_ = {HANDED_OVER}"] * 3)
    text = fix(FROM_A_THREAD.format(head="", error="OSError", call=calls)).text
    assert "_track_future" not in text
    assert text.count("_background_futures.add(") == 3


HANDLER = """\
import asyncio
import logging
import threading

loop = asyncio.new_event_loop()
sent = []


class Forward(logging.{base}):
    def emit(self, record):
        {call}

    async def send(self, line):
        sent.append(line)
        if len(sent) < 50:
            raise ConnectionError("gone")


def main():
    threading.Thread(target=loop.run_forever, daemon=True).start()
    logging.getLogger().addHandler(Forward())
    logging.getLogger("app").warning("hello")
    asyncio.run_coroutine_threadsafe(asyncio.sleep(0.2), loop).result()
    print(sent)


if __name__ == "__main__":
    main()
"""


@pytest.mark.parametrize("base", ["Handler", "handlers.BufferingHandler", "StreamHandler"])
@pytest.mark.parametrize("count", [1, 3])
def test_a_handler_of_the_log_is_not_given_its_own_failures(
    base: str, count: int, tmp_path: Path
) -> None:
    call = "asyncio.run_coroutine_threadsafe(self.send(record.getMessage()), loop)"
    before = HANDLER.format(base=base, call="\n        ".join([call] * count))
    if base.startswith("handlers"):
        before = before.replace("import logging\n", "import logging\nimport logging.handlers\n")
        before = before.replace("Forward())", "Forward(9))")
    text = fix(before).text
    assert "_background_futures.add(future)" in text
    assert run(text, tmp_path) == (0, f"{['hello'] * count}\n")


def test_a_sink_of_loguru_is_not_given_its_own_failures(tmp_path: Path) -> None:
    before = """\
import asyncio
import threading

from loguru import logger

loop = asyncio.new_event_loop()
sent = []


def forward(message):
    asyncio.run_coroutine_threadsafe(send(message.record["message"]), loop)


async def send(line):
    sent.append(line)
    if len(sent) < 50:
        raise ConnectionError("gone")


def main():
    threading.Thread(target=loop.run_forever, daemon=True).start()
    logger.remove()
    logger.add(forward)
    logger.warning("hello")
    asyncio.run_coroutine_threadsafe(asyncio.sleep(0.2), loop).result()
    print(sent)


if __name__ == "__main__":
    main()
"""
    text = fix(before).text
    assert "_background_futures.add(future)" in text
    assert run(text, tmp_path) == (0, "['hello']\n")


def test_the_callback_stands_two_lines_below_what_is_added_above_it() -> None:
    source = """\
import asyncio

class Service:
    def send(self, loop):
        asyncio.run_coroutine_threadsafe(self.run(), loop)
"""
    text = fix(source).text
    assert "= set()\n\n\ndef _log_failed_future" in text
    assert "exc_info=error)\n\n\nclass Service" in text
