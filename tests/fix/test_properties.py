"""Generated programs: whatever stands around a creation site, a repair keeps its promises."""

from __future__ import annotations

import ast
import io
import os
import tokenize
from collections import Counter
from typing import Final

import oracle
from generated import PROGRAMS
from hypothesis import HealthCheck, Phase, event, given, settings
from transform import fix

# TASK_REFS_EXAMPLES=5000 looks for hours where the tests look for seconds.
EXAMPLES: Final = int(os.environ.get("TASK_REFS_EXAMPLES", "40"))
# What loses its task if it is not repaired. A lifespan's local lives until the end of the lifespan.
LOSING: Final = {"TSK001", "TSK002", "TSK003", "TSK201"}


def _comments(text: str) -> list[str]:
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return [token.string for token in tokens if token.type == tokenize.COMMENT]


def _strings(text: str) -> Counter[str]:
    return Counter(
        node.value
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    )


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize="TASK_REFS_EXAMPLES" not in os.environ,
    suppress_health_check=[HealthCheck.too_slow],
    phases=set(Phase) - {Phase.explain},
)
@given(PROGRAMS)
def test_a_repair_keeps_its_promises(source: str) -> None:
    compile(source, "generated", "exec")
    # fix() checks that no finding is left or new, and that a second run changes nothing.
    result = fix(source)
    compile(result.text, "generated", "exec")
    for comment in ("# kept", "# why"):
        assert result.text.count(comment) == source.count(comment)
    own = iter(_comments(result.text))
    assert all(comment in own for comment in _comments(source)), "a comment is lost or moved"
    assert not _strings(source) - _strings(result.text)
    for refusal in result.declined:
        event(f"{refusal.finding.code} declined: {refusal.reason}")
    if not any(refusal.finding.code in LOSING for refusal in result.declined):
        verdicts = oracle.judge_source(result.text)
        assert {verdict.verdict for verdict in verdicts} <= {"kept", "none"}
