"""The vocabulary of the fixer's tests."""

from __future__ import annotations

from textwrap import dedent
from typing import Any

from flake8_task_refs.analysis.check import check_source
from flake8_task_refs.fix.engine import FixResult, FixSettings, fix_source

ENDINGS = ("TSK201", "TSK204")


def fix(source: str, **settings: Any) -> FixResult:
    """Repair ``source`` and check what holds for every repair."""
    chosen = FixSettings(**settings)
    result = fix_source(source, chosen)
    before = [
        f
        for f in check_source(source, chosen.analysis)
        if f.code.startswith(chosen.select or "TSK")
    ]
    assert sorted([*result.fixed, *(refusal.finding for refusal in result.declined)]) == before
    left = [
        f
        for f in check_source(result.text, chosen.analysis)
        if f.code.startswith(chosen.select or "TSK")
    ]
    # A task that is kept now may be told to have no end.
    codes = [f.code for f in left if f.code not in ENDINGS]
    refused = [refusal.finding.code for refusal in result.declined]
    assert codes == [code for code in refused if code not in ENDINGS]
    again = fix_source(result.text, chosen)
    assert again.text == result.text
    assert not again.fixed
    return result


def check_fixed(before: str, after: str, **settings: Any) -> None:
    """Check that the fixer makes ``after`` of ``before`` and declines nothing."""
    result = fix(dedent(before), **settings)
    assert result.text == dedent(after)
    assert result.fixed
    assert not result.declined


def check_declined(before: str, reason: str, **settings: Any) -> None:
    """Check that the fixer leaves ``before`` alone and says ``reason``, or more, for each site."""
    source = dedent(before)
    result = fix(source, **settings)
    assert result.text == source
    assert result.declined
    for refusal in result.declined:
        assert reason in refusal.reason


def check_unchanged(before: str, **settings: Any) -> None:
    """Check that there is nothing to repair in ``before``."""
    source = dedent(before)
    result = fix(source, **settings)
    assert result.text == source
    assert not result.declined
