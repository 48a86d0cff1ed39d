"""Run the fixer over copies of source trees, as a user would, and check what it made of them.

    python benchmarks/repairs.py [--keep DIRECTORY] TREE... [-- FIXER OPTIONS]

Prints how many findings were repaired and why others were declined. Each changed file must compile,
keep its comments and every token outside the repaired statements and the imports, lose the findings
that were not declined and gain none, stay as it is in a second run, and please ruff's formatter and
black if it did before. Exit status 1 if anything of this fails.
"""

from __future__ import annotations

import argparse
import ast
import io
import re
import shutil
import subprocess
import sys
import tempfile
import tokenize
import warnings
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_FINDING = re.compile(r"(?P<file>.+?):(?P<line>\d+):\d+: (?P<code>TSK\d+) (?P<rest>.*)")
_LAYOUT = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
}
# What the fixer keeps alive may be told to have no end; the fault was there before.
_ENDINGS = {"TSK201", "TSK204"}
# No repair adds so many lines in one place: beyond them, a token was found too late.
_FAR = 100
# Commands, and how a line about a file begins that they would change.
_FORMATTERS = {
    "ruff format": (["ruff", "format", "--check", "--no-cache"], re.compile("Would reformat: ")),
    "black": (["black", "--check"], re.compile("would reformat (?=/)")),
    "isort of ruff": (
        ["ruff", "check", "--select=I001", "--no-cache", "--output-format=concise"],
        re.compile(r"(?=.+?\.py:\d)"),
    ),
}


class Finding(NamedTuple):
    """One line of the fixer's output: where, which code, and the message or the reason."""

    file: str
    line: int
    code: str
    text: str


@dataclass
class Outcome:
    """What became of one tree."""

    name: str
    seconds: float = 0.0
    found: list[Finding] = field(default_factory=list)
    declined: list[Finding] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


def _fixer(tree: Path, *options: str) -> tuple[list[Finding], list[str]]:
    """Run the fixer in ``tree``; return what it says of single places, and its other lines."""
    command = [sys.executable, "-m", "flake8_task_refs.fix", *options, "."]
    done = subprocess.run(command, cwd=tree, capture_output=True, text=True, check=False)
    places, others = [], []
    for line in (done.stdout + done.stderr).splitlines():
        match = _FINDING.fullmatch(line)
        if match:
            path = str(Path(match["file"]))
            places.append(Finding(path, int(match["line"]), match["code"], match["rest"]))
        else:
            others.append(line)
    if done.returncode not in {0, 1}:
        others.append(f"error: the fixer ended with status {done.returncode}")
    return places, others


def judge(tree: Path, copy: Path, options: Sequence[str]) -> Outcome:
    """Repair ``copy``, an untouched copy of ``tree``, and compare the two."""
    outcome = Outcome(tree.name)
    outcome.found, _ = _fixer(copy, "--check", *options)
    told, others = _fixer(copy, *options)
    prefix = "declined: "
    # It also says which tasks it keeps that nothing ends yet.
    outcome.declined = [
        f._replace(text=f.text.removeprefix(prefix)) for f in told if f.text.startswith(prefix)
    ]
    outcome.failures += [line for line in others if "error: " in line]
    after = dict(_contents(copy))
    outcome.changed = [name for name, data in after.items() if data != (tree / name).read_bytes()]
    for name in outcome.changed:
        lines = [finding.line for finding in outcome.found if finding.file == name]
        try:
            before_text, text = _text((tree / name).read_bytes()), _text(after[name])
            outcome.failures += [f"{name}: {why}" for why in _changes(before_text, text, lines)]
        except (SyntaxError, ValueError) as error:
            outcome.failures.append(f"{name}: does not compile: {error}")
    left, _ = _fixer(copy, "--check", *options)
    outcome.failures += _left(outcome, left)
    outcome.failures += _formatting(tree, copy, outcome.changed)
    _fixer(copy, *options)
    outcome.failures += [
        f"{name}: changes again in a second run"
        for name, data in _contents(copy)
        if data != after[name]
    ]
    return outcome


def _contents(tree: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(tree.rglob("*.py")):
        if path.is_file():
            yield str(path.relative_to(tree)), path.read_bytes()


def _text(data: bytes) -> str:
    encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
    text = data.decode(encoding)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        compile(text, "<text>", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    return text


def _changes(before: str, after: str, findings: Iterable[int]) -> Iterator[str]:
    """Yield what changed although no finding wanted it: comments, tokens of other statements."""
    old, new = _tokens(before), _tokens(after)
    comments = [token.string for token in new if token.type == tokenize.COMMENT]
    for token in old:
        if token.type == tokenize.COMMENT:
            if token.string in comments:
                del comments[: comments.index(token.string) + 1]
            else:
                yield f"line {token.start[0]}: a comment is lost or moved: {token.string}"
    statements = _logical_lines(old)
    own = {line for at in findings for line in statements.get(at, range(at, at + 1))}
    # An import may lose a name that the repair has left without a use.
    own.update(line for at in _imports(before) for line in statements.get(at, ()))
    kept = [token for token in old if token.type not in _LAYOUT and token.start[0] not in own]
    # What was added stands between the tokens that were there: those keep their order.
    following = ((token.string, token.start[0]) for token in new if token.type not in _LAYOUT)
    line = 1
    for token in kept:
        if (found := next((at for text, at in following if text == token.string), 0)) == 0:
            yield f"near line {line} of the new text: tokens are lost or moved"
            return
        line = found if found - line < _FAR else line


def _imports(text: str) -> Iterator[int]:
    """Yield the lines where import statements begin."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            yield node.lineno


def _tokens(text: str) -> list[tokenize.TokenInfo]:
    return list(tokenize.generate_tokens(io.StringIO(text).readline))


def _logical_lines(tokens: Iterable[tokenize.TokenInfo]) -> dict[int, range]:
    """Map each line to the lines of its statement."""
    found = {}
    begin = 0
    for token in tokens:
        if token.type not in _LAYOUT:
            begin = begin or token.start[0]
        elif token.type == tokenize.NEWLINE:
            lines = range(begin, token.end[0] + 1)
            found.update(dict.fromkeys(lines, lines))
            begin = 0
    return found


def _left(outcome: Outcome, left: Sequence[Finding]) -> Iterator[str]:
    """Yield the findings that are left or new although nothing declined them."""
    allowed = Counter((finding.file, finding.code) for finding in outcome.declined)
    for finding in left:
        if finding.code in _ENDINGS:
            continue
        allowed[finding.file, finding.code] -= 1
        if allowed[finding.file, finding.code] < 0:
            yield f"{finding.file}:{finding.line}: {finding.code} is left and was not declined"


def _formatting(tree: Path, copy: Path, changed: Sequence[str]) -> Iterator[str]:
    """Yield the changed files that a formatter accepted before and does not accept now."""
    accepted: list[str] = []
    for tool, (command, says) in _FORMATTERS.items():
        # Black is slow, and likes nothing that ruff's formatter does not.
        names = accepted if tool == "black" else list(changed)
        accepted = sorted({*names} - _refused(tree, command, says, names))
        for name in sorted(_refused(copy, command, says, accepted)):
            yield f"{name}: {tool} would change it, and would not before"


def _refused(
    root: Path, command: Sequence[str], says: re.Pattern[str], names: Sequence[str]
) -> set[str]:
    """Return which of the files ``names`` under ``root`` the formatter ``command`` would change."""
    if not names:
        return set()
    full = [sys.executable, "-m", *command, *names]
    done = subprocess.run(full, cwd=root, capture_output=True, text=True, check=False)
    return {
        str((root / path.partition(".py:")[0].removesuffix(".py")).relative_to(root)) + ".py"
        for line in (done.stdout + done.stderr).splitlines()
        if says.match(line)
        for path in [says.sub("", line, count=1)]
    }


def _show(outcomes: Sequence[Outcome]) -> None:
    header = f"{'tree':20}{'findings':>9}{'repaired':>9}{'declined':>9}{'files':>6}{'failures':>9}"
    print(header)
    for outcome in outcomes:
        found, declined = len(outcome.found), len(outcome.declined)
        print(
            f"{outcome.name:20}{found:9}{found - declined:9}{declined:9}"
            f"{len(outcome.changed):6}{len(outcome.failures):9}"
        )
    found = sum(len(outcome.found) for outcome in outcomes)
    reasons = Counter(
        (finding.code, finding.text) for outcome in outcomes for finding in outcome.declined
    )
    repaired = found - reasons.total()
    failures = [f"{outcome.name}/{why}" for outcome in outcomes for why in outcome.failures]
    share = f" ({repaired / found:.1%})" if found else ""
    print(f"\n{repaired} of {found} findings repaired{share}, {reasons.total()} declined:")
    for (code, reason), count in reasons.most_common():
        print(f"{count:5} {code} {reason}")
    codes = Counter(finding.code for outcome in outcomes for finding in outcome.found)
    print("by code:", ", ".join(f"{count} {code}" for code, count in sorted(codes.items())))
    print(f"\n{len(failures)} failures" + ":" * bool(failures))
    for line in failures:
        print(f"  {line}")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("trees", type=Path, nargs="+", metavar="TREE")
    parser.add_argument("--keep", type=Path, help="leave the repaired copies in this directory")
    arguments, options = parser.parse_known_args()
    outcomes = []
    with tempfile.TemporaryDirectory() as scratch:
        directory = arguments.keep or Path(scratch)
        for tree in arguments.trees:
            copy = directory / tree.name
            shutil.copytree(tree, copy)
            outcomes.append(judge(tree.resolve(), copy.resolve(), options))
            print(".", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    _show(outcomes)
    return int(any(outcome.failures for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main())
