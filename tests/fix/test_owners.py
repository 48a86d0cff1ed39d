"""Whether an instance can hold tasks, where imports go, and what report-only rules do not stop."""

from __future__ import annotations

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


@pytest.mark.parametrize(
    ("more", "module"),
    [
        ("\n    async def aclose(self):\n        await asyncio.sleep(0)\n", ""),
        ("", "\n\nEVENT = Event('x')\n"),
    ],
    ids=["closed by its owner", "held by the module"],
)
def test_an_instance_that_lives_holds_its_tasks(more: str, module: str) -> None:
    result = fix(CLASS.format(more=more, module=module))
    assert len(result.fixed) == 1
    assert "self._background_tasks.add(task)" in result.text


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
        "import asyncio\n\nfrom aiohttp import web\n\n\nasync def on_startup(app):\n"
        "    asyncio.create_task(poll())\n\n\nasync def poll():\n    while True:\n"
        "        await asyncio.sleep(1)\n\n\napp = web.Application()\n"
        "app.on_startup.append(on_startup)\n"
    )
    result = fix(source)
    assert [finding.code for finding in result.fixed] == ["TSK001"]
    assert "_background_tasks.add(task)" in result.text
