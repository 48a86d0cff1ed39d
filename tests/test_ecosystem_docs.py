"""The pages under ``docs``: what they show is run. This file, run, writes them anew."""

from __future__ import annotations

import json
import re
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from commands import ROOT, reported, run
from test_readme import BLOCK, GENERATED, written_anew

from flake8_task_refs.rules import RULES

if TYPE_CHECKING:
    from workshop import Workshop

DOCS = ROOT / "docs"
PAGES = sorted(DOCS.glob("*.md"))
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)


def files_shown(name: str) -> dict[str, str]:
    """Return the files that the page ``name`` shows."""
    return {
        block["note"].removeprefix("file: "): block["body"]
        for block in BLOCK.finditer((DOCS / name).read_text("utf-8"))
        if (block["note"] or "").startswith("file: ")
    }


@each_page
def test_every_output_is_what_is_printed_now(page: Path, tmp_path: Path) -> None:
    text = page.read_text("utf-8")
    assert written_anew(text, tmp_path) == text


@each_page
def test_every_block_is_run_or_checked(page: Path) -> None:
    """A new kind of block would stand there unchecked."""
    checked = {("console", ""), ("sh", ""), ("diff", "output"), ("json", "settings")}
    checked |= {(kind, "file") for kind in ("python", "ini", "toml", "yaml")}
    checked |= {("yaml", "pre-commit")}
    for block in BLOCK.finditer(page.read_text("utf-8")):
        assert (block["kind"], (block["note"] or "").partition(":")[0]) in checked


def test_every_option_is_explained() -> None:
    text = (DOCS / "configuration.md").read_text("utf-8")
    assert f"<!-- options:begin -->\n{GENERATED['options']()}\n<!-- options:end -->" in text


def test_the_program_is_short_and_loses_its_task() -> None:
    """The first test has seen that what is shown is what is printed."""
    program = files_shown("vanish.md")["vanish.py"]
    assert len(program.splitlines()) < 50
    text = (DOCS / "vanish.md").read_text("utf-8")
    before, after = (part.partition("```")[0] for part in text.split("python vanish.py\n")[1:])
    assert "Task was destroyed but it is pending!" in before
    assert "the news" not in before
    assert "listener: the news" in after
    assert "destroyed" not in after


def test_noqa_of_the_peers_is_honoured(tmp_path: Path) -> None:
    program = files_shown("migration.md")["excused.py"]
    (tmp_path / "excused.py").write_text(program)
    assert len(reported("--isolated", "excused.py", cwd=tmp_path)) == 1
    assert len(reported("--isolated", "--disable-noqa", "excused.py", cwd=tmp_path)) == 4


def test_ruff_takes_its_recipe_and_leaves_our_comments(tmp_path: Path) -> None:
    shown = files_shown("migration.md")
    (tmp_path / "excused.py").write_text(shown["excused.py"])
    ruff = [sys.executable, "-m", "ruff", "check", "--no-cache", "--output-format=concise"]
    for settings, silent in ((shown["ruff.toml"], True), ("[lint]\n", False)):
        (tmp_path / "ruff.toml").write_text(f'{settings}extend-select = ["RUF"]\n')
        done = run(*ruff, "excused.py", cwd=tmp_path)
        assert b"warning" not in done.stderr.lower(), done.stderr
        assert (b"RUF" not in done.stdout) is silent, done.stdout


def test_the_settings_of_the_language_server_are_what_its_test_uses() -> None:
    [block] = [
        block["body"]
        for block in BLOCK.finditer((DOCS / "editors.md").read_text("utf-8"))
        if block["kind"] == "json"
    ]
    test = (ROOT / "tests" / "test_ecosystem_tools.py").read_text("utf-8")
    settings = json.loads(block)["pylsp"]["plugins"]
    spelled = json.dumps(settings).replace("true", "True").replace("false", "False")
    assert f"plugins = {spelled}" in test


def test_pre_commit_accepts_the_recipe(tmp_path: Path) -> None:
    [recipe] = [
        block["body"]
        for block in BLOCK.finditer((DOCS / "ci.md").read_text("utf-8"))
        if block["note"] == "pre-commit"
    ]
    (tmp_path / "config.yaml").write_text(recipe)
    command = [sys.executable, "-m", "pre_commit", "validate-config", "config.yaml"]
    done = run(*command, cwd=tmp_path)
    assert done.returncode == 0, done.stdout.decode()


@pytest.mark.slow
def test_the_site_is_built_without_a_warning(workshop: Workshop, tmp_path: Path) -> None:
    build = "mkdocs", "build", "--strict", "--config-file", ROOT / "mkdocs.yml"
    done = workshop.run(*build, "--site-dir", tmp_path / "site", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert not re.search(r"WARNING|ERROR", done.stderr), done.stderr
    for rule in RULES:
        page = (tmp_path / "site" / "rules" / rule.code / "index.html").read_text("utf-8")
        for heading in ("What it does", "Why is this bad?", "Use instead", "Fix safety"):
            assert heading in page
        assert rule.name in page
    assert not list((tmp_path / "site").glob("**/*.py"))


if __name__ == "__main__":
    for shown in PAGES:
        with tempfile.TemporaryDirectory() as directory:
            shown.write_text(written_anew(shown.read_text("utf-8"), Path(directory)), "utf-8")
