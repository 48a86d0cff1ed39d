"""``# noqa`` as flake8 reads it, and the codes of the rules that users come from."""

from __future__ import annotations

import io
import re
import tokenize
from typing import TYPE_CHECKING, Final

from flake8.defaults import NOQA_FILE, NOQA_INLINE_REGEXP

if TYPE_CHECKING:
    from flake8_task_refs.analysis.finding import Finding

# The peers' codes for the same faults: https://docs.astral.sh/ruff/rules/asyncio-dangling-task/
# and flake8-async's ASYNC300.
PEER_CODES: Final = ("RUF006", "ASYNC300")
# A file that is excused from them is excused from ours for handles that nobody keeps.
_PEER_FILE: Final = re.compile(
    r"^[ \t]*#[ \t]*(?:ruff|flake8)[ \t]*:[ \t]*noqa[ \t]*:[ \t]*"
    # As ruff reads it: codes up to the first word that is none.
    rf"(?:[A-Z]+[0-9]+(?:[ \t]*,[ \t]*|[ \t]+))*(?:{'|'.join(PEER_CODES)})\b",
    re.IGNORECASE | re.MULTILINE,
)
_UNKEPT: Final = ("TSK001", "TSK002", "TSK003")
# In whatever case it is written: rarer than its beginning, and found faster than all of it.
_ENDS_OF_NOQA: Final = ("qa", "QA", "Qa", "qA")


def unsilenced(findings: list[Finding], source: str) -> list[Finding]:
    """Return the ``findings`` that no ``# noqa`` comment of ``source`` silences.

    A comment speaks for its own line, and for all lines of a string that ends on it, as in
    flake8; ``# flake8: noqa`` on a line of its own silences the file, and so does ruff's
    ``# ruff: noqa: RUF006`` for what RUF006 is about. ``source`` has normalised newlines.
    """
    if not findings:
        return []
    if not any(end in source for end in _ENDS_OF_NOQA):
        return findings
    # In bytes, where letters beyond ASCII are left alone, this is faster.
    lowered = source.encode("utf-8", "surrogatepass").lower()
    if b"noqa" not in lowered:
        return findings
    lines = source.split("\n")
    # The sign of the kelvin is a k as well, to a pattern without case.
    if (b"flake8" in lowered or "\N{KELVIN SIGN}" in source) and any(
        NOQA_FILE.match(line) for line in lines
    ):
        return []
    if (b"ruff" in lowered or b"flake8" in lowered) and _is_excused_for_peers(source):
        findings = [finding for finding in findings if finding.code not in _UNKEPT]
    # Only a string of several lines makes a comment speak for more than its own line.
    mapped = any(quote in lines[f.line - 1] for f in findings for quote in ('"""', "'''", "\\"))
    spans = _spans(source) if mapped else {}
    return [
        finding
        for finding in findings
        if not _is_silenced(finding.code, lines, spans.get(finding.line, (finding.line,) * 2))
    ]


def _is_excused_for_peers(source: str) -> bool:
    """Tell whether a comment excuses the file from a peer's rule: in a string, it is none."""
    first = _PEER_FILE.search(source)
    if first is None:
        return False
    before = source[: first.start()]
    if not any(quotes in before for quotes in ('"""', "'''", "\\\n")):
        return True
    try:
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            is_alone = token.type == tokenize.COMMENT and not token.line[: token.start[1]].strip()
            if is_alone and _PEER_FILE.match(token.string):
                return True
    except (tokenize.TokenError, SyntaxError):
        pass
    return False


def _is_silenced(found: str, lines: list[str], span: tuple[int, int]) -> bool:
    """Tell whether a comment on the lines of ``span`` names the code ``found``, or none."""
    match = NOQA_INLINE_REGEXP.search("\n".join(lines[span[0] - 1 : span[1]]))
    if match is None:
        return False
    if match["codes"] is None:
        return True
    codes = match["codes"].upper().replace(",", " ").split()
    return any(found.startswith(code) or code in PEER_CODES for code in codes)


def _spans(source: str) -> dict[int, tuple[int, int]]:
    """Map each line (1-based) to the first and last line that one comment speaks for."""
    spans: dict[int, tuple[int, int]] = {}
    first = last = 0
    try:
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            if token.type in (tokenize.ENDMARKER, tokenize.DEDENT):
                continue
            first = min(first or token.start[0], token.start[0])
            last = max(last, token.end[0])
            if token.type in (tokenize.NL, tokenize.NEWLINE):
                spans.update(dict.fromkeys(range(first, last + 1), (first, last)))
                first = last = 0
    except (tokenize.TokenError, SyntaxError):
        pass
    return spans
