"""How the fixer tells what it found: formats for machines, a baseline, colours, hints."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from commands import FAULT, fix, fix_program, run
from test_cli import HOPELESS

from flake8_task_refs.reports.formats import FORMATS
from flake8_task_refs.reports.terminal import Terminal
from flake8_task_refs.rules import RULES

TWO = FAULT.replace("    asyncio.create_task(work())\n", "    asyncio.create_task(work())\n" * 2)
BROKEN = f"{FAULT}x = (\n"
NO_TERMINAL = {key: value for key, value in os.environ.items() if key not in {"NO_COLOR", "TERM"}}


def check(cwd: Path, *arguments: str, stdin: bytes = b"") -> tuple[int, str, str]:
    """Run ``--check`` and return its status, standard output and standard error."""
    done = fix("--isolated", "--check", *arguments, cwd=cwd, stdin=stdin)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "a b%,:.py").write_text(FAULT)
    (tmp_path / "clean.py").write_text("x = 1\n")
    (tmp_path / "two.py").write_text(TWO)
    return tmp_path


# Status and formats.


@pytest.mark.parametrize("form", sorted(FORMATS))
def test_the_format_does_not_change_the_status(tmp_path: Path, form: str) -> None:
    (tmp_path / "a.py").write_text("x = 1\n")
    assert check(tmp_path, "--output-format", form)[0] == 0
    (tmp_path / "a.py").write_text(FAULT)
    assert check(tmp_path, "--output-format", form)[0] == 1
    (tmp_path / "b.py").write_text(BROKEN)
    status, _, told = check(tmp_path, "--output-format", form)
    assert status == 123
    assert "./b.py: error: not valid Python: " in told
    assert told.endswith("1 finding in 1 file; 2 files read, 1 error\n")


def test_what_cannot_be_repaired_is_found_as_well(tmp_path: Path) -> None:
    (tmp_path / "route.py").write_text(HOPELESS)
    assert check(tmp_path)[0] == 1
    assert check(tmp_path, "--diff")[0] == 1
    (tmp_path / "broken.py").write_text(BROKEN)
    assert check(tmp_path)[0] == 123
    assert check(tmp_path, "--diff")[0] == 123


def test_a_check_plans_no_edit(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(FAULT)
    program = """\
import sys
from flake8_task_refs.fix.__main__ import main
status = main(["--isolated", "--check", "a.py"])
planning = {"engine", "planner"}
print(status, [name for name in planning if f"flake8_task_refs.fix.{name}" in sys.modules])
"""
    done = run(sys.executable, "-c", program, cwd=tmp_path)
    assert done.stdout.decode().splitlines()[-1] == "1 []"


def test_json(project: Path) -> None:
    (project / "broken.py").write_text(BROKEN)
    document = json.loads(check(project, "--output-format", "json")[1])
    assert document["files_read"] == 4
    places = [(f["path"], f["line"], f["column"], f["code"]) for f in document["findings"]]
    assert places == [
        ("app/a b%,:.py", 5, 5, "TSK001"),
        ("two.py", 5, 5, "TSK001"),
        ("two.py", 6, 5, "TSK001"),
    ]
    first = document["findings"][0]
    assert first["name"] == "discarded-task"
    assert first["coroutine"] == "work()"
    assert first["scope"] == "handle"
    assert first["message"].startswith("task running 'work()' is not referenced")
    assert len({f["fingerprint"] for f in document["findings"]}) == 3
    [error] = document["errors"]
    assert error["path"] == "broken.py"
    assert error["message"].startswith("not valid Python: ")


def test_github(project: Path) -> None:
    (project / "broken.py").write_text(BROKEN)
    first, error, *_ = check(project, "--output-format", "github")[1].splitlines()
    assert first.startswith(
        "::error title=TSK001 discarded-task,file=app/a b%25%2C%3A.py,line=5,col=5::"
        "app/a b%25,:.py:5:5: TSK001 task running 'work()' is not referenced"
    )
    assert error.startswith("::error title=flake8-task-refs,file=broken.py::not valid Python: ")


def test_gitlab(project: Path) -> None:
    issues = json.loads(check(project, "--output-format", "gitlab")[1])
    assert [issue["location"] for issue in issues] == [
        {"path": "app/a b%,:.py", "lines": {"begin": 5}},
        {"path": "two.py", "lines": {"begin": 5}},
        {"path": "two.py", "lines": {"begin": 6}},
    ]
    for issue in issues:
        assert issue["severity"] in {"info", "minor", "major", "critical", "blocker"}
        assert issue["description"].startswith("TSK001 task running")
    assert len({issue["fingerprint"] for issue in issues}) == 3


def test_sarif(project: Path) -> None:
    (project / "broken.py").write_text(BROKEN)
    [result_of_run] = json.loads(check(project, "--output-format", "sarif")[1])["runs"]
    rules = result_of_run["tool"]["driver"]["rules"]
    assert [rule["id"] for rule in rules] == [rule.code for rule in RULES]
    for result in result_of_run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"] == "TSK001"
    [location] = result_of_run["results"][0]["locations"]
    physical = location["physicalLocation"]
    assert physical["artifactLocation"] == {
        "uri": "app/a%20b%25%2C%3A.py",
        "uriBaseId": "%SRCROOT%",
    }
    assert physical["region"] == {"startLine": 5, "startColumn": 5}
    assert location["logicalLocations"] == [{"fullyQualifiedName": "handle"}]
    [invocation] = result_of_run["invocations"]
    assert invocation["executionSuccessful"] is False
    assert len(invocation["toolExecutionNotifications"]) == 1


@pytest.mark.parametrize("form", sorted(FORMATS))
def test_standard_input_in_each_format(tmp_path: Path, form: str) -> None:
    arguments = ["--output-format", form, "--stdin-display-name", "in.py", "-"]
    status, output, _ = check(tmp_path, *arguments, stdin=FAULT.encode())
    assert status == 1
    assert "in.py" in output
    (tmp_path / "in.py").write_text(FAULT)
    assert output == check(tmp_path, "--output-format", form, "in.py")[1]


@pytest.mark.skipif(sys.platform != "linux", reason="needs names that are bytes")
def test_a_name_that_is_no_text_is_shown_all_the_same(tmp_path: Path) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.py")).write_text(FAULT)
    for form in FORMATS:
        done = fix_program("--isolated", "--check", "--output-format", form, cwd=tmp_path)
        assert done.returncode == 1, done.stderr
        assert b"TSK001" in done.stdout


# The baseline.


def write_baseline(cwd: Path, name: str = "known.json") -> str:
    status, output, told = check(cwd, "--baseline", name, "--write-baseline")
    assert (status, output) == (0, "")
    return told


def test_only_new_findings_fail(project: Path) -> None:
    assert write_baseline(project) == "3 findings written to known.json\n"
    status, output, told = check(project, "--baseline", "known.json")
    assert (status, output) == (0, "")
    assert told.startswith("known.json: 3 known findings left out\n0 findings in 0 files; ")
    (project / "new.py").write_text(FAULT)
    status, output, _ = check(project, "--baseline", "known.json")
    assert status == 1
    assert [line.partition(" ")[0] for line in output.splitlines()] == ["./new.py:5:5:"]


CALL = "    asyncio.create_task(work())\n"
SAME = {
    "moved down": ("import asyncio\n", "import asyncio\n\n\nx = 1\n"),
    "under a condition": (CALL, f"    if asyncio:\n    {CALL}"),
    "over three lines": (CALL, "    asyncio.create_task(\n        work(),\n    )\n"),
    "with a remark": (CALL, CALL.replace("\n", "  # a remark\n")),
    "windows": ("\n", "\r\n"),
}
OTHER = {
    "another coroutine": ("work", "play"),
    "another function": ("handle", "serve"),
    "another way": ("create_task", "ensure_future"),
    "one more": (CALL, CALL * 2),
    "in a class": (
        "async def handle() -> None:\n    ",
        "class House:\n    async def handle(self) -> None:\n        ",
    ),
}


@pytest.mark.parametrize("change", SAME.values(), ids=SAME)
def test_a_known_finding_stays_known(tmp_path: Path, change: tuple[str, str]) -> None:
    (tmp_path / "a.py").write_text(FAULT)
    write_baseline(tmp_path)
    (tmp_path / "a.py").write_text(changed := FAULT.replace(*change))
    assert changed != FAULT
    assert check(tmp_path, "--baseline", "known.json")[:2] == (0, "")


@pytest.mark.parametrize("change", OTHER.values(), ids=OTHER)
def test_another_finding_is_new(tmp_path: Path, change: tuple[str, str]) -> None:
    (tmp_path / "a.py").write_text(FAULT)
    write_baseline(tmp_path)
    (tmp_path / "a.py").write_text(FAULT.replace(*change))
    status, output, _ = check(tmp_path, "--baseline", "known.json")
    assert status == 1
    assert output.count("TSK001") == 1


def test_the_same_code_in_another_file_is_new(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(FAULT)
    write_baseline(tmp_path)
    (tmp_path / "a.py").rename(tmp_path / "b.py")
    assert check(tmp_path, "--baseline", "known.json")[0] == 1


def test_what_is_gone_is_told_and_leaves_with_the_next_writing(project: Path) -> None:
    write_baseline(project)
    (project / "two.py").write_text(FAULT)
    told = check(project, "--baseline", "known.json")[2]
    assert "2 known findings left out, 1 gone (write it anew with --write-baseline)" in told
    assert write_baseline(project) == "2 findings written to known.json\n"
    assert "gone" not in check(project, "--baseline", "known.json")[2]


def test_a_part_of_the_tree_neither_misses_nor_drops_the_rest(project: Path) -> None:
    write_baseline(project)
    before = (project / "known.json").read_text()
    status, _, told = check(project, "--baseline", "known.json", "two.py")
    assert status == 0
    assert "gone" not in told
    arguments = ["--baseline", "known.json", "--write-baseline", "two.py"]
    assert check(project, *arguments)[2] == "3 findings written to known.json\n"
    assert (project / "known.json").read_text() == before


def test_codes_that_are_not_looked_for_stay(project: Path) -> None:
    write_baseline(project)
    before = (project / "known.json").read_text()
    told = check(project, "--baseline", "known.json", "--select", "TSK002")[2]
    assert "gone" not in told
    check(project, "--baseline", "known.json", "--write-baseline", "--select", "TSK002")
    assert (project / "known.json").read_text() == before


def test_it_is_the_same_from_every_directory_and_in_every_order(project: Path) -> None:
    write_baseline(project)
    before = (project / "known.json").read_bytes()
    write_baseline(project / "app", "../new.json")
    known = str(project / "known.json")
    for cwd, path in ((project, "."), (project / "app", ".."), (project / "app", str(project))):
        assert check(cwd, "--baseline", known, path)[:2] == (0, "")
    arguments = ["--baseline", "again.json", "--write-baseline"]
    check(project, *arguments, "two.py", "app", str(project / "clean.py"))
    assert (project / "again.json").read_bytes() == before


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (None, "No such file or directory"),
        (b"", "not a baseline"),
        (b"[]", "not a baseline"),
        (b'{"version": 1}', "not a baseline"),
        (b'{"version": 1, "findings": [{"path": 3}]}', "not a baseline"),
        (b'{"version": 1, "findings": [3]}', "not a baseline"),
        (b'{"version": 2, "findings": []}', "version 2 is not known here"),
        (b"\xff\xfe", "not a baseline"),
    ],
)
def test_an_unusable_baseline_is_wrong_usage(
    project: Path, content: bytes | None, complaint: str
) -> None:
    if content is not None:
        (project / "known.json").write_bytes(content)
    status, output, told = check(project, "--baseline", "known.json")
    assert (status, output) == (2, "")
    assert f"error: --baseline known.json: {complaint}" in told.splitlines()[-1]


def test_a_baseline_that_cannot_be_written_leaves_the_old_one(project: Path) -> None:
    status, _, told = check(project, "--baseline", "none/known.json", "--write-baseline")
    assert status == 2
    assert "--baseline none/known.json: No such file or directory" in told
    (project / "known.json").write_text("x")
    assert check(project, "--baseline", "known.json", "--write-baseline")[0] == 2
    assert (project / "known.json").read_text() == "x"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--output-format", "json"], "--output-format: goes with --check"),
        (["--check", "--diff", "--output-format", "json"], "--output-format: goes with --check"),
        (["--baseline", "known.json"], "--baseline: goes with --check"),
        (["--check", "--write-baseline"], "--write-baseline: say with --baseline where to"),
        (["--check", "--output-format", "xml"], "invalid choice: 'xml'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_options_that_do_not_go_together(
    project: Path, arguments: list[str], complaint: str
) -> None:
    done = fix("--isolated", *arguments, cwd=project)
    assert done.returncode == 2
    assert complaint in done.stderr.decode().splitlines()[-1]
    assert (project / "two.py").read_text() == TWO


# Hints.


@pytest.mark.parametrize(
    ("arguments", "status", "hint"),
    [
        (["--chekc"], 2, "unrecognized arguments: --chekc (did you mean --check?)"),
        (["--unsafe-fix"], 2, "--unsafe-fix (did you mean --unsafe-fixes?)"),
        (["--select", "TSK0001"], 2, "begins with TSK0001 (did you mean TSK001?)"),
        (["--explain", "discarded-taks"], 2, "(did you mean discarded-task?)"),
        (["--explain", "tsk010"], 2, "(did you mean TSK"),
        (["two.pi"], 123, "two.pi: error: No such file or directory (did you mean two.py?)"),
        (["ap/x.py"], 123, "ap/x.py: error: No such file or directory (did you mean app?)"),
        (["qqqq"], 123, "qqqq: error: No such file or directory\n"),
        (["empty"], 0, "no file to read in empty: there is none, or it is excluded"),
        (["--exclude", "two.py", "two.py"], 0, "no file to read in two.py: "),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_hints(project: Path, arguments: list[str], status: int, hint: str) -> None:
    (project / "empty").mkdir()
    done = fix("--isolated", *arguments, cwd=project)
    assert done.returncode == status
    assert hint in done.stderr.decode()


def test_bash_completes_options_codes_and_files(project: Path) -> None:
    script = fix("--print-completion", "bash", cwd=project).stdout
    (project / "complete.sh").write_bytes(
        script
        + b"""
ask() {
    COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=()
    _shtab_flake8_task_refs_fix 2>/dev/null || true
    echo "${COMPREPLY[@]}"
}
ask flake8-task-refs-fix --out
ask flake8-task-refs-fix --output-format sa
ask flake8-task-refs-fix --explain TSK10
"""
    )
    done = run("bash", "complete.sh", cwd=project)
    options, formats, codes = done.stdout.decode().splitlines()
    assert options == "--output-format"
    assert formats == "sarif"
    assert codes == "TSK101 TSK102"


# On a terminal.

PROGRESS = re.compile(r"\r\x1b\[K(\d+ of \d+ files)?")

posix = pytest.mark.skipif(os.name != "posix", reason="needs pseudo-terminals")


def on_a_terminal(cwd: Path, *arguments: str, **environment: str) -> tuple[str, str]:
    """Run the fixer with standard output and standard error each on a terminal of its own."""
    import pty

    ends = [pty.openpty() for _ in range(2)]
    program = subprocess.Popen(
        [sys.executable, "-m", "flake8_task_refs.fix", "--isolated", *arguments],
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=ends[0][1],
        stderr=ends[1][1],
        env={**NO_TERMINAL, "TERM": "xterm", **environment},
    )
    program.wait(60)
    written = []
    for ours, theirs in ends:
        os.close(theirs)
        parts = []
        try:
            while part := os.read(ours, 65536):
                parts.append(part)
        except OSError:
            # Linux says so at the end.
            pass
        os.close(ours)
        # A slow machine takes a second for any run.
        written.append(PROGRESS.sub("", b"".join(parts).decode()))
    return written[0], written[1]


@posix
def test_colours_on_a_terminal_alone(project: Path) -> None:
    coloured, told = on_a_terminal(project, "--check", "two.py")
    assert "\x1b[1mtwo.py\x1b[0m\x1b[36m:\x1b[0m5" in coloured
    assert "\x1b[1;31mTSK001\x1b[0m task running" in coloured
    assert told == "2 findings in 1 file; 1 file read, 0 errors\r\n"
    diff, told = on_a_terminal(project, "--diff", "two.py")
    assert "\x1b[31m-    asyncio.create_task(work())\x1b[0m\r\n" in diff
    assert "\x1b[32mtwo.py: would fix 2 TSK001\x1b[0m" in told
    for environment in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        for written in on_a_terminal(project, "--check", "two.py", **environment):
            assert "\x1b" not in written
    for option in ("never", "always"):
        coloured, _ = on_a_terminal(project, "--color", option, "--check", "two.py", NO_COLOR="1")
        assert ("\x1b[1;31m" in coloured) is (option == "always")


def test_nothing_is_coloured_in_a_pipe_unless_asked(project: Path) -> None:
    for arguments in (["--check"], ["--diff"], []):
        done = fix("--isolated", *arguments, cwd=project)
        assert b"\x1b" not in done.stdout + done.stderr
    for path in ("two.py", "app/a b%,:.py"):
        (project / path).write_text(FAULT)
    assert b"\x1b[32m+" in fix("--isolated", "--color=always", "--diff", cwd=project).stdout


class _Screen:
    """Standard error, as far as a progress line is concerned."""

    encoding = "utf-8"

    def __init__(self, *, terminal: bool) -> None:
        self.terminal = terminal
        self.written = ""

    def isatty(self) -> bool:
        return self.terminal

    def write(self, text: str) -> None:
        self.written += text

    def flush(self) -> None:
        pass


@pytest.mark.parametrize("terminal", [True, False])
@pytest.mark.parametrize("long", [True, False])
def test_a_long_run_shows_how_far_it_is(
    monkeypatch: pytest.MonkeyPatch, terminal: bool, long: bool
) -> None:
    screen = _Screen(terminal=terminal)
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    clock = iter(range(0, 100, 2)) if long else iter([0.0] * 100)
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    output = Terminal("never")
    for number in output.watch(range(3), 3):
        if number == 2:
            output.tell("a line")
    if terminal and long:
        line = "\r\x1b[K"
        assert screen.written.startswith(f"{line}1 of 3 files{line}2 of 3 files{line}a line\n")
        assert screen.written.endswith(line)
    else:
        assert screen.written == "a line\n"
