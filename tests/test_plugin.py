"""The flake8 door, mostly through the real flake8."""

from __future__ import annotations

import ast
import gc
import os
import sys
from pathlib import Path

import pytest
from commands import FAULT, ROOT, flake8, reported, run

from flake8_task_refs import __version__
from flake8_task_refs.options import OPTIONS, Settings, settings_from
from flake8_task_refs.plugin import TaskRefsPlugin

STORED = """\
import asyncio


class Poller:
    def start(self) -> None:
        self.task = asyncio.create_task(self.poll())

    async def poll(self) -> None:
        await asyncio.sleep(1)
"""
UNDERSCORE = FAULT.replace("    asyncio.create", "    _ = asyncio.create")
SPAWNED = FAULT.replace("asyncio.create_task(", "house.launch(").replace(
    "import asyncio", "import asyncio\nimport house"
)


@pytest.fixture
def fault(tmp_path: Path) -> Path:
    path = tmp_path / "fault.py"
    path.write_text(FAULT)
    return path


def test_flake8_prints_place_code_and_message(fault: Path) -> None:
    done = flake8("--isolated", "--select", "TSK", fault.name, cwd=fault.parent)
    assert done.stdout.decode() == (
        "fault.py:5:5: TSK001 task running 'work()' is not referenced and may be "
        "garbage-collected; keep it in a registry\n"
    )
    assert done.returncode == 1


def test_flake8_is_silent_once_the_task_is_kept(tmp_path: Path) -> None:
    (tmp_path / "kept.py").write_text(
        FAULT.replace("    asyncio.create", "    await asyncio.create")
    )
    assert reported("--isolated", cwd=tmp_path) == []


PLACES = {
    "crlf": (FAULT.replace("\n", "\r\n").encode(), "5:5"),
    "cr": (FAULT.replace("\n", "\r").encode(), "5:5"),
    "mark": (b"\xef\xbb\xbf" + FAULT.encode(), "5:5"),
    "latin": (b"# coding: latin-1\n# \xe9\n" + FAULT.encode(), "7:5"),
    "form_feed": (b"x = 1\n\x0c\n" + FAULT.encode(), "7:5"),
    "tab": (FAULT.replace("    asyncio.c", "\tasyncio.c").encode(), "5:2"),
    "wide": (FAULT.replace("    asyncio.c", "    'é😀'; asyncio.c").encode(), "5:11"),
    "no_newline": (FAULT.rstrip().encode(), "5:5"),
    "continued": (
        FAULT.replace("asyncio.create_task(", "asyncio \\\n  .create_task(").encode(),
        "5:5",
    ),
}


def test_place_is_counted_in_lines_and_characters(tmp_path: Path) -> None:
    for name, (data, _) in PLACES.items():
        (tmp_path / f"{name}.py").write_bytes(data)
    expected = [f"./{name}.py:{place}: TSK001" for name, (_, place) in sorted(PLACES.items())]
    assert reported("--isolated", cwd=tmp_path) == expected


SILENCING = (
    "# noqa",
    "# noqa: TSK001",
    "# noqa: TSK",
    "# NOQA:TSK001",
    "# noqa: E501,TSK001",
    "# noqa: RUF006",
    "# noqa: ASYNC300",
)
NOT_SILENCING = ("# noqa: TSK002", "# noqa: E501", "# a remark")


def test_noqa_on_the_line(tmp_path: Path) -> None:
    for number, comment in enumerate([*SILENCING, *NOT_SILENCING]):
        source = FAULT.replace("(work())", f"(work())  {comment}")
        (tmp_path / f"a{number:02}.py").write_text(source)
    every = [f"./a{number:02}.py:5:5: TSK001" for number in range(10)]
    assert reported("--isolated", cwd=tmp_path) == every[len(SILENCING) :]
    assert reported("--isolated", "--disable-noqa", cwd=tmp_path) == every


def test_noqa_for_the_file(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(f"# flake8: noqa\n{FAULT}")
    assert reported("--isolated", cwd=tmp_path) == []
    assert reported("--isolated", "--disable-noqa", cwd=tmp_path) == ["./a.py:6:5: TSK001"]


@pytest.mark.parametrize("name", ["setup.cfg", "tox.ini", ".flake8"])
def test_options_come_from_each_of_flake8s_configuration_files(tmp_path: Path, name: str) -> None:
    (tmp_path / "underscore.py").write_text(UNDERSCORE)
    (tmp_path / "spawned.py").write_text(SPAWNED)
    assert reported(cwd=tmp_path) == ["./underscore.py:5:9: TSK001"]
    lines = [
        "[flake8]",
        "tsk-allow-underscore = true",
        "tsk-task-factories = x.y,",
        "  house.launch",
    ]
    (tmp_path / name).write_text("\n".join(lines))
    assert reported(cwd=tmp_path) == ["./spawned.py:6:5: TSK001"]


def test_options_come_from_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "underscore.py").write_text(UNDERSCORE)
    (tmp_path / "spawned.py").write_text(SPAWNED)
    options = ["--isolated", "--tsk-allow-underscore", "--tsk-task-factories=x.y,house.launch"]
    assert reported(*options, cwd=tmp_path) == ["./spawned.py:6:5: TSK001"]
    managed = "--tsk-managed-spawners=house.*"
    assert reported(*options, managed, cwd=tmp_path) == []


def test_every_option_is_in_flake8s_help_under_our_name(tmp_path: Path) -> None:
    text = flake8("--help", cwd=tmp_path).stdout.decode()
    ours = text.partition("flake8-task-refs:")[2]
    assert [option.flag for option in OPTIONS if option.flag not in ours] == []
    assert all(option.flag.startswith("--tsk-") for option in OPTIONS)


@pytest.mark.parametrize("name", ["a-b", "1a", "", "class"])
def test_an_impossible_registry_name_is_refused(fault: Path, name: str) -> None:
    with pytest.raises(ValueError, match="--tsk-registry-name"):
        settings_from({"tsk_registry_name": name})
    done = flake8("--isolated", f"--tsk-registry-name={name}", fault.name, cwd=fault.parent)
    assert done.returncode == 1
    assert b"--tsk-registry-name" in done.stdout
    assert b"Traceback" not in done.stdout + done.stderr


def test_settings_default_to_nothing_set() -> None:
    assert settings_from({option.field: None for option in OPTIONS}) == Settings()


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ([], False),
        (["--select", "TSK"], False),
        (["--select", "T"], False),
        (["--ignore", "E203"], False),
        (["--extend-ignore", "E203"], False),
        (["--extend-select", "TSK"], False),
        (["--extend-select", "TSK3"], True),
        (["--extend-select", "TSK304"], True),
        (["--select", "TSK30"], True),
        (["--select", "E,TSK304"], True),
        (["--extend-select", "TSK304", "--ignore", "TSK304"], False),
        (["--extend-select", "TSK3", "--ignore", "TSK304"], False),
    ],
)
def test_an_off_rule_speaks_only_when_named(
    tmp_path: Path, options: list[str], found: bool
) -> None:
    (tmp_path / "a.py").write_text(STORED)
    expected = ["./a.py:6:21: TSK304"] if found else []
    lines = reported("--isolated", *options, cwd=tmp_path)
    assert [line for line in lines if "TSK304" in line] == expected


def test_an_off_rule_named_in_the_configuration_speaks(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(STORED)
    (tmp_path / ".flake8").write_text("[flake8]\nextend-select = TSK304\n")
    assert reported(cwd=tmp_path) == ["./a.py:6:21: TSK304"]


def test_several_processes_report_what_one_reports(tmp_path: Path) -> None:
    for number in range(6):
        (tmp_path / f"a{number}.py").write_text(FAULT)
        (tmp_path / f"b{number}.py").write_text(UNDERSCORE)
    options = ["--isolated", "--tsk-allow-underscore"]
    expected = [f"./a{number}.py:5:5: TSK001" for number in range(6)]
    assert reported(*options, "-j", "1", cwd=tmp_path) == expected
    assert reported(*options, "-j", "2", cwd=tmp_path) == expected


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_standard_input(tmp_path: Path, jobs: str) -> None:
    options = ["--isolated", "-j", jobs, "--stdin-display-name", "in.py", "-"]
    assert reported(*options, cwd=tmp_path, stdin=FAULT.encode()) == ["in.py:5:5: TSK001"]


@pytest.mark.parametrize("source", [FAULT, "import asyncio\nasyncio.create_task(\n", ""])
@pytest.mark.parametrize("is_on", [True, False])
def test_garbage_is_collected_afterwards_as_before(source: str, is_on: bool) -> None:
    plugin = TaskRefsPlugin(ast.parse(""), source.splitlines(keepends=True))
    (gc.enable if is_on else gc.disable)()
    try:
        list(plugin.run())
        assert gc.isenabled() is is_on
    finally:
        gc.enable()


def test_a_syntax_error_is_flake8s_to_report(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(f"{FAULT}x = (\n")
    done = flake8("--isolated", cwd=tmp_path)
    assert b"E999" in done.stdout
    assert b"TSK" not in done.stdout
    assert done.stderr == b""


@pytest.mark.parametrize(
    ("source", "imported", "count"),
    [
        ("import asyncio\nx = 1\n", "False", "0"),
        (FAULT, "False", "1"),
        (FAULT.replace("work", "\U0001d4ccork"), "True", "1"),
    ],
)
def test_libcst_is_imported_only_for_what_cpythons_tree_does_not_tell(
    source: str, imported: str, count: str
) -> None:
    code = f"""\
import sys, ast
from flake8_task_refs.plugin import TaskRefsPlugin
found = list(TaskRefsPlugin(ast.parse({source!r}), {source.splitlines(keepends=True)!r}).run())
print("libcst" in sys.modules, len(found))
"""
    done = run(sys.executable, "-c", code, cwd=ROOT)
    assert done.stdout.decode().split() == [imported, count]


def _interpreters() -> list[Path]:
    """Return every CPython that pyenv has and we support, and the one that runs the tests."""
    found = {}
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    for directory in sorted(root.glob("versions/*")):
        parts = directory.name.split(".")
        if len(parts) == 3 and all(part.isdecimal() for part in parts):
            release = (int(parts[0]), int(parts[1]))
            if release >= (3, 10):
                found[release] = directory / "bin" / "python"
    found.setdefault(sys.version_info[:2], Path(sys.executable))
    return [found[release] for release in sorted(found)]


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("wheel")
    pip: list[str | Path] = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "-q",
        "--no-deps",
        "-w",
        directory,
        ROOT,
    ]
    done = run(*pip, cwd=ROOT)
    if done.returncode:
        pytest.skip(f"no wheel could be built: {done.stderr.decode().strip()[-200:]}")
    [built] = directory.glob("*.whl")
    return built


@pytest.mark.slow
@pytest.mark.parametrize("python", _interpreters(), ids=lambda path: path.parent.parent.name)
def test_oldest_and_newest_flake8_on_each_python(tmp_path: Path, wheel: Path, python: Path) -> None:
    home = tmp_path / "venv"
    done = run(python, "-m", "venv", home, cwd=tmp_path)
    assert done.returncode == 0, done.stderr.decode()
    here = home / "bin" / "python"
    work = tmp_path / "work"
    work.mkdir()
    (work / "fault.py").write_text(FAULT)
    (work / "stored.py").write_text(STORED)
    for requirement in ("flake8==7.0.0", "flake8"):
        install: list[str | Path] = [
            here,
            "-m",
            "pip",
            "install",
            "-q",
            "--upgrade",
            requirement,
            wheel,
        ]
        done = run(*install, cwd=tmp_path)
        if done.returncode:
            pytest.skip(f"{requirement}: {done.stderr.decode().strip()[-200:]}")
        options = ["--isolated", "-j", "2", "--extend-select", "TSK304"]
        done = run(here, "-m", "flake8", *options, cwd=work)
        places = [" ".join(line.split(" ")[:2]) for line in done.stdout.decode().splitlines()]
        assert places == ["./fault.py:5:5: TSK001", "./stored.py:6:21: TSK304"], requirement
        assert done.stderr == b""
        done = run(here, "-m", "flake8_task_refs.fix", "--isolated", "--check", cwd=work)
        assert done.returncode == 1, done.stderr.decode()
        assert done.stdout.startswith(b"./fault.py:5:5: TSK001 task running 'work()' ")
        assert done.stderr == b"1 finding in 1 file; 2 files read, 0 errors\n"
        version = run(here, "-m", "flake8", "--version", cwd=work).stdout.decode()
        assert version.startswith("7.0.0") is (requirement == "flake8==7.0.0")
        assert f"flake8-task-refs: {__version__}" in version
