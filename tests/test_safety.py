"""Never harm a file: odd bytes, odd files, odd names, faults of ours, and deaths at any moment.

Each through every door: the plugin under the real flake8, ``--check``, ``--diff``, in place, and
standard input.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from commands import FAULT, ROOT, draw_map, fix, flake8, run, run_bound_by_modes

from flake8_task_refs import fix_source
from flake8_task_refs.elsewhere import WorkerLostError
from flake8_task_refs.files import FileError, decode, read, shown
from flake8_task_refs.fix.engine import FixSettings
from flake8_task_refs.options import Settings
from flake8_task_refs.processes import each
from flake8_task_refs.scanning import internal_error
from flake8_task_refs.writing import write

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs POSIX")

FIXED = fix_source(FAULT, FixSettings(analysis=Settings(), line_length=88)).text
_LINE = re.compile(rb"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+\Z")


def _tree(directory: Path) -> dict[str, bytes]:
    """Return what every file below ``directory`` holds."""
    return {
        os.fsdecode(path.relative_to(directory)): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file() and not path.is_symlink()
    }


# Bytes: what can be repaired keeps all others.

_BYTES = FAULT.encode()
REPAIRABLE = {
    "crlf": _BYTES.replace(b"\n", b"\r\n"),
    "lone carriage returns": _BYTES.replace(b"\n", b"\r"),
    "mixed line ends": _BYTES.replace(b"\n", b"\r\n", 2).replace(b"None:\n", b"None:\r"),
    "byte order mark": b"\xef\xbb\xbf" + _BYTES,
    "mark and cookie": b"\xef\xbb\xbf# coding: utf-8\n" + _BYTES,
    "latin-1": b"# coding: latin-1\n# \xe9\n" + _BYTES,
    "cp1252 in line two": b"#!/x\n# -*- coding: cp1252 -*-\n# \x80\n" + _BYTES,
    "euc-jp": "# coding: euc-jp\n# 日本\n".encode("euc-jp") + _BYTES,
    "form feeds": _BYTES.replace(b"\n\n\n", b"\n\n\f\n\f"),
    "form feeds before indentation": _BYTES.replace(b"    ", b"\f    "),
    "tabs": _BYTES.replace(b"    ", b"\t"),
    "no final newline": _BYTES.rstrip(),
    "trailing white space": _BYTES.replace(b"work())", b"work())  \t").replace(b":\n", b": \n"),
    "continued lines": _BYTES.replace(b"asyncio.c", b"asyncio \\\n    .c"),
    "a long string": _BYTES + b"x = '" + b"a" * 5_000_000 + b"'\n",
    "a long comment": _BYTES + b"# " + b"create_task " * 40_000 + b"\n",
    "many blank lines": _BYTES + b"\n" * 50_000,
    "separators that end no line": _BYTES + "x = '\u2028\x85\x0b\x1c'\n".encode(),
    "nested": _BYTES + b"x = " + b"(" * 150 + b"1" + b")" * 150 + b"\n",
}


@pytest.mark.parametrize("data", REPAIRABLE.values(), ids=REPAIRABLE)
def test_a_repair_keeps_all_other_bytes(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a.py"
    path.write_bytes(data)
    assert fix("--isolated", "--check", "a.py", cwd=tmp_path).returncode == 1
    diff = fix("--isolated", "--diff", "a.py", cwd=tmp_path)
    assert diff.returncode == 0
    assert diff.stdout
    assert path.read_bytes() == data
    piped = fix("--isolated", "-", cwd=tmp_path, stdin=data)
    done = fix("--isolated", "a.py", cwd=tmp_path)
    assert done.returncode == piped.returncode == 0, done.stderr
    after = path.read_bytes()
    assert after == piped.stdout != data
    # Every line but those of the call is still there, with its own end, in order.
    there = iter(_LINE.findall(after))
    kept = [line for line in _LINE.findall(data) if not line.lstrip().startswith(b"asyncio")]
    kept = [line for line in kept if not line.lstrip().startswith(b".create_task")]
    assert len(kept) >= data.count(b"\n") - 2
    assert all(any(line == other for other in there) for line in kept)
    assert after.startswith(data[:3])
    compile(after, "a.py", "exec")
    assert fix("--isolated", "a.py", cwd=tmp_path).stderr.startswith(b"0 findings fixed")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.py"]


# Bytes: what cannot be read is left alone, and told.

QUOTED = "'a' "
DEEP = {
    "brackets": f"x = {'(' * 3000}1{')' * 3000}",
    "brackets in an f-string": f"x = f'{{{'(' * 3000}1{')' * 3000}}}'",
    "fields in fields": f"x = f'{'{x:' * 3000}{'}' * 3000}'",
    "attributes": f"x = a{'.b' * 20_000}",
    "attributes over lines": "x = (a" + "\n        .b" * 20_000 + ")",
    "calls": f"x = a{'()' * 20_000}",
    "subscripts": f"x = a{'[0]' * 20_000}",
    "operators": f"x = 1{' + 1' * 20_000}",
    "operators in an f-string": f"x = f'{{1{'+1' * 20_000}}}'",
    "comparisons": f"x = a{' < a' * 20_000}",
    "not": f"x = {'not ' * 20_000}1",
    "signs": f"x = {'-' * 20_000}1",
    "lambdas": f"x = {'lambda: ' * 20_000}1",
    "conditions": f"x = {'a if b else ' * 20_000}1",
    "strings": f"x = {QUOTED * 20_000}",
    "patterns": f"match x:\n        case {'[' * 3000}1{']' * 3000}: pass",
    "blocks": "".join(f"{' ' * depth}if x:\n    " for depth in range(300)) + " " * 300 + "pass",
    "much code": "x = [" + "1,\n    " * 600_000 + "]",
}
_FUNCTION = "import asyncio\n\n\nasync def f():\n    asyncio.create_task(work())\n"
PLACES = {"inside": f"{_FUNCTION}    {{}}\n", "beside": f"{_FUNCTION}\n\ndef g():\n    {{}}\n"}


# In a process of its own: a parser that overflows its stack takes the process with it.
_BOUNDED = """\
import resource, sys
from flake8_task_refs.fix.__main__ import main
resource.setrlimit(resource.RLIMIT_CPU, (100, 100))
resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
sys.exit(main(["--isolated", "-j1", *sys.argv[1:]]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("place", PLACES)
def test_no_parser_is_given_what_would_kill_or_stop_it(tmp_path: Path, place: str) -> None:
    texts = {f"{kind}.py": PLACES[place].replace("{}", body) for kind, body in DEEP.items()}
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "zzz.py").write_text(FAULT)
    checked = run(sys.executable, "-c", _BOUNDED, "--check", cwd=tmp_path)
    repaired = run(sys.executable, "-c", _BOUNDED, cwd=tmp_path)
    assert checked.returncode == repaired.returncode == 123, (checked.stderr, repaired.stderr)
    told = checked.stderr + repaired.stderr
    assert b"Traceback" not in told
    assert b"internal error" not in told
    assert (tmp_path / "zzz.py").read_text() == FIXED
    for name, text in texts.items():
        after = (tmp_path / name).read_text()
        if after == text:
            errors = re.findall(rf"(?m)^\./{name}: error: (.*)", repaired.stderr.decode())
            assert re.fullmatch("(not valid Python|cannot be (checked|repaired)): .+", *errors), (
                name
            )
        else:
            compile(after, name, "exec")


def test_what_is_listed_but_nested_too_deeply_cannot_be_repaired(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(PLACES["inside"].replace("{}", DEEP["calls"]))
    assert fix("--isolated", "--check", cwd=tmp_path).stdout.startswith(b"./a.py:5:5: TSK001 ")
    done = fix("--isolated", cwd=tmp_path)
    assert done.stderr.startswith(b"./a.py: error: cannot be repaired: nested too deeply")
    assert done.returncode == 123
    done = draw_map(cwd=tmp_path)
    assert done.stderr.startswith(b"./a.py: error: cannot be mapped: nested too deeply")


# The real flake8 without a plugin that libcst makes fail here.
_FLAKE8 = """\
import importlib.metadata as metadata
import sys
found = list(metadata.distributions())
metadata.distributions = lambda: [d for d in found if d.metadata["Name"] != "flake8-async"]
from flake8.main.cli import main
sys.exit(main(["--isolated", "--select", "TSK,E9", "-j1", "."]))
"""


def test_the_plugin_checks_beside_what_libcst_cannot_read(tmp_path: Path) -> None:
    body = "if x:\n\f        pass"
    (tmp_path / "odd.py").write_text(PLACES["inside"].replace("{}", body))
    done = run(sys.executable, "-c", _FLAKE8, cwd=tmp_path)
    assert not done.stderr, done.stderr[-500:]
    assert re.fullmatch(rb"\./odd\.py:\d+:5: TSK001 .*\n", done.stdout)


def test_the_plugin_says_what_it_cannot_check(tmp_path: Path) -> None:
    body = f"x = ({QUOTED * 1500})"
    (tmp_path / "deep.py").write_text(PLACES["inside"].replace("{}", body))
    (tmp_path / "fine.py").write_text(FAULT)
    done = run(sys.executable, "-c", _FLAKE8, cwd=tmp_path)
    assert done.returncode == 1
    assert not done.stderr, done.stderr[-500:]
    deep, fine = done.stdout.decode().splitlines()
    assert re.match(r"\./deep\.py:\d+:1: TSK000 not checked: nested too", deep)
    assert fine.startswith("./fine.py:5:5: TSK001 ")


UNREADABLE = {
    "null byte": (FAULT.encode() + b"x = '\0'\n", "not valid Python: "),
    "null byte in a comment": (FAULT.encode() + b"# \0\n", "not valid Python: "),
    "invalid utf-8": (b"# \xe9\n" + FAULT.encode(), "cannot decode: "),
    "invalid utf-8 far below": (FAULT.encode() + b"\n" * 2000 + b"# \xe9\n", "cannot decode: "),
    "another encoding than the mark's": (
        b"\xef\xbb\xbf# coding: latin-1\n" + FAULT.encode(),
        "cannot decode: ",
    ),
    "unknown encoding": (b"# coding: klingon\n" + FAULT.encode(), "cannot decode: "),
    "no text encoding": (b"# coding: rot13\n" + FAULT.encode(), "cannot "),
    "utf-16": (FAULT.encode("utf-16"), "cannot decode: "),
    "utf-7": (b"# coding: utf-7\n# +AGE-\n" + FAULT.encode(), "cannot keep its bytes: "),
    "syntax": (FAULT.encode() + b"x = (\n", "not valid Python: "),
    "tabs and spaces": (FAULT.encode() + b"if x:\n        y\n\tz\n", "not valid Python: "),
}


@pytest.mark.parametrize(("data", "reason"), UNREADABLE.values(), ids=UNREADABLE)
def test_what_cannot_be_read_is_left_alone(tmp_path: Path, data: bytes, reason: str) -> None:
    (tmp_path / "bad.py").write_bytes(data)
    for arguments in (["--check"], ["--diff"], ["--check", "--diff"], []):
        (tmp_path / "good.py").write_text(FAULT)
        done = fix("--isolated", *arguments, cwd=tmp_path)
        assert done.returncode == 123, arguments
        [error] = [line for line in done.stderr.decode().splitlines() if "bad.py" in line]
        assert error.startswith(f"./bad.py: error: {reason}"), arguments
        assert (tmp_path / "bad.py").read_bytes() == data
    assert (tmp_path / "good.py").read_text() == FIXED
    done = fix("--isolated", "-", cwd=tmp_path, stdin=data)
    assert done.stdout == data
    assert done.returncode == 123
    if not any(mark in data for mark in (b"rot13", b"\0")):  # flake8 itself may fail over these
        done = flake8("--isolated", "--select", "TSK,E9", ".", cwd=tmp_path)
        assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("data", [b"", b"\n", b"\xef\xbb\xbf", b"\f\n", b"#", b"\\\n"])
@pytest.mark.parametrize("name", ["a.py", "a.pyi"])
def test_nothing_to_do_for_next_to_nothing(tmp_path: Path, data: bytes, name: str) -> None:
    (tmp_path / name).write_bytes(data)
    for arguments in (["--check"], ["--diff"], []):
        done = fix("--isolated", *arguments, name, cwd=tmp_path)
        assert (done.returncode, done.stdout) == (0, b"")
    assert (tmp_path / name).read_bytes() == data


def test_a_stub_is_read_as_any_other_file(tmp_path: Path) -> None:
    (tmp_path / "a.pyi").write_text(FAULT)
    assert fix("--isolated", "a.pyi", cwd=tmp_path).returncode == 0
    assert (tmp_path / "a.pyi").read_text() == FIXED


# Files that are none, or not as others are.


def _fifo(path: Path) -> str:
    os.mkfifo(path)
    return "not a regular file"


def _socket(path: Path) -> str:
    here = Path.cwd()
    os.chdir(path.parent)  # a socket's path has little room
    try:
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(path.name)
    finally:
        os.chdir(here)
    return "(No such device or address|not a regular file)"


def _loop(path: Path) -> str:
    path.symlink_to(path.name)
    return "Too many levels of symbolic links"


def _dangling(path: Path) -> str:
    path.symlink_to("nowhere.py")
    return "No such file or directory"


def _device(path: Path) -> str:
    path.symlink_to("/dev/zero")
    return "not a regular file"


@pytest.mark.parametrize("make", [_fifo, _socket, _loop, _dangling, _device])
def test_what_is_no_file_is_told_and_the_run_goes_on(
    tmp_path: Path, make: Callable[[Path], str]
) -> None:
    reason = make(tmp_path / "bad.py")
    for arguments in (["--check"], ["--diff"], []):
        (tmp_path / "good.py").write_text(FAULT)
        done = fix("--isolated", *arguments, cwd=tmp_path)
        assert done.returncode == 123
        assert re.search(rf"(?m)^\./bad\.py: error: {reason}$", done.stderr.decode()), done.stderr
    assert (tmp_path / "good.py").read_text() == FIXED


@pytest.fixture
def closed(tmp_path: Path) -> Iterator[Path]:
    """A directory that cannot be read, with one file in it, beside another file."""
    directory = tmp_path / "closed"
    directory.mkdir()
    (directory / "a.py").write_text(FAULT)
    (tmp_path / "good.py").write_text(FAULT)
    directory.chmod(0)
    yield directory
    directory.chmod(0o755)


@pytest.mark.parametrize(
    ("named", "told", "files"),
    [
        (".", "./closed", 2),
        ("closed", "closed", 1),
        ("closed/a/b.py", "closed/a/b.py", 1),
    ],
)
@pytest.mark.parametrize("door", ["fix --check", "fix --diff", "fix", "map"])
def test_a_directory_that_cannot_be_read_is_told_and_the_run_goes_on(
    closed: Path, door: str, named: str, told: str, files: int
) -> None:
    program, *options = door.split()
    module = f"flake8_task_refs.{program}"
    done = run_bound_by_modes(
        sys.executable, "-m", module, "--isolated", *options, named, cwd=closed.parent
    )
    error, *_, total = done.stderr.decode().splitlines()
    assert error == f"{told}: error: Permission denied"
    assert re.search(rf"\b{files} files? read, 1 error$", total)
    assert done.returncode == 123
    if files > 1:
        fixed = FIXED if door == "fix" else FAULT
        assert (closed.parent / "good.py").read_text() == fixed


def test_a_file_may_stand_below_a_directory_that_cannot_be_looked_into(closed: Path) -> None:
    if getattr(os, "geteuid", lambda: 1)() != 0:
        pytest.skip("only root can start a program there")
    closed.chmod(0o755)
    work = closed / "work"
    work.mkdir()
    (work / "a.py").write_text(FAULT)
    closed.chmod(0)
    command = (sys.executable, "-m", "flake8_task_refs.fix", "--isolated", "a.py")
    shown = run_bound_by_modes(*command, "--diff", cwd=work)
    assert shown.stdout.startswith(b"--- a/a.py\n"), shown.stderr
    assert shown.returncode == 0
    done = run_bound_by_modes(*command, cwd=work)
    assert done.stderr.startswith(b"a.py: error: cannot write: Permission denied\n")
    assert done.returncode == 123


def test_a_baseline_keeps_what_stands_in_a_directory_that_cannot_be_read(closed: Path) -> None:
    closed.chmod(0o755)
    options = ("--isolated", "--check", "--baseline", "known.json", "--write-baseline")
    fix(*options, cwd=closed.parent)
    before = (closed.parent / "known.json").read_text()
    assert '"closed/a.py"' in before
    closed.chmod(0)
    command = (sys.executable, "-m", "flake8_task_refs.fix", *options)
    done = run_bound_by_modes(*command, cwd=closed.parent)
    assert done.stderr.decode().splitlines() == [
        "./closed: error: Permission denied",
        "2 findings written to known.json",
    ]
    assert done.returncode == 123
    assert (closed.parent / "known.json").read_text() == before


def test_a_baseline_that_cannot_be_looked_for_is_wrong_usage(closed: Path) -> None:
    options = ("--isolated", "--check", "--baseline", "closed/known.json", "--write-baseline")
    command = (sys.executable, "-m", "flake8_task_refs.fix", *options)
    done = run_bound_by_modes(*command, cwd=closed.parent)
    assert (
        done.stderr.decode()
        .splitlines()[-1]
        .endswith("error: --baseline closed/known.json: Permission denied")
    )
    assert done.returncode == 2


def test_a_directory_may_be_called_like_a_file(tmp_path: Path) -> None:
    (tmp_path / "pkg.py").mkdir()
    (tmp_path / "pkg.py" / "a.py").write_text(FAULT)
    done = fix("--isolated", cwd=tmp_path)
    assert done.returncode == 0
    assert (tmp_path / "pkg.py" / "a.py").read_text() == FIXED


def test_links_that_lead_round_in_circles_end(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "up").symlink_to("..")
    (tmp_path / "a" / "a.py").write_text(FAULT)
    done = fix("--isolated", cwd=tmp_path)
    assert done.stderr.decode().splitlines()[-1].endswith("1 file read, 0 errors")
    assert (tmp_path / "a" / "a.py").read_text() == FIXED


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A file outside ``tmp_path / "tree"``, and links to it and its directory from within."""
    (tmp_path / "outside").mkdir()
    path = tmp_path / "outside" / "theirs.py"
    path.write_text(FAULT)
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "file.py").symlink_to("../outside/theirs.py")
    (tree / "directory").symlink_to("../outside")
    (tree / "ours.py").write_text(FAULT)
    return path


def test_no_link_out_of_the_tree_is_followed(outside: Path) -> None:
    tree = outside.parent.parent / "tree"
    done = fix("--isolated", cwd=tree)
    assert outside.read_text() == FAULT
    assert (tree / "ours.py").read_text() == FIXED
    assert (
        "./file.py:5:5: TSK001 declined: this link leads to a file outside" in done.stderr.decode()
    )
    assert b"1 finding fixed in 1 file, 1 declined" in done.stderr
    done = fix("--isolated", "--diff", cwd=tree)
    assert done.stdout == b""
    # It is a finding nonetheless, here and for flake8.
    for listed in (
        fix("--isolated", "--check", cwd=tree),
        flake8("--isolated", "--select=TSK", cwd=tree),
    ):
        assert listed.stdout.startswith(b"./file.py:5:5: TSK001 ")
        assert listed.returncode == 1


@pytest.mark.parametrize("named", ["file.py", "directory", "../outside", ".."])
def test_a_link_that_is_named_is_followed(outside: Path, named: str) -> None:
    tree = outside.parent.parent / "tree"
    fix("--isolated", named, cwd=tree)
    assert outside.read_text() == FIXED
    assert (tree / "file.py").is_symlink()


def test_a_link_within_the_tree_is_followed(tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "real.txt").write_text(FAULT)
    (tmp_path / "a.py").symlink_to("lib/real.txt")
    fix("--isolated", cwd=tmp_path)
    assert (tmp_path / "a.py").is_symlink()
    assert (tmp_path / "lib" / "real.txt").read_text() == FIXED


@pytest.mark.parametrize("named", [".", "a", "a/link.py", "directory", "../tree", "{tree}"])
def test_a_diff_names_where_a_link_leads_to(tmp_path: Path, named: str) -> None:
    tree = tmp_path / "tree"
    (tree / "a").mkdir(parents=True)
    (tree / "a" / "real.py").write_text(FAULT)
    (tree / "a" / "link.py").symlink_to("real.py")
    (tree / "directory").symlink_to("a")
    diff = fix("--isolated", "--diff", named.format(tree=tree), cwd=tree).stdout
    assert diff.startswith(b"--- a/a/real.py\n+++ b/a/real.py\n")
    run("git", "init", "-q", ".", cwd=tree)
    applied = run("git", "apply", "-", cwd=tree, stdin=diff)
    assert applied.returncode == 0, applied.stderr
    assert (tree / "a" / "real.py").read_text() == FIXED


def test_another_hard_link_keeps_the_old_text(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(FAULT)
    os.link(tmp_path / "a.py", tmp_path / "backup.txt")
    fix("--isolated", cwd=tmp_path)
    assert (tmp_path / "a.py").read_text() == FIXED
    assert (tmp_path / "backup.txt").read_text() == FAULT


def test_a_read_only_file_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(FAULT)
    (tmp_path / "b.py").write_text(FAULT)
    (tmp_path / "a.py").chmod(0o444)
    done = fix("--isolated", cwd=tmp_path)
    assert done.returncode == 123
    assert b"./a.py: error: read-only\n" in done.stderr
    assert (tmp_path / "a.py").read_text() == FAULT
    assert (tmp_path / "b.py").read_text() == FIXED


def test_what_is_excluded_is_left_alone(tmp_path: Path) -> None:
    for name in ("a.py", "gen/b.py", "c_pb2.py", "d.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(FAULT)
    (tmp_path / "setup.cfg").write_text("[flake8]\nexclude = gen,*_pb2.py\n")
    fix(cwd=tmp_path)
    fix("gen", "c_pb2.py", cwd=tmp_path)
    changed = {name for name, data in _tree(tmp_path).items() if data == FIXED.encode()}
    assert changed == {"a.py"}


# Names.

NAMES = {
    "newline": b"a\nb.py: error: x.py",
    "escape sequence": b"\x1b[2Ja.py",
    "not utf-8": b"\xff\xfe.py",
    "right to left": "\u202eyp.a.py".encode(),
    "quotes": b"a\"b\\c'.py",
    "a dash": b"-a.py",
    "long": b"a" * 250 + b".py",
}


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_a_name_does_not_break_a_line(tmp_path: Path, name: bytes) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name))
    path.write_text(FAULT)
    checked = fix("--isolated", "--check", cwd=tmp_path)
    assert re.fullmatch(r"\./[ -~]+\.py:5:5: TSK001 [^\n]+\n", checked.stdout.decode())
    diff = fix("--isolated", "--diff", cwd=tmp_path).stdout
    run("git", "init", "-q", ".", cwd=tmp_path)
    done = fix("--isolated", cwd=tmp_path)
    assert re.fullmatch(r"\./[ -~]+\.py: fixed 1 TSK001\n[^\n]+\n", done.stderr.decode())
    assert path.read_text() == FIXED
    path.write_text(FAULT)
    applied = run("git", "apply", "-", cwd=tmp_path, stdin=diff)
    assert applied.returncode == 0, applied.stderr
    assert path.read_text() == FIXED
    path.write_bytes(b"\xff")
    done = fix("--isolated", cwd=tmp_path)
    assert re.fullmatch(r"\./[ -~]+\.py: error: [^\n]+\n[^\n]+\n", done.stderr.decode())


def test_names_are_shown_as_they_are_where_they_can_be() -> None:
    assert shown("señal 信号/a b.py") == "señal 信号/a b.py"
    assert shown("a\nb\x1b\u202e\udcff") == r"a\nb\x1b\u202e\udcff"


# Writing.


def test_what_a_killed_process_left_is_removed_by_the_next(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(FAULT)
    old, fresh = (
        tmp_path / ".b.py.abcd1234.task-refs.tmp",
        tmp_path / ".b.py.abcd123x.task-refs.tmp",
    )
    not_ours = [tmp_path / name for name in (".b.py.tmp", "b.task-refs.tmp", ".b.task-refs.tmp")]
    for path in (old, fresh, *not_ours):
        path.touch()
        os.utime(path, (0, 0))
    os.utime(fresh)
    fix("--isolated", cwd=tmp_path)
    assert not old.exists()
    assert all(path.exists() for path in (fresh, *not_ours))


@pytest.mark.skipif(sys.platform != "linux", reason="needs extended attributes")
def test_extended_attributes_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    path.write_text(FAULT)
    try:
        os.setxattr(path, "user.note", b"kept")
    except OSError as error:
        pytest.skip(f"no attributes on this file system: {error.strerror}")
    fix("--isolated", cwd=tmp_path)
    assert path.read_text() == FIXED
    assert os.getxattr(path, "user.note") == b"kept"


def test_the_new_text_is_on_the_disk_before_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.py"
    path.write_text(FAULT)
    done: list[tuple[str, str]] = []
    sync, replace = os.fsync, os.replace

    def fsync(descriptor: int) -> None:
        done.append(("sync", str(Path(f"/proc/self/fd/{descriptor}").readlink())))
        sync(descriptor)

    def replaced(*arguments: str) -> None:
        done.append(("replace", os.fspath(arguments[0])))
        replace(*arguments)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", replaced)
    write(str(path), read(str(path)), FIXED)
    (first, made), (then, moved), (last, directory) = done
    assert (first, then, last) == ("sync", "replace", "sync")
    assert made == moved
    assert directory == str(tmp_path)


def test_a_file_that_changes_meanwhile_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.py").write_text(FAULT)
    (tmp_path / "b.py").write_text(FAULT)
    from flake8_task_refs.fix import engine

    real = engine.fix_source

    def slow(text: str, settings: FixSettings) -> engine.FixResult:
        if not (tmp_path / "a.py").read_text().startswith("#"):
            (tmp_path / "a.py").write_text(f"# saved by an editor\n{FAULT}")
        return real(text, settings)

    monkeypatch.setattr(engine, "fix_source", slow)
    done = fix("--isolated", "-j1", cwd=tmp_path)
    assert done.returncode == 123
    assert b"./a.py: error: changed while it was being read; left alone\n" in done.stderr
    assert (tmp_path / "a.py").read_text() == f"# saved by an editor\n{FAULT}"
    assert (tmp_path / "b.py").read_text() == FIXED


@pytest.mark.slow
def test_two_fixers_at_once_do_what_one_does(tmp_path: Path) -> None:
    for number in range(60):
        (tmp_path / f"a{number}.py").write_text(FAULT)
    command = [sys.executable, "-m", "flake8_task_refs.fix", "--isolated", "-j2"]
    both = [subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE) for _ in range(2)]
    told = [process.communicate(timeout=120)[1].decode() for process in both]
    assert {path.read_text() for path in tmp_path.iterdir()} == {FIXED}
    assert len(list(tmp_path.iterdir())) == 60
    # The later one may find a file changed under its hands, and says so.
    for process, text in zip(both, told, strict=True):
        assert process.returncode in {0, 123}
        assert all(
            ": fixed 1 TSK001" in line or "changed while it was being read" in line
            for line in text.splitlines()[:-1]
        )


@pytest.mark.slow
def test_killed_at_any_moment_every_file_is_wholly_old_or_wholly_new(tmp_path: Path) -> None:
    rng = random.Random(7)  # noqa: S311
    names = [f"a{number}.py" for number in range(400)]
    command = [sys.executable, "-m", "flake8_task_refs.fix", "--isolated", "-j2"]
    kills = moments = 0
    while kills < 30:
        for name in names:
            (tmp_path / name).write_text(FAULT)
        # Whatever it has not done is left to the next, until all is done.
        while kills < 30:
            process = subprocess.Popen(
                command, cwd=tmp_path, stderr=subprocess.PIPE, start_new_session=True
            )
            assert process.stderr is not None
            if rng.random() < 0.8:
                process.stderr.readline()  # it is at work
            time.sleep(rng.random() * 0.3)
            finished = process.poll() is not None
            if not finished:
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            texts = _tree(tmp_path)
            held = [texts.pop(name) for name in names]
            assert set(held) <= {FAULT.encode(), FIXED.encode()}
            # What is left over says whose it is, and no linter reads it.
            assert all(re.fullmatch(r"\.a\d+\.py\.\w{8}\.task-refs\.tmp", name) for name in texts)
            if finished:
                break
            kills += 1
            moments += 0 < held.count(FIXED.encode()) < 400
    assert moments >= 10, "too few of the kills met it at work"


# Faults of ours.

# What a plugin or a library of ours would do if it were broken, at its worst.
_FAULTY = """\
import sys
import flake8_task_refs.{module} as broken

class Unspeakable(KeyError):
    def __str__(self):
        raise RecursionError

def fail(*arguments, **more):
    raise Unspeakable

broken.{function} = fail
"""


@pytest.mark.parametrize(
    ("module", "function"),
    [("analysis.check", "check_source"), ("fix.engine", "fix_source")],
)
def test_a_fault_of_ours_names_the_file_and_leaves_it(
    tmp_path: Path, module: str, function: str
) -> None:
    for name in ("a.py", "b.py"):
        (tmp_path / name).write_text(FAULT)
    (tmp_path / "c.py").write_text("x = 1\n")
    program = _FAULTY.format(module=module, function=function) + (
        "from flake8_task_refs.fix.__main__ import main\nsys.exit(main(['--isolated', '.']))\n"
    )
    done = run(sys.executable, "-c", program, cwd=tmp_path)
    assert done.returncode == 123
    *errors, total = done.stderr.decode().splitlines()
    assert [line.split(":")[0] for line in errors] == ["./a.py", "./b.py"]
    assert all(": error: internal error, please report it: Unspeakable" in line for line in errors)
    assert total.endswith("3 files read, 2 errors")
    assert {(tmp_path / name).read_text() for name in ("a.py", "b.py")} == {FAULT}
    assert b"Traceback" not in done.stderr


def test_a_fault_of_ours_does_not_end_flake8(tmp_path: Path) -> None:
    for name in ("a.py", "b.py"):
        (tmp_path / name).write_text(f"{FAULT}x=1\n")
    program = _FAULTY.format(module="analysis.check", function="check_source") + (
        "from flake8.main.cli import main\n"
        "sys.exit(main(['--isolated', '-j1', '--select', 'TSK,E225', '.']))\n"
    )
    done = run(sys.executable, "-c", program, cwd=tmp_path)
    lines = done.stdout.decode().splitlines()
    assert [line.split(" ")[1] for line in lines] == ["TSK000", "E225"] * 2
    assert lines[0].startswith("./a.py:1:1: TSK000 internal error, please report it: Unspeakable")
    assert not done.stderr


_NOTHING: dict[str, int] = {}


def test_an_interrupt_in_disguise_is_one() -> None:
    try:
        try:
            raise KeyboardInterrupt
        finally:
            _NOTHING["position"]
    except KeyError as error:
        with pytest.raises(KeyboardInterrupt):
            internal_error(error)


# Processes that die.


def _square(number: int) -> int:
    return number * number


def _dies(number: int) -> int:
    """Square a number; the system kills the process over 30 and 170, and once over 90."""
    marker = Path(os.environ["DIED_BEFORE"])
    if number in {30, 170} or (number == 90 and not marker.exists()):
        if number == 90:
            marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if number == 60:
        raise ValueError(number)
    return number * number


def _hangs(number: int) -> int:
    if number == 10:
        time.sleep(600)
    return number * number


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("flake8_task_refs.processes._ALONE_FOR", 0.0)
    monkeypatch.setenv("DIED_BEFORE", str(tmp_path / "died"))


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("jobs", [2, 3])
def test_an_item_is_lost_with_its_process_only_if_it_kills_it_twice(jobs: int) -> None:
    results = list(each(_dies, range(200), jobs, lost=lambda item, why: f"{item}: {why}"))
    lost = [result for result in results if isinstance(result, str)]
    killed = "the process that worked on it was killed by SIGKILL, and again when tried alone"
    assert lost == [f"30: {killed}", "60: ValueError in a worker process", f"170: {killed}"]
    others = [n for n in range(200) if n not in {30, 60, 170}]
    assert [result for result in results if isinstance(result, int)] == [n * n for n in others]


@pytest.mark.usefixtures("at_once")
def test_an_item_that_takes_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flake8_task_refs.pool.TIME_LIMIT", 1.0)
    results = list(each(_hangs, range(40), 2, lost=lambda item, why: f"{item}: {why}"))
    assert results == [n * n if n != 10 else "10: takes more than 1 seconds" for n in range(40)]


@pytest.mark.usefixtures("at_once")
def test_without_a_place_for_it_a_lost_item_is_an_error() -> None:
    with pytest.raises(WorkerLostError, match="killed by SIGKILL"):
        list(each(_dies, range(200), 2))


@pytest.mark.usefixtures("at_once")
def test_whoever_takes_only_some_leaves_no_process_behind() -> None:

    for result in each(_square, range(1000), 2):
        if result == 400:
            break
    assert multiprocessing.active_children() == []


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc")
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_workers_end_with_their_parent(how: signal.Signals) -> None:
    program = (
        "import multiprocessing, os, time\n"
        "from flake8_task_refs.elsewhere import Elsewhere, can_work_elsewhere\n"
        "from flake8_task_refs.processes import Crew\n"
        "found = None\n"
        "if can_work_elsewhere(): found = Elsewhere(iter(range(1_000_000)))\n"  # more than it holds
        "crew = Crew(time.sleep, 3, prepare=os.getpid)\n"
        "crew.start()\n"
        "others = [child.pid for child in multiprocessing.active_children()]\n"
        "if found: others.append(found._process)\n"
        "print(4 if found else 3, *others, flush=True)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        assert process.stdout is not None
        count, *others = [int(number) for number in process.stdout.readline().split()]
        process.send_signal(how)
        process.wait()
        until = time.monotonic() + 10
        while any(map(_is_alive, others)) and time.monotonic() < until:
            time.sleep(0.05)
    assert len(others) == count
    assert not any(map(_is_alive, others))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("options", [["--version"], ["--help"], ["--explain", "TSK001"]])
@pytest.mark.parametrize("output", [">&-", ">/dev/full"])
def test_an_answer_that_cannot_be_written_is_an_error(options: list[str], output: str) -> None:
    command = shlex.join([sys.executable, "-m", "flake8_task_refs.fix", *options])
    done = run("sh", "-c", f"{command} {output}", cwd=ROOT)
    assert (done.returncode, done.stdout, done.stderr) == (123, b"", b"")


# Standard streams that are closed.

_FIX = shlex.join([sys.executable, "-m", "flake8_task_refs.fix", "--isolated"])
_MAP = shlex.join([sys.executable, "-m", "flake8_task_refs.map", "--isolated"])


@pytest.mark.parametrize(
    "command",
    [_FIX, f"{_FIX} --check", f"{_FIX} --diff", f"{_MAP} --format json"],
    ids=["fix", "check", "diff", "map"],
)
def test_standard_input_that_cannot_be_read_is_an_error(tmp_path: Path, command: str) -> None:
    for redirection, reason in (
        ("<&-", b"standard input is closed"),
        ("0>/dev/null", b"Bad file descriptor"),
    ):
        done = run("sh", "-c", f"{command} - {redirection}", cwd=tmp_path)
        error, _ = done.stderr.splitlines()
        assert error == b"stdin: error: " + reason
        assert done.returncode == 123


@pytest.mark.parametrize(
    "command", [f"{_FIX} --check", f"{_FIX} --diff", _MAP], ids=["check", "diff", "map"]
)
def test_output_that_is_closed_cannot_be_written(tmp_path: Path, command: str) -> None:
    (tmp_path / "a.py").write_text(FAULT)
    for others in ("", "<&-"):
        done = run("sh", "-c", f"{command} a.py >&- {others}", cwd=tmp_path)
        assert done.stderr.startswith(b"error: cannot write the output: ")
        assert done.stderr.count(b"\n") == 1
        assert done.returncode == 123
        done = run("sh", "-c", f"{command} a.py >&- 2>&- {others}", cwd=tmp_path)
        assert done.returncode == 123
    assert (tmp_path / "a.py").read_text() == FAULT


def test_a_run_that_writes_no_output_needs_none(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(FAULT)
    assert run("sh", "-c", f"{_FIX} a.py <&- >&- 2>&-", cwd=tmp_path).returncode == 0
    assert (tmp_path / "a.py").read_text() == FIXED
    done = run("sh", "-c", f"{_FIX} --check a.py >&-", cwd=tmp_path)
    assert (done.returncode, done.stderr.count(b"\n")) == (0, 1)


def test_where_nobody_wants_to_be_told_the_findings_are_listed(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(FAULT)
    done = run("sh", "-c", f"{_FIX} --check a.py 2>&-", cwd=tmp_path)
    assert done.stdout.startswith(b"a.py:5:5: TSK001 ")
    assert done.returncode == 1


def _is_alive(number: int) -> bool:
    """Tell whether a process runs; a zombie that nobody waits for does not."""
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc")
def test_a_killed_worker_costs_nothing(tmp_path: Path) -> None:
    for number in range(300):
        (tmp_path / f"a{number:03}.py").write_text(FAULT)
    # Where no directory is named, workers are all the children that it has.
    names = [path.name for path in tmp_path.iterdir()]
    command = [sys.executable, "-m", "flake8_task_refs.fix", "--isolated", "-j2", *names]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    killed = 0
    until = time.monotonic() + 60
    while killed < 3 and process.poll() is None and time.monotonic() < until:
        for child in children.read_text().split():
            os.kill(int(child), signal.SIGKILL)
            killed += 1
            time.sleep(0.2)
            break
        time.sleep(0.01)
    told = process.communicate(timeout=120)[1].splitlines()
    assert killed, "it was done before it had a second process"
    assert process.returncode == 0, told[-5:]
    assert {path.read_text() for path in tmp_path.glob("*.py")} == {FIXED}
    assert told[-1].endswith("0 declined; 300 files read, 0 errors")


# Whose code runs.

_EVIL = "import os\nopen(os.environ['EVIL'], 'a').write(__name__ + '\\n')\n"


@pytest.mark.parametrize("way", ["module", "command"])
def test_nothing_in_the_directory_is_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    trace = tmp_path / "evil.txt"
    monkeypatch.setenv("EVIL", str(trace))
    repository = tmp_path / "repository"
    repository.mkdir()
    for name in ("libcst", "flake8", "argparse", "difflib", "sitecustomize", "tomli", "evil"):
        (repository / f"{name}.py").write_text(_EVIL)
    (repository / "conftest.py").write_text(_EVIL)
    (repository / "evil-1.dist-info").mkdir()
    (repository / "evil-1.dist-info" / "METADATA").write_text("Name: evil\nVersion: 1\n")
    (repository / "evil-1.dist-info" / "entry_points.txt").write_text(
        "[flake8.extension]\nEVL = evil:Plugin\n"
    )
    (repository / "setup.cfg").write_text(
        "[flake8:local-plugins]\nextension =\n  EVI = evil:Plugin\npaths = .\n"
    )
    (repository / "a.py").write_text(f"{_EVIL}{FAULT}")
    command = [sys.executable, "-m", "flake8_task_refs.fix"]
    if way == "command":
        command = [str(Path(sys.executable).parent / "flake8-task-refs-fix")]
    done = run(*command, "-j2", cwd=repository)
    assert b"./a.py: fixed 1 TSK001" in done.stderr, done.stderr
    assert done.returncode == 0
    assert not trace.exists(), trace.read_text()


def test_decoding_runs_no_code() -> None:
    """PEP 263 names codecs; only those that make text of bytes are asked."""
    for codec in ("hex", "zip", "rot13", "unicode_escape\x00", "../evil"):
        with pytest.raises(FileError):
            decode(f"# coding: {codec}\nx = 1\n".encode())
