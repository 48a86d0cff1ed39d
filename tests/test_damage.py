"""Files with findings that are broken elsewhere: a short one is parsed, a long one if it shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from flake8_task_refs.analysis import check
from flake8_task_refs.analysis.check import check_file
from flake8_task_refs.analysis.finding import SourceError
from flake8_task_refs.options import Settings

if TYPE_CHECKING:
    from flake8_task_refs.analysis.finding import Finding

FINDING = "import asyncio\n\n\nasync def main():\n    asyncio.create_task(work())\n\n\n"
LONG = "def double(number):\n    '''Twice: \"as much\"?'''  # $\n    return 2 * number\n\n\n" * 500
SHOWN = {
    "an open bracket": "def broken(:\n    pass\n",
    "an open string": "def broken():\n    return 'half\n",
    "a quote too many": 'def broken():\n    return "one""\n',
    "an open text": "def broken():\n    return '''half\n",
    "a merge": "<<<<<<< HEAD\nx = 1\n=======\nx = 2\n>>>>>>> other\n",
    "a template": "x = {% if it %}1{% endif %}\n",
    "a variable of a shell": "x = $HOME\n",
    "the end": "def broken():\n",
    "an end in a sum": "x = 1 +\n",
}
NOT_SHOWN = "def broken():\n    x = = 1\n"


def found_in(source: str) -> list[Finding]:
    """Return the findings that ``--check`` tells of ``source``."""
    return check_file(source, Settings(), {"TSK001"})


@pytest.mark.parametrize("before", ["", LONG], ids=["short", "long"])
@pytest.mark.parametrize("broken", SHOWN.values(), ids=SHOWN)
def test_what_shows_is_told(before: str, broken: str) -> None:
    with pytest.raises(SourceError):
        found_in(FINDING + before + broken)


def test_what_does_not_show_is_told_of_a_short_file() -> None:
    with pytest.raises(SourceError):
        found_in(FINDING + NOT_SHOWN)


def test_what_does_not_show_hides_no_finding_of_a_long_file() -> None:
    assert found_in(FINDING + LONG + NOT_SHOWN)


@pytest.mark.parametrize(
    "end",
    ["", "x = 1 + 2  # and so on:\n", "x = [1,\n]", "x = 'a', 'b:'\n", "x = ...\n", 'f"{x}?"\n'],
)
def test_a_long_file_is_not_parsed(end: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(check, "syntax_error", asked.append)
    assert found_in(FINDING + LONG + end)
    assert not asked
    assert found_in(FINDING + end)
    assert len(asked) == 1
