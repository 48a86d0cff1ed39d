"""What comes from elsewhere is pinned: actions by commit, development tools by version."""

from __future__ import annotations

import re
import sys

import pytest
from commands import ROOT

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

WORKFLOWS = [*sorted((ROOT / ".github" / "workflows").glob("*.yml")), ROOT / "docs" / "ci.md"]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_every_action_is_pinned_by_its_commit(path: object) -> None:
    text = next(known for known in WORKFLOWS if known is path).read_text("utf-8")
    uses = re.findall(r"uses: *(.*)", text)
    assert uses
    for action in uses:
        assert re.fullmatch(r"[\w-]+/[\w/-]+@[0-9a-f]{40} +# v\d+\.\d+\.\d+", action), action


def test_every_development_tool_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *extras["test"], *extras["fuzz"]]
    names = {re.split(r"[^\w-]", wish)[0].lower().replace("_", "-") for wish in wanted}
    pinned = set()
    for line in (ROOT / ".ci" / "constraints.txt").read_text("utf-8").splitlines():
        if not line.startswith("#"):
            match = re.fullmatch(r"([a-z0-9-]+)==[\w.]+(; python_version (<|>=) '3\.\d+')?", line)
            assert match, line
            pinned.add(match[1])
    assert names <= pinned


def test_the_wheel_needs_no_more_than_it_says() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    names = {re.split(r"[^\w-]", wish)[0] for wish in project["dependencies"]}
    assert names == {"flake8", "libcst", "tomli"}
