"""What the fixer writes, as text: one place and one form at a time."""

from __future__ import annotations

import cProfile
import pstats
import runpy
from typing import TYPE_CHECKING

import pytest
from transform import check_declined, check_fixed, check_unchanged, fix

from flake8_task_refs.analysis.finding import SourceError
from flake8_task_refs.fix import engine
from flake8_task_refs.fix.engine import fix_source
from flake8_task_refs.options import Settings

if TYPE_CHECKING:
    from pathlib import Path

# A file with one fault after one line of code, to see how the text around it is treated.
ONE = "import asyncio\n\n\nasync def f():\n    {}\n"


def test_function() -> None:
    check_fixed(
        """
        import asyncio

        LIMIT = 3


        async def handle(item):
            # Not now.
            asyncio.create_task(store.save(item))  # later
            return item
        """,
        """
        import asyncio

        LIMIT = 3

        # Strong references: the event loop keeps only weak ones.
        _background_tasks: set[asyncio.Task[object]] = set()


        async def handle(item):
            # Not now.
            task = asyncio.create_task(store.save(item), name="store.save")  # later
            _background_tasks.add(task)
            task.add_done_callback(_background_tasks.discard)
            return item
        """,
    )


@pytest.mark.parametrize("mark", ["# %%", "#%% Work", "# In[2]:"])
def test_a_registry_stays_in_the_cell_of_the_imports(mark: str) -> None:
    text = f"import asyncio\n\n{mark}\nsize = 2\n\nasync def f():\n    asyncio.create_task(g())\n"
    assert "_background_tasks" in fix(text).text.partition(mark)[0]
    assert "_background_tasks" not in fix(text.replace(mark, "# Work")).text.partition("# Work")[0]


def test_lifespan_as_the_documentation_shows_it() -> None:
    check_fixed(
        '''
        import asyncio
        from collections.abc import AsyncIterator
        from contextlib import asynccontextmanager

        from fastapi import FastAPI
        from loguru import logger


        @asynccontextmanager
        async def lifespan(app: FastAPI) -> AsyncIterator[None]:
            """Run the worker."""
            asyncio.create_task(worker.run())
            yield
        ''',
        '''
        import asyncio
        from collections.abc import AsyncIterator
        from contextlib import asynccontextmanager

        from fastapi import FastAPI
        from loguru import logger


        def _log_failed_task(task: asyncio.Task[object]) -> None:
            error = None if task.cancelled() else task.exception()
            if error is not None:
                logger.opt(exception=error).error(f"Background task {task.get_name()!r} failed")


        @asynccontextmanager
        async def lifespan(app: FastAPI) -> AsyncIterator[None]:
            """Run the worker."""
            background_tasks: set[asyncio.Task[object]] = set()
            app.state.background_tasks = background_tasks
            try:
                task = asyncio.create_task(worker.run(), name="worker.run")
                background_tasks.add(task)
                task.add_done_callback(background_tasks.discard)
                task.add_done_callback(_log_failed_task)
                yield
            finally:
                pending = list(background_tasks)
                for background_task in pending:
                    background_task.cancel()
                if pending:
                    _, stuck = await asyncio.wait(pending, timeout=2.5)
                    for background_task in stuck:
                        logger.error(
                            f"Background task {background_task.get_name()!r} ignored cancellation"
                        )
        ''',
        shutdown_timeout=2.5,
    )


def test_another_servers_lifespan_has_no_state() -> None:
    result = fix(
        """
import asyncio
from contextlib import asynccontextmanager

@asynccontextmanager
async def lifespan(server):
    asyncio.create_task(run())
    yield
"""
    )
    assert ".state" not in result.text
    assert "background_tasks.discard" in result.text


def test_the_states_own_attribute_is_left_alone() -> None:
    result = fix(
        """
import asyncio
from contextlib import asynccontextmanager
from fastapi import FastAPI

@asynccontextmanager
async def lifespan(app: FastAPI):
    app.state.background_tasks = 3
    asyncio.create_task(run())
    yield
"""
    )
    assert "app.state.background_tasks_2 = lifespan_tasks\n" in result.text


def test_an_attribute_of_that_name_is_no_variable() -> None:
    text = """
import asyncio

class Pool:
    def __init__(self):
        self._background_tasks = []

async def run(work):
    asyncio.create_task(work())
"""
    assert "    _background_tasks.add(task)\n" in fix(text).text
    taken = text.replace("self._background", "_background")
    assert "    _background_tasks_2.add(task)\n" in fix(taken).text


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("_ = asyncio.create_task(g())", 'task = asyncio.create_task(g(), name="g")'),
        ("asyncio.ensure_future(g())", "task = asyncio.ensure_future(g())"),
        (
            'asyncio.create_task(g(), name="mine")',
            'task = asyncio.create_task(g(), name="mine")',
        ),
        ("asyncio.create_task(coroutine)", "task = asyncio.create_task(coroutine)"),
        ("client.loop.create_task(g())", "task = client.loop.create_task(g())"),
        (
            "asyncio.get_running_loop().create_task(g())",
            'task = asyncio.get_running_loop().create_task(g(), name="g")',
        ),
    ],
)
def test_only_create_task_gets_a_name_and_only_where_it_is_asyncios(
    before: str, after: str
) -> None:
    text = fix(ONE.format(before)).text
    assert f"\n    {after}\n    _background_tasks.add(task)\n" in text


def test_no_name_where_a_task_factory_is_set() -> None:
    source = ONE.format("asyncio.create_task(g())") + "\n\nloop.set_task_factory(make)\n"
    assert "name=" not in fix(source).text


def test_the_local_is_fresh() -> None:
    text = fix(ONE.format("task, pending = g(), h()\n    asyncio.create_task(task)")).text
    assert "\n    task_2 = asyncio.create_task(task)\n    _background_tasks.add(task_2)\n" in text


def test_a_callback_of_the_users_own_stays() -> None:
    text = fix(ONE.format("asyncio.create_task(g()).add_done_callback(report)")).text
    assert text.endswith(
        """
    task = asyncio.create_task(g(), name="g")
    _background_tasks.add(task)
    task.add_done_callback(_background_tasks.discard)
    task.add_done_callback(report)
"""
    )


def test_the_users_own_name_stays() -> None:
    text = fix(ONE.format("mine = asyncio.create_task(g())\n    print('started')")).text
    assert text.endswith(
        """
    mine = asyncio.create_task(g())
    _background_tasks.add(mine)
    mine.add_done_callback(_background_tasks.discard)
    print('started')
"""
    )


def test_an_expression_is_wrapped() -> None:
    check_fixed(
        """
        import asyncio
        import signal
        from typing import Any


        def install(loop: Any) -> None:
            loop.add_signal_handler(signal.SIGTERM, lambda: asyncio.create_task(stop()))
        """,
        """
        import asyncio
        import signal
        from typing import Any, TypeVar

        _T = TypeVar("_T")

        # Strong references: the event loop keeps only weak ones.
        _background_tasks: set[asyncio.Task[object]] = set()


        def _track(task: asyncio.Task[_T]) -> asyncio.Task[_T]:
            _background_tasks.add(task)
            task.add_done_callback(_background_tasks.discard)
            return task


        def install(loop: Any) -> None:
            loop.add_signal_handler(
                signal.SIGTERM, lambda: _track(asyncio.create_task(stop(), name="stop"))
            )
        """,
    )


def test_a_helper_of_the_class_is_called() -> None:
    check_fixed(
        """
        import asyncio


        class Service:
            def _track(self, task):
                self._jobs.add(task)
                task.add_done_callback(self._jobs.discard)

            def start(self):
                asyncio.create_task(work())
        """,
        """
        import asyncio


        class Service:
            def _track(self, task):
                self._jobs.add(task)
                task.add_done_callback(self._jobs.discard)

            def start(self):
                self._track(asyncio.create_task(work(), name="work"))
        """,
    )


def test_a_helper_that_makes_the_task_is_called_with_the_coroutine() -> None:
    check_fixed(
        """
        import asyncio

        jobs = set()


        def spawn(coroutine):
            task = asyncio.create_task(coroutine)
            jobs.add(task)
            task.add_done_callback(jobs.discard)


        async def start():
            asyncio.create_task(work())
        """,
        """
        import asyncio

        jobs = set()


        def spawn(coroutine):
            task = asyncio.create_task(coroutine)
            jobs.add(task)
            task.add_done_callback(jobs.discard)


        async def start():
            spawn(work())
        """,
    )


def test_a_registry_of_the_module_is_reused() -> None:
    check_fixed(
        """
        import asyncio

        jobs = set()


        async def one():
            job = asyncio.create_task(work())
            jobs.add(job)
            job.add_done_callback(jobs.discard)


        async def two():
            asyncio.create_task(work())
        """,
        """
        import asyncio

        jobs = set()


        async def one():
            job = asyncio.create_task(work())
            jobs.add(job)
            job.add_done_callback(jobs.discard)


        async def two():
            task = asyncio.create_task(work(), name="work")
            jobs.add(task)
            task.add_done_callback(jobs.discard)
        """,
    )


def test_a_weak_set_is_no_registry() -> None:
    text = fix(
        """
import asyncio
import weakref

jobs = weakref.WeakSet()

async def one():
    job = asyncio.create_task(work())
    jobs.add(job)
    job.add_done_callback(jobs.discard)
"""
    ).text
    assert "_background_tasks.add(job)" in text


def test_a_class_of_its_own_keeps_its_tasks_and_ends_the_endless_one() -> None:
    check_fixed(
        """
        import asyncio
        import logging

        log = logging.getLogger(__name__)


        class Poller:
            def __init__(self, session):
                self.session = session

            def start(self):
                asyncio.create_task(self.poll())

            async def poll(self):
                while True:
                    await self.session.get()

            async def close(self):
                await self.session.close()
        """,
        """
        import asyncio
        import logging

        log = logging.getLogger(__name__)


        class Poller:
            def __init__(self, session):
                self._background_tasks: set[asyncio.Task[object]] = set()
                self.session = session

            def start(self):
                task = asyncio.create_task(self.poll(), name="Poller.poll")
                self._background_tasks.add(task)
                task.add_done_callback(self._background_tasks.discard)

            async def poll(self):
                while True:
                    await self.session.get()

            async def close(self):
                pending = self._background_tasks - {asyncio.current_task()}
                for background_task in pending:
                    background_task.cancel()
                if pending:
                    _, stuck = await asyncio.wait(pending, timeout=10)
                    for background_task in stuck:
                        log.error(
                            "Background task %r ignored cancellation",
                            background_task.get_name(),
                        )
                await self.session.close()
        """,
    )


@pytest.mark.parametrize(
    "head",
    [
        "@dataclass\nclass C:",
        "class C(Unknown):",
        "class C(metaclass=Meta):",
        "class C:\n    __slots__ = ('a',)",
        "import pickle\n\n\nclass C:",
    ],
)
def test_a_class_that_an_attribute_could_harm_is_left_alone(head: str) -> None:
    text = fix(
        f"""import asyncio

{head}
    def __init__(self):
        self.a = 1

    def start(self):
        asyncio.create_task(work())
"""
    ).text
    assert "self._background_tasks" not in text
    assert "\n_background_tasks: set[" in text


def test_a_synchronous_route_is_declined() -> None:
    check_declined(
        """
        import asyncio

        @app.get("/")
        def index():
            asyncio.create_task(work())
        """,
        "plain def",
    )


def test_a_name_that_is_not_asyncios_is_declined() -> None:
    check_declined(
        """
        from asyncio import create_task
        from curio import sleep as asyncio

        def f():
            create_task(work())
        """,
        "uses the name asyncio for something else",
    )


def test_on_event_without_a_shutdown_handler_gets_one() -> None:
    text = fix(
        """from asyncio import create_task

from fastapi import FastAPI

api = FastAPI()


@api.on_event("startup")
async def start():
    create_task(work())
"""
    ).text
    assert "import asyncio\nimport logging\nfrom asyncio import create_task\n" in text
    assert '@api.on_event("shutdown")\nasync def cancel_background_tasks() -> None:\n' in text
    assert "pending: list[asyncio.Task[object]] = list(api.state.background_tasks)" in text


@pytest.mark.parametrize(
    "app", ["FastAPI(lifespan=other)", "APIRouter()", "FastAPI(**options)", "make()"]
)
def test_on_event_that_may_never_run_its_shutdown_uses_the_module(app: str) -> None:
    text = fix(
        f"""import asyncio

app = {app}


@app.on_event("startup")
async def start():
    asyncio.create_task(work())
"""
    ).text
    assert "shutdown" not in text
    assert "_background_tasks.add(task)" in text


def test_an_aggregate_is_kept_or_awaited_on_demand() -> None:
    source = ONE.format("asyncio.gather(g(), h())")
    assert "\n    future = asyncio.gather(g(), h())\n" in fix(source).text
    assert "set[asyncio.Future[Any]] = set()" in fix(source).text
    assert fix(source, unsafe_fixes=True).text == ONE.format("await asyncio.gather(g(), h())")


def test_a_container_that_grows_gets_its_callback() -> None:
    check_fixed(
        """
        import asyncio


        class Dispatcher:
            def __init__(self):
                self.tasks = []

            async def on_message(self, message):
                self.tasks.append(asyncio.create_task(self.handle(message)))
        """,
        """
        import asyncio


        class Dispatcher:
            def __init__(self):
                self.tasks = []

            async def on_message(self, message):
                task = asyncio.create_task(self.handle(message), name="Dispatcher.handle")
                self.tasks.append(task)
                task.add_done_callback(self.tasks.remove)
        """,
    )


def test_a_called_callback_is_passed_if_unsafe_fixes_are_wanted() -> None:
    source = """
        import asyncio

        tasks = set()


        async def f():
            task = asyncio.create_task(g())
            tasks.add(task)
            task.add_done_callback({})
        """
    check_declined(source.format("tasks.discard(task)"), "--unsafe-fixes")
    for broken in ("tasks.discard(task)", "lambda: tasks.discard(task)"):
        check_fixed(source.format(broken), source.format("tasks.discard"), unsafe_fixes=True)


def test_only_selected_codes_are_repaired() -> None:
    source = ONE.format("asyncio.create_task(g())")
    assert fix(source, select=("TSK1",)).text == source
    assert fix(source, select=("TSK0",)).text != source


@pytest.mark.parametrize(
    ("head", "call"),
    [
        ('log = logging.getLogger("x")', 'log.error("Background task %r failed", task'),
        ("from x import logger", 'logger.exception(f"Background task {task'),
        ("from x import api_logger\napi_logger.info(1)", 'api_logger.exception(f"Background'),
        ("from math import log", 'logger.error("Background task %r failed", task'),
        ('logger_name = "x"', 'logger.error("Background task %r failed", task'),
    ],
)
def test_the_modules_logger_is_used_in_a_style_that_it_takes(head: str, call: str) -> None:
    text = fix(
        f"""import asyncio
import logging
from contextlib import asynccontextmanager
{head}


@asynccontextmanager
async def lifespan(app):
    asyncio.create_task(work())
    yield
"""
    ).text
    assert call in text
    assert ("logging.getLogger(__name__)" in text) == (call.startswith('logger.error("'))


def test_noqa_is_respected() -> None:
    check_unchanged(ONE.format("asyncio.create_task(g())  # noqa: TSK001"))


def test_no_python_is_an_error() -> None:
    with pytest.raises(SourceError):
        fix_source("asyncio.create_task(\n")


# Bytes outside the edits.


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_everything_else_stays_as_it_is(newline: str) -> None:
    source = newline.join(
        [
            "#!/usr/bin/python",
            "# Gr\xfc\xdfe,  trailing blanks:  ",
            "import asyncio",
            "\f",
            "class  Odd( object ) :",
            "\tdef f(self):",
            '\t\t"""\xe9t\xe9',
            '  not indented"""',
            "\t\tasyncio.create_task(g( 1,2 ) )   # why?  ",
            "\t\tx = 'a'; y = \\",
            "\t\t\t2",
        ]
    )
    text = fix(source).text
    kept = text.split(newline)
    for line in source.split(newline):
        if "create_task" not in line:
            assert line in kept
    assert '\t\ttask = asyncio.create_task(g( 1,2 ), name="g" )   # why?  ' in kept or any(
        line.startswith("\t\ttask = asyncio.create_task(") and line.endswith("   # why?  ")
        for line in kept
    )
    assert not text.endswith(newline)
    assert text.replace(newline, "").count("\n") == 0


HEARTBEAT = """\
import asyncio
from fastapi import FastAPI, WebSocket

app = FastAPI()


async def heartbeat(websocket: WebSocket) -> None:
    while True:
        await asyncio.sleep(20)
        await websocket.send_text("ping")


@app.websocket("/updates")
async def updates(websocket: WebSocket) -> None:
    await websocket.accept()
    beats = asyncio.create_task(heartbeat(websocket))
    async for text in websocket.iter_text():
        print(text)
"""


@pytest.mark.parametrize("line", ["    beats", "    async for"])
def test_a_form_feed_before_the_indentation_changes_no_repair(line: str) -> None:
    lines = HEARTBEAT.split("\n")
    fed = [f"\f{text}" if text and text.startswith(line) else text for text in lines]
    result = fix("\n".join(fed))
    assert [finding.code for finding in result.fixed] == ["TSK002"]
    assert result.text.replace("\f", "") == fix(HEARTBEAT).text
    assert result.text.count("\f") == sum(map(len, fed)) - sum(map(len, lines))
    assert result.text.startswith(fed[0])


def test_strings_are_not_indented_with_the_code_around_them() -> None:
    text = fix(
        '''
import asyncio
from contextlib import asynccontextmanager

@asynccontextmanager
async def lifespan(app):
    asyncio.create_task(run())

    # A query.
    await db.execute("""
        select 1
    """)
    yield
'''
    ).text
    assert (
        '''

        # A query.
        await db.execute("""
        select 1
    """)
        yield
    finally:
'''
        in text
    )


def test_the_last_line_may_lack_its_end() -> None:
    text = fix("import asyncio\nasync def f():\n    asyncio.create_task(g())").text
    assert text.endswith("\n    task.add_done_callback(_background_tasks.discard)")


def test_each_line_keeps_its_own_end() -> None:
    source = (
        "import asyncio\r\n\r\n\nasync def f():\r    asyncio.create_task(\r\n"
        "        g(),\n    )\r\n    return 1\r"
    )
    text = fix(source).text
    assert text.startswith("import asyncio\r\n\r\n# Strong references")
    assert "async def f():\r    task = asyncio.create_task(\r" in text
    assert text.endswith("    task.add_done_callback(_background_tasks.discard)\r\n    return 1\r")
    assert text.replace("\r\n", "\n").replace("\r", "\n") == (
        fix(source.replace("\r\n", "\n").replace("\r", "\n")).text
    )


@pytest.mark.parametrize(
    ("call", "name"),
    [
        ("asyncio.wait_for(self.clean(1), timeout=30)", "C.clean"),
        ("asyncio.shield(g())", "g"),
        ("function()", ""),
        ("local(1)", ""),
        ("nested()", "nested"),
        ("self.client.send(1)", "client.send"),
        (
            "self.a_client_of_some_length.and_its_dispatcher_of_messages.send_all()",
            "and_its_dispatcher_of_messages.send_all",
        ),
    ],
)
def test_the_name_says_what_runs(call: str, name: str) -> None:
    text = fix(
        f"""import asyncio


class C:
    async def f(self, function):
        local = make()

        async def nested():
            pass

        asyncio.create_task({call})
"""
    ).text
    assert (f'name="{name}"' in text) if name else ("name=" not in text)
    assert all(len(line) <= 88 for line in text.splitlines())


def test_the_registry_does_not_part_what_stands_together() -> None:
    head = "import logging\n\nlog = logging.getLogger()\nlog.addFilter(F())\n\nSIZE = measure(1)\n"
    text = fix(f"import asyncio\n{head}\n\nasync def f():\n    asyncio.create_task(g())\n").text
    assert text.startswith(f"import asyncio\n{head}\n# Strong references")


def test_a_line_that_grows_too_long_is_laid_out() -> None:
    text = fix(
        """import asyncio


def install(loop):
    loop.add_signal_handler(
        SIGQUIT, lambda: asyncio.create_task(exit_gracefully())
    )
""",
        line_length=70,
    ).text
    assert max(map(len, text.splitlines())) <= 70


def test_a_local_is_bound_again_where_the_types_agree() -> None:
    source = """import asyncio


async def f() -> None:
    asyncio.create_task(one())
    asyncio.create_task(two())


async def one() -> None: ...


async def two() -> {}: ...
"""
    assert "task_2" not in fix(source.format("None")).text
    assert "task_2 = asyncio.create_task(two()" in fix(source.format("int")).text


def test_a_task_is_named_alone_and_beside_another_repair() -> None:
    result = fix(
        ONE.format("asyncio.create_task(g())\n    await asyncio.create_task(self.h())"),
        analysis=Settings(enabled_codes=frozenset({"TSK303"})),
    )
    assert [finding.code for finding in result.fixed] == ["TSK001", "TSK303", "TSK303"]
    assert '    await asyncio.create_task(self.h(), name="h")\n' in result.text
    source = ONE.format("await asyncio.create_task(coroutine)")
    check_declined(
        source, "no name follows", analysis=Settings(enabled_codes=frozenset({"TSK303"}))
    )


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("call_soon(asyncio.create_task, self.h(1))", "call_soon(_spawn, self.h(1))"),
        ("call_later(5, asyncio.ensure_future, known(x))", "call_later(5, _spawn, known(x))"),
        ("call_soon(loop.create_task, g(x))", "call_soon(_spawn, g(x))"),
        ("call_soon(partial(asyncio.create_task, g(x)))", "call_soon(partial(_spawn, g(x)))"),
        ("call_soon_threadsafe(asyncio.create_task, g())", "call_soon_threadsafe(_spawn, g())"),
        (
            "call_soon_threadsafe(asyncio.create_task, known())",
            "call_soon_threadsafe(lambda: _track(asyncio.create_task(known())))",
        ),
    ],
)
def test_what_is_handed_over_keeps_its_task(before: str, after: str) -> None:
    imports = "import asyncio\nfrom functools import partial\nfrom typing import cast\n\n\n"
    source = f"{imports}async def known():\n    await g()\n\n\n{{}}"
    text = fix(source.format(f"def f(loop, x):\n    loop.{before}\n")).text
    assert text.endswith(f"\n    loop.{after}\n")
    if "_spawn" in after:
        assert "from collections.abc import Coroutine\n" in text
        assert "from typing import Any, TypeVar, cast\n" in text
        assert "def _spawn(coroutine: Coroutine[Any, Any, _T]) -> asyncio.Task[_T]:\n" in text


def test_what_makes_tasks_of_another_loop_is_not_replaced() -> None:
    check_declined(
        """
        import asyncio


        def f(loop: asyncio.AbstractEventLoop, other: asyncio.AbstractEventLoop) -> None:
            loop.call_soon(other.create_task, g(1))
        """,
        "pass a function that keeps the task",
    )


def test_the_strict_rule_is_content_with_every_registry() -> None:
    strict = Settings(enabled_codes=frozenset({"TSK304"}))
    lifespan = """import asyncio
from contextlib import asynccontextmanager

from fastapi import FastAPI


@asynccontextmanager
async def lifespan(app: FastAPI):
    asyncio.create_task(work())
    yield
"""
    for source in (lifespan, ONE.format("asyncio.create_task(g())")):
        result = fix(source, analysis=strict)
        assert result.fixed
        assert not result.declined


def test_a_plain_type_variable_of_the_file_is_used() -> None:
    head = "import asyncio\nfrom typing import TypeVar\n\n{}\n\n\n"
    site = "def f(loop):\n    loop.call_soon(lambda: asyncio.create_task(g()))\n"
    text = fix(head.format('T = TypeVar("T")') + site).text
    assert "def _track(task: asyncio.Task[T]) -> asyncio.Task[T]:" in text
    for other in ('T = TypeVar("T", bound=int)', "class A: ...\n\n\nT = TypeVar('T')"):
        text = fix(head.format(other) + site).text
        assert "def _track(task: asyncio.Task[_T]) -> asyncio.Task[_T]:" in text


def test_repairs_that_all_spoil_one_another_are_not_tried_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tried = 0

    def refuse(_: object, done: object) -> None:
        nonlocal tried
        del done
        tried += 1
        raise engine._RefusedError(engine.BROKEN)

    monkeypatch.setattr(engine._Repair, "_verify", refuse)
    text = ONE.format("\n    ".join(f"asyncio.create_task(work{n}())" for n in range(400)))
    result = fix_source(text)
    assert result.text == text
    assert len(result.declined) == 400
    assert tried <= 2 * engine._MAX_ATTEMPTS


def _classes(count: int) -> str:
    return "import asyncio\n" + "".join(
        f"class A{n}:\n    def __init__(self):\n        self.x = 1\n"
        "    async def close(self):\n        await y()\n"
        "    async def start(self):\n        asyncio.create_task(self.run())\n"
        "    async def run(self):\n        while True:\n            await asyncio.sleep(1)\n"
        for n in range(count)
    )


def test_the_work_grows_with_the_classes() -> None:
    def calls(count: int) -> int:
        profile = cProfile.Profile()
        profile.runcall(fix_source, _classes(count))
        return int(pstats.Stats(profile).total_calls)  # type: ignore[attr-defined]

    calls(2)  # fills caches
    assert calls(60) < 3 * calls(30)


def test_a_future_of_the_module_gets_a_name_there() -> None:
    call = "asyncio.run_coroutine_threadsafe(work(), loop)"
    before = f"import asyncio\n\nfrom lib import loop, work\n\n{call}\nif loop:\n    {call}\n"
    result = fix(before)
    assert not result.declined
    assert f"\nfuture = {call}\nif loop:\n    future_2 = {call}\n" in result.text
    declined = fix(f"import asyncio\n\nfor work in WORK:\n    {call}\n".replace("loop", "LOOP"))
    assert not declined.fixed


def test_a_name_that_says_nothing_is_no_name() -> None:
    inner = "    async def _():\n        pass\n\n    asyncio.create_task(_())\n"
    source = f"import asyncio\n\n\ndef f():\n{inner}"
    assert "name=" not in fix(source).text


TYPES = """\
{}
import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import concurrent.futures
    from collections.abc import Coroutine
    from typing import Any


def main(loop, x: "Any", y: "Coroutine[Any, Any, None] | concurrent.futures.Future[None]"):
    loop.call_soon(asyncio.create_task, x.work())
    asyncio.run_coroutine_threadsafe(x.work(), loop)
"""


def test_annotations_use_what_is_imported_for_them_alone(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    result = fix(TYPES.format("from __future__ import annotations\n"))
    assert len(result.fixed) == 2
    assert result.text.count("import concurrent.futures") == 1
    assert result.text.count("import Coroutine") == result.text.count("import Any\n") == 1
    module.write_text(result.text)
    runpy.run_path(str(module))
    evaluated = fix(TYPES.format("")).text
    assert evaluated.count("import concurrent.futures") == evaluated.count("import Any\n") == 1
    assert '_background_futures: "set[concurrent.futures.Future[Any]]" = set()' in evaluated
    assert 'def _spawn(coroutine: "Coroutine[Any, Any, _T]") -> asyncio.Task[_T]:' in evaluated
    module.write_text(evaluated)
    runpy.run_path(str(module))


def test_imports_go_into_the_block_of_asyncios() -> None:
    head = (
        "import sys\nfrom pathlib import Path\n\nsys.path.insert(0, str(Path(__file__).parent))\n"
    )
    block = "import asyncio\nimport json\nfrom typing import Any\n"
    work = "\n\ndef f(loop, x: Any):\n    loop.call_soon(asyncio.create_task, x.work())\n"
    text = fix(f"{head}\n{block}{work}").text
    imported = (
        "import json\nfrom collections.abc import Coroutine\nfrom typing import Any, TypeVar\n"
    )
    assert f"{head}\nimport asyncio\n{imported}\n" in text


def test_what_silences_a_type_checker_stays_on_its_line() -> None:
    call = 'asyncio.create_task(worker_of_something(first_argument, "second argument"))'
    source = (
        f"import asyncio\n\n\nasync def f():\n    {call}  # type: ignore[arg-type]\n    await g()\n"
    )
    text = fix(source).text
    assert f"    task = {call}  # type: ignore[arg-type]\n" in text


@pytest.mark.parametrize("end", ["# fmt: on", "# endregion lists", "#endregion", "# yapf: enable"])
def test_a_region_is_not_made_longer(end: str) -> None:
    work = "async def f():\n    asyncio.create_task(g())\n"
    text = fix(f"import asyncio\n\nMATRIX = [\n    1, 0,\n]\n{end}\n\n\n{work}").text
    assert f"]\n{end}\n\n# Strong references" in text
    assert fix(f"import asyncio\n\nX = 1\n{end}").text.endswith(end)
    block = f"if True:\n    import os\n    {end}\n"
    assert f"    {end}\n\n# Strong references" in fix(f"import asyncio\n\n{block}\n\n{work}").text


@pytest.mark.parametrize("comment", ["pylint: disable=no-member", "noqa: SLF001"])
def test_what_silences_a_linter_stays_on_its_line(comment: str) -> None:
    call = "asyncio.create_task(self.service_of_this_kind.send_many_events())"
    source = f"import asyncio\n\n\nasync def f(self):\n    {call}  # {comment}\n    await g()\n"
    text = fix(source).text
    assert f"    task = {call}  # {comment}\n" in text
    short = "asyncio.create_task(self.send())"
    text = fix(source.replace(call, short)).text
    assert f'    task = {short[:-1]}, name="send")  # {comment}\n' in text


def test_mypy_need_not_pass_over_a_task_that_is_kept() -> None:
    call = "asyncio.create_task(g())"
    source = (
        f"import asyncio\n\n\nasync def f():\n    {call}  # type: ignore[unused-awaitable]\n"
        "    await g()\n"
    )
    text = fix(source).text
    assert f"    task = {call}\n" in text
    assert "type: ignore" not in text
    # What else it says, it may say for a reason; and what a helper gives back, nobody awaits.
    other = source.replace("unused-awaitable", "unused-awaitable, arg-type")
    assert f"    task = {call}  # type: ignore[unused-awaitable, arg-type]\n" in fix(other).text
    many = source + "".join(f"    {call}  # type: ignore[unused-awaitable]\n" for _ in range(3))
    assert f"    _track({call})  # type: ignore[unused-awaitable]\n" in fix(many).text


@pytest.mark.parametrize(
    "returns",
    [
        "asyncio.Future[int]",
        '"asyncio.Task[int] | None"',
        "asyncio.Task[list[int]] | asyncio.Future[list[int]]",
    ],
)
def test_a_helper_that_is_said_to_give_something_else_is_left_alone(returns: str) -> None:
    helper = f"def spawn(work) -> {returns}:\n    return asyncio.ensure_future(work)\n"
    # One caller keeps the task, so that the helper need not.
    callers = "async def f():\n    spawn(g())\n    await h()\n\n\ndef k():\n    return spawn(g())\n"
    source = f"import asyncio\n\n\n{helper}\n\n{callers}"
    check_declined(source, "may return something else")
    for other in ("asyncio.Task[int | None]", '"asyncio.Task"', "Any"):
        assert fix(source.replace(returns, other)).fixed


def test_the_type_of_a_coroutine_is_not_imported_twice() -> None:
    body = "def f(loop, x: Coroutine):\n    loop.call_soon(asyncio.create_task, g(x))\n"
    text = fix(f"import asyncio\nfrom typing import Coroutine\n\n\n{body}").text
    assert text.count("import Coroutine") + text.count(", Coroutine,") == 1


@pytest.mark.parametrize(
    "source",
    [
        # The registry would stand above what it needs.
        "try:\n    import asyncio\n\n    asyncio.create_task(g())\nexcept ImportError:\n    pass\n",
        "import sys\n\nwith sys:\n    sys.loop.create_task(g())\n\nimport asyncio\n",
    ],
)
def test_a_task_among_the_imports_is_left_alone(source: str) -> None:
    check_declined(source, "among the module's imports")


def test_what_hangs_from_the_line_stays_where_it_is() -> None:
    call = "asyncio.create_task(work(\n        1,\n        2,\n    ))"
    source = f"import asyncio\n\n\nasync def f():\n    {call}\n    await g()\n"
    text = fix(source).text
    assert f'    task = {call.removesuffix(")")}, name="work")\n' in text


def test_a_task_is_named_for_what_its_thread_runs() -> None:
    source = "import asyncio\n\n\nasync def f():\n    asyncio.create_task(asyncio.to_thread(g.h))\n"
    assert 'name="g.h"' in fix(source).text


def test_a_global_statement_stays_the_first() -> None:
    head = "import asyncio\n\nfrom fastapi import FastAPI\n\n\nasync def poll():\n    while True:\n"
    start = "async def start():\n    global x\n    x = 1\n    asyncio.create_task(poll())\n"
    stop = "async def stop():\n    await x.close()\n"
    app = "app = FastAPI(on_startup=[start], on_shutdown=[stop])\n"
    text = fix(f"{head}        await asyncio.sleep(1)\n\n\n{start}\n\n{stop}\n\n{app}").text
    assert "async def start():\n    global x\n    background_tasks: set[" in text


@pytest.mark.parametrize("future", ["from __future__ import annotations\n\n", ""])
def test_what_is_imported_for_type_checkers_is_not_imported_anew(future: str) -> None:
    head = (
        f"{future}from typing import TYPE_CHECKING\n\nif TYPE_CHECKING:\n    import asyncio\n\n\n"
    )
    call = "loop.create_task(work())"
    body = f"def start(loop, work):\n    {call}\n    loop and {call}\n"
    text = fix(head + body).text
    assert text.count("import asyncio") == 1
    assert "_background_tasks.add(task)" in text
    quote = "" if future else '"'
    assert f"_background_tasks: {quote}set[asyncio.Task[object]]{quote} = set()" in text
    exec(compile(text, "sample.py", "exec"), {})  # noqa: S102 (it is what we test)


@pytest.mark.parametrize(
    "elsewhere",
    ["def g(): ...\n\n\nimport mylib as asyncio", "if g:\n    import mylib as asyncio"],
)
def test_another_module_of_that_name_is_none(elsewhere: str) -> None:
    source = f"{elsewhere}\n\n\ndef f(loop):\n    loop.create_task(h())\n"
    check_declined(source, "uses the name asyncio for something else")


LATE = """\
import os


def prepare():
    {prepare}


prepare()

import asyncio  # noqa: E402
import json
{more}

async def work():
    print(json.dumps(await asyncio.sleep(1, "done")))


def start():
    asyncio.create_task(work())
"""


@pytest.mark.parametrize("more", ["", "\nLIMIT = 3\n"])
def test_a_registry_stands_below_a_late_import_of_asyncio(more: str) -> None:
    before = LATE.format(prepare='os.environ["A"] = "b"', more=more)
    registry = (
        "\n# Strong references: the event loop keeps only weak ones.\n"
        "_background_tasks: set[asyncio.Task[object]] = set()\n\n"
    )
    after = fix(before).text
    head = before.partition("\nasync def")[0].removesuffix("\n")
    assert after.startswith(head + registry)
    assert after.count("import asyncio") == 1


def test_it_stands_above_what_needs_it_in_any_case() -> None:
    after = fix(LATE.format(prepare="loop.create_task(work())", more="")).text
    assert after.startswith("import asyncio\nimport os\n")
    assert after.index("_background_tasks:") < after.index("def prepare")


def test_a_shield_gets_its_task_only_where_a_loop_is_running() -> None:
    source = """\
import asyncio


async def send():
    await asyncio.sleep(1)


def call(loop):
    loop.run_until_complete(asyncio.wait_for(asyncio.shield(send()), timeout=1))
"""
    check_declined(source, "give it a name")
    text = fix(source.replace("def call", "async def call")).text
    kept = 'asyncio.shield(_track(asyncio.create_task(send(), name="send")))'
    assert kept in text.replace("\n            ", "").replace("\n        ", "")


@pytest.mark.parametrize(
    ("statement", "after", "without"),
    [
        ("await {}", "    await {}\n", ""),
        # It is left out where it makes a line too long that nobody can break.
        ("while await {}:\n        f()", "    while await {}:\n", ', name="send"'),
    ],
)
def test_the_task_that_a_shield_gets_is_named(statement: str, after: str, without: str) -> None:
    source = (
        "import asyncio\n\n\nasync def send():\n    await f()\n\n\nasync def call():\n    "
        + statement.format("asyncio.wait_for(asyncio.shield(send()), 5)")
        + "\n"
    )
    named = 'asyncio.wait_for(asyncio.shield(_track(asyncio.create_task(send(), name="send"))), 5)'
    text = fix(source, line_length=88 if without else 99).text
    assert after.format(named.replace(without, "")) in text
    every = Settings(enabled_codes=frozenset({"TSK303"}))
    assert after.format(named) in fix(source, line_length=99, analysis=every).text
    assert 'name="send"' in fix(source, analysis=every).text


def test_a_future_that_is_used_later_is_not_awaited_even_unsafely() -> None:
    source = "import asyncio\n\n\nasync def f(a, b):\n    fut = asyncio.gather(a(), b())\n{}"
    used = fix(source.format("    fut.add_done_callback(print)\n"), unsafe_fixes=True).text
    assert "await" not in used
    assert "_background_futures.add(fut)" in used
    assert "fut = await asyncio.gather(" in fix(source.format(""), unsafe_fixes=True).text
