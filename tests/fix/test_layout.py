"""Statements are broken into lines as black and ruff break them, at every line length."""

from __future__ import annotations

import black
import pytest
from transform import fix

from flake8_task_refs.fix.layout import Layout, Unknown

STATEMENTS = {
    "registry": "self._background_tasks: set[asyncio.Task[object]] = set()",
    "registry of two": "tasks: dict[str, asyncio.Task[object]] = dict()",
    "copy": "pending = self._background_tasks - {asyncio.current_task()}",
    "handler": 'loop.add_signal_handler(signal.SIGTERM, lambda: _track(create(stop(1), name="s")))',
    "only argument": 'button.on_click(lambda event, n=1: _track(create(stop(event), name="s")))',
    "call": 'task = asyncio.create_task(self.receive(first, second), name="Updater.receive")',
    "await": "_, stuck = await asyncio.wait(pending, timeout=settings.shutdown_timeout)",
    "comprehension": "[_keep(asyncio.create_task(work(name), name=name), tasks) for name in names]",
    "dictionary": "found = {one.key: _keep(asyncio.create_task(work(one)), tasks) for one in all}",
    "lists": "tasks = {one: [_track(create_task(work(i))) for i in range(2)] for one in (1, 2)}",
    "conditions": "{track(make(one, two)) for one in all_of_it if one for two in one}",
    "subscript argument": "background_tasks.add(self.registry_of_tasks[self.name_of_worker])",
    "tuple": 'await asyncio.wait((_track(make(one.publish("hi"), name="p")), two(1)), timeout=3)',
    "tuple that fits": "await asyncio.wait((_track(make(first, second)), make(third)), timeout=3)",
    "lambda alone": "make_task = lambda: _track(asyncio.create_task(worker.receive_messages()))",
    "lambda of an attribute": "button.on_click(first_argument, lambda: self.worker.last_result)",
    "subscript alone": "background_task = self.registry_of_tasks[self.name_of_the_worker]",
}
STATEMENTS |= {
    "conditional in a lambda": "task.add(lambda t: None if t.cancelled() else log(t.exception()))",
    "second conditional": 'add(one, lambda t: None if t.cancelled() else log("failed", t.stack()))',
    "conditional argument": 'self.log("Task completed" if not t.exception() else f"{t.stack()}")',
    "conditional in brackets": 'log(("Completed" if not t.exception() else f"{t.stack()}"), one)',
    "conditional with a comma": "log((first if not one.exception() else second_of_them),)",
    "conditional in both": "add(lambda t: None if t.done() else log(first if one else second))",
}
# What no layout of ours is wanted for, because a formatter has several to choose from.
OPEN = {"lambda alone", "subscript alone"}


def _at(code: str, length: int) -> list[str] | None:
    try:
        return Layout(length).statement(code, "")
    except Unknown:
        return None


@pytest.mark.parametrize("code", STATEMENTS.values(), ids=STATEMENTS)
def test_it_is_black_that_would_write_these_lines(code: str) -> None:
    for length in range(24, 100):
        lines = _at(code, length)
        if lines is not None:
            mode = black.Mode(line_length=length)
            assert lines == black.format_str(code, mode=mode).splitlines(), length


@pytest.mark.parametrize("name", sorted(STATEMENTS.keys() - OPEN))
def test_it_knows_a_layout_from_60_characters_on(name: str) -> None:
    assert all(_at(STATEMENTS[name], length) for length in range(60, 100))


MADE = "loop.create_task(get(name, one_more_argument_that_is_long, another_one_is_long))"
WRAPPED = {
    "dictionary": f"found = {{name: {MADE} for name in names}}",
    "condition": f"if True and not {MADE}.done():\n    print()",
    "loop": f"for task in [{MADE} for name in names]:\n    print(task)",
    "both": f"print({MADE} if name else {MADE})",
    "commas": f"found = {{1: {MADE[:-1]},), 2: 3}}",
    "short": "if True and keep(loop.create_task(get(argument, second), context=None)):\n    1",
    "attribute": f"found = self.table[name].row = names or {MADE}",
}


def test_lines_that_were_too_long_go_a_step_further_as_well() -> None:
    lines = (
        f"        return loop.create_task(\n            work({'a' * 80}), name=get()\n        )\n"
    )
    source = f"import asyncio\n\n\ndef f(loop, get):\n    def spawn():\n{lines}\n    spawn()\n"
    text = fix(source).text
    assert "        return _track(\n            loop.create_task(\n                work(a" in text


@pytest.mark.parametrize("code", WRAPPED.values(), ids=WRAPPED)
def test_a_call_on_several_lines_goes_a_step_further(code: str) -> None:
    body = "\n    ".join(code.split("\n"))
    source = f"import asyncio\n\n\ndef f(loop, get, names, name):\n    {body}\n    print()\n"
    for length in (60, 70, 80, 88):
        mode = black.Mode(line_length=length)
        before = black.format_str(source, mode=mode)
        after = fix(before, line_length=length, select=("TSK00",)).text
        assert after == black.format_str(after, mode=mode), length
