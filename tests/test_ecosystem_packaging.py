"""The distributions: what is in them, who can install them, and what flake8 pays for them."""

from __future__ import annotations

import os
import re
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from commands import FAULT, ROOT, run
from test_plugin import _interpreters
from workshop import install

from flake8_task_refs import __version__

if TYPE_CHECKING:
    from workshop import Workshop


@pytest.mark.slow
def test_the_distributions_are_fit_to_be_published(workshop: Workshop, tmp_path: Path) -> None:
    [sdist] = workshop.dist.glob("*.tar.gz")
    done = workshop.run("twine", "check", "--strict", sdist, workshop.wheel, cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("PASSED") == 2
    done = workshop.run("check-wheel-contents", workshop.wheel, cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    modules = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "flake8_task_refs").rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    with zipfile.ZipFile(workshop.wheel) as wheel:
        held = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert held == modules
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"README.md", "LICENSE", "CHANGELOG.md", "pyproject.toml", *modules} <= names
    # Whoever packages it can run the tests.
    assert {"tests/commands.py", "fixtures/rules/TSK001-discarded-task/bad.py"} <= names


@pytest.mark.slow
@pytest.mark.parametrize("python", _interpreters(), ids=lambda path: path.parent.parent.name)
def test_uv_and_pipx_install_it_on_each_python(
    workshop: Workshop, tmp_path: Path, python: Path
) -> None:
    """pip does so in ``test_plugin``."""
    (tmp_path / "fault.py").write_text(FAULT)
    wheel = workshop.wheel
    uvx: list[str | Path] = [sys.executable, "-m", "uv", "tool", "run", "-q", "--isolated"]
    done = install(
        *[*uvx, "--python", python, "--from", "flake8", "--with", wheel],
        *["flake8", "--select", "TSK", "fault.py"],
        cwd=tmp_path,
    )
    assert done.stdout.startswith("fault.py:5:5: TSK001 task running 'work()' "), done.stderr
    home = {"PIPX_HOME": str(tmp_path / "pipx"), "PIPX_BIN_DIR": str(tmp_path / "bin")}
    # Where uv is at hand, pipx is quick.
    home["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    pipx: list[str | Path] = [workshop.bin / "pipx", "install", "-q", "--python", python]
    done = install(*pipx, wheel, cwd=tmp_path, **home)
    assert done.returncode == 0, done.stderr
    fixer = tmp_path / "bin" / "flake8-task-refs-fix"
    version = re.escape(f"{python.parent.parent.name.rpartition('.')[0]}.")
    shown = run(fixer, "--version", cwd=tmp_path).stdout.decode()
    assert re.fullmatch(rf"flake8-task-refs {__version__} \(.*CPython {version}\d+\)\n", shown)
    checked = run(fixer, "--isolated", "--check", "fault.py", cwd=tmp_path)
    assert checked.stdout.startswith(b"fault.py:5:5: TSK001 ")


def _imported(code: str) -> set[str]:
    """Return the modules that ``code`` adds to those that flake8 needs itself."""
    program = f"""\
import sys
import flake8.main.application, flake8.main.cli
import flake8.plugins.pycodestyle, pyflakes.checker, mccabe  # what every run loads
before = set(sys.modules)
{code}
print(*sorted(set(sys.modules) - before))
"""
    done = run(sys.executable, "-c", program, cwd=ROOT)
    assert done.returncode == 0, done.stderr.decode()
    return set(done.stdout.decode().split())


def test_flake8_loads_four_small_modules_of_ours_and_nothing_else() -> None:
    """A run of flake8 over files without tasks pays for these; the sieve comes with a file."""
    loaded = _imported("import flake8_task_refs.plugin")
    assert loaded == {
        "flake8_task_refs",
        "flake8_task_refs.options",
        "flake8_task_refs.plugin",
        "flake8_task_refs.rules",
        "gc",  # a part of the interpreter
    }
    clean = 'list(flake8_task_refs.plugin.TaskRefsPlugin(None, ["x = 1\\n"]).run())'
    more = _imported(f"import flake8_task_refs.plugin\n{clean}") - loaded
    assert more == {"flake8_task_refs.analysis", "flake8_task_refs.analysis.sieve"}


def test_what_flake8_loads_is_cheap_to_load() -> None:
    """Counted in calls, which no other load on the machine can change."""
    program = """\
import cProfile, pstats
import flake8.main.application, flake8.main.cli
profile = cProfile.Profile()
profile.enable()
import flake8_task_refs.plugin
profile.disable()
print(pstats.Stats(profile).total_calls)
"""
    done = run(sys.executable, "-c", program, cwd=ROOT)
    # Each call takes a microsecond or so; 20 ms are the limit.
    assert int(done.stdout) < 6000


def test_the_command_line_loads_no_analysis_until_a_file_needs_it(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("x = 1\n")
    call = "from flake8_task_refs.fix.__main__ import main\nmain(['--isolated', '--check', {!r}])"
    loaded = _imported(call.format(str(tmp_path / "a.py")))
    ours = {name for name in loaded if name.startswith("flake8_task_refs.")}
    assert {name for name in ours if ".analysis." in name or ".fix." in name} == {
        "flake8_task_refs.analysis.finding",
        "flake8_task_refs.analysis.sieve",
        "flake8_task_refs.fix.__main__",
        "flake8_task_refs.fix.check_run",
    }
