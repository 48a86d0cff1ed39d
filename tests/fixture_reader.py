"""Read what a fixture under ``fixtures/rules`` says about itself.

A fixture is a module that the oracle can run (see ``oracle``). Its comments say what is expected:

- ``# TSK001`` at the end of a line: a finding of this code at the creating call of this line;
  ``# TSK001:9`` says the column too, which must be done where the line leaves a choice. Another
  comment may follow (``# TSK001  # noqa: E501``). A line without a marker has no finding.
- ``# oracle: lost`` in the head of the file: what CPython does in each case of the file; at the
  end of a ``def`` line: in this case. Without it, the cases of a ``bad`` file do what their rule
  says (``_VERDICT_OF_BAD``) and all others are ``kept``.
- ``# settings: managed_spawners=*.spawn,app.start allow_underscore=true``: the linter's settings.
- ``# python: 3.11``: the oldest Python that can run it.
- ``# lint only: reason``: the oracle cannot run it.

``bad.fixed.py`` is what the fixer makes of ``bad.py``: no finding is left and every task is kept,
whatever the comments say that it took over.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from flake8_task_refs.options import Settings

RULES: Final = Path(__file__).parent.parent / "fixtures" / "rules"

_VERDICT_OF_BAD: Final = {"TSK001": "lost", "TSK002": "lost", "TSK003": "lost", "TSK101": "leaks"}
_MARKER: Final = re.compile(r"#((?: TSK\d{3}(?::\d+)?)+)(?=$|  #)")
_DIRECTIVE: Final = re.compile(r"# (oracle|settings|python|lint only): (.+)$")
_CREATORS: Final = ("create_task", "ensure_future", "Task")
# The last name of the call that a finding without a stated column points at.
_CALLEES: Final = {
    "TSK003": ("gather", "shield", "run_coroutine_threadsafe", "wait", "wait_for"),
    "TSK102": ("add_done_callback",),
    "TSK202": ("cancel",),
    "TSK205": ("close", "aclose", "disconnect", "dispose"),
    "TSK302": ("add_done_callback",),
}


@dataclass(frozen=True, order=True)
class Expected:
    """One finding that a fixture expects: line and column are 1-based, in characters."""

    line: int
    column: int
    code: str


@dataclass(frozen=True)
class Fixture:
    """One fixture file and its expectations."""

    path: Path

    @property
    def name(self) -> str:
        """The path below ``fixtures/rules``, as tests and tables show it."""
        return self.path.relative_to(RULES).as_posix()

    @property
    def code(self) -> str:
        """The code of the rule that the fixture belongs to."""
        return self.path.parent.name.partition("-")[0]

    @property
    def is_bad(self) -> bool:
        return self.path.stem.startswith("bad") and not self.is_fixed

    @property
    def is_fixed(self) -> bool:
        """Whether it is what the fixer makes of another fixture, with that one's comments."""
        return self.path.stem.endswith(".fixed")

    @cached_property
    def source(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @cached_property
    def directives(self) -> dict[str, str]:
        """The comments before the first line of code, by keyword."""
        found: dict[str, str] = {}
        for line in self.source.splitlines():
            if not line.startswith("#"):
                break
            if match := _DIRECTIVE.match(line):
                found[match[1]] = match[2]
        return found

    @property
    def lint_only(self) -> str | None:
        """Why the oracle cannot run it, or None."""
        return self.directives.get("lint only")

    @property
    def python(self) -> tuple[int, ...]:
        """The oldest Python that can run it."""
        return tuple(map(int, self.directives.get("python", "3.10").split(".")))

    @cached_property
    def settings(self) -> Settings:
        """The linter's settings that the head of the file names."""
        values: dict[str, Any] = {}
        for setting in self.directives.get("settings", "").split():
            name, _, value = setting.partition("=")
            default = Settings._field_defaults[name]
            if isinstance(default, bool):
                values[name] = value == "true"
            elif isinstance(default, (frozenset, tuple)):
                values[name] = type(default)(value.split(","))
            else:
                values[name] = value
        return Settings(**values)

    @cached_property
    def expected(self) -> list[Expected]:
        """The findings that the markers ask for, in order.

        Raises ``ValueError`` where a marker does not say its column and the line leaves a choice.
        """
        if self.is_fixed:
            return []
        return sorted(
            Expected(line, int(column) if column else self._column(line, code), code)
            for line, comment in _comments(self.source)
            if (markers := _MARKER.match(comment))
            for code, _, column in (marker.partition(":") for marker in markers[1].split())
        )

    def _column(self, line: int, code: str) -> int:
        callees = _CALLEES.get(code, _CREATORS)
        text = self.source.split("\n")[line - 1]
        columns = {
            len(text.encode()[: call.col_offset].decode()) + 1
            for call in ast.walk(ast.parse(self.source))
            if isinstance(call, ast.Call) and call.lineno == line and _last_name(call) in callees
        }
        if len(columns) != 1:
            raise ValueError(f"{self.name}:{line}: say the column of {code}, one of {columns}")
        return columns.pop()

    @cached_property
    def _verdicts(self) -> dict[str, str]:
        """The verdicts stated on ``def`` lines, by function."""
        said: dict[int, str] = {}
        for line, comment in _comments(self.source):
            if (match := _DIRECTIVE.match(comment)) and match[1] == "oracle":
                said[line] = match[2]
        return {
            node.name: said[node.lineno]
            for node in ast.parse(self.source).body
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.lineno in said
        }

    def verdict(self, case: str) -> str:
        """Return what the oracle is expected to say of ``case``."""
        if self.is_fixed:
            return "kept"
        default = _VERDICT_OF_BAD.get(self.code, "kept") if self.is_bad else "kept"
        return self._verdicts.get(case) or self.directives.get("oracle", default)


def fixtures() -> list[Fixture]:
    """Return all fixtures of all rules, in order of their paths."""
    return [Fixture(path) for path in sorted(RULES.glob("TSK*/*.py"))]


def _comments(source: str) -> list[tuple[int, str]]:
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return [(token.start[0], token.string) for token in tokens if token.type == tokenize.COMMENT]


def _last_name(call: ast.Call) -> str:
    match call.func:
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return name
    return ""
