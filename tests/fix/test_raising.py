"""Callbacks that raise if their task was cancelled look at ``cancelled()`` first (TSK302)."""

from __future__ import annotations

import asyncio
from textwrap import dedent, indent

import black
import pytest
from transform import check_declined, check_fixed, check_unchanged, fix

from flake8_task_refs.fix.homes.raising import OTHER_USE

MODULE = """\
import asyncio


async def main(work, tasks, log):
{callback}
    task = asyncio.create_task(work())
    tasks.add(task)
    task.add_done_callback({name})
    await task
"""


def module(callback: str, name: str = "finished") -> str:
    """Return a program whose task has ``callback``, one or more statements."""
    return MODULE.format(callback=indent(dedent(callback), "    "), name=name)


@pytest.mark.parametrize(
    ("body", "repaired"),
    [
        ("task.result()", "?\ntask.result()"),
        ("tasks.discard(task)\ntask.result()", "tasks.discard(task)\n?\ntask.result()"),
        ("# Failed?\nlog(task.exception())", "?\n# Failed?\nlog(task.exception())"),
        (
            "try:\n    task.result()\nexcept ValueError:\n    log(1)",
            "?\ntry:\n    task.result()\nexcept ValueError:\n    log(1)",
        ),
        # What is to run in any case still does.
        (
            "try:\n    task.result()\nfinally:\n    log(1)",
            "try:\n    ?\n    task.result()\nfinally:\n    log(1)",
        ),
        (
            "if task.exception():\n    log(task.exception())",
            "?\nif task.exception():\n    log(task.exception())",
        ),
        (
            "if log:\n    log(task.exception())\nelse:\n    task.result()",
            "if log:\n    ?\n    log(task.exception())\nelse:\n    ?\n    task.result()",
        ),
        (
            "if error := task.exception():\n    log(error)",
            "?\nif error := task.exception():\n    log(error)",
        ),
    ],
)
def test_the_callback_returns_where_it_would_raise(body: str, repaired: str) -> None:
    def callback(text: str) -> str:
        lines = [f"    {line}" for line in text.split("\n")]
        guarded = []
        for line in lines:
            margin = line[: len(line) - len(line.lstrip())]
            is_guard = line.strip() == "?"
            guarded += (
                [f"{margin}if task.cancelled():", f"{margin}    return"] if is_guard else [line]
            )
        return "\n".join(["def finished(task):", *guarded])

    check_fixed(module(callback(body)), module(callback(repaired)))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (
            "if task.exception():\n    log(1)\ntasks.discard(task)",
            "if not task.cancelled() and task.exception():\n    log(1)\ntasks.discard(task)",
        ),
        (
            "if (error := task.exception()) and log:\n    log(error)\ntasks.discard(task)",
            (
                "if not task.cancelled() and (error := task.exception()) and log:\n"
                "    log(error)\ntasks.discard(task)"
            ),
        ),
        (
            "if error := task.exception():\n    log(error)\ntasks.discard(task)",
            (
                "if not task.cancelled() and (error := task.exception()):\n"
                "    log(error)\ntasks.discard(task)"
            ),
        ),
        (
            "if task.exception():\n    log(1)\nelse:\n    log(2)\ntasks.discard(task)",
            (
                "if task.cancelled():\n    pass\nelif task.exception():\n"
                "    log(1)\nelse:\n    log(2)\ntasks.discard(task)"
            ),
        ),
        (
            "try:\n    log(task.result())\nexcept Exception:\n    log(1)\ntasks.discard(task)",
            (
                "try:\n    log(task.result())\nexcept asyncio.CancelledError:\n    pass\n"
                "except Exception:\n    log(1)\ntasks.discard(task)"
            ),
        ),
        (
            (
                "try:\n    if log:\n        task.result()\n    else:\n        task.exception()\n"
                "except (Exception, ValueError):\n    log(1)\ntasks.discard(task)"
            ),
            (
                "try:\n    if log:\n        task.result()\n    else:\n        task.exception()\n"
                "except asyncio.CancelledError:\n    pass\n"
                "except (Exception, ValueError):\n    log(1)\ntasks.discard(task)"
            ),
        ),
        (
            "error = task.exception()\nif error is not None:\n    log(error)\ntasks.discard(task)",
            (
                "error = None if task.cancelled() else task.exception()\n"
                "if error is not None:\n    log(error)\ntasks.discard(task)"
            ),
        ),
        (
            "if task.exception():\n    log(1)\ntasks.pop(task.get_name(), None)",
            (
                "if not task.cancelled() and task.exception():\n    log(1)\n"
                "tasks.pop(task.get_name(), None)"
            ),
        ),
        (
            "if task.exception():\n    log(1)\ntasks.last = None",
            "if not task.cancelled() and task.exception():\n    log(1)\ntasks.last = None",
        ),
        (
            "# How did it end?\nlog(task.exception())\ntasks.discard(task)",
            (
                "if not task.cancelled():\n    # How did it end?\n    log(task.exception())\n"
                "tasks.discard(task)"
            ),
        ),
    ],
)
def test_what_runs_for_failed_tasks_runs_for_cancelled_ones(before: str, after: str) -> None:
    before, after = ("def finished(task):\n" + indent(text, "    ") for text in (before, after))
    check_fixed(module(before), module(after))


@pytest.mark.parametrize(
    ("length", "before", "after"),
    [
        (86, "if task.exception() {}:", "elif task.exception() {}:"),
        (87, "if task.exception() {}:", "elif (\n    task.exception() {}\n):"),
        (88, "if repr(task.exception() {}):", "elif repr(\n    task.exception() {}\n):"),
        (88, "if task.exception() {}:  # 1", "elif (\n    task.exception() {}\n):  # 1"),
        (88, "if (task.exception() {}):", "elif (task.exception() {}):"),
        (88, "if e := task.exception() {}:", "elif (\n    e := task.exception() {}\n):"),
        (89, "if task.exception() {}:", "elif task.exception() {}:"),  # it was too long before
    ],
)
def test_a_condition_gets_no_longer_than_a_line_may_be(
    length: int, before: str, after: str
) -> None:
    head, tail = "def finished(task):\n", "\n    log(1)\nelse:\n    log(2)\ntasks.discard(task)"
    name = f"and {'x' * (length - 8 - len(before.format('and ')))}"
    look = "if task.cancelled():\n    pass\n"
    old = indent(before.format(name) + tail, "    ")
    new = indent(look + after.format(name) + tail, "    ")
    check_fixed(module(head + old), module(head + new))


@pytest.mark.parametrize(
    "body",
    [
        # What follows is for those that have succeeded,
        "if task.exception():\n    return\nlog(1)",
        "try:\n    task.result()\nexcept Exception:\n    return\nlog(1)",
        "try:\n    task.result()\nexcept ValueError:\n    log(2)\nlog(1)",
        "task.result()\nlog(1)",
        "if task.result():\n    log(2)\nlog(1)",
        "error = task.exception()\nif error:\n    return\nlog(1)",
        # or takes up what they gave,
        "try:\n    result = task.result()\nexcept Exception:\n    result = 1\nlog(result)",
        "if task.exception():\n    result = 1\nelse:\n    result = 2\nlog(result)",
        # or asks again,
        "if task.exception():\n    log(2)\nlog(task.result())",
        "if error := task.exception():\n    log(error)\nlog(error)",
        "error = task.exception()\nif error:\n    log(error)\nlog(error)",
        # or comes for another reason.
        "if task.exception() or log:\n    log(2)\nlog(1)",
        "error = task.exception()\nif error or log:\n    log(2)\nlog(1)",
        # Nothing follows.
        "try:\n    task.result()\nexcept Exception:\n    log(1)\nreturn",
    ],
)
def test_what_runs_for_others_does_not(body: str) -> None:
    look = "    if task.cancelled():\n        return\n"
    text = indent(body, "    ") + "\n"
    check_fixed(
        module(f"def finished(task):\n{text}"), module(f"def finished(task):\n{look}{text}")
    )


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("lambda t: t.exception()", "lambda t: None if t.cancelled() else t.exception()"),
        ("lambda t: log(t.result())", "lambda t: None if t.cancelled() else log(t.result())"),
        (
            "lambda t: log(t) if t.exception() else 0",
            "\n        lambda t: log(t) if not t.cancelled() and t.exception() else 0\n    ",
        ),
        (
            "lambda t: 1 if t.result() else 0",
            "lambda t: 1 if not t.cancelled() and t.result() else 0",
        ),
        (
            "lambda t: (log if t.result() else 0)",
            "lambda t: (log if not t.cancelled() and t.result() else 0)",
        ),
        # Something would be done else; the condition is another's, too.
        (
            "lambda t: 1 if t.result() else log()",
            "\n        lambda t: None if t.cancelled() else (1 if t.result() else log())\n    ",
        ),
        (
            "lambda t: 1 if t.result() or log else 0",
            "\n        lambda t: None if t.cancelled() else (1 if t.result() or log else 0)\n    ",
        ),
        # The second would not have been called.
        (
            "lambda t: (t.result(), log(1))",
            "lambda t: None if t.cancelled() else (t.result(), log(1))",
        ),
        (
            "lambda t: ((t.result(), log))",
            "lambda t: None if t.cancelled() else ((t.result(), log))",
        ),
    ],
)
def test_a_lambda_looks_first(before: str, after: str) -> None:
    check_fixed(module("pass", before), module("pass", after))


@pytest.mark.parametrize(
    "callback",
    [
        "def finished(task):\n    log(len(tasks), task.result())",
        "def finished(task):\n    tasks.discard(task); task.result()",
        "def finished(task):\n    if log:\n        log(1)\n    elif task.result():\n        log()",
        "def finished(task):\n    while task.exception():\n        log(2)",
        "def finished(task): task.result()",
        "def finished(task):\n    task.result()\nfinished(asyncio.current_task())",
        "@log\ndef finished(task):\n    task.result()",
        # The result may not be asked for at all.
        "def finished(task):\n    if log and task.exception():\n        log()\n    tasks.clear()",
        "def finished(task):\n    error = None if log else task.exception()\n    log(error)",
        "def finished(task):\n    assert log, task.exception()",
        "def finished(task):\n    log([task.result() for _ in tasks])",
        # A return is not what an error is.
        "def finished(task):\n    with log():\n        log(task.result())",
        "def finished(task):\n    try:\n        log(1)\n    finally:\n        task.result()",
        "def finished(task):\n    task = task.inner\n    log(task.result())",
        # Somebody waits for an answer.
        "def finished(task):\n    tasks.answer.set_result(task.result())",
        # It looks, but too late.
        "def finished(task):\n    e = task.exception()\n    if task.cancelled():\n        log(e)",
    ],
)
def test_a_callback_that_does_more_is_left_alone(callback: str) -> None:
    check_declined(module(callback), OTHER_USE)


@pytest.mark.parametrize(
    "callback",
    [
        "lambda t: (tasks.discard(t), t.result())",
        "lambda t: log and t.exception() or tasks.discard(t)",
        "lambda t: print(t.exception()) if log else tasks.discard(t)",
    ],
)
def test_a_lambda_that_does_more_is_left_alone(callback: str) -> None:
    check_declined(module("pass", callback), OTHER_USE)


@pytest.mark.parametrize(
    "body",
    [
        "try:\n    task.result()\nexcept ERRORS:\n    log(1)",
        "try:\n    task.result()\nexcept (OSError, *ERRORS):\n    log(1)",
        "with contextlib.suppress(*ERRORS):\n    task.result()",
    ],
)
def test_a_constant_may_hold_the_error(body: str) -> None:
    check_unchanged(module("def finished(task):\n" + indent(body, "    ")))


def test_a_lambda_on_several_lines_is_laid_out_anew() -> None:
    first = '"Task cleanup completed" if not t.exception() else f"It failed: {t.exception()}"'
    source = module("pass", f"lambda t: log(({first}),)").replace("    pass\n", "")
    before = black.format_str(source, mode=black.Mode())
    after = fix(before).text
    assert "else log(\n" in after
    assert after == black.format_str(after, mode=black.Mode())


def test_a_callback_of_several_tasks_is_mended_once() -> None:
    source = dedent(
        """\
        import asyncio


        class Service:
            def start(self):
                self.one = asyncio.create_task(self.run())
                self.one.add_done_callback(self.finished)
                self.two = asyncio.create_task(self.run())
                self.two.add_done_callback(self.finished)

            def finished(self, task):
                self.error = task.exception()

            async def run(self):
                await asyncio.sleep(1)

            async def close(self):
                for task in (self.one, self.two):
                    task.cancel()
                await asyncio.wait([self.one, self.two])
        """
    )
    result = fix(source)
    assert [finding.code for finding in result.fixed] == ["TSK302", "TSK302"]
    assert result.text.count("cancelled()") == 1


@pytest.mark.parametrize("name", ["finished", "lambda t: seen(t.result())"])
def test_cpython_has_no_error_to_tell_of_any_more(name: str) -> None:
    source = dedent(
        f"""\
        import asyncio

        told = []


        def seen(result):
            told.append(result)


        def finished(task):
            seen(task.result())


        async def main():
            loop = asyncio.get_running_loop()
            loop.set_exception_handler(lambda loop, context: told.append(context["message"]))
            for cancel in (True, False):
                task = asyncio.create_task(asyncio.sleep(0, "done"))
                task.add_done_callback({name})
                if cancel:
                    task.cancel()
                await asyncio.wait([task])
                await asyncio.sleep(0)
        """
    )

    def told(text: str) -> list[str]:
        space: dict[str, list[str]] = {}
        exec(text, space)  # noqa: S102
        asyncio.run(space["main"]())  # type: ignore[operator]
        return space["told"]

    before, after = told(source), told(fix(source).text)
    assert len(before) == 2
    assert before[0].startswith("Exception in callback")
    assert after == ["done"]


@pytest.mark.parametrize(
    "body",
    [
        "raise_if(task.exception())\nprint(1)",
        "if task.exception() is not None:\n    sys.exit(1)\nprint(1)",
        "error = task.exception()\nif error is not None:\n    give_up(error)\nprint(1)",
        "failed = []\nif task.exception():\n    failed.append(task)\nif not failed:\n    print(1)",
        "if task.exception():\n    print(1)\nconnect()",
        "if error := task.exception():\n    print(error)\nprint('over')",
        "if task.exception():\n    print(1)\ntasks.state = 'completed'",
        "if task.exception():\n    print(1)\ntasks.done += 1",
        "if task.exception():\n    print(1)\ntasks.gauge.set(1)",
    ],
)
def test_what_may_be_for_other_tasks_does_not_run_for_a_cancelled_one(body: str) -> None:
    text = fix(module(f"def finished(task):\n{indent(body, '    ')}\n")).text
    asked = body.removeprefix("failed = []\n")
    look = "if task.cancelled():\n    return\n"
    assert indent(look + asked, " " * 8) in text
