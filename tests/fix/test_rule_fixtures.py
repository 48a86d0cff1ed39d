"""Every example of every rule: repaired, checked again, and judged by CPython."""

from __future__ import annotations

import sys

import oracle
import pytest
from fixture_reader import Fixture, fixtures
from transform import fix

ALL = fixtures()


def by_name(chosen: list[Fixture]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("fixture", chosen, ids=lambda fixture: fixture.name)


@by_name([fixture for fixture in ALL if not fixture.expected])
def test_what_has_no_finding_is_left_alone(fixture: Fixture) -> None:
    assert fix(fixture.source, analysis=fixture.settings).text == fixture.source


@by_name([fixture for fixture in ALL if fixture.expected])
def test_each_finding_is_repaired_or_declined_and_nothing_new(fixture: Fixture) -> None:
    result = fix(fixture.source, analysis=fixture.settings)
    for refusal in result.declined:
        assert refusal.reason


@by_name([fixture for fixture in ALL if fixture.expected])
@pytest.mark.parametrize("newline", ["\r\n", "\r"])
def test_line_ends_are_kept(fixture: Fixture, newline: str) -> None:
    expected = fix(fixture.source, analysis=fixture.settings).text
    source = fixture.source.replace("\n", newline)
    result = fix(source, analysis=fixture.settings)
    assert result.text == expected.replace("\n", newline)


@by_name(
    [
        fixture
        for fixture in ALL
        if fixture.is_bad and not fixture.lint_only and fixture.python <= sys.version_info
    ]
)
def test_cpython_keeps_every_repaired_task(fixture: Fixture) -> None:
    result = fix(fixture.source, analysis=fixture.settings, unsafe_fixes=True)
    if result.declined:
        pytest.skip("not all of it is repaired")
    broken = [
        verdict
        for verdict in oracle.judge_source(result.text, fixture.name)
        if verdict.verdict in {"lost", "leaks", "broken"}
    ]
    assert not broken
