"""What ruff's RUF006 and flake8-async's ASYNC300 say of our fixtures, run for real."""

from __future__ import annotations

import sys
from typing import Any

import oracle
import peers
import pytest
from peers import PEERS

RECORD = peers.record()


@pytest.mark.parametrize("peer", PEERS)
def test_peer_says_what_is_recorded(peer: str) -> None:
    recorded: dict[str, Any] = RECORD[peer]
    installed = peers.version(peer)
    if installed != recorded["version"]:
        pytest.skip(f"recorded with {recorded['version']}, here is {installed}")
    assert peers.compare(peer) == recorded["fixtures"], (
        "measure again: python tests/peers.py --write"
    )


@pytest.mark.parametrize("peer", PEERS)
def test_record_covers_each_finding_of_each_fixture(peer: str) -> None:
    # Holds without the peer installed: what we flag is known from the fixtures alone.
    counted = {
        name: len(said.get("both", ())) + len(said.get("only ours", ()))
        for name, said in RECORD[peer]["fixtures"].items()
    }
    expected = {f.name: len({found.line for found in f.expected}) for f in peers.compared()}
    assert {name: count for name, count in counted.items() if count} == {
        name: count for name, count in expected.items() if count
    }


@pytest.mark.parametrize("peer", PEERS)
def test_cpython_calls_them_false_alarms(peer: str) -> None:
    alarms = [
        (name, described.partition(":")[0])
        for name, said in RECORD[peer]["fixtures"].items()
        for described in said.get("only theirs", ())
    ]
    assert alarms
    for fixture in peers.compared():
        cases = {case for name, case in alarms if name == fixture.name}
        if cases and not fixture.lint_only and fixture.python <= sys.version_info[:2]:
            verdicts = {v.case: v.verdict for v in oracle.judge_file(fixture.path)}
            assert {verdicts.get(case, "kept") for case in cases} <= {"kept", "none"}, fixture.name


def test_readme_shows_the_table() -> None:
    shown = peers.readme_table(peers.README.read_text(encoding="utf-8"))
    if shown is None:
        pytest.skip("the README has no place for the table yet")
    assert shown == peers.table(RECORD)


def test_table_counts_what_is_recorded() -> None:
    ruff_says = {"both": ["f: g()"], "only ours": ["h: i()"], "only theirs": ["j: k()"]}
    recorded = {
        "RUF006": {"version": "ruff 1", "fixtures": {"TSK001-a/x.py": ruff_says}},
        "ASYNC300": {
            "version": "flake8-async 2",
            "fixtures": {
                "TSK001-a/x.py": {"only ours": ["f: g()", "h: i()"]},
                "TSK002-b/y.py": {"only theirs": ["l: m()"]},
            },
        },
    }
    head, _, *rows = peers.table(recorded).splitlines()
    assert head.startswith("| rule | lines to flag | ours | ruff 1: RUF006 | its false alarms |")
    assert rows == [
        "| TSK001 a | 2 | 2 | 1 | 1 | 0 | 0 |",
        "| TSK002 b | 0 | 0 | 0 | 0 | 0 | 1 |",
        "| **all** | **2** | **2** | **1** | **1** | **0** | **1** |",
    ]


def test_readme_table_is_found_between_its_comments() -> None:
    text = "before\n<!-- peers:begin -->\n| a |\n| b |\n<!-- peers:end -->\nafter\n"
    assert peers.readme_table(text) == "| a |\n| b |\n"
    assert peers.readme_table("no comments") is None
