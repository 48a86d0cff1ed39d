"""The fuzzer's inputs: files of this repository and of others, put together wrongly.

Input ``n`` of a seed is always the same bytes, so that a number is all it takes to see one again.
"""

from __future__ import annotations

import ast
import random
import re
from pathlib import Path
from typing import Final

from flake8_task_refs.analysis.outline import normalise_newlines, skim
from flake8_task_refs.analysis.python_parser import python_tree
from flake8_task_refs.analysis.sieve import mentions
from flake8_task_refs.options import Settings

ROOT: Final = Path(__file__).parent.parent.parent
REGRESSIONS: Final = ROOT / "fixtures" / "regressions"

_HEADER: Final = "import asyncio\nfrom asyncio import create_task, ensure_future\n\n\n"
_LONGEST_SEED: Final = 1500
_TOKEN: Final = re.compile(r"\w+|\s+|[^\w\s]")
# What the analysis and the fixer have an opinion about, and what trips up readers of Python.
_WORDS: Final = [
    word.encode().decode("unicode_escape") if word.startswith("\\") and len(word) > 1 else word
    for word in (Path(__file__).parent / "words.txt").read_text("utf-8").split()
]
_WORDS_OF_SPACE: Final = (" ", "\n", "\n\n", "\t", "\f", "    ", "\n    ", "\n\t", "\\\n", "\r")
_WRAPPERS: Final = (
    "if x:\n{}",
    "for x in y:\n{}\nelse:\n    pass",
    "while True:\n{}",
    "try:\n{}\nfinally:\n    pass",
    "try:\n{}\nexcept* ValueError:\n    pass",
    "with a as b, c:\n{}",
    "async with a:\n{}",
    "match x:\n    case [1, *y] if z:\n    {}",
    "async def inner(self, *args, k=1, **kw):\n{}",
    "def inner():\n    # kept\n{}",
    "class Inner(Base):\n{}",
    "@decorated(\n    1,\n)\ndef inner[T](x: T) -> T:\n{}",
)
_ENCODINGS: Final = ("utf-8", "utf-8", "utf-8", "utf-8-sig", "latin-1", "cp1252", "utf-16", "ascii")


def seeds(corpus: Path | None = None) -> list[str]:
    """Return the texts to start from; ``corpus`` is a directory of other people's Python files."""
    texts = []
    for path in sorted((ROOT / "fixtures").rglob("*.py")):
        if "regressions" not in path.parts:
            texts += _pieces(path.read_text("utf-8"))
    programs = (ROOT / "tests" / "programs.txt").read_text("utf-8")
    for block in re.split(r"\n\n+", programs):
        body = block.replace("TASK", "asyncio.create_task(work())").replace("\n", "\n    ")
        texts.append(f"{_HEADER}async def program():\n    {body}\n")
    if corpus is not None:
        for path in sorted(corpus.rglob("*.py")):
            texts += _parts(path.read_text("utf-8", "replace"))
    return [text for text in texts if len(text) <= _LONGEST_SEED]


def _pieces(text: str) -> list[str]:
    """Return ``text``, or its imports with each few definitions of it, if it is long."""
    if len(text) <= _LONGEST_SEED:
        return [text]
    imports, *definitions = re.split(r"\n\n\n(?=\S)", text)
    return [
        "\n\n\n".join([imports, *definitions[at : at + 2]]) for at in range(0, len(definitions), 2)
    ]


def _parts(text: str) -> list[str]:
    """Return the functions of ``text`` that mention a task, each as a module of its own."""
    text = normalise_newlines(text)
    offsets = mentions(text, Settings()).offsets
    if not offsets:
        return []
    outline = skim(text)
    regions = {outline.region(at) for at in offsets}
    found = []
    for region in sorted(regions, key=lambda region: region.start):
        body = text[region.start : region.end]
        found.append(f"{_HEADER}{region.prefix}{body}\n")
    return found


def make(texts: list[str], seed: int, number: int) -> bytes:
    """Return input ``number`` of ``seed``: the bytes of a file that may be Python."""
    rng = random.Random(f"{seed}/{number}")
    # Small inputs find as much as large ones, and more of them fit into a second.
    text = min(rng.sample(texts, 2), key=len)
    for _ in range(rng.choice((0, 1, 1, 1, 2, 2, 3, 5))):
        text = rng.choice(_MUTATIONS)(text, rng, texts)
        if len(text) > 4 * _LONGEST_SEED:
            text = text[: 4 * _LONGEST_SEED]
    return dress(text, rng)


def dress(text: str, rng: random.Random) -> bytes:
    """Return ``text`` as a file: line ends, tabs, encoding, the end of the file."""
    kind = rng.randrange(16)
    if kind == 0:
        text = text.replace("\n", "\r\n")
    elif kind == 1:
        text = text.replace("\n", "\r")
    elif kind == 2:
        text = "".join(rng.choice(("\n", "\r\n", "\r")) if c == "\n" else c for c in text)
    elif kind == 3:
        text = text.replace("    ", "\t")
    elif kind == 4:
        text = text.rstrip("\n")
    elif kind == 5:
        text = text.replace("\n", rng.choice((" \n", "\t\n", "\n\f", "  # c\n")))
    elif kind == 6:
        text = text.replace("    ", " ")
    encoding = rng.choice(_ENCODINGS)
    if encoding in ("latin-1", "cp1252") and rng.random() < 0.9:
        text = f"# coding: {encoding}\n{text}"
    data = text.encode(encoding, "replace")
    if rng.random() < 0.03 and data:
        at = rng.randrange(len(data))
        data = data[:at] + bytes([rng.randrange(256)]) + data[at + rng.randrange(3) :]
    return data


# Each takes a text and returns one that is wrong in one way, or right in another.


def _lines(text: str, rng: random.Random, texts: list[str]) -> str:
    """Delete, double, move, indent or swap some lines, or put a line of another file there."""
    lines = text.split("\n")
    at = rng.randrange(len(lines))
    until = min(len(lines), at + rng.choice((1, 1, 1, 2, 3, 8)))
    part = lines[at:until]
    kind = rng.randrange(6)
    if kind == 0:
        lines[at:until] = []
    elif kind == 1:
        lines[at:at] = part
    elif kind == 2:
        del lines[at:until]
        to = rng.randrange(len(lines) + 1)
        lines[to:to] = part
    elif kind == 3:
        change = rng.choice(("    ", "  ", "\t", "        ", None))
        lines[at:until] = [line[4:] if change is None else change + line for line in part]
    elif kind == 4:
        lines[at:until] = reversed(part)
    else:
        margin = re.match(r"\s*", lines[at]) or ""
        line = rng.choice(rng.choice(texts).split("\n")).lstrip()
        lines.insert(at, (margin[0] if margin else "") + line)
    return "\n".join(lines)


def _tokens(text: str, rng: random.Random, texts: list[str]) -> str:
    """Delete, double, swap or replace some tokens."""
    del texts
    tokens = _TOKEN.findall(text) or [""]
    at = rng.randrange(len(tokens))
    kind = rng.randrange(5)
    word = rng.choice(rng.choice((_WORDS, _WORDS_OF_SPACE)))
    if kind == 0:
        del tokens[at : at + rng.choice((1, 1, 2, 5))]
    elif kind == 1:
        tokens.insert(at, word)
    elif kind == 2:
        tokens[at] = word
    elif kind == 3:
        other = rng.randrange(len(tokens))
        tokens[at], tokens[other] = tokens[other], tokens[at]
    else:
        tokens.insert(at, tokens[rng.randrange(len(tokens))])
    return "".join(tokens)


def _statement(text: str, rng: random.Random, texts: list[str]) -> str:
    """Wrap a statement into another, or put one of another file in its place: still Python."""
    found = _a_statement(text, rng)
    if found is None:
        return _tokens(text, rng, texts)
    first, last, margin = found
    lines = text.split("\n")
    part = lines[first:last]
    if rng.random() < 0.5:
        indented = "\n".join(
            f"    {line[len(margin) :]}" if line.strip() else line for line in part
        )
        wrapped = rng.choice(_WRAPPERS).replace("{}", indented)
    else:
        other = rng.choice(texts)
        there = _a_statement(other, rng)
        if there is None:
            return text
        chosen = other.split("\n")[there[0] : there[1]]
        if rng.random() < 0.5:
            wrapped = "\n".join(line[len(there[2]) :] for line in chosen)
        else:
            wrapped = "\n".join(
                line[len(cut) :]
                for lines_of, cut in ((part, margin), (chosen, there[2]))
                for line in lines_of
            )
    lines[first:last] = [
        f"{margin}{line}" if line.strip() else line for line in wrapped.split("\n")
    ]
    return "\n".join(lines)


def _a_statement(text: str, rng: random.Random) -> tuple[int, int, str] | None:
    """Return the first line (from 0), the line after the last and the margin of a statement."""
    try:
        tree = python_tree(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    statements = [node for node in ast.walk(tree) if isinstance(node, ast.stmt)]
    if not statements:
        return None
    node = rng.choice(statements)
    decorators = getattr(node, "decorator_list", ())
    first = min([node.lineno, *(one.lineno for one in decorators)]) - 1
    lines = text.split("\n")
    last = node.end_lineno or node.lineno
    if last > len(lines):
        return None
    margin = lines[first][: len(lines[first]) - len(lines[first].lstrip())]
    return first, last, margin


def _splice(text: str, rng: random.Random, texts: list[str]) -> str:
    """Put the end of another file behind the beginning of this one."""
    other = rng.choice(texts)
    here, there = text.split("\n"), other.split("\n")
    cut, start = rng.randrange(len(here) + 1), rng.randrange(len(there) + 1)
    return "\n".join([*here[:cut], *there[start:]])


def _whole(text: str, rng: random.Random, texts: list[str]) -> str:
    """Two files, one behind the other."""
    return f"{text}\n\n{rng.choice(texts)}"


def _repeat(text: str, rng: random.Random, texts: list[str]) -> str:
    """Nest or chain something many times."""
    del texts
    count = rng.choice((3, 20, 150, 250, 1200))
    piece = rng.choice(
        (
            ("(", "1", ")"),
            ("[", "", "]"),
            ("{", "x", "}"),
            ("f(", "", ")"),
            ("not ", "x", ""),
            ("a.", "b", ""),
            ("1 + ", "1", ""),
            ("f", "(1)", "(2)"),
            ("-", "x", ""),
            ("lambda: ", "0", ""),
            ("x if y else ", "z", ""),
        )
    )
    expression = piece[0] * count + piece[1] + piece[2] * count
    tokens = _TOKEN.findall(text) or [""]
    tokens.insert(rng.randrange(len(tokens)), rng.choice((expression, f"\n{expression}\n")))
    return "".join(tokens)


_MUTATIONS: Final = (
    *(_statement,) * 8,
    *(_lines,) * 5,
    *(_tokens,) * 5,
    _splice,
    _whole,
    _whole,
    _repeat,
)
