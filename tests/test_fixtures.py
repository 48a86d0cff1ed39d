"""The fixtures of all rules: what the linter says of them, and what CPython does with them."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import oracle
import pytest
from fixture_reader import Expected, Fixture, fixtures

from flake8_task_refs.analysis.check import check_source
from flake8_task_refs.analysis.finding import SourceError

FIXTURES = fixtures()
RUNNABLE = [fixture for fixture in FIXTURES if not fixture.lint_only]
HERE = [fixture for fixture in RUNNABLE if fixture.python <= sys.version_info[:2]]
# What loses a task, and what it is to lose one: a coroutine that never begins is lost as well.
LOSING_CODES = {"TSK001", "TSK002", "TSK003"}
LOSING_VERDICTS = {"lost", "none", "broken"}


def by_name(chosen: list[Fixture]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("fixture", chosen, ids=[fixture.name for fixture in chosen])


def found(fixture: Fixture, source: str | None = None) -> list[Expected]:
    """Return what the linter says of the fixture, or of ``source`` under its settings."""
    findings = check_source(fixture.source if source is None else source, fixture.settings)
    return [Expected(finding.line, finding.column, finding.code) for finding in findings]


@cache
def judged(path: Path) -> dict[str, oracle.Verdict]:
    return {verdict.case: verdict for verdict in oracle.judge_file(path)}


@by_name(FIXTURES)
def test_linter_says_what_the_markers_say(fixture: Fixture) -> None:
    assert found(fixture) == fixture.expected


@by_name(FIXTURES)
def test_file_name_and_markers_agree(fixture: Fixture) -> None:
    if fixture.is_bad:
        assert {expected.code for expected in fixture.expected} == {fixture.code}
    if fixture.path.stem.startswith("good"):
        assert fixture.expected == []


@pytest.mark.parametrize("code", sorted({fixture.code for fixture in FIXTURES}))
def test_each_rule_has_bad_and_good_examples(code: str) -> None:
    stems = {fixture.path.stem for fixture in FIXTURES if fixture.code == code}
    assert stems >= {"bad", "good"}


@by_name(FIXTURES)
@pytest.mark.parametrize("newline", ["\r\n", "\r"], ids=["crlf", "cr"])
def test_newlines_change_nothing(fixture: Fixture, newline: str) -> None:
    assert found(fixture, fixture.source.replace("\n", newline)) == found(fixture)


@by_name(FIXTURES)
def test_cut_off_anywhere_does_not_crash(fixture: Fixture) -> None:
    lines = fixture.source.splitlines(keepends=True)
    for count in range(len(lines)):
        try:
            findings = found(fixture, "".join(lines[:count]))
        except SourceError:
            continue
        assert all(finding.line <= count for finding in findings)


@by_name(HERE)
def test_cpython_does_what_the_fixture_says(fixture: Fixture) -> None:
    verdicts = {case: verdict.verdict for case, verdict in judged(fixture.path).items()}
    assert verdicts == {case: fixture.verdict(case) for case in verdicts}


@by_name([fixture for fixture in HERE if fixture.is_bad and fixture.code in LOSING_CODES])
def test_each_case_of_a_bad_file_loses_all_its_tasks(fixture: Fixture) -> None:
    assert not {case for case, v in judged(fixture.path).items() if v.lost != v.workers}


def _flagged_cases(fixture: Fixture, codes: set[str]) -> set[str]:
    """Return the cases of the fixture in whose own lines the linter finds one of ``codes``."""
    lines = {finding.line for finding in found(fixture) if finding.code in codes}
    return {
        node.name
        for node in ast.parse(fixture.source).body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and any(node.lineno <= line <= (node.end_lineno or 0) for line in lines)
    }


@by_name(HERE)
def test_cpython_confirms_each_finding(fixture: Fixture) -> None:
    # Between linter and CPython alone: no marker has a say here.
    flagged = _flagged_cases(fixture, LOSING_CODES)
    verdicts = {case: v.verdict for case, v in judged(fixture.path).items() if case in flagged}
    assert not {case for case, verdict in verdicts.items() if verdict not in LOSING_VERDICTS}


@by_name([fixture for fixture in HERE if fixture.path.stem.startswith("good")])
def test_cpython_confirms_each_silence(fixture: Fixture) -> None:
    assert found(fixture) == []
    assert {verdict.verdict for verdict in judged(fixture.path).values()} <= {"kept", "none"}


def _interpreter(minor: int) -> str | None:
    """Find another CPython 3.``minor`` that starts, on the path or among those of pyenv."""
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    installed = [str(path) for path in sorted(versions.glob(f"3.{minor}.*/bin/python"))]
    for candidate in [*installed, shutil.which(f"python3.{minor}")]:
        if candidate is None:
            continue
        show = [candidate, "-c", "import sys; print(sys.version_info[1])"]
        ran = subprocess.run(show, capture_output=True, text=True, check=False)
        if ran.stdout.strip() == str(minor):
            return candidate
    return None


@pytest.mark.slow
@pytest.mark.parametrize("minor", [10, 11, 12, 13, 14])
def test_other_interpreters_do_the_same(minor: int) -> None:
    if minor == sys.version_info[1]:
        pytest.skip("this is the interpreter of the other tests")
    interpreter = _interpreter(minor)
    if interpreter is None:
        pytest.skip(f"no Python 3.{minor} here")
    chosen = {str(f.path): f for f in RUNNABLE if f.python <= (3, minor)}
    ran = subprocess.run(
        [interpreter, oracle.__file__, *chosen], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr or ran.stdout
    # A case may print: only the oracle's lines are JSON objects.
    verdicts = [json.loads(line) for line in ran.stdout.splitlines() if line.startswith('{"file"')]
    assert {verdict["file"] for verdict in verdicts} == set(chosen)
    differing = {
        f"{chosen[v['file']].name}: {v['case']}": v["verdict"]
        for v in verdicts
        if v["verdict"] != chosen[v["file"]].verdict(v["case"])
    }
    assert not differing
