"""Everything the README shows is run. ``python tests/test_readme.py`` writes it anew.

A comment before a code block says what the block is: ``file: NAME`` is a file of the example
project, ``output: COMMAND`` is what the command prints; in a ``console`` block, what follows a
``$`` line is what that command prints. ``NAME:begin`` and ``NAME:end`` hold generated text.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from commands import ROOT, run

from flake8_task_refs.options import OPTIONS
from flake8_task_refs.rules import RULES, table

README = ROOT / "README.md"
BLOCK = re.compile(
    r"(?:<!-- (?P<note>[^\n]+?) -->\n)?```(?P<kind>\w+)\n(?P<body>.*?)```\n", re.DOTALL
)


def options_table() -> str:
    """Return the README's table of our options, in Markdown."""
    rows = [f"| `{option.flag}` | {option.help.replace('|', '/')} |" for option in OPTIONS]
    return "\n".join(["| option | meaning |", "|---|---|", *rows])


GENERATED = {"rules": table, "options": options_table}


def run_shown(command: str, project: Path) -> str:
    """Run a command as the README shows it, with this Python's programs first on the path."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", "-c", command],
        cwd=project,
        env={**os.environ, "PATH": path},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL if "--diff" in command else subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        check=False,
    )
    return done.stdout


def written_anew(readme: str, project: Path) -> str:
    """Return ``readme`` with every output in it replaced by what is printed now."""
    readme = outputs_anew(readme, project)
    for name, make in GENERATED.items():
        marks = f"<!-- {name}:begin -->\n", f"<!-- {name}:end -->"
        head, mark, rest = readme.partition(marks[0])
        if mark:
            readme = f"{head}{mark}{make()}\n{marks[1]}{rest.partition(marks[1])[2]}"
    return readme


def outputs_anew(readme: str, project: Path) -> str:
    """Return ``readme`` with what its commands print now."""
    for block in BLOCK.finditer(readme):
        if (block["note"] or "").startswith("file: "):
            path = project / block["note"].removeprefix("file: ")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block["body"])

    def anew(block: re.Match[str]) -> str:
        note, kind, body = block["note"] or "", block["kind"], block["body"]
        if note.startswith("output: "):
            body = run_shown(note.removeprefix("output: "), project)
        elif kind == "console" and body.startswith("$ "):
            commands = re.findall(r"^\$ (.+)$", body, re.MULTILINE)
            body = "".join(f"$ {line}\n{run_shown(line, project)}" for line in commands)
        intro = f"<!-- {note} -->\n" if note else ""
        return f"{intro}```{kind}\n{body}```\n"

    return BLOCK.sub(anew, readme)


def _readme() -> str:
    return README.read_text("utf-8")


def _blocks(kind: str, note: str | None = None) -> list[str]:
    return [
        block["body"]
        for block in BLOCK.finditer(_readme())
        if block["kind"] == kind and (note is None or block["note"] == note)
    ]


def test_every_output_is_what_is_printed_now(tmp_path: Path) -> None:
    assert written_anew(_readme(), tmp_path) == _readme()


def test_every_block_is_run_or_checked() -> None:
    """A new kind of block would stand in the README unchecked."""
    kinds = {(block["kind"], block["note"] is not None) for block in BLOCK.finditer(_readme())}
    assert kinds == {
        ("python", True),
        ("console", False),
        ("diff", True),
        ("sh", False),
        ("yaml", True),
        ("toml", True),
    }


def test_the_sections_stand_in_order() -> None:
    assert re.findall(r"^## (.+)$", _readme(), re.MULTILINE) == [
        "Install",
        "Quick start",
        "pre-commit and CI",
        "Rules",
        "The fixer",
        "The map",
        "What it does not flag",
        "Compared with RUF006 and ASYNC300",
        "Speed",
        "Licence",
    ]


def test_the_first_example_fails_and_the_last_does_not(tmp_path: Path) -> None:
    readme = written_anew(_readme(), tmp_path)
    assert "$ flake8 --select TSK app.py\napp.py:" in readme
    assert "$ flake8 --select TSK kept.py\n```" in readme


def test_every_rule_and_option_is_there() -> None:
    readme = _readme()
    assert [rule.code for rule in RULES if f"| {rule.code} | {rule.name} |" not in readme] == []
    assert [option.flag for option in OPTIONS if f"| `{option.flag}` |" not in readme] == []


def _quick_start() -> list[str]:
    section = _readme().partition("## Quick start\n")[2].partition("\n## ")[0]
    blocks = [block["body"] for block in BLOCK.finditer(section)]
    assert len(blocks) == 1
    return blocks[0].splitlines()


def test_quick_start_is_two_commands_and_ci_runs_the_second() -> None:
    first, second = _quick_start()
    for command in (first, second):
        assert command.startswith("python3 -m venv .venv && ")
    assert "'.[test]'" in second
    assert second in (ROOT / ".ci" / "run").read_text("utf-8")
    sample = first.split()[-1]
    assert (ROOT / sample).is_file()


@pytest.mark.slow
def test_quick_starts_first_command_works_in_a_clone(tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    done = run("git", "clone", "-q", ROOT, clone, cwd=tmp_path)
    if done.returncode:
        pytest.skip(f"git clone: {done.stderr.decode().strip()[-200:]}")
    done = run("sh", "-c", _quick_start()[0], cwd=clone)
    if b"No matching distribution" in done.stderr or b"Could not find a version" in done.stderr:
        pytest.skip(f"no package index: {done.stderr.decode().strip()[-200:]}")
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout.startswith(b"--- a/fixtures/apps/")
    status = run("git", "status", "--porcelain", cwd=clone)
    assert status.stdout == b"", "nothing but ignored files was written"


def test_pre_commit_accepts_the_recipes(tmp_path: Path) -> None:
    recipes = _blocks("yaml", "pre-commit")
    assert len(recipes) == 2
    for number, recipe in enumerate(recipes):
        path = tmp_path / f"{number}.yaml"
        path.write_text(recipe)
        done = run(sys.executable, "-m", "pre_commit", "validate-config", path, cwd=tmp_path)
        assert done.returncode == 0, done.stdout.decode()
    shipped = re.findall(
        r"^- id: (\S+)$", (ROOT / ".pre-commit-hooks.yaml").read_text(), re.MULTILINE
    )
    assert re.findall(r"- id: (\S+)", recipes[1]) == shipped


@pytest.mark.parametrize("told", [True, False])
def test_ruff_leaves_our_noqa_alone_once_told(tmp_path: Path, told: bool) -> None:
    if told:
        [recipe] = _blocks("toml")
        (tmp_path / "ruff.toml").write_text(recipe)
    (tmp_path / "a.py").write_text("import a  # noqa: TSK001\n")
    ruff = [sys.executable, "-m", "ruff", "check", "--no-cache", "--select", "RUF100,RUF102"]
    done = run(*ruff, "a.py", cwd=tmp_path)
    assert (b"RUF10" in done.stdout) is not told, done.stdout.decode()


def test_the_ci_recipe_fails_before_and_passes_after_the_fixer(tmp_path: Path) -> None:
    written_anew(_readme(), tmp_path)
    (tmp_path / "route.py").unlink()
    [recipe] = [body for body in _blocks("sh") if "--check" in body]
    for command in recipe.splitlines():
        assert run_shown(f"{command} >/dev/null 2>&1; echo $?", tmp_path) == "1\n", command
    run_shown("python -m flake8_task_refs.fix .", tmp_path)
    for command in recipe.splitlines():
        assert run_shown(f"{command} >/dev/null 2>&1; echo $?", tmp_path) == "0\n", command


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as directory:
        README.write_text(written_anew(_readme(), Path(directory)), "utf-8")
