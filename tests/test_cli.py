"""The fixer's command line, run as a user runs it."""

from __future__ import annotations

import ast
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from commands import FAULT, ROOT, fix, fix_program, reported, run

from flake8_task_refs import __version__, fix_source
from flake8_task_refs.fix.engine import FixSettings
from flake8_task_refs.options import Settings
from flake8_task_refs.rules import RULES, explain

LIFESPAN = """\
import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI


async def work() -> None:
    while True:
        await asyncio.sleep(1)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    asyncio.create_task(work())
    yield


app = FastAPI(lifespan=lifespan)
"""
# A sync route runs in a thread without an event loop: no registry helps it.
HOPELESS = """\
import asyncio

from fastapi import FastAPI

app = FastAPI()


async def work() -> None:
    await asyncio.sleep(1)


@app.get("/")
def index() -> None:
    asyncio.create_task(work())
"""


def _fixed(source: str, line_length: int = 88) -> str:
    """Return what the engine makes of ``source``: the command line must add nothing to it."""
    return fix_source(source, FixSettings(analysis=Settings(), line_length=line_length)).text


@pytest.fixture
def fault(tmp_path: Path) -> Path:
    path = tmp_path / "fault.py"
    path.write_text(FAULT)
    return path


# The three ways to run it.


def test_in_place_is_the_default(fault: Path) -> None:
    done = fix_program("--isolated", fault.name, cwd=fault.parent)
    assert fault.read_text() == _fixed(FAULT) != FAULT
    assert done.stdout == b""
    assert done.stderr.decode().splitlines() == [
        "fault.py: fixed 1 TSK001",
        "1 finding fixed in 1 file, 0 declined; 1 file read, 0 errors",
    ]
    assert done.returncode == 0
    assert reported("--isolated", cwd=fault.parent) == []


def test_a_second_run_changes_nothing(fault: Path) -> None:
    fix("--isolated", cwd=fault.parent)
    before = fault.stat().st_ino, fault.stat().st_mtime_ns
    done = fix("--isolated", cwd=fault.parent)
    assert (fault.stat().st_ino, fault.stat().st_mtime_ns) == before
    assert done.returncode == 0
    assert done.stderr.decode().splitlines() == [
        "0 findings fixed in 0 files, 0 declined; 1 file read, 0 errors"
    ]


def test_diff_writes_nothing_and_is_what_in_place_does(fault: Path) -> None:
    done = fix("--isolated", "--diff", fault.name, cwd=fault.parent)
    assert fault.read_text() == FAULT
    assert done.returncode == 0
    assert done.stdout.startswith(b"--- a/fault.py\n+++ b/fault.py\n@@ ")
    assert done.stderr.decode().splitlines()[0] == "fault.py: would fix 1 TSK001"
    removed = [line for line in done.stdout.splitlines()[2:] if line.startswith(b"-")]
    assert removed == [b"-    asyncio.create_task(work())"]


@pytest.mark.parametrize(
    ("data", "prefix"),
    [
        pytest.param(FAULT.encode(), b"", id="plain"),
        pytest.param(FAULT.replace("\n", "\r\n").encode(), b"", id="crlf"),
        pytest.param(FAULT.rstrip().encode(), b"", id="no final newline"),
        pytest.param(b"\xef\xbb\xbf" + FAULT.encode(), b"\xef\xbb\xbf", id="byte order mark"),
        pytest.param(
            b"# coding: latin-1\n# \xe9\n" + FAULT.encode(),
            b"# coding: latin-1\n# \xe9\n",
            id="latin-1",
        ),
    ],
)
def test_diff_applies_and_bytes_are_kept(tmp_path: Path, data: bytes, prefix: bytes) -> None:
    path = tmp_path / "app" / "a b.py"
    path.parent.mkdir()
    path.write_bytes(data)
    diff = fix("--isolated", "--diff", cwd=tmp_path).stdout
    run("git", "init", "-q", ".", cwd=tmp_path)
    # -p1, the default, from the directory the fixer was run in.
    done = run("git", "apply", "--whitespace=nowarn", "-", cwd=tmp_path, stdin=diff)
    assert done.returncode == 0, done.stderr.decode()
    applied = path.read_bytes()
    path.write_bytes(data)
    fix("--isolated", cwd=tmp_path)
    assert path.read_bytes() == applied != data
    assert applied.startswith(prefix)
    assert applied.count(b"\r\n") in {0, applied.count(b"\n")}
    ours = set(applied.splitlines())
    assert [line for line in data.splitlines() if line not in ours] == [
        b"    asyncio.create_task(work())"
    ]
    ast.parse(applied)


@pytest.mark.parametrize("arguments", [["--check"], ["--check", "--diff"]], ids=" ".join)
def test_check_is_red_until_the_fixer_has_run(fault: Path, arguments: list[str]) -> None:
    done = fix("--isolated", *arguments, cwd=fault.parent)
    assert done.returncode == 1
    assert fault.read_text() == FAULT
    shown = b"--- a/fault.py" if "--diff" in arguments else b"./fault.py:5:5: TSK001 "
    assert done.stdout.startswith(shown)
    assert fix("--isolated", cwd=fault.parent).returncode == 0
    done = fix("--isolated", *arguments, cwd=fault.parent)
    assert done.returncode == 0
    assert done.stdout == b""


def test_without_paths_the_current_directory_is_meant(tmp_path: Path) -> None:
    for name in ("a.py", "pkg/b.py", "c.txt", ".git/d.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(FAULT)
    done = fix("--isolated", cwd=tmp_path)
    assert done.stderr.decode().splitlines() == [
        "./a.py: fixed 1 TSK001",
        "./pkg/b.py: fixed 1 TSK001",
        "2 findings fixed in 2 files, 0 declined; 2 files read, 0 errors",
    ]
    assert (tmp_path / "c.txt").read_text() == FAULT


# Standard input.


@pytest.mark.parametrize(
    "data",
    [
        FAULT.encode(),
        FAULT.replace("\n", "\r\n").encode(),
        b"\xef\xbb\xbf" + FAULT.encode(),
        b"# coding: latin-1\n# \xe9\n" + FAULT.encode(),
    ],
    ids=["plain", "crlf", "mark", "latin-1"],
)
def test_standard_input_to_standard_output(tmp_path: Path, data: bytes) -> None:
    done = fix_program("--isolated", "-", cwd=tmp_path, stdin=data)
    (tmp_path / "a.py").write_bytes(data)
    fix_program("--isolated", "a.py", cwd=tmp_path)
    assert done.stdout == (tmp_path / "a.py").read_bytes() != data
    assert done.returncode == 0
    again = fix_program("--isolated", "-", cwd=tmp_path, stdin=done.stdout)
    assert again.stdout == done.stdout


@pytest.mark.parametrize(
    ("data", "status"),
    [(b"", 0), (b"x = 1\n", 0), (f"{FAULT}x = (\n".encode(), 123), (b"# \xe9\n", 123)],
    ids=["empty", "clean", "syntax", "bytes"],
)
def test_what_cannot_be_repaired_goes_through(tmp_path: Path, data: bytes, status: int) -> None:
    done = fix("--isolated", "-", cwd=tmp_path, stdin=data)
    assert done.stdout == data
    assert done.returncode == status
    assert (b"stdin: error: " in done.stderr) is (status == 123)


def test_standard_input_with_diff_and_check(tmp_path: Path) -> None:
    done = fix("--isolated", "--check", "-", cwd=tmp_path, stdin=FAULT.encode())
    assert done.returncode == 1
    assert done.stdout.startswith(b"stdin:5:5: TSK001 task running 'work()' is not referenced")
    name = ["--stdin-display-name", "app/in.py"]
    done = fix("--isolated", "--diff", *name, "-", cwd=tmp_path, stdin=FAULT.encode())
    assert done.returncode == 0
    assert done.stdout.startswith(b"--- a/app/in.py\n+++ b/app/in.py\n@@ ")


def test_the_name_of_standard_input_is_held_against_the_configuration(tmp_path: Path) -> None:
    (tmp_path / ".flake8").write_text("[flake8]\nexclude = gen/*\nper-file-ignores = old.py: TSK\n")
    for name, changed in (("gen/a.py", False), ("old.py", False), ("new.py", True)):
        done = fix("--stdin-display-name", name, "-", cwd=tmp_path, stdin=FAULT.encode())
        assert (done.stdout != FAULT.encode()) is changed, name


# Which findings.


@pytest.mark.parametrize(
    ("configuration", "repaired"),
    [
        ("", {"a.py", "pkg/b.py"}),
        ("exclude = pkg", {"a.py"}),
        ("ignore = TSK001", set()),
        ("select = TSK002", set()),
        ("per-file-ignores = a.py: TSK001", {"pkg/b.py"}),
    ],
)
def test_flake8s_configuration_decides(
    tmp_path: Path, configuration: str, repaired: set[str]
) -> None:
    (tmp_path / "pkg").mkdir()
    for name in ("a.py", "pkg/b.py"):
        (tmp_path / name).write_text(FAULT)
    (tmp_path / "setup.cfg").write_text(f"[flake8]\n{configuration}\n")
    fix(cwd=tmp_path)
    changed = {name for name in ("a.py", "pkg/b.py") if (tmp_path / name).read_text() != FAULT}
    assert changed == repaired


def test_the_command_line_decides_by_code(fault: Path) -> None:
    for arguments in (["--select", "TSK1"], ["--ignore", "TSK001"], ["--extend-ignore=TSK0"]):
        done = fix("--isolated", *arguments, cwd=fault.parent)
        assert fault.read_text() == FAULT, arguments
        assert done.returncode == 0
    fix("--isolated", "--select", "TSK001", cwd=fault.parent)
    assert fault.read_text() == _fixed(FAULT)


def test_it_says_so_when_no_code_is_selected(fault: Path) -> None:
    done = fix("--isolated", "--select", "E,F", cwd=fault.parent)
    assert b"no TSK code is selected for any of these files" in done.stderr


@pytest.mark.parametrize("comment", ["# noqa", "# noqa: TSK001", "# noqa: RUF006"])
def test_noqa_is_honoured(fault: Path, comment: str) -> None:
    excused = FAULT.replace("(work())", f"(work())  {comment}")
    fault.write_text(excused)
    fix("--isolated", cwd=fault.parent)
    assert fault.read_text() == excused
    fix("--isolated", "--disable-noqa", cwd=fault.parent)
    assert fault.read_text() != excused


def test_noqa_for_the_file_is_honoured(fault: Path) -> None:
    fault.write_text(f"# flake8: noqa\n{FAULT}")
    fix("--isolated", cwd=fault.parent)
    assert fault.read_text() == f"# flake8: noqa\n{FAULT}"


def test_options_of_the_rules(fault: Path) -> None:
    fault.write_text(FAULT.replace("    asyncio.c", "    _ = asyncio.c"))
    fix("--isolated", "--tsk-allow-underscore", cwd=fault.parent)
    assert "_ = asyncio.create_task" in fault.read_text()
    fix("--isolated", "--tsk-registry-name", "house", cwd=fault.parent)
    assert "_house.discard" in fault.read_text()


# What is written.


def test_the_line_length_is_flake8s_where_no_formatter_says(fault: Path) -> None:
    (fault.parent / ".flake8").write_text("[flake8]\nmax-line-length = 40\n")
    fix("fault.py", cwd=fault.parent)
    assert fault.read_text() == _fixed(FAULT, line_length=40) != _fixed(FAULT)


def test_the_line_length_is_the_projects(fault: Path) -> None:
    (fault.parent / "pyproject.toml").write_text("[tool.black]\nline-length = 40\n")
    fix("--isolated", cwd=fault.parent)
    assert fault.read_text() == _fixed(FAULT, line_length=40) != _fixed(FAULT)


@pytest.mark.parametrize(
    ("value", "written"),
    [(None, "timeout=10"), ("3", "timeout=3"), ("0.5", "timeout=0.5"), ("none", "asyncio.gather(")],
)
def test_shutdown_timeout(tmp_path: Path, value: str | None, written: str) -> None:
    (tmp_path / "app.py").write_text(LIFESPAN)
    arguments = [] if value is None else ["--shutdown-timeout", value]
    fix("--isolated", *arguments, cwd=tmp_path)
    text = (tmp_path / "app.py").read_text()
    assert re.search(rf"{re.escape(written)}(?![\d.])", text), text


def test_a_declined_site_is_named_with_its_reason(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(HOPELESS)
    for arguments, status in (([], 0), (["--diff"], 0), (["--check", "--diff"], 1)):
        done = fix("--isolated", *arguments, "app.py", cwd=tmp_path)
        assert done.returncode == status
        line, total = done.stderr.decode().splitlines()
        assert re.fullmatch(r"app\.py:14:5: TSK001 declined: \w.{10,}", line)
        assert " 1 declined; 1 file read, 0 errors" in total
    assert (tmp_path / "app.py").read_text() == HOPELESS


HANDLER = """\
import asyncio
from app import make_app, work

class Server:
    def __init__(self):
        self.app = make_app()

        @self.app.on_event("startup")
        async def start():
            asyncio.create_task(work.run_forever())
"""


def test_what_is_kept_without_an_end_is_said(tmp_path: Path) -> None:
    path = tmp_path / "server.py"
    path.write_text(HANDLER)
    place = "server.py:10:13: TSK001"
    for arguments, verb in (["--diff"], "to fix"), ([], "fixed"):
        done = fix("--isolated", *arguments, "server.py", cwd=tmp_path)
        lines = done.stderr.decode().splitlines()
        assert f"{place} {verb}, but nothing ends the task yet (TSK201)" in lines
    line, _ = fix("--isolated", "server.py", cwd=tmp_path).stderr.decode().splitlines()
    assert re.fullmatch(r"server\.py:14:20: TSK201 declined: the file does not show.*", line)


@pytest.mark.slow
def test_several_processes_do_what_one_does(tmp_path: Path) -> None:
    outputs = []
    for jobs in ("1", "2"):
        directory = tmp_path / jobs
        directory.mkdir()
        for number in range(90):
            (directory / f"a{number}.py").write_text(LIFESPAN if number % 3 else FAULT)
        (directory / "broken.py").write_text(f"{FAULT}x = (\n")
        done = fix_program("--isolated", "-j", jobs, cwd=directory)
        assert done.returncode == 123
        outputs.append((done.stderr, [p.read_text() for p in sorted(directory.iterdir())]))
    assert outputs[0] == outputs[1]
    names = re.findall(rb"(\S+): fixed", outputs[0][0])
    assert names == sorted(names)
    assert len(names) == 90


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_an_interrupt_ends_it_with_every_file_whole(tmp_path: Path, jobs: str) -> None:
    for number in range(400):
        (tmp_path / f"a{number}.py").write_text(LIFESPAN)
    command = [sys.executable, "-m", "flake8_task_refs.fix", "--isolated", "-j", jobs]
    # A program that a shell runs in the background inherits that it is not to be interrupted.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    program = subprocess.Popen(
        command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    signal.signal(signal.SIGINT, before)
    assert program.stderr is not None
    # By then, other processes have taken over, if there may be others.
    for _ in range(100):
        program.stderr.readline()
    # As Ctrl-C does: to the whole group.
    os.killpg(program.pid, signal.SIGINT)
    written = program.communicate(timeout=60)[1].splitlines()
    assert program.returncode == 130
    assert written[-1] == "interrupted"
    assert all(line.endswith(": fixed 1 TSK001") for line in written[:-1])
    texts = [path.read_text() for path in tmp_path.iterdir()]
    assert len(texts) == 400
    assert set(texts) == {LIFESPAN, _fixed(LIFESPAN)}


# Bad input: one line, and the rest of the run goes on.


def _make(directory: Path, kind: str) -> None:
    path = directory / "bad.py"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "dangling link":
        path.symlink_to("nowhere.py")
    elif kind == "link to itself":
        path.symlink_to("bad.py")
    else:
        texts = {
            "syntax": f"{FAULT}x = (\n".encode(),
            "bytes": b"# \xe9\n" + FAULT.encode(),
            "unknown encoding": b"# coding: klingon\n" + FAULT.encode(),
            "null byte": FAULT.encode() + b"x = '\0'\n",
            "utf-16": FAULT.encode("utf-16"),
        }
        path.write_bytes(texts[kind])


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX")
@pytest.mark.parametrize(
    "kind",
    [
        "syntax",
        "bytes",
        "unknown encoding",
        "null byte",
        "utf-16",
        "pipe",
        "dangling link",
        "link to itself",
    ],
)
def test_bad_input_is_one_line_and_the_run_goes_on(tmp_path: Path, kind: str) -> None:
    _make(tmp_path, kind)
    bad = tmp_path / "bad.py"
    before = bad.read_bytes() if bad.is_file() else None
    (tmp_path / "a.py").write_text(FAULT)
    (tmp_path / "c.py").write_text(FAULT)
    done = fix("--isolated", cwd=tmp_path)
    assert done.returncode == 123
    first, error, last, total = done.stderr.decode().splitlines()
    assert first == "./a.py: fixed 1 TSK001"
    assert re.fullmatch(r"\./bad\.py: error: .{8,}", error)
    assert last == "./c.py: fixed 1 TSK001"
    assert total.endswith("3 files read, 1 error")
    assert before is None or bad.read_bytes() == before
    assert fix("--isolated", "--check", cwd=tmp_path).returncode == 123


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    done = fix_program("--isolated", "none.py", cwd=tmp_path)
    assert done.returncode == 123
    assert b"none.py: error: No such file or directory\n" in done.stderr


@pytest.mark.parametrize(
    "deep",
    [
        f"{FAULT}x = {'(' * 5000}1{')' * 5000}\n",
        FAULT.replace("work())", f"work({'(' * 5000}1{')' * 5000}))"),
        f"{FAULT}x = {'not ' * 50_000}1\n",
        f"{FAULT}x = a{'.b' * 50_000}\n",
    ],
    ids=["beside", "inside", "operators", "attributes"],
)
def test_deep_nesting_ends_without_a_traceback(tmp_path: Path, deep: str) -> None:
    (tmp_path / "deep.py").write_text(deep)
    done = fix_program("--isolated", "deep.py", cwd=tmp_path)
    assert re.search(
        rb"deep\.py: error: (not valid Python|cannot be (checked|repaired)): ", done.stderr
    )
    assert b"Traceback" not in done.stderr
    assert done.returncode == 123
    assert (tmp_path / "deep.py").read_text() == deep


@pytest.mark.skipif(os.name != "posix", reason="needs a shell")
def test_whoever_reads_the_diff_may_stop(tmp_path: Path) -> None:
    for number in range(40):
        (tmp_path / f"a{number}.py").write_text(FAULT)
    command = f"{sys.executable} -m flake8_task_refs.fix --isolated --diff | true"
    done = subprocess.run(["sh", "-c", command], cwd=tmp_path, capture_output=True, check=True)
    assert b"Traceback" not in done.stderr
    assert b"Broken" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--no-such-option"], "--no-such-option"),
        (["-", "a.py"], "standard input"),
        ([""], "empty path"),
        (["a.py", ""], "empty path"),
        (["--check", "--baseline", "-"], "--baseline: a baseline is a file"),
        (["--check", "--baseline", "-", "--write-baseline"], "--baseline: a baseline is a file"),
        (["--shutdown-timeout", "soon"], "soon"),
        (["--shutdown-timeout", "-1"], "-1"),
        (["--shutdown-timeout", "0"], "0"),
        (["--shutdown-timeout", "inf"], "inf"),
        (["--select", "TSK9"], "TSK9"),
        (["--extend-select", "E1,TSK0011"], "TSK0011"),
        (["--config", "none.cfg"], "none.cfg"),
        (["--jobs", "many"], "many"),
        (["--tsk-registry-name", "no name"], "no name"),
        (["--explain", "TSK999"], "TSK999"),
        (["--explain"], "--explain"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_wrong_usage(fault: Path, arguments: list[str], complaint: str) -> None:
    done = fix(*arguments, cwd=fault.parent)
    assert done.returncode == 2
    assert done.stdout == b""
    usage, error = done.stderr.decode().splitlines()
    assert usage.startswith("usage: python -m flake8_task_refs.fix ")
    assert complaint in error
    assert fault.read_text() == FAULT
    assert list(fault.parent.iterdir()) == [fault]


def test_the_options_of_a_repair_may_stand_beside_check(fault: Path) -> None:
    plain = fix("--check", cwd=fault.parent)
    options = ("--unsafe-fixes", "--shutdown-timeout", "3")
    both = fix("--check", *options, cwd=fault.parent)
    assert (both.returncode, both.stdout, both.stderr) == (1, plain.stdout, plain.stderr)


# Questions.


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.code)
def test_explain(tmp_path: Path, rule: object) -> None:
    assert rule in RULES
    [found] = [known for known in RULES if known is rule]
    done = fix("--explain", found.code, cwd=tmp_path)
    assert done.stdout.decode() == explain(found)
    assert done.returncode == 0


def test_explain_takes_a_name_and_any_case(tmp_path: Path) -> None:
    by_code = fix("--explain", "TSK001", cwd=tmp_path).stdout
    assert fix("--explain", "tsk001", cwd=tmp_path).stdout == by_code
    assert fix("--explain", "discarded-task", cwd=tmp_path).stdout == by_code


def test_version_and_help(tmp_path: Path) -> None:
    assert (
        fix_program("--version", cwd=tmp_path)
        .stdout.decode()
        .startswith(f"flake8-task-refs {__version__} (flake8 ")
    )
    text = fix_program("--help", cwd=tmp_path).stdout.decode()
    for word in (
        "--diff",
        "--check",
        "--unsafe-fixes",
        "--tsk-registry-name",
        "exit status",
        "123",
    ):
        assert word in text


def test_the_installed_command_is_the_same_program(tmp_path: Path) -> None:
    command = Path(sys.executable).parent / "flake8-task-refs-fix"
    if not command.exists():
        pytest.skip("the package is not installed beside this Python")
    assert (
        run(command, "--version", cwd=tmp_path).stdout == fix_program("--version", cwd=ROOT).stdout
    )
