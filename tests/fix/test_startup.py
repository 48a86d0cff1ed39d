"""Startup handlers are repaired, then run: their tasks end at shutdown, before what they use."""

from __future__ import annotations

import asyncio
from textwrap import dedent
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from transform import check_declined, fix

if TYPE_CHECKING:
    from pathlib import Path

HEAD = """
import asyncio

{imports}

happened = []


class Pool:
    async def close(self):
        happened.append("pool closed")

    def close_now(self):
        happened.append("pool closed")


pool = Pool()


async def poll():
    try:
        while True:
            await asyncio.sleep(3600)
    finally:
        await asyncio.sleep(0)
        happened.append("worker ended")


class Queue:
    async def join(self):
        await asyncio.sleep(0)
        happened.append("queue joined")


queue = Queue()


async def consume(queue):
    await poll()


"""
FASTAPI = {
    "lists": """
        async def start():
            asyncio.create_task(poll())


        async def stop():
            await pool.close()


        app = FastAPI(on_startup=[start], on_shutdown=[stop])
        """,
    "a list of one": """
        async def start():
            asyncio.create_task(poll())


        app = FastAPI(
            title="One",
            on_startup=[start],
        )
        """,
    "decorators in a factory": """
        def make():
            app = FastAPI()

            @app.on_event("startup")
            async def start():
                asyncio.create_task(poll())

            @app.on_event("shutdown")
            async def stop():
                await pool.close()

            return app


        app = make()
        """,
    "an expression": """
        async def start():
            pool and asyncio.create_task(poll())


        app = FastAPI(on_startup=[start])
        """,
    "joined, then closed": """
        async def start():
            asyncio.create_task(consume(queue))


        async def stop():
            await queue.join()
            await pool.close()


        app = FastAPI(on_startup=[start], on_shutdown=[stop])
        """,
    "closed by its owner": """
        class Service:
            async def run(self):
                await poll()

            async def shutdown(self):
                await pool.close()


        service = Service()


        async def start():
            asyncio.create_task(service.run())


        async def stop():
            if service:
                await service.shutdown()


        app = FastAPI(on_startup=[start], on_shutdown=[stop])
        """,
    "a plain shutdown": """
        app = FastAPI()


        @app.on_event("startup")
        async def start():
            asyncio.create_task(poll())


        @app.on_event("shutdown")
        def stop():
            \"\"\"Stop.\"\"\"
            pool.close_now()
        """,
    "a shutdown on one line": """
        app = FastAPI()


        @app.on_event("startup")
        async def start():
            asyncio.create_task(poll())


        @app.on_event("shutdown")
        async def stop(): await pool.close()
        """,
    "a plain shutdown in a factory, before the startup": """
        def make():
            app = FastAPI()

            # the end
            @app.on_event("shutdown")
            def stop():
                pool.close_now()

            @app.on_event("startup")
            async def start():
                asyncio.create_task(poll())

            return app


        app = make()
        """,
    "an attribute": """
        class Server:
            def __init__(self):
                self._app = FastAPI()
                self.set_up()

            def set_up(self):
                @self._app.on_event("startup")
                async def start():
                    asyncio.create_task(poll())

                @self._app.on_event("shutdown")
                async def stop():
                    await pool.close()


        app = Server()._app
        """,
    "an attribute without a shutdown": """
        class Server:
            def __init__(self):
                self.service = FastAPI(title="Service")

                @self.service.on_event("startup")
                async def start():
                    asyncio.create_task(poll())


        app = Server().service
        """,
    "told to stop": """
        from helpers import Dispatcher

        dispatcher = Dispatcher(happened)


        async def start():
            asyncio.create_task(dispatcher.start_polling())


        async def stop():
            if dispatcher:
                await dispatcher.stop_polling()


        app = FastAPI(on_startup=[start], on_shutdown=[stop])
        """,
}
HELPERS = """
import asyncio


class Dispatcher:
    def __init__(self, happened):
        self.happened = happened
        self.stopping = asyncio.Event()

    async def start_polling(self):
        await self.stopping.wait()
        self.happened.append("worker ended")

    async def stop_polling(self):
        self.stopping.set()
        await asyncio.sleep(0)
        self.happened.append("told to stop")
"""
AIOHTTP = {
    "append": """
        async def start(app: web.Application) -> None:
            asyncio.create_task(poll())


        async def stop(app: web.Application) -> None:
            await pool.close()


        app = web.Application()
        app.on_startup.append(start)
        app.on_cleanup.append(stop)
        """,
    "two starts": """
        async def second(application: web.Application) -> None:
            asyncio.create_task(poll())


        async def first(app: web.Application) -> None:
            asyncio.create_task(poll())


        async def stop(app: web.Application) -> None:
            await pool.close()


        app = web.Application()
        app.on_startup.extend([first, second])
        app.on_shutdown.append(stop)
        """,
    "no stop": """
        def make() -> web.Application:
            app = web.Application()

            async def start(app: web.Application) -> None:
                asyncio.create_task(poll())

            app.on_startup.append(start)
            return app


        app = make()
        """,
    "cleanup context": """
        async def workers(app: web.Application):
            asyncio.create_task(poll())
            yield
            await pool.close()


        app = web.Application()
        app.cleanup_ctx.append(workers)
        """,
    "string keys": """
        async def start(app: web.Application) -> None:
            app["pool"] = pool
            asyncio.create_task(poll())


        async def stop(app: web.Application) -> None:
            await app["pool"].close()


        app = web.Application()
        app.on_startup.append(start)
        app.on_cleanup.append(stop)
        """,
}


def repaired(imports: str, body: str) -> tuple[str, dict[str, Any]]:
    """Return the repaired module, and its names once it has run."""
    result = fix(HEAD.format(imports=imports) + dedent(body).lstrip("\n"))
    assert result.fixed
    assert not result.declined
    names: dict[str, Any] = {"__name__": "sample"}
    exec(compile(result.text, "sample.py", "exec"), names)  # noqa: S102 (it is what we test)
    return result.text, names


@pytest.mark.filterwarnings("ignore:\\s+on_event is deprecated")
@pytest.mark.parametrize("body", FASTAPI.values(), ids=FASTAPI)
def test_fastapi(body: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "helpers.py").write_text(HELPERS, "utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    text, names = repaired("from fastapi import FastAPI", body)
    assert ".state.background_tasks = background_tasks" in text

    async def run() -> None:
        app = names["app"]
        async with app.router.lifespan_context(app):
            await asyncio.sleep(0)
            assert len(app.state.background_tasks) == 1

    asyncio.run(asyncio.wait_for(run(), 5))
    wanted = ["queue joined"] * ("join" in body) + ["worker ended"]
    wanted += ["pool closed"] * ("pool.close" in body) + ["told to stop"] * ("stop_pol" in body)
    assert names["happened"] == wanted


@pytest.mark.filterwarnings("ignore::aiohttp.web_exceptions.NotAppKeyWarning")
@pytest.mark.parametrize("body", AIOHTTP.values(), ids=AIOHTTP)
def test_aiohttp(body: str) -> None:
    text, names = repaired("from aiohttp import web", body)
    assert ("AppKey(" in text) == ("app[" not in body)

    async def run() -> None:
        runner = web.AppRunner(names["app"])
        await runner.setup()
        await asyncio.sleep(0)
        await runner.cleanup()

    asyncio.run(asyncio.wait_for(run(), 5))
    count = body.count("create_task")
    assert names["happened"] == ["worker ended"] * count + ["pool closed"] * ("pool" in body)


NAMED = """
poller = None
timer: asyncio.Task[None] | None = None
app = FastAPI()


@app.on_event("startup")
async def start():
    global poller, timer
    poller = asyncio.create_task(poll())
    timer = asyncio.create_task(poll())
    app.state.third = asyncio.create_task(poll())
"""


@pytest.mark.filterwarnings("ignore:\\s+on_event is deprecated")
@pytest.mark.parametrize("stops", [True, False])
def test_tasks_that_all_handlers_know_by_name_need_no_registry(*, stops: bool) -> None:
    stop = '\n\n@app.on_event("shutdown")\nasync def stop():\n    await pool.close()\n' * stops
    text, names = repaired("from fastapi import FastAPI", NAMED + stop)
    assert "background_tasks." not in text
    # All are cancelled before any of them is waited for.
    assert text.count("asyncio.wait(") == 1
    assert "in (poller, timer, app.state.third)" in text

    async def run() -> None:
        app = names["app"]
        async with app.router.lifespan_context(app):
            await asyncio.sleep(0)

    asyncio.run(asyncio.wait_for(run(), 5))
    assert names["happened"] == ["worker ended"] * 3 + ["pool closed"] * stops


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("    poller =", "    if pool:\n        poller ="),
        ("global poller, timer", "global poller, timer\n    app = make()"),
        ("app = FastAPI()", "app = FastAPI()\n\n\ndef again():\n    app.state.third = None"),
        ("global poller, timer", "global poller, timer\n    if not pool:\n        return"),
        ('@app.on_event("startup")', '@app.on_event("startup")\n@perhaps'),
        ("app.state.third =", "pool.third = app.state.third ="),
    ],
    ids=[
        "perhaps",
        "another application",
        "given up elsewhere",
        "perhaps not reached",
        "perhaps not run",
        "of an object that is made without it",
    ],
)
def test_a_name_that_may_mean_something_else_is_not_enough(old: str, new: str) -> None:
    body = NAMED.replace(old, new)
    text = fix(HEAD.format(imports="from fastapi import FastAPI") + body).text
    assert "third.cancel()" not in text


def test_an_application_without_a_name_has_no_state_to_keep_tasks_in() -> None:
    text = fix(
        """
import asyncio

from starlette.applications import Starlette


async def start():
    asyncio.create_task(work())


def make():
    return Starlette(on_startup=[start])
"""
    ).text
    assert ".state" not in text
    assert "_background_tasks.add(task)" in text


def test_a_shutdown_of_another_file_may_close_what_the_tasks_use() -> None:
    text = fix(
        """
import asyncio

from fastapi import FastAPI

from other import stop


async def start():
    asyncio.create_task(work())


app = FastAPI(on_startup=[start], on_shutdown=[stop])
"""
    ).text
    assert ".state" not in text
    assert "_background_tasks.add(task)" in text


def test_event_handlers_are_a_pair() -> None:
    # FastAPI and Starlette had this method until 2025.
    text = fix(
        """
import asyncio

from fastapi import FastAPI

app = FastAPI()


async def start():
    asyncio.create_task(work())


async def more():
    asyncio.create_task(work())


async def stop():
    await pool.close()


app.add_event_handler("startup", start)
app.add_event_handler("startup", more)
app.add_event_handler("shutdown", stop)
"""
    ).text
    assert text.count("= set()\n    app.state.background_tasks = background_tasks\n") == 1
    assert text.count("background_tasks: set[asyncio.Task[object]] = app.state.") == 1
    stop = text.partition("async def stop")[2]
    assert stop.index(".cancel()") < stop.index("pool.close()")


def test_an_event_handler_gets_a_pair() -> None:
    text = fix(
        """
import asyncio

from starlette.applications import Starlette

app = Starlette()


async def start():
    asyncio.create_task(work())


app.add_event_handler("startup", start)
"""
    ).text
    assert "async def cancel_background_tasks() -> None:\n    pending" in text
    assert text.endswith('app.add_event_handler("shutdown", cancel_background_tasks)\n')


def test_an_application_that_has_no_name_in_its_handler_is_not_written_to() -> None:
    text = fix(
        """
import asyncio

from aiohttp import web


async def start(_):
    asyncio.create_task(work())


app = web.Application()
app.on_startup.append(start)
"""
    ).text
    assert "_[" not in text
    assert "_background_tasks.add(task)" in text


ANSWERED = """
import asyncio

from fastapi import FastAPI

app = FastAPI()


class Wire:
    def __init__(self):
        self.queue = asyncio.Queue()

    def write(self, topic):
        self.queue.put_nowait(topic)

    async def read(self):
        return await self.queue.get()


class Mqtt:
    def __init__(self):
        self.wire = Wire()
        self.acks = {}

    async def loop_forever(self):
        while True:
            topic = await self.wire.read()
            self.acks.pop(topic).set_result(topic)

    async def publish(self, topic):
        self.acks[topic] = asyncio.get_running_loop().create_future()
        self.wire.write(topic)
        return await self.acks[topic]

    async def farewell(self):
        await self.publish("offline")


mqtt = Mqtt()


@app.on_event("startup")
async def start():
    asyncio.create_task(mqtt.loop_forever())


@app.on_event("shutdown")
async def stop():
    STOP
"""


@pytest.mark.parametrize(
    ("body", "after", "before"),
    [
        ("await mqtt.publish('offline')\n    await pool.close()", "publish", "pool"),
        ("await mqtt.farewell()\n    await pool.close()", "farewell", "pool"),
        ("await mqtt.unsubscribe()\n    await pool.close()", "unsubscribe", "pool"),
        ("await pool.close()\n    await pool.check()", "", "pool.close"),
        ("mqtt.log('off')\n    await pool.close()", "", "pool"),
        ("await pool.close()\n    mqtt.reset()", "", "pool"),
        ("if mqtt:\n        await mqtt.unsubscribe()\n        await mqtt.close()", "", "if mqtt"),
        ("await mqtt.__aexit__(None, None, None)", "", "aexit"),
        ("await asyncio.gather(mqtt.close(), pool.close())", "", "gather"),
    ],
)
def test_a_worker_that_may_have_to_answer_is_cancelled_after_that(
    body: str, after: str, before: str
) -> None:
    result = fix(ANSWERED.replace("STOP", body))
    assert not result.declined
    stop = result.text.partition("async def stop")[2]
    assert stop.index(after) < stop.index("pending") < stop.index(before)


def test_a_handler_that_closes_and_then_asks_is_declined() -> None:
    body = "await pool.close()\n    await mqtt.publish('offline')"
    check_declined(ANSWERED.replace("STOP", body), "no place to cancel it before that")
    assert not fix(ANSWERED.replace("STOP", body), unsafe_fixes=True).declined


@pytest.mark.parametrize(
    "state",
    [
        "app.state = State()",
        "def make():\n    app.state = State()",
        "class Service(FastAPI):\n    def setup(self):\n        self.state = State()",
        "def setup(service: FastAPI):\n    service.state = State()",
        "service = FastAPI()\nservice.state: State = State()",
    ],
)
def test_an_application_with_a_state_of_its_own_is_not_written_to(state: str) -> None:
    text = fix(ANSWERED.replace("STOP", "await pool.close()") + f"\n\n{state}\n").text
    assert "background_tasks = background_tasks" not in text
    assert "\n_background_tasks: set[" in text


def test_the_state_of_others_is_no_application_s() -> None:
    other = "class Player:\n    def play(self, track):\n        self.state = track.state = 1"
    text = fix(ANSWERED.replace("STOP", "await pool.close()") + f"\n\n{other}\n").text
    assert "app.state.background_tasks = background_tasks" in text


ATTRIBUTE = """
import asyncio

from fastapi import FastAPI


async def poll():
    while True:
        await asyncio.sleep(1)


async def leave():
    print("left")


class Server:
    def __init__(self):
        self.app = FastAPI()

    def begin(self):
        @self.app.on_event("startup")
        async def start():
            asyncio.create_task(poll())

        @self.app.on_event("shutdown")
        async def stop():
            print("stopped")
"""


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("FastAPI()\n", "FastAPI(lifespan=span)\n"),
        ("FastAPI()\n", "FastAPI(on_shutdown=[leave])\n"),
        ("FastAPI()\n", "FastAPI(**settings)\n"),
        ("FastAPI()\n", "make_app()\n"),
        ("FastAPI()\n", "FastAPI()\n        self.app = other.app\n"),
        ("class Server", "Server.app = None\n\n\nclass Server"),
        (
            '\n        @self.app.on_event("shut',
            '\n    def end(self):\n        @self.app.on_event("shut',
        ),
        ("        async def start():", "        async def start(self=None):"),
        ("        async def stop():", "        async def stop(self=None):"),
    ],
)
def test_an_attribute_that_may_be_another_application_is_not_written_to(old: str, new: str) -> None:
    assert "self.app.state" in fix(ATTRIBUTE).text
    assert old in ATTRIBUTE
    text = fix(ATTRIBUTE.replace(old, new)).text
    assert "self.app.state" not in text
    assert "\n_background_tasks: set[" in text


def test_a_task_that_is_kept_but_has_no_end_is_announced() -> None:
    source = ATTRIBUTE.replace("FastAPI()", "make_app()")
    result = fix(source)
    assert [(finding.code, code) for finding, code in result.unended] == [("TSK001", "TSK201")]
    assert not fix(source, select=("TSK001",)).unended
    assert not fix(ATTRIBUTE).unended
    check_declined(result.text, "does not show for certain which application this is")


PLAIN = """
import asyncio

from fastapi import FastAPI

from others import consumer, pool

app = FastAPI()


@app.on_event("startup")
async def start():
    asyncio.create_task(consumer.run_forever())


@app.on_event("shutdown")
def stop():
    consumer.stop()


@app.get("/")
async def root():
    return {}
"""


def test_a_plain_shutdown_that_tells_the_worker_to_stop_comes_first() -> None:
    text = fix(PLAIN).text
    assert text.index("consumer.stop()") < text.index(".cancel()") < text.index("def root")
    assert text.count('@app.on_event("shutdown")\n') == 2


def test_within_a_plain_shutdown_nobody_can_wait() -> None:
    source = PLAIN.replace("consumer.stop()", "consumer.stop()\n    pool.close()")
    result = fix(source)
    assert len(result.fixed) == 1
    assert "\n_background_tasks: set[" in result.text
    assert ".cancel()" not in result.text
    assert "logging" not in result.text


LISTED = """
import asyncio

from fastapi import FastAPI

from others import pool


async def poll():
    while True:
        await asyncio.sleep(1)


async def start():
    asyncio.create_task(poll())


def stop():
    pool.close()


app = FastAPI(on_startup=[start], on_shutdown=[stop])
"""


def test_beside_a_plain_shutdown_in_a_list_tasks_are_only_kept() -> None:
    result = fix(LISTED)
    assert len(result.fixed) == len(result.unended) == 1
    assert "\n_background_tasks: set[" in result.text
    assert ".cancel()" not in result.text
    check_declined(result.text, "cancel it there at shutdown")
    kept = LISTED.replace("    asyncio.create", "    app.state.job = asyncio.create")
    check_declined(kept, "make it async first")


def test_a_handler_that_starts_and_stops_ends_nothing() -> None:
    source = """\
import asyncio

from fastapi import FastAPI

app = FastAPI()


async def poll():
    while True:
        await asyncio.sleep(1)


@app.on_event("startup")
@app.on_event("shutdown")
async def announce():
    asyncio.create_task(poll())
"""
    text = fix(source).text
    assert "background_tasks.add(task)" in text
    assert ".cancel()" not in text
