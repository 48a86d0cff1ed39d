"""Whether an instance can hold tasks, where imports go, and what report-only rules do not stop."""

from __future__ import annotations

import asyncio
from textwrap import dedent, indent
from typing import Any

import oracle
import pytest
from transform import fix

CLASS = """\
import asyncio


class Event:
    def __init__(self, text):
        self.text = text

    async def send(self):
        asyncio.create_task(upload(self.text))
{more}

async def upload(text):
    await asyncio.sleep(1)
{module}"""


def test_an_instance_that_nobody_holds_keeps_no_tasks() -> None:
    result = fix(CLASS.format(more="", module=""))
    assert len(result.fixed) == 1
    assert "self._background_tasks" not in result.text
    assert "\n_background_tasks: set[" in result.text


def test_an_instance_that_the_module_holds_holds_its_tasks() -> None:
    result = fix(CLASS.format(more="", module="\n\nEVENT = Event('x')\n"))
    assert len(result.fixed) == 1
    assert "self._background_tasks.add(task)" in result.text


@pytest.mark.parametrize(
    "module",
    [
        "\n\nif __name__ == '__main__':\n    EVENT = Event('x')\n",
        "\n\nEVENT = Event('x')\n\n\ndef another():\n    return Event('y')\n",
        "\n\nEVENT = Event('x')\n\n\nclass Other(Event):\n    pass\n",
        "\n\nEVENT = Event('x')\nEVENT = None\n",
        "\n\nEVENT = Event('x')\n\n\ndef stop():\n    global EVENT\n    EVENT = None\n",
    ],
    ids=["main", "another", "subclass", "bound again", "let go"],
)
def test_only_instances_that_the_module_holds_for_good_hold_tasks(module: str) -> None:
    result = fix(CLASS.format(more="", module=module))
    assert len(result.fixed) == 1
    assert "self._background_tasks" not in result.text


@pytest.mark.parametrize("made", ["cls('y')", "type(cls('y'))('z')"])
def test_a_class_that_makes_instances_itself_keeps_no_tasks_in_them(made: str) -> None:
    more = f"\n    @classmethod\n    def fresh(cls):\n        return {made}\n"
    result = fix(CLASS.format(more=more, module="\n\nEVENT = Event('x')\n"))
    assert len(result.fixed) == 1
    assert "self._background_tasks" not in result.text


def test_a_task_that_ends_by_itself_is_not_cut_short_by_a_close_method() -> None:
    close = "\n    async def aclose(self):\n        await asyncio.sleep(0)\n"
    result = fix(CLASS.format(more=close, module="\n\nEVENT = Event('x')\n"))
    assert len(result.fixed) == 1
    assert "self._background_tasks" not in result.text
    assert ".cancel()" not in result.text


LET_GO = """\
import asyncio

from oracle import worker


class Service:
    def __init__(self) -> None:
        self.made = 1

    async def start(self):
        asyncio.create_task(worker())

    async def close(self):
        await asyncio.sleep(0)


async def closed_and_let_go():
    service = Service()
    await service.start()
    await asyncio.sleep(1)
    await service.close()
"""
NESTED = """\
import asyncio
from contextlib import asynccontextmanager

from oracle import worker


@asynccontextmanager
async def lifespan(app):
    def start():
        asyncio.create_task(worker())

    start()
    yield


async def application_that_ends():
    async with lifespan(None):
        await asyncio.sleep(3600)
"""


@pytest.mark.parametrize("source", [LET_GO, NESTED], ids=["class", "nested function"])
def test_no_task_is_lost_with_its_owner(source: str) -> None:
    lost = [verdict.verdict for verdict in oracle.judge_source(source, "before.py")]
    assert lost == ["lost"]
    kept = oracle.judge_source(fix(source).text, "after.py")
    assert [verdict.verdict for verdict in kept] == ["kept"]


GRACEFUL = """\
import asyncio


class Service:
    def __init__(self, pool):
        self.pool = pool
        self.stopping = asyncio.Event()
        self.sent = asyncio.Event()

    async def start(self):
        asyncio.create_task(self.poll())
        asyncio.create_task(self.send())

    async def stop(self):
        self.stopping.set()
        await self.sent.wait()
        await self.pool.close()

    async def poll(self):
        while True:
            await asyncio.sleep(1)

    async def send(self):
        await self.stopping.wait()
        self.sent.set()
"""


def test_a_worker_that_is_waited_for_is_cancelled_after_that_and_before_its_pool_closes() -> None:
    result = fix(GRACEFUL)
    assert len(result.fixed) == 2
    stop = result.text.partition("async def stop")[2]
    places = [stop.index(text) for text in ("self.sent.wait()", ".cancel()", "self.pool.close()")]
    assert places == sorted(places)


@pytest.mark.parametrize(
    ("send", "more"),
    [
        (
            "await self.stopping.wait()\n        self.sent.set()\n        await asyncio.sleep(0.1)",
            "",
        ),
        ("await self.pool.work_with(self)", "\n    def done(self):\n        self.sent.set()\n"),
        (
            (
                "while not self.stopping.is_set():\n            await asyncio.sleep(0.1)\n"
                "        self.sent.set()\n        await self.pool.save()"
            ),
            "",
        ),
        (
            (
                "await self.stopping.wait()\n        self.sent.set()\n"
                "        async for row in self.pool:\n            print(row)"
            ),
            "",
        ),
    ],
    ids=["it goes on", "another method gives the sign", "after its loop", "with messages"],
)
def test_what_goes_on_after_its_sign_is_not_cut_short(send: str, more: str) -> None:
    own = "await self.stopping.wait()\n        self.sent.set()"
    source = GRACEFUL.replace("        asyncio.create_task(self.poll())\n", "")
    assert ".cancel()" in fix(source).text
    result = fix(source.replace(own, send) + more)
    assert len(result.fixed) == 1
    assert ".cancel()" not in result.text


@pytest.mark.parametrize(
    "heading", ["# Copyright 2022 Somebody\n#\n# All rights\n", "# Standard\n"]
)
def test_an_import_stands_below_the_heading(heading: str) -> None:
    source = (
        f"{heading}import json\n\n\nclass Model:\n    def go(self):\n        import asyncio\n\n"
        "        asyncio.create_task(self.run())\n"
    )
    result = fix(source)
    assert len(result.fixed) == 1
    assert result.text.startswith(f"{heading}import asyncio\nimport json\n")


def test_a_task_without_an_end_is_kept_all_the_same() -> None:
    source = (
        "import asyncio\n\nfrom quart import Quart\n\napp = Quart(__name__)\n\n\n"
        "@app.before_serving\nasync def start():\n    asyncio.create_task(poll())\n\n\n"
        "async def poll():\n    while True:\n        await asyncio.sleep(1)\n"
    )
    result = fix(source)
    assert [finding.code for finding in result.fixed] == ["TSK001"]
    assert "_background_tasks.add(task)" in result.text


FAILING = """\
import asyncio
{head}

    async def start(self=None):
        asyncio.create_task(fail())


async def fail():
    raise ValueError("heard")


{tail}
"""


@pytest.mark.parametrize(
    ("head", "tail"),
    [
        ("if True:", "begin = start"),
        ("class A:\n    def __init__(self):\n        self.a = 1", "a = A()\nbegin = a.start"),
    ],
    ids=["module", "instance"],
)
def test_asyncio_reports_what_fails_in_a_registry(head: str, tail: str) -> None:
    text = fix(FAILING.format(head=head, tail=tail)).text
    assert "_background_tasks.add(task)" in text
    names: dict[str, Any] = {}
    exec(compile(text, "sample.py", "exec"), names)  # noqa: S102 (it is what we test)
    reported: list[dict[str, Any]] = []

    async def run() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, said: reported.append(said))
        await names["begin"]()
        await asyncio.sleep(0.01)

    asyncio.run(run())
    assert [str(said["exception"]) for said in reported] == ["heard"]


def test_what_is_started_anew_is_ended_with_what_was_started_first() -> None:
    text = fix(
        """
import asyncio


class Client:
    def __init__(self):
        self.socket = None

    async def start(self):
        self.socket = await connect()
        asyncio.create_task(self.receive())

    async def reconnect(self):
        await asyncio.sleep(1)
        asyncio.create_task(self.receive())

    async def receive(self):
        while True:
            await self.socket.receive()

    async def disconnect(self):
        await self.socket.close()
"""
    ).text
    assert text.count("self._background_tasks.add(task)") == 2
    assert "\n_background_tasks" not in text


CLOSED = """\
import asyncio
{head}

class Base:
    def __init__(self):
        self.port = 80


class Service(Base):
    def __init__(self, pool):
        super().__init__()
        self.pool = pool

    async def start(self):
        asyncio.create_task(self._run())

    async def _run(self):
        while True:
            await asyncio.sleep(1)

    async def close(self):
        await self.pool.close()
{tail}
"""


PLAIN = {
    "as it is": ("", ""),
    "copy of another": ("", "\n    def size(self):\n        return self.pool.copy()\n"),
    "super": (
        "",
        """

class Below(Service):
    def __init__(self):
        super().__init__(None)
""",
    ),
    "base by name": (
        "",
        """

class Below(Service):
    def __init__(self):
        Service.__init__(self, None)
""",
    ),
    "any base": (
        "",
        """

def make(base):
    class Below(base):
        pass

    return Below
""",
    ),
    "lock": ("from threading import Lock\n", ""),
    "threads": (
        "from concurrent.futures import ThreadPoolExecutor\n",
        "\n    async def work(self):\n        await loop.run_in_executor(POOL, self.compute)\n",
    ),
}


@pytest.mark.parametrize("shape", PLAIN)
def test_a_plain_class_keeps_and_ends_its_tasks(shape: str) -> None:
    head, tail = PLAIN[shape]
    text = fix(CLOSED.format(head=head, tail=tail)).text
    assert "self._background_tasks.add(task)" in text
    close = text.partition("async def close")[2]
    assert close.index(".cancel()") < close.index("self.pool.close()")


PAST_INIT = {
    "class method": """
    @classmethod
    def bare(cls):
        return cls.__new__(cls)
""",
    "singleton": """
    def __new__(cls, pool):
        return POOLS.setdefault(pool, object.__new__(cls))
""",
    "again": """
    def reset(self):
        self.__init__(self.pool)
""",
    "again by name": """
    def reset(self):
        Service.__init__(self, self.pool)
""",
    "any base": """

def extend(base):
    class More(base):
        def __init__(self):
            self.more = 1

    return More
""",
    "alias": """

Alias = Service


class More(Alias):
    def __init__(self):
        self.more = 1
""",
    "nested": """

class Outer:
    class More(Service):
        def __init__(self):
            self.more = 1
""",
    "dataclass": """

@dataclass
class More(Service):
    more: int
""",
    "assigned": """

class More(Service):
    __init__ = make_init()
""",
    "state": """

class More(Service):
    def __getstate__(self):
        return self.__class__
""",
    "type": """

Quiet = type("Quiet", (Service,), {})
""",
    "patched": """

def test():
    with mock.patch.object(Service, "__init__", return_value=None):
        Service(None)
""",
    "patched by name": """

def test():
    with mock.patch("service.Service.__init__"):
        Service(None)
""",
    "replaced": """

Service.__init__ = make_init()
""",
}


@pytest.mark.parametrize("shape", PAST_INIT)
def test_instances_keep_no_tasks_where_init_is_not_run_just_once(shape: str) -> None:
    result = fix(CLOSED.format(head="", tail=PAST_INIT[shape]))
    assert len(result.fixed) == 1
    assert "self._background_tasks" not in result.text
    assert ".cancel()" not in result.text


def test_instances_keep_no_tasks_where_init_returns_early() -> None:
    source = CLOSED.format(head="", tail="")
    early = "        if hasattr(self, 'pool'):\n            return\n        self.pool = pool\n"
    result = fix(source.replace("        self.pool = pool\n", early))
    assert len(result.fixed) == 1
    assert "self._background_tasks" not in result.text


@pytest.mark.parametrize(
    ("head", "tail"),
    [
        ("", "\n\ndef dump(thing):\n    return json.dumps(thing, default=vars)\n"),
        ("", "\n\ndef dump(thing):\n    return json.dumps(thing.__dict__)\n"),
        ("from dataclasses import asdict\n", ""),
        ("from concurrent.futures import ProcessPoolExecutor\n", ""),
        ("import concurrent.futures\n\nPOOL = concurrent.futures.ProcessPoolExecutor()\n", ""),
        (
            "from pools import POOL\n",
            "\n    async def work(self):\n        await loop.run_in_executor(POOL, self.compute)\n",
        ),
        ("import pickle\n", ""),
    ],
    ids=["vars", "dict", "asdict", "processes", "processes by module", "other's pool", "pickle"],
)
def test_instances_keep_no_tasks_where_attributes_show(head: str, tail: str) -> None:
    result = fix(CLOSED.format(head=head, tail=tail))
    assert len(result.fixed) == 1
    assert "self._background_tasks" not in result.text


@pytest.mark.parametrize(
    "method",
    ["__setattr__(self, name, value)", "__getattribute__(self, name)", "__getstate__(self)"],
)
def test_a_base_may_mind_an_attribute_more(method: str) -> None:
    source = CLOSED.format(head="", tail="")
    base = f"        self.port = 80\n\n    def {method}:\n        raise AttributeError\n"
    result = fix(source.replace("        self.port = 80\n", base))
    assert len(result.fixed) == 1
    assert "self._background_tasks" not in result.text


def test_a_class_that_is_its_own_base_is_no_plain_one() -> None:
    source = CLOSED.format(head="", tail="").replace("class Base:", "class Base(Base):")
    assert "self._background_tasks" not in fix(source).text


CLIENT = """\
import asyncio


class Client:
    def __init__(self, wire, hook):
        self.wire = wire
        self.hook = hook
        self.answers = {}
        self.jobs = asyncio.Queue()
        self.mode = "open"
        self.closed = False
        self.done = None

    async def start(self):
        asyncio.create_task(self._run())

    async def _run(self):
        while True:
            line = await self.wire.readline()
            self.answers.pop(self.mode).set_result(line)
            self._step(line)

    def _step(self, line):
        pass

    async def command(self, text):
        answer = asyncio.get_running_loop().create_future()
        self.answers[text] = answer
        self.wire.write(text)
        return await answer

    async def polite(self):
        return await self.command("goodbye")

    async def close(self):
"""


def placed(body: str) -> str:
    """Return the close method of ``CLIENT`` with ``body`` once it is repaired."""
    result = fix(CLIENT + indent(dedent(body).strip("\n"), " " * 8) + "\n")
    assert len(result.fixed) == 1
    return result.text.partition("async def close")[2]


@pytest.mark.parametrize(
    ("body", "last"),
    [
        ('print(await self.command("logout"))\nself.wire.close()', "logout"),
        ("await self.polite()\nawait self.wire.close()", "polite"),
        ('await self.wire.publish("bye")\nawait self.wire.close()', "bye"),
        ('self.mode = "closing"\nawait self.wire.close()', "closing"),
        ("self.closed = True\nself.wire.close()", "closed"),
        ("if self.closed:\n    return\nself.closed = True\nself.wire.close()", "closed = True"),
        ("await self.report()\nself.closed = True", "closed"),
        ('self.closed = True\nprint("closed")', "closed = True"),
    ],
)
def test_a_worker_that_may_have_to_answer_is_cancelled_after_that(body: str, last: str) -> None:
    close = placed(body)
    at = close.index(last)
    assert at < close.index(".cancel()")
    rest = body[body.index(last) :].split("\n")[1:]
    assert all(close.index(".cancel()") < close.index(line) for line in rest)


@pytest.mark.parametrize(
    "body",
    [
        "await self.wire.close()\nself.wire = None",
        "await self.wire.close()\nself.closed = True",
        "await self.wire.close()\nself.mode = 'closed'",
        "if not self.closed:\n    self.closed = True\n    await self.wire.close()",
        "if self.hook is None:\n    return\nself.closed = True\nawait self.wire.close()",
        "await self.wire.close()\nawait asyncio.sleep(0.25)",
        "await asyncio.gather(self.wire.close(), self.hook.close())",
        "await self.wire.close()\nself.answers.popitem()",
        "await self.wire.close()\nlogger.info('closed %s', self.mode)",
    ],
)
def test_what_is_told_to_nobody_keeps_no_worker_going(body: str) -> None:
    close = placed(body)
    assert close.index(".cancel()") < close.index(body.split("\n", maxsplit=1)[0])


HOOK_IN_A_GROUP = """\
async with asyncio.TaskGroup() as group:
                group.create_task(self.hook(line))"""
HOOK_OF_A_CHILD = """\
await asyncio.wait_for(self._handle(line), 5)

    async def _handle(self, line):
        await self.hook(line)
"""


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("await self.wire.readline()", "await self.jobs.get()"),
        ("await self.wire.readline()", "await asyncio.wait_for(self.jobs.get(), None)"),
        (
            "self._step(line)",
            "await self._next()\n\n    async def _next(self):\n        await self.jobs.get()\n",
        ),
        ("        self.wire = wire\n", "        self.thread = threading.Thread(target=wire)\n"),
        ("        self.wire = wire\n", "        self.loop = asyncio.new_event_loop()\n"),
        ("self._step(line)", "await self.on_error(line)"),
        ("self._step(line)", "await self.hook(self)"),
        ("        pass\n", "        self.on_close()\n"),
        ("self._step(line)", "await asyncio.wait_for(self.hook(line), 5)"),
        ("self._step(line)", "await asyncio.gather(*(f(line) for f in self.hooks))"),
        ("self._step(line)", "await asyncio.gather(*(h.handle(line) for h in self.hooks))"),
        ("self._step(line)", "await asyncio.gather(self.hooks[line](line))"),
        ("self._step(line)", "jobs = [f() for f in self.hooks]\n            await gather(*jobs)"),
        ("self._step(line)", "await asyncio.create_task(self.hook(line))"),
        ("self._step(line)", HOOK_IN_A_GROUP),
        ("self._step(line)\n", HOOK_OF_A_CHILD),
    ],
    ids=[
        "queue",
        "queue in a call",
        "queue of a helper",
        "thread",
        "loop",
        "error hook",
        "hook with the object",
        "hook further down",
        "hook with a limit",
        "hooks together",
        "methods of hooks",
        "item",
        "hooks that were called before",
        "hook as a task",
        "hook in a group",
        "hook of a child",
    ],
)
def test_what_may_not_be_cancelled_at_the_close_is_only_kept(old: str, new: str) -> None:
    source = CLIENT + "        self.closed = True\n"
    assert ".cancel()" in fix(source).text
    result = fix(source.replace(old, new))
    assert len(result.fixed) == 1
    assert ".cancel()" not in result.text
    assert "\n_background_tasks: set[" in result.text


@pytest.mark.parametrize(
    "child",
    [
        "asyncio.wait_for(self.wire.readline(), 5)",
        "asyncio.wait_for(line.read(1), 5)",
        "asyncio.gather(self.polite(), asyncio.sleep(1), fetch(line))",
        "asyncio.wait([self.done])",
        "asyncio.shield(self.hook(line))",
    ],
)
def test_children_that_cannot_close_the_object_end_with_it(child: str) -> None:
    source = (CLIENT + "        self.closed = True\n").replace("self._step(line)", f"await {child}")
    assert ".cancel()" in fix(source).text


def test_a_close_that_closes_before_it_asks_has_no_right_place() -> None:
    close = placed('await self.wire.close()\nawait self.command("logout")')
    assert ".cancel()" not in close


def test_the_hooks_of_another_object_close_that_one() -> None:
    other = """

class Line:
    def parse(self):
        self.on_error(self)
"""
    source = f"{CLIENT}        self.closed = True\n{other}"
    assert ".cancel()" in fix(source.replace("self._step(line)", "line.parse()")).text
