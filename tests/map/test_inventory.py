"""The inventory: what the sample holds, the documented JSON, the public function."""

from __future__ import annotations

import json
import shutil
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from commands import ROOT
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from flake8_task_refs import TaskMap, task_map
from flake8_task_refs.analysis.finding import Finding
from flake8_task_refs.analysis.task import End, Holder, Listener, Task
from flake8_task_refs.map import wording
from flake8_task_refs.map.inventory import schema, state
from flake8_task_refs.options import ConfigError

SHOP = ROOT / "fixtures" / "map" / "shop"
SCHEMA: dict[str, Any] = json.loads(schema())


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Copy the sample to where no configuration is, and go there."""
    shutil.copytree(SHOP, tmp_path / "shop")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "shop"


def rows(tasks: TaskMap) -> list[str]:
    """Return one line for each task: what, where, and who holds, ends and hears it."""
    return [
        " | ".join(
            [
                f"{name}:{task.line} {wording.title(task)}",
                ", ".join(wording.holders(task)),
                ", ".join(wording.ends(task)),
                ", ".join(wording.listeners(task)),
                state(task),
            ]
        )
        for name, task in tasks.tasks
    ]


def test_a_file_with_nothing_but_a_group_is_mapped(tmp_path: Path) -> None:
    (tmp_path / "feed.py").write_text(
        "import anyio\n\n\nasync def feed(work):\n"
        "    async with anyio.create_task_group() as group:\n        group.start_soon(work)\n"
    )
    (file,) = task_map([str(tmp_path)], ["--isolated"]).files
    assert [task.creator for task in file.tasks] == ["group.start_soon"]


@pytest.mark.usefixtures("shop")
def test_the_sample_is_told_as_it_is() -> None:
    assert (
        rows(task_map(["shop"]))
        == """\
shop/app.py:17 mail.poll_inbox() | nobody | nobody | nobody | finding
shop/app.py:18 refresh_prices() | app.state.prices | lifespan() (cancels, awaits) \
| its own except in refresh_prices() | settled
shop/mail.py:14 deliver() | _sending | itself, when done | callback _log_failure | settled
shop/mail.py:23 deliver() | task group group | its task group in send_all() (awaits) \
| its task group | settled
shop/mail.py:27 deliver() | nobody | itself, when done | nobody | finding
shop/stock.py:12 self._read() | self._reader | Stock.close() (cancels, awaits) | nobody | open
shop/stock.py:13 self._audit() | self._auditor | nobody | nobody | open
""".splitlines()
    )


def test_json_of_all_fixtures_fits_the_schema() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    shown = task_map([str(ROOT / "fixtures")], ["--isolated", "--extend-select", "TSK2,TSK3"])
    data = json.loads(json.dumps(shown.as_dict()))
    assert len(data["tasks"]) > 500
    assert not list(Draft202012Validator(SCHEMA).iter_errors(data))
    kinds = {task["kind"] for task in data["tasks"]}
    assert kinds == set(SCHEMA["$defs"]["task"]["properties"]["kind"]["enum"]) - {"managed"}
    holders = {held["kind"] for task in data["tasks"] for held in task["held_by"]}
    assert holders == set(SCHEMA["$defs"]["holder"]["properties"]["kind"]["enum"])
    ends = {end["kind"] for task in data["tasks"] for end in task["ended_by"]}
    assert ends == set(SCHEMA["$defs"]["end"]["properties"]["kind"]["enum"])
    heard = {listener["kind"] for task in data["tasks"] for listener in task["heard_by"]}
    assert heard == set(SCHEMA["$defs"]["listener"]["properties"]["kind"]["enum"])


def _fields(kind: type[Task | Holder | End | Listener]) -> set[str]:
    return {field.name for field in fields(kind)}


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("task", {*_fields(Task), "path", "state"}),
        ("holder", _fields(Holder)),
        ("end", _fields(End)),
        ("listener", _fields(Listener)),
        ("finding", set(Finding._fields)),
    ],
)
def test_the_schema_knows_every_field(name: str, known: set[str]) -> None:
    described = SCHEMA["$defs"][name]
    assert set(described["properties"]) == known
    assert set(described["required"]) == set(described["properties"])


@pytest.mark.usefixtures("shop")
def test_the_schema_refuses_what_it_does_not_describe() -> None:
    data = task_map(["shop"]).as_dict()
    validator = Draft202012Validator(SCHEMA)
    assert validator.is_valid(json.loads(json.dumps(data)))
    for broken in (
        {**data, "format": 2},
        {**data, "more": 1},
        {**data, "tasks": [{"line": 1}]},
        {**data, "tasks": [{**data["tasks"][0], "held_by": [{"kind": "anyone"}]}]},
    ):
        assert not validator.is_valid(json.loads(json.dumps(broken)))


@pytest.mark.usefixtures("shop")
def test_any_number_of_processes_gives_the_same_map() -> None:
    shown = [task_map(["shop"], jobs=jobs).as_dict() for jobs in (1, 2)]
    assert json.dumps(shown[0]) == json.dumps(shown[1])
    tasks = shown[0]["tasks"]
    assert tasks == sorted(tasks, key=lambda task: (task["path"], task["line"], task["column"]))


def test_configuration_chooses_files_and_codes(shop: Path) -> None:
    config = shop.parent / ".flake8"
    config.write_text("[flake8]\nexclude = stock.py\nper-file-ignores = shop/mail.py:TSK002\n")
    shown = task_map(["shop"])
    assert [file.name for file in shown.files] == ["shop/app.py", "shop/mail.py"]
    # The task stays on the map, though nothing is said of it.
    assert [(name, state(task)) for name, task in shown.tasks][-1] == ("shop/mail.py", "open")
    assert shown.summary()["codes"] == {"TSK001": 1}
    asked = task_map(["shop"], ["--extend-select", "TSK303"])
    assert asked.summary()["codes"]["TSK303"] > 0


@pytest.mark.parametrize(("comment", "told"), [("# noqa: TSK002", 0), ("# noqa: E501", 1)])
def test_excused_findings_are_not_told(shop: Path, comment: str, told: int) -> None:
    path = shop / "mail.py"
    path.write_text(path.read_text().replace("    receipt =", f"    {comment}\n    receipt =", 1))
    text = path.read_text().split("\n")
    at = next(number for number, line in enumerate(text) if line.startswith("    receipt ="))
    text[at] += f"  {comment}"
    path.write_text("\n".join(text))
    assert task_map(["shop/mail.py"]).summary()["codes"].get("TSK002", 0) == told


def test_a_spawner_alone_is_enough_to_read_a_file(tmp_path: Path) -> None:
    path = tmp_path / "bot.py"
    path.write_text("async def start(app):\n    app.add_job(work())\n")
    assert not list(task_map([str(path)], ["--isolated"]).tasks)
    options = ["--isolated", "--tsk-managed-spawners=*.add_job"]
    assert [task.kind for _, task in task_map([str(path)], options).tasks] == ["managed"]


def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("import asyncio\nasyncio.create_task(\n")
    (tmp_path / "bytes.py").write_bytes(b"asyncio.create_task(\xff)")
    shown = task_map([str(tmp_path), str(tmp_path / "none.py")], ["--isolated"])
    errors = {Path(file.name).name: file.error for file in shown.errors}
    assert set(errors) == {"broken.py", "bytes.py", "none.py"}
    assert errors["broken.py"].startswith("not valid Python: line 2")
    assert errors["none.py"] == "No such file or directory"
    assert shown.summary()["errors"] == 3


def test_wrong_options_are_refused() -> None:
    with pytest.raises(ConfigError, match="--tsk-registry-name"):
        task_map(["."], ["--isolated", "--tsk-registry-name", "1"])


def test_a_state_is_a_finding_a_question_or_neither() -> None:
    end, heard = End(1, 1, "", "cancelled"), Listener(1, 1, "", "awaited")
    settled = Task(1, 1, "", "task", "c", "f()", "", True, True, (), (end,), (heard,), ())
    assert state(settled) == "settled"
    assert state(replace(settled, ended_by=())) == "open"
    assert state(replace(settled, ended_by=(replace(end, kind="replaced"),))) == "open"
    assert state(replace(settled, ended_by=(), endless=False)) == "settled"
    assert state(replace(settled, ended_by=(), endless=None)) == "settled"
    assert state(replace(settled, heard_by=())) == "open"
    assert state(replace(settled, heard_by=(), in_sight=False)) == "settled"
    assert state(replace(settled, findings=(Finding(1, 1, "TSK001", "m"),))) == "finding"
