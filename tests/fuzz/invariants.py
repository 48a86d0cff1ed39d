"""What must hold for every file. ``problem_of`` names the first thing that does not."""

from __future__ import annotations

import ast
import io
import random
import tokenize
import traceback
from collections import Counter
from pathlib import Path
from typing import Final

import libcst as cst

from flake8_task_refs.analysis.check import check_regions, check_source
from flake8_task_refs.analysis.finding import TOO_COMPLEX, Finding, SourceError
from flake8_task_refs.analysis.outline import normalise_newlines
from flake8_task_refs.analysis.python_parser import python_tree, syntax_error
from flake8_task_refs.files import FileError, SourceText, decode
from flake8_task_refs.fix.engine import FixResult, FixSettings, fix_source
from flake8_task_refs.options import Settings
from flake8_task_refs.plugin import TaskRefsPlugin
from flake8_task_refs.rules import RULES

_EVERY_RULE: Final = frozenset(rule.code for rule in RULES)
# Definitions that share no name with any file, and that trouble a reader who is easily fooled.
_STRANGERS: Final = (Path(__file__).parent / "strangers.txt").read_text("utf-8").split("\n\n\n")
_FUNCTIONS: Final = (ast.FunctionDef, ast.AsyncFunctionDef)
_SKIPPED: Final = {
    tokenize.NEWLINE,
    tokenize.NL,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
    tokenize.ENCODING,
}


def problem_of(data: bytes, rng: random.Random | None = None) -> str:
    """Return one line about what goes wrong with a file of the bytes ``data``, empty if nothing.

    The line says what an exception was and where it was raised, so that like problems look alike.
    ``rng`` chooses the settings and what is tried beyond the invariants that are always held.
    """
    rng = rng or random.Random(0)
    settings = Settings(
        enabled_codes=rng.choice((frozenset(), frozenset(), _EVERY_RULE)),
        disable_noqa=rng.random() < 0.1,
    )
    fixing = FixSettings(
        analysis=settings,
        unsafe_fixes=rng.random() < 0.3,
        shutdown_timeout=rng.choice((10.0, None)),
        line_length=rng.choice((88, 88, 60)),
    )
    try:
        source = decode(data)
    except FileError as error:
        return "a message of several lines" if "\n" in str(error) else ""
    except Exception as error:  # noqa: BLE001 (to find them is what this is for)
        return _where("decode", error)
    try:
        return _problem_of_text(source, fixing, rng)
    except Exception as error:  # noqa: BLE001
        return _where("exception", error)


def _problem_of_text(source: SourceText, settings: FixSettings, rng: random.Random) -> str:
    text = source.text
    broken = syntax_error(text)
    try:
        findings = check_source(text, settings.analysis)
    except SourceError as error:
        if broken is None and str(error) != TOO_COMPLEX and _libcst_parses(text):
            return f"cannot parse what libcst parses: {str(error).splitlines()[0][:60]}"
        findings = None
    if broken is None and _through_the_plugin(source, settings.analysis) != _places(findings):
        return "the plugin says something else"
    try:
        result = fix_source(text, settings)
    except SourceError as error:
        # The linter reads some functions of a file, the fixer all of it.
        if findings is None or broken or str(error) == TOO_COMPLEX or not _libcst_parses(text):
            return ""
        return "the fixer cannot parse what the linter can"
    if findings is None:
        return "the fixer reads what the linter cannot"
    found = sorted([*result.fixed, *(refusal.finding for refusal in result.declined)])
    if found != sorted(findings):
        return "findings are neither fixed nor declined"
    if result.text != text:
        return _problem_of_repair(source, result, settings, broken)
    if result.fixed:
        return "fixed, but nothing changed"
    if broken is None:
        return _problem_of_findings(text, findings, settings.analysis, rng)
    return ""


def _libcst_parses(text: str) -> bool:
    """Tell whether libcst, which knows less of Python than Python, can parse all of ``text``."""
    try:
        cst.parse_module(normalise_newlines(text))
    except (cst.ParserSyntaxError, cst.CSTValidationError):
        return False
    return True


def _through_the_plugin(source: SourceText, settings: Settings) -> list[tuple[int, int, str]]:
    """Return (line, column, code) as the plugin gives it, with the lines as flake8 reads them."""
    reader = io.TextIOWrapper(io.BytesIO(source.data), source.encoding, line_buffering=True)
    lines = reader.readlines()
    if lines and lines[0].startswith("\ufeff"):
        lines[0] = lines[0][1:]
    plugin = TaskRefsPlugin(ast.Module([], []), lines)
    type(plugin).settings = settings
    found = [(line, column + 1, text.split(" ")[0]) for line, column, text, _ in plugin.run()]
    return [place for place in found if place[2] != "TSK000"]


def _places(findings: list[Finding] | None) -> list[tuple[int, int, str]]:
    return [(finding.line, finding.column, finding.code) for finding in findings or ()]


def _problem_of_repair(
    source: SourceText, result: FixResult, settings: FixSettings, broken: SourceError | None
) -> str:
    if broken is None and syntax_error(result.text) is not None:
        return "parsed before the repair, and not after it"
    if not result.fixed:
        return "changed, but nothing fixed"
    try:
        source.encode(result.text)
    except FileError:
        return "the repair cannot be written in the file's encoding"
    try:
        again = fix_source(result.text, settings)
    except SourceError as error:
        return "" if str(error) == TOO_COMPLEX else "the repaired file cannot be parsed"
    if again.text != result.text or again.fixed:
        return "a second repair changes something"
    if broken is None:
        lost = _comments(source.text) - _comments(result.text)
        if lost:
            return "a comment is lost"
        return _token_problem(source.text, result)
    return ""


def _tokens(text: str) -> list[tokenize.TokenInfo]:
    return list(tokenize.generate_tokens(io.StringIO(text, newline=None).readline))


def _comments(text: str) -> Counter[str]:
    try:
        return Counter(token.string for token in _tokens(text) if token.type == tokenize.COMMENT)
    except (tokenize.TokenError, SyntaxError):
        return Counter()  # tokenize is stricter than the parser about some odd files


def _token_problem(text: str, result: FixResult) -> str:
    """Check that every token outside the repaired statements and imports is there, in order."""
    try:
        before = [token for token in _tokens(text) if token.type not in _SKIPPED]
        after = [token.string for token in _tokens(result.text) if token.type not in _SKIPPED]
    except (tokenize.TokenError, SyntaxError):
        return ""
    edited = _edited_lines(text, result)
    following = iter(after)
    for token in before:
        if not edited.isdisjoint(range(token.start[0], token.end[0] + 1)):
            continue
        if not any(token.string == other for other in following):
            return "a token outside the edits is lost or moved"
    return ""


def _edited_lines(text: str, result: FixResult) -> set[int]:
    """Return the lines of the repaired statements, of imports, and of one-line blocks.

    Where a container is to let its tasks go (TSK101), that is any statement of the function; and
    what hands on a new task may be repaired where it returns that.
    """
    lines = {finding.line for finding in result.fixed}
    stored = {finding.line for finding in result.fixed if finding.code == "TSK101"}
    found: set[int] = set()
    tree = python_tree(text)
    for node in ast.walk(tree):
        if not isinstance(node, ast.stmt):
            continue
        last = node.end_lineno or node.lineno
        body = getattr(node, "body", None)
        if body and body[0].lineno > node.lineno:
            # The header of a compound statement.
            last = body[0].lineno - 1
        extent = range(node.lineno, last + 1)
        whole = range(node.lineno, (node.end_lineno or node.lineno) + 1)
        if isinstance(node, _FUNCTIONS) and not stored.isdisjoint(whole):
            found.update(whole)
        hands_on = isinstance(node, ast.Return) and isinstance(node.value, ast.Call)
        is_import = isinstance(node, (ast.Import, ast.ImportFrom))
        if hands_on or is_import or not lines.isdisjoint(extent):
            found.update(extent)
    return found


def _problem_of_findings(
    text: str, findings: list[Finding], settings: Settings, rng: random.Random
) -> str:
    """Check what holds for the findings of a file that Python can parse."""
    normal = normalise_newlines(text)
    if rng.random() < 0.1:
        try:
            if check_regions(normal, settings, whole_file=True) != findings:
                return "the whole file has other findings than its regions"
        except (SourceError, RecursionError):
            pass  # it is too deep somewhere else, or libcst cannot parse it there
    if rng.random() < 0.6:
        return ""
    line = _between_statements(normal, rng)
    if line is None:
        return ""
    stranger = rng.choice(_STRANGERS).rstrip("\n").split("\n")
    lines = normal.split("\n")
    lines[line:line] = stranger
    other = "\n".join(lines)
    if syntax_error(other) is not None:
        return ""
    added = len(stranger)
    expected = [
        (finding.line + added * (finding.line > line), finding.column, finding.code)
        for finding in findings
    ]
    try:
        found = check_source(other, settings)
    except SourceError as error:
        # What stands between two definitions is read with the last line before it; and a file in
        # which nothing was to be read so far may be one that libcst cannot read.
        if str(error) == TOO_COMPLEX or not _libcst_parses(other):
            return ""
        return "a definition of another name spoils the file"
    if _places(found) != expected:
        return "a definition of another name changes the findings"
    return ""


def _between_statements(text: str, rng: random.Random) -> int | None:
    """Return a line number (from 0) between two top-level statements, ``None`` if there is none."""
    body = python_tree(text).body
    lines = text.split("\n")
    places = []
    end = 0
    for node in body:
        first = min([node.lineno, *(one.lineno for one in getattr(node, "decorator_list", ()))])
        is_future = isinstance(node, ast.ImportFrom) and node.module == "__future__"
        above = lines[first - 2] if first > 1 else ""
        if first > end and not is_future and not above.endswith("\\"):
            places.append(first - 1)
        end = node.end_lineno or first
    return rng.choice(places) if places else None


def _where(kind: str, error: Exception) -> str:
    """Return the kind of ``error`` and the last lines of ours that it went through."""
    ours = [
        f"{frame.filename.rpartition('flake8_task_refs/')[2]}:{frame.name}"
        for frame in traceback.extract_tb(error.__traceback__)
        if "flake8_task_refs/" in frame.filename
    ]
    return (
        f"{kind} {type(error).__name__} in {' < '.join(reversed(ours[-2:]))}: {str(error)[:80]!r}"
    )
