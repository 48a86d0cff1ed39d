"""Races of ``asyncio.wait``: what loses is cancelled, and never kept in a registry (TSK002)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from transform import check_declined, check_fixed, fix

from flake8_task_refs.fix.homes.raced import RACE, WORK

TWO = "[asyncio.create_task(work.get()), asyncio.create_task(stop.wait())]"
MIXED = TWO.replace("work.get()", "work()")
FIRST = "return_when=asyncio.FIRST_COMPLETED"
WAITER = "asyncio.create_task(stop.wait())"
LIMITED = "    await asyncio.wait(tasks, timeout=3)"
CANCELS = "for task in pending:\n        task.cancel()"


def module(*lines: str) -> str:
    """Return a program whose ``main`` has these lines."""
    return "\n    ".join(["import asyncio\n\n\nasync def main(work, stop, other):", *lines]) + "\n"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (
            [f"done, _ = await asyncio.wait({TWO}, {FIRST})", "return done"],
            [f"done, pending = await asyncio.wait({TWO}, {FIRST})", CANCELS, "return done"],
        ),
        (
            [f"await asyncio.wait({TWO}, {FIRST})"],
            [f"_, pending = await asyncio.wait({TWO}, {FIRST})", CANCELS],
        ),
        # Its own names stay, and ours are free.
        (
            ["task = 1", f"done, left = await asyncio.wait({TWO}, {FIRST})"],
            [
                "task = 1",
                f"done, left = await asyncio.wait({TWO}, {FIRST})",
                "for task_2 in left:\n        task_2.cancel()",
            ],
        ),
        (
            [
                "one = asyncio.create_task(work.get())",
                "end = asyncio.create_task(stop.wait())",
                f"done, pending = await asyncio.wait([one, end], {FIRST})",
                "return one.result() if one in done else None",
            ],
            [
                "one = asyncio.create_task(work.get())",
                "end = asyncio.create_task(stop.wait())",
                f"done, pending = await asyncio.wait([one, end], {FIRST})",
                CANCELS,
                "return one.result() if one in done else None",
            ],
        ),
        (
            [
                "tasks = {asyncio.create_task(one.get()) for one in other}",
                f"done, pending = await asyncio.wait(tasks, {FIRST})",
            ],
            [
                "tasks = {asyncio.create_task(one.get()) for one in other}",
                f"done, pending = await asyncio.wait(tasks, {FIRST})",
                CANCELS,
            ],
        ),
        (
            ["tasks = [asyncio.create_task(one.wait()) for one in other]", "if tasks:", LIMITED],
            [
                "tasks = [asyncio.create_task(one.wait()) for one in other]",
                "if tasks:",
                LIMITED.replace("await", "_, pending = await"),
                f"    {CANCELS}".replace("\n", "\n    "),
            ],
        ),
    ],
)
def test_the_losers_are_cancelled(before: list[str], after: list[str]) -> None:
    check_fixed(module(*before), module(*after), line_length=200)


@pytest.mark.parametrize(
    "lines",
    [
        # Somebody looks at the losers; nobody knows how many more run.
        [f"done, pending = await asyncio.wait({TWO}, {FIRST})", "print(len(pending))"],
        [f"await asyncio.wait([*other, {WAITER}], {FIRST})"],
        [
            "one = asyncio.create_task(work.get())",
            f"done, pending = await asyncio.wait([one, other], {FIRST})",
            "print(len(pending))",
        ],
        # What is still pending runs in the next race, too.
        [
            f"tasks = {TWO}",
            "while stop:",
            f"    done, pending = await asyncio.wait(tasks, {FIRST})",
        ],
        # A cancelled task must not be awaited, nor asked for its result.
        [
            "one = asyncio.create_task(work.get())",
            "end = asyncio.create_task(stop.wait())",
            f"done, pending = await asyncio.wait([one, end], {FIRST})",
            "return one.result() if one.done() else None",
        ],
        # It races again, whenever the inner function is called.
        [
            f"tasks = {TWO}",
            "async def step():",
            f"    await asyncio.wait(tasks, {FIRST})",
            "await step()",
        ],
        [
            "one = asyncio.create_task(work.get())",
            "end = asyncio.create_task(stop.wait())",
            f"done, pending = await asyncio.wait([one, end], {FIRST})",
            "if one.done() or end.done():",
            "    return one.result()",
        ],
    ],
)
def test_what_is_not_clear_is_left_alone(lines: list[str]) -> None:
    check_declined(module(*lines), RACE)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        # What others made is another's business.
        (
            [
                "one = asyncio.create_task(work.get())",
                f"done, pending = await asyncio.wait([one, other], {FIRST})",
            ],
            [
                "one = asyncio.create_task(work.get())",
                f"done, pending = await asyncio.wait([one, other], {FIRST})",
                "one.cancel()",
            ],
        ),
        (
            [
                "one = asyncio.create_task(work.get())",
                "end = asyncio.create_task(stop.wait())",
                f"await asyncio.wait([one, end], {FIRST})",
                "if other:",
                "    await one",
            ],
            [
                "one = asyncio.create_task(work.get())",
                "end = asyncio.create_task(stop.wait())",
                f"await asyncio.wait([one, end], {FIRST})",
                "end.cancel()",
                "if other:",
                "    await one",
            ],
        ),
        (
            ["if other:", f"    await asyncio.wait({{other, {WAITER}}}, {FIRST}, timeout=1)"],
            [
                "if other:",
                f"    waiter = {WAITER}",
                f"    await asyncio.wait({{other, waiter}}, {FIRST}, timeout=1)",
                "    waiter.cancel()",
            ],
        ),
    ],
)
def test_a_waiter_among_others_is_cancelled_by_its_name(
    before: list[str], after: list[str]
) -> None:
    check_fixed(module(*before), module(*after), line_length=200)


@pytest.mark.parametrize("more", ["", f", {FIRST}"])
def test_a_waiter_that_takes_too_long_is_cancelled_and_work_is_kept(more: str) -> None:
    both = TWO.replace("work.get()", "work.queue.get()")
    waits = module(f"await asyncio.wait({both}, timeout=3{more})")
    after = module(f"_, pending = await asyncio.wait({both}, timeout=3{more})", CANCELS)
    check_fixed(waits, after, line_length=200)
    work = TWO.replace("work.get()", "work.get('/')").replace("stop.wait()", "stop()")
    assert "_background_tasks" in fix(module(f"await asyncio.wait({work}, timeout=3{more})")).text
    result = fix(module(f"await asyncio.wait({MIXED}, timeout=3{more})"))
    assert "_track(asyncio.create_task(work()" in result.text
    assert [refusal.reason for refusal in result.declined] == [RACE]


def test_work_is_cut_short_only_if_that_is_asked_for() -> None:
    source = module(f"done, pending = await asyncio.wait({MIXED}, {FIRST})")
    check_declined(source, WORK)
    after = module(f"done, pending = await asyncio.wait({MIXED}, {FIRST})", CANCELS)
    check_fixed(source, after, unsafe_fixes=True, line_length=200)
    work = MIXED.replace("stop.wait()", "other()")
    assert "_background_tasks" in fix(module(f"await asyncio.wait({work}, {FIRST})")).text


@pytest.mark.parametrize(
    "work",
    [
        "asyncio.wait_for(work(), 3)",
        "work.get_or_create()",
        "work.accept_order()",
        "work.read_and_store()",
        "room.join()",
    ],
)
def test_what_sounds_like_waiting_may_be_work(work: str) -> None:
    race = (
        f"await asyncio.wait([asyncio.create_task({work}), asyncio.create_task(other())], {FIRST})"
    )
    room = (
        "\n\nclass Room:\n    async def join(self):\n        await store(self)\n\n\nroom = Room()\n"
    )
    assert "_background_tasks" in fix(module(race) + room).text
    limited = race.replace(FIRST, "timeout=3")
    assert "_background_tasks" in fix(module(limited) + room).text


def test_who_asks_again_is_still_waiting() -> None:
    lines = [
        f"waiter = {WAITER}",
        f"await asyncio.wait([other, waiter], {FIRST})",
        "def is_over():",
        "    return waiter.done()",
        "while not is_over():",
        "    await asyncio.sleep(1)",
    ]
    assert "waiter.cancel()" not in fix(module(*lines)).text


def test_a_function_of_the_file_may_do_nothing_but_wait() -> None:
    waits = "async def wait_for_it(it):\n    while not it.there:\n        await asyncio.sleep(1)\n"
    race = [
        "task = asyncio.create_task(wait_for_it(work))",
        f"await asyncio.wait([other, task], {FIRST})",
        "if task.done():",
        "    print(1)",
    ]
    assert "    task.cancel()\n" in fix(f"{module(*race)}\n\n{waits}").text
    stores = waits.replace("sleep(1)\n", "sleep(1)\n    it.seen = True\n")
    assert "    task.cancel()\n" not in fix(f"{module(*race)}\n\n{stores}").text


def test_a_race_in_each_turn_of_a_loop() -> None:
    loop = [
        "while True:",
        f"    task = {WAITER}",
        f"    done, _ = await asyncio.wait([task], timeout=3, {FIRST})",
        "    if task in done:",
        "        return",
    ]
    ended = [*loop[:3], "    task.cancel()", *loop[3:]]
    check_fixed(module(*loop), module(*ended), line_length=200)


def test_what_becomes_too_long_is_laid_out_anew() -> None:
    given = "[asyncio.create_task(a.wait()), asyncio.create_task(b.wait())]"
    text = fix(module(f"await asyncio.wait({given}, timeout=3)")).text
    assert all(len(line) <= 88 for line in text.split("\n"))


def test_an_underscore_that_means_something_stays() -> None:
    source = "from gettext import gettext as _\n" + module(
        f"await asyncio.wait({TWO}, {FIRST})", "print(_('over'))"
    )
    assert "    _done, pending = await asyncio.wait(" in fix(source, line_length=200).text


def test_no_task_is_left_over_after_many_races() -> None:
    source = module(
        "done, _ = await asyncio.wait(",
        "    [asyncio.create_task(work.get()), asyncio.create_task(stop.wait())],",
        f"    {FIRST},",
        ")",
        "return len(done)",
    )
    result = fix(source)
    namespace: dict[str, Any] = {}
    exec(result.text, namespace)  # noqa: S102

    async def races() -> int:
        queue = asyncio.Queue[int]()
        for _ in range(100):
            queue.put_nowait(1)
            assert await namespace["main"](queue, asyncio.Event(), None) == 1
        await asyncio.sleep(0)
        return len(asyncio.all_tasks()) - 1

    assert result.fixed
    assert asyncio.run(races()) == 0
