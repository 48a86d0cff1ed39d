"""The map's command line, run as a user runs it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from commands import FAULT, ROOT, run

from flake8_task_refs import __version__
from flake8_task_refs.map import __main__ as program
from flake8_task_refs.map.inventory import schema

SUM = "7 tasks: 2 with a finding, 2 open, 3 settled; 3 files read, 0 errors\n"


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Copy the sample to where no configuration is, and go there."""
    shutil.copytree(ROOT / "fixtures" / "map" / "shop", tmp_path / "shop")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def task_map(*arguments: str, cwd: Path, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Run the map as a program of its own."""
    return run(sys.executable, "-m", "flake8_task_refs.map", *arguments, cwd=cwd, stdin=stdin)


def status(*arguments: str) -> int:
    """Run the map in this process and return its exit status."""
    try:
        return program.main(arguments)
    except SystemExit as end:
        return int(end.code or 0)


def test_a_table_is_the_default(shop: Path) -> None:
    done = task_map(cwd=shop)
    assert done.returncode == 0
    assert done.stdout.decode().startswith("./shop/app.py\nat ")
    assert done.stderr.decode() == SUM


def test_the_console_script_does_the_same(shop: Path) -> None:
    script = Path(sys.executable).with_name("flake8-task-refs-map")
    done = run(script, "shop", cwd=shop)
    assert (done.returncode, done.stdout) == (0, task_map("shop", cwd=shop).stdout)


def test_json_is_json(shop: Path) -> None:
    done = task_map("--format", "json", "shop", cwd=shop)
    assert done.returncode == 0
    data = json.loads(done.stdout)
    assert (data["format"], data["summary"]["tasks"]) == (1, 7)
    assert data["generator"] == f"flake8-task-refs {__version__}"


def test_html_is_a_page_in_any_locale(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "latin-1")
    done = task_map("--format", "html", "shop", cwd=shop)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(b"<!doctype html>")
    assert done.stdout.isascii()
    assert done.stderr.decode() == SUM


def test_output_goes_into_a_file(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for form in ("table", "json", "html"):
        assert status("--format", form, "--output", f"map.{form}", "shop") == 0
        assert capsys.readouterr() == ("", SUM)
        assert status("--format", form, "shop") == 0
        assert (shop / f"map.{form}").read_text("utf-8") == capsys.readouterr().out


def test_standard_input(shop: Path) -> None:
    done = task_map("--stdin-display-name", "app.py", "-", cwd=shop, stdin=FAULT.encode())
    assert done.returncode == 0
    assert done.stdout.decode().split("\n")[0] == "app.py"
    assert b"TSK001" in done.stdout
    broken = task_map("-", cwd=shop, stdin=b"asyncio.create_task(\xff)")
    assert (broken.returncode, broken.stdout) == (123, b"")
    assert broken.stderr.startswith(b"stdin: error: cannot decode")


@pytest.mark.usefixtures("shop")
def test_flake8s_options_mean_what_they_mean_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert status("--select", "TSK002", "--exclude", "stock.py", "shop") == 0
    out, err = capsys.readouterr()
    assert "TSK002" in out
    assert "TSK001" not in out
    assert "stock.py" not in out
    assert err == "5 tasks: 1 with a finding, 1 open, 3 settled; 2 files read, 0 errors\n"


def test_other_files_are_told_though_one_is_broken(
    shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (shop / "shop" / "broken.py").write_text("import asyncio\nasyncio.create_task(\n")
    assert status("shop", "nosuch.py") == 123
    out, err = capsys.readouterr()
    assert "shop/stock.py\n" in out
    assert "nosuch.py: error: No such file or directory" in err
    assert "shop/broken.py: error: not valid Python: line 2" in err
    assert err.endswith("5 files read, 2 errors\n")


WRONG = {
    "an unknown format": (["--format", "svg"], "--format: invalid choice: 'svg'"),
    "an unknown option": (["--formt=html"], "(did you mean --format?)"),
    "an unknown code": (["--select", "TSK9"], "--select: no rule's code begins with TSK9"),
    "a directory to write to": (["--output", "shop"], "--output: shop is a directory"),
    "nowhere to write to": (["--output", "no/map"], "--output: there is no directory no"),
    "output to -": (["--output", "-"], "--output: leave it out to write to standard output"),
    "an empty path": (["shop", ""], "an empty path names no file"),
    "two inputs": (["-", "shop"], "- (standard input) cannot be mixed with other paths"),
    "no such configuration": (["--config", "nosuch.cfg"], "nosuch.cfg"),
}


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize(("arguments", "message"), WRONG.values(), ids=list(WRONG))
def test_wrong_usage(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status(*arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err.splitlines()[-1]


@pytest.mark.usefixtures("shop")
def test_without_jinja2_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    assert status("--format", "html", "shop") == 2
    assert "pip install 'flake8-task-refs[map]'" in capsys.readouterr().err
    assert status("--format", "json", "shop") == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full device here")
@pytest.mark.parametrize("arguments", [["--output", "/dev/full"], []])
def test_what_cannot_be_written_is_an_error(shop: Path, arguments: list[str]) -> None:
    with Path("/dev/full").open("wb") as full:
        command = [sys.executable, "-m", "flake8_task_refs.map", *arguments, "shop"]
        done = subprocess.run(command, cwd=shop, stdout=full, stderr=-1, check=False)
    assert done.returncode == 123
    assert b"No space left on device" in done.stderr
    assert b"Traceback" not in done.stderr


@pytest.mark.usefixtures("shop")
def test_a_terminal_of_any_width(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    for width in (60, 120):
        monkeypatch.setenv("COLUMNS", str(width))
        assert status("--color", "never", "shop") == 0
        out = capsys.readouterr().out
        assert width - 25 < max(map(len, out.splitlines())) <= width


def test_the_schema_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert status("--json-schema") == 0
    assert capsys.readouterr().out == schema()


def test_help_names_every_option_and_status(capsys: pytest.CaptureFixture[str]) -> None:
    assert status("--help") == 0
    out = capsys.readouterr().out
    for word in (
        "--format",
        "--output",
        "--json-schema",
        "--select",
        "--tsk-task-factories",
        "123",
    ):
        assert word in out


def test_nothing_to_read_is_told(tmp_path: Path) -> None:
    done = task_map(cwd=tmp_path)
    assert done.returncode == 0
    assert done.stdout == b""
    assert b"no file to read" in done.stderr
