"""Hold ruff's RUF006 and flake8-async's ASYNC300 against the fixtures of our rules.

Run as a script it prints the table of the README; with ``--write`` it also records what each peer
said in ``fixtures/peers.json`` and puts the table between the README's two ``peers`` comments.

What a fixture's markers expect stands for what we flag: ``test_fixtures`` holds the linter to
exactly that. Fixtures that need our options or use our ``# noqa`` codes are left out.
"""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any, Final

from fixture_reader import RULES, Fixture, fixtures

ROOT: Final = RULES.parent.parent
RECORD: Final = ROOT / "fixtures" / "peers.json"
README: Final = ROOT / "README.md"
PEERS: Final = ("RUF006", "ASYNC300")
_SECTION: Final = re.compile(r"(<!-- peers:begin -->\n).*?(<!-- peers:end -->)", re.DOTALL)

# Of each fixture: "both", "only ours" and "only theirs", each a list of "function: line of code".
Comparison = dict[str, dict[str, list[str]]]


def compared() -> list[Fixture]:
    """Return the fixtures that mean the same to every linter."""
    return [
        f
        for f in fixtures()
        if "settings" not in f.directives and not f.path.stem.startswith("noqa")
    ]


def version(peer: str) -> str | None:
    """Return name and version of the tool that has the rule ``peer``, or None if it is absent."""
    if peer == "RUF006":
        ran = _run("ruff", "--version")
        return ran.stdout.strip() if ran.returncode == 0 else None
    found = re.search(r"flake8-async: ([\d.]+)", _run("flake8", "--version").stdout)
    return f"flake8-async {found[1]}" if found else None


def findings(peer: str, paths: list[Path]) -> dict[Path, set[int]]:
    """Run the real tool on ``paths``. Return the lines (1-based) that its rule flags, by path."""
    flagged: dict[Path, set[int]] = defaultdict(set)
    if peer == "RUF006":
        options = ["--isolated", "--no-cache", "--select", peer, "--output-format", "json"]
        for found in json.loads(_run("ruff", "check", *options, *map(str, paths)).stdout):
            if found["code"] == peer:  # and not a syntax error
                flagged[Path(found["filename"])].add(found["location"]["row"])
    else:
        options = ["--isolated", "--select", peer, "--format", "%(path)s:%(row)d", "--jobs", "1"]
        for line in _run("flake8", *options, *map(str, paths)).stdout.splitlines():
            path, _, row = line.rpartition(":")
            flagged[Path(path)].add(int(row))
    return flagged


def compare(peer: str) -> Comparison:
    """Return what we and ``peer`` say of each fixture on which at least one of us speaks."""
    chosen = compared()
    flagged = findings(peer, [fixture.path for fixture in chosen])
    comparison: Comparison = {}
    for fixture in chosen:
        ours = {expected.line for expected in fixture.expected}
        theirs = flagged.get(fixture.path, set())
        parts = {"both": ours & theirs, "only ours": ours - theirs, "only theirs": theirs - ours}
        if ours | theirs:
            comparison[fixture.name] = {
                part: [_describe(fixture, line) for line in sorted(lines)]
                for part, lines in parts.items()
                if lines
            }
    return comparison


def record() -> dict[str, Any]:
    """Return what ``fixtures/peers.json`` holds: by peer, its version and its comparison."""
    return dict(json.loads(RECORD.read_text(encoding="utf-8")))


def table(recorded: dict[str, Any]) -> str:
    """Return the Markdown table: for each rule, what is to be found, and who finds it."""
    heads = [recorded[peer]["version"] for peer in PEERS]
    lines = [
        f"| rule | lines to flag | ours | {' | '.join(map(_column_heads, PEERS, heads))} |",
        f"|---|{'---:|' * (2 + 2 * len(PEERS))}",
    ]
    totals = [0] * (2 + 2 * len(PEERS))
    for rule in sorted(
        {name.partition("/")[0] for peer in PEERS for name in _files(recorded, peer)}
    ):
        wanted = {_count(recorded, peer, rule, "both", "only ours") for peer in PEERS}
        assert len(wanted) == 1, "the peers were measured on different fixtures"
        row = [*wanted, *wanted]
        for peer in PEERS:
            row.append(_count(recorded, peer, rule, "both"))
            row.append(_count(recorded, peer, rule, "only theirs"))
        code, _, name = rule.partition("-")
        lines.append(f"| {code} {name} | {' | '.join(map(str, row))} |")
        totals = [total + cell for total, cell in zip(totals, row, strict=True)]
    lines.append(f"| **all** | {' | '.join(f'**{total}**' for total in totals)} |")
    return "\n".join(lines) + "\n"


def readme_table(readme: str) -> str | None:
    """Return what stands between the README's two ``peers`` comments, None if there are none."""
    found = _SECTION.search(readme)
    return found[0].partition("\n")[2].rpartition("<!--")[0] if found else None


def write() -> None:
    """Measure again, and write the record and the README's table."""
    measured = {peer: {"version": version(peer), "fixtures": compare(peer)} for peer in PEERS}
    text = json.dumps(measured, indent=1, ensure_ascii=False) + "\n"
    RECORD.write_text(text, encoding="utf-8")
    readme = README.read_text(encoding="utf-8")
    new = _SECTION.sub(lambda found: found[1] + table(measured) + found[2], readme)
    if new != readme:
        README.write_text(new, encoding="utf-8")


def _column_heads(peer: str, tool: str) -> str:
    return f"{tool}: {peer} | its false alarms"


def _files(recorded: dict[str, Any], peer: str) -> Comparison:
    return dict(recorded[peer]["fixtures"])


def _count(recorded: dict[str, Any], peer: str, rule: str, *parts: str) -> int:
    return sum(
        len(said.get(part, ()))
        for name, said in _files(recorded, peer).items()
        if name.startswith(f"{rule}/")
        for part in parts
    )


def _describe(fixture: Fixture, line: int) -> str:
    """Name a line so that it can be found in the fixture, and still after an edit elsewhere."""
    code = fixture.source.split("\n")[line - 1].partition("  # TSK")[0].strip()
    around = [
        node.name
        for node in ast.walk(ast.parse(fixture.source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        and node.lineno <= line <= (node.end_lineno or 0)
    ]
    return f"{'.'.join(around) or '<module>'}: {code}"


def _run(module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", module, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


if __name__ == "__main__":
    if sys.argv[1:] == ["--write"]:
        write()
    print(table(record()), end="")  # noqa: T201
