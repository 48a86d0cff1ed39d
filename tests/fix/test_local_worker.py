"""TSK002: an endless task that serves one call of a function ends with it, or is declined."""

from __future__ import annotations

import asyncio
from textwrap import dedent, indent
from typing import Any

import pytest
from transform import check_declined, check_fixed, fix

from flake8_task_refs.fix.homes.local_worker import ENDLESS

HEAD = """\
import asyncio


async def beat(ws):
    while True:
        await asyncio.sleep(20)
        await ws.send("ping")


async def handle(self, ws, queue, items):
"""
ENDS = """\
if not task.done():
                    task.cancel()
                    await asyncio.wait([task], timeout=10)"""

LOOP = "async for one in ws:\n    print(one)"
DEEPER = LOOP.replace("\n", "\n    ")
MADE = "task = asyncio.create_task(beat(ws))"


def module(body: str) -> str:
    """Return a program whose ``handle`` has this body."""
    return HEAD + indent(dedent(body).strip("\n"), "    ") + "\n"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(
            """
            task = asyncio.create_task(beat(ws))
            while (message := await ws.receive()) is not None:
                print(message)
            """,
            f"""
            task = asyncio.create_task(beat(ws), name="beat")
            try:
                while (message := await ws.receive()) is not None:
                    print(message)
            finally:
                {ENDS}
            """,
            id="a loop",
        ),
        pytest.param(
            """
            task = asyncio.create_task(beat(ws))
            count = 0
            async for message in ws.iter_text():
                count += 1
                # Acknowledge it?
            print(count)
            """,
            f"""
            task = asyncio.create_task(beat(ws), name="beat")
            count = 0
            try:
                async for message in ws.iter_text():
                    count += 1
                    # Acknowledge it?
            finally:
                {ENDS}
            print(count)
            """,
            id="a loop with a comment at its end",
        ),
        pytest.param(
            """
            task = asyncio.create_task(beat(ws))
            try:
                async for message in ws:
                    print(message)
            except ConnectionError:
                print("gone")
                # Nobody minds.
            """,
            f"""
            task = asyncio.create_task(beat(ws), name="beat")
            try:
                async for message in ws:
                    print(message)
            except ConnectionError:
                print("gone")
                # Nobody minds.
            finally:
                {ENDS}
            """,
            id="a try that is there",
        ),
        pytest.param(
            """
            task = asyncio.create_task(beat(ws), name="mine")
            try:
                while True:
                    print(await ws.receive())
            except ConnectionError:
                print("gone")
            finally:
                # Say so.
                print("over")
            """,
            f"""
            task = asyncio.create_task(beat(ws), name="mine")
            try:
                while True:
                    print(await ws.receive())
            except ConnectionError:
                print("gone")
            finally:
                {ENDS}
                # Say so.
                print("over")
            """,
            id="a finally that is there",
        ),
    ],
)
def test_it_ends_with_the_call(before: str, after: str) -> None:
    check_fixed(module(before), module(after))


@pytest.mark.parametrize("name", ["serve", "run", "listen", "_run_forever", "serve_client"])
def test_who_serves_is_through_after_the_loop(name: str) -> None:
    named = f"def {name}"
    text = fix(module(f"{MADE}\n{LOOP}").replace("def handle", named)).text
    assert text == fix(module(f"{MADE}\n{LOOP}")).text.replace("def handle", named)
    assert "    finally:\n        if not task.done():\n" in text
    source = module(f"{MADE}\n{LOOP}\nawait ws.drain()").replace("def handle", named)
    check_declined(source, ENDLESS)


def test_each_function_has_its_own() -> None:
    one = module(f"{MADE}\n{LOOP}")
    other = one[one.index("async def handle") :].replace("def handle", "def answer")
    text = fix(f"{one}\n\n{other}").text
    assert text.count("    finally:\n        if not task.done():\n") == 2


def test_a_function_of_the_same_name_elsewhere_is_another() -> None:
    head = HEAD.partition("async def beat")[0]
    handlers = "".join(
        f"""
async def {name}(ws):
    async def beat():
{indent(dedent(body), " " * 8)}
    task = asyncio.create_task(beat())
    async for one in ws:
        print(one)

"""
        for name, body in {
            "first": """
                try:
                    while True:
                        await asyncio.sleep(20)
                finally:
                    await ws.send("bye")
                """,
            "second": """
                while True:
                    await asyncio.sleep(20)
                    await ws.send("ping")
                """,
        }.items()
    )
    result = fix(head + handlers)
    first, _, second = result.text.partition("async def second")
    assert "cancel" not in first
    assert "task.cancel()" in second
    assert [declined.reason for declined in result.declined] == [ENDLESS]


def test_without_a_time_limit() -> None:
    source = module("task = asyncio.create_task(beat(ws))\nasync for one in ws:\n    print(one)")
    text = fix(source, shutdown_timeout=None).text
    assert "            await asyncio.wait([task])\n" in text


@pytest.mark.parametrize(
    "body",
    [
        # It may be needed later, or for something else,
        f"{MADE}\n{LOOP}\nawait ws.drain()",
        f"{MADE}\n{LOOP}\nfor item in items:\n    print(item)",
        f"{MADE}\ntry:\n    {DEEPER}\nfinally:\n    await ws.close()",
        f"{MADE}\nasync with ws.lock:\n    {DEEPER}",
        f"async with ws.lock:\n    {MADE}\n    {DEEPER}",
        # is one of several,
        f"{MADE}\nmore = asyncio.create_task(beat(ws))\n{LOOP}",
        # serves what others find and use later,
        f"{MADE}\nasync for one in ws:\n    items.add(ws)\n    break",
        f"{MADE}\nasync for one in ws:\n    items.last = ws\n    break",
        # is told when to end, or bound anew,
        f"{MADE}\n{LOOP}\nitems.stop.set()",
        f"{MADE}\n{MADE}\n{LOOP}",
        # or works things off.
        "task = asyncio.create_task(beat(queue))\nawait queue.join()",
    ],
)
def test_what_may_be_needed_is_declined(body: str) -> None:
    check_declined(module(body), ENDLESS)


@pytest.mark.parametrize(
    "worker",
    [
        "    while True:\n        print(await ws.inbox.get())\n        await asyncio.sleep(1)\n",
        "    while not ws.closed:\n        await asyncio.sleep(1)\n    await ws.send('bye')\n",
        (
            "    try:\n        while True:\n            await asyncio.sleep(1)\n"
            "    finally:\n        ws.bye()\n"
        ),
        "    while True:\n        await ws.pong.wait()\n",
        # It does something for others each time.
        "    while True:\n        await asyncio.sleep(1)\n        await DOCUMENT.save()\n",
        "    while True:\n        await asyncio.sleep(1)\n        DOCUMENT.save()\n",
        "    while True:\n        await asyncio.sleep(1)\n        DOCUMENT.saved += 1\n",
        "    while True:\n        await asyncio.sleep(1)\n        await ws.save()\n",
        "    while True:\n        await asyncio.sleep(1)\n        await DISK.store(ws)\n",
        "    while True:\n        await asyncio.sleep(1)\n        await ws.send(Q.popleft())\n",
        (
            "    while True:\n        await asyncio.sleep(1)\n"
            "        for one in OUTBOX:\n            await ws.send(one)\n"
        ),
        (
            "    global LEFT\n    while True:\n        await asyncio.sleep(1)\n"
            "        LEFT = 3\n        await ws.send(LEFT)\n"
        ),
    ],
)
def test_what_has_something_left_to_do_is_declined(worker: str) -> None:
    source = module(f"{MADE}\n{LOOP}")
    body = HEAD[HEAD.index("    while") : HEAD.index("\n\nasync def handle")]
    check_declined(source.replace(body, worker), ENDLESS)


@pytest.mark.parametrize(
    ("name", "body"),
    [
        # What the function begins, is to go on.
        ("start", f"{MADE}\n{LOOP}"),
        ("start_serve", f"{MADE}\n{LOOP}"),
        ("run_handshake", f"{MADE}\n{LOOP}"),
        ("serve_in_background", f"{MADE}\n{LOOP}"),
        ("serve", f"{MADE}\nwhile not ws.ready:\n    await asyncio.sleep(1)"),
        ("run", f"{MADE}\nawait ws.ready.wait()"),
        ("listen", f"{MADE}\n{LOOP}\nreturn ws"),
        ("login", f"{MADE}\n{LOOP}"),
        ("handshake", f"{MADE}\n{LOOP}"),
        ("__aenter__", f"{MADE}\n{LOOP}"),
        ("on_ready", f"{MADE}\n{LOOP}"),
        (
            "handle",
            f"{MADE}\nwhile True:\n    one = await ws.receive()\n    if one:\n        return one",
        ),
        ("handle", f"{MADE}\nwhile not ws.ready:\n    await asyncio.sleep(1)"),
        ("handle", f"{MADE}\nawait ws.ready.wait()"),
        # It has to do with something else.
        ("handle", f"task = asyncio.create_task(beat(self))\n{LOOP}"),
        ("handle", f"{MADE}\nasync for item in items:\n    print(item)"),
    ],
)
def test_what_may_be_meant_to_go_on_is_kept(name: str, body: str) -> None:
    text = fix(module(body).replace("def handle", f"def {name}")).text
    assert "_background_tasks" in text
    assert "finally" not in text


@pytest.mark.parametrize("known_as", ["ws", "peer"])
def test_a_bare_one_ends_with_the_call_too(known_as: str) -> None:
    head = HEAD.replace("beat(ws)", f"beat({known_as})").replace("ws.send", f"{known_as}.send")
    before = module(f"asyncio.create_task(beat(ws))\n{LOOP}").replace(HEAD, head)
    after = module(f"{MADE}\n{LOOP}").replace(HEAD, head)
    assert "cancel()" in fix(before).text
    assert fix(before).text == fix(after).text


@pytest.mark.parametrize(
    "made",
    [
        "asyncio.create_task(beat(queue))",
        "for _ in range(3):\n    asyncio.create_task(beat(queue))",
        "tasks = [asyncio.create_task(beat(queue)) for _ in range(3)]",
    ],
)
@pytest.mark.parametrize("name", ["handle", "run_all"])
def test_workers_of_a_queue_of_the_call_are_declined(made: str, name: str) -> None:
    check_declined(module(f"{made}\nawait queue.join()").replace("handle", name), ENDLESS)


def test_what_an_iterator_gives_on_is_made_for_that_iterator() -> None:
    body = "asyncio.create_task(beat(queue))\nwhile True:\n    yield await queue.get()"
    assert "    finally:\n        if not task.done():\n" in fix(module(body)).text
    fills = module(body).replace("ws.send", "ws.put")
    check_declined(fills.replace("        await asyncio.sleep(20)\n", ""), ENDLESS)


def test_what_an_iterator_starts_is_started_with_each() -> None:
    body = "task = asyncio.create_task(beat(self))\nwhile True:\n    yield await queue.get()"
    source = module(body).replace("async def handle(self, ws, queue", "async def handle(queue")
    check_declined(source.replace("beat(self)", "beat(None)"), ENDLESS)
    once = source.replace("while True:\n        yield", "yield").replace("beat(self)", "beat(None)")
    assert ENDLESS not in [declined.reason for declined in fix(once).declined]


def test_what_ends_by_itself_is_kept() -> None:
    source = module(f"{MADE}\n{LOOP}").replace("while True", "for _ in range(3)")
    assert "_background_tasks" in fix(source).text


def test_what_cannot_be_cancelled_is_declined() -> None:
    sends = "        try:\n            await ws.send(1)\n"
    stubborn = f"{sends}        except BaseException:\n            pass\n"
    source = module(f"{MADE}\n{LOOP}").replace('        await ws.send("ping")\n', stubborn)
    check_declined(source, "catches CancelledError in its loop")


CALLS = """

class WebSocket:
    def __init__(self, failing):
        self.left, self.failing = 3, failing

    async def receive(self):
        await asyncio.sleep(0.01)
        self.left -= 1
        return self.left or None

    async def send(self, text):
        if self.failing:
            raise OSError(text)
"""


@pytest.mark.parametrize("failing", [False, True])
def test_no_worker_is_left_over_and_no_failure_is_lost(*, failing: bool) -> None:
    body = f"{MADE}\nwhile (message := await ws.receive()) is not None:\n    print(message)"
    source = module(body).replace("sleep(20)", "sleep(0)") + CALLS
    namespace: dict[str, Any] = {}
    exec(fix(source).text, namespace)  # noqa: S102
    told: list[str] = []

    async def calls() -> int:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: told.append(context["message"]))
        for _ in range(3):
            await namespace["handle"](None, namespace["WebSocket"](failing), None, None)
        return len(asyncio.all_tasks()) - 1

    assert asyncio.run(calls()) == 0
    assert told == ["Task exception was never retrieved"] * (3 if failing else 0)
