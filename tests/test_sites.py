"""The rules against real call sites judged by hand (tests/sites).

They need the packages that benchmarks/corpus.py downloads; the environment variable
``TASK_REFS_CORPUS`` says where they are. Sites of packages that are not there are left out.
"""

from __future__ import annotations

import csv
import os
from collections import defaultdict
from pathlib import Path

import pytest

from flake8_task_refs.analysis.check import check_source
from flake8_task_refs.analysis.survey import survey_source
from flake8_task_refs.options import Settings
from flake8_task_refs.rules import BY_CODE

SITES = Path(__file__).parent / "sites"
FAULTS = {"discarded", "lost", "leaks"}
# list, codes that may speak of its sites, the share of its faults that must be found
LISTS = [
    ("calls.tsv", {"TSK001", "TSK002", "TSK101"}, 0.95),
    ("unseen.tsv", {"TSK001", "TSK002", "TSK101"}, 0.95),
    ("unretained.tsv", {"TSK001", "TSK002"}, 0.8),
    ("missing_discard.tsv", {"TSK001", "TSK002", "TSK101"}, 0.0),
    ("aggregates.tsv", {"TSK003"}, 0.95),
]


def rows(name: str) -> list[dict[str, str]]:
    with (SITES / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


@pytest.mark.parametrize("name", [name for name, _, _ in LISTS])
def test_lists_are_large_enough_and_well_formed(name: str) -> None:
    sites = rows(name)
    assert len(sites) >= 40
    assert {site["verdict"] for site in sites} <= FAULTS | {"managed", "not_a_task"}
    assert {site["confidence"] for site in sites} <= {"high", "low"}
    assert all(int(site["line"]) > 0 < int(site["col"]) and site["why"] for site in sites)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "codes", "recall"), LISTS)
def test_no_false_alarm_and_few_misses(name: str, codes: set[str], recall: float) -> None:
    corpus = Path(os.environ.get("TASK_REFS_CORPUS", "/nonexistent"))
    if not corpus.is_dir():
        pytest.skip("TASK_REFS_CORPUS does not name a directory (see benchmarks/corpus.py)")
    by_file: dict[Path, list[dict[str, str]]] = defaultdict(list)
    for site in rows(name):
        if site["confidence"] == "high" and (corpus / site["package"]).is_dir():
            by_file[corpus / site["package"] / site["path"]].append(site)
    if not by_file:
        pytest.skip(f"none of the packages of {name} is there")
    false_alarms, missed, faults = [], [], 0
    for path, sites in by_file.items():
        found = check_source(path.read_text("utf-8-sig"))
        places = {(f.line, f.column) for f in found if f.code in codes}
        for site in sites:
            said = (int(site["line"]), int(site["col"])) in places
            fault = site["verdict"] in FAULTS
            faults += fault
            if said and not fault:
                false_alarms.append(site)
            if fault and not said:
                missed.append(site)
    assert false_alarms == []
    assert len(missed) <= round((1 - recall) * faults, 3), missed


def test_figures_of_the_lifecycle_rules_are_those_of_their_sites() -> None:
    judged: dict[str, list[bool]] = defaultdict(list)
    for site in rows("lifecycle_precision.tsv"):
        assert site["verdict"] in {"right", "wrong"}
        assert int(site["line"]) > 0 < int(site["col"])
        assert all(site[name] for name in ("package", "version", "path", "why"))
        judged[site["code"]].append(site["verdict"] == "right")
    assert judged.keys() >= {"TSK201", "TSK202", "TSK203", "TSK204", "TSK301", "TSK302"}
    for code, verdicts in judged.items():
        rule = BY_CODE[code]
        assert rule.sites == len(verdicts), code
        assert rule.precision == round(sum(verdicts) / len(verdicts), 2), code


@pytest.mark.slow
def test_what_is_stopped_at_shutdown_no_rule_calls_unstopped() -> None:
    """Hold TSK201 and TSK204, and the survey behind the map, to the labels' ``stop`` column."""
    corpus = Path(os.environ.get("TASK_REFS_CORPUS", "/nonexistent"))
    if not corpus.is_dir():
        pytest.skip("TASK_REFS_CORPUS does not name a directory (see benchmarks/corpus.py)")
    settings = Settings(enabled_codes=frozenset({"TSK204"}))
    by_file: dict[Path, list[dict[str, str]]] = defaultdict(list)
    for site in rows("calls.tsv"):
        if (corpus / site["package"]).is_dir():
            by_file[corpus / site["package"] / site["path"]].append(site)
    if not by_file:
        pytest.skip("none of the packages of calls.tsv is there")
    spoken = {"TSK201", "TSK204"}
    contradicted, stopped, never_stopped = [], 0, 0
    for path, sites in by_file.items():
        text = path.read_text("utf-8-sig")
        found = check_source(text, settings)
        unstopped = {(f.line, f.column) for f in found if f.code in spoken}
        tasks = {(task.line, task.column): task for task in survey_source(text).tasks}
        for site in sites:
            at = int(site["line"]), int(site["col"])
            task = tasks.get(at)
            ended = task is None or bool(task.ended_by) or not task.in_sight
            if site["stop"] == "yes" and site["verdict"] == "managed":
                stopped += 1
                contradicted += [site] if at in unstopped or not ended else []
            elif site["stop"] == "no" and site["verdict"] == "discarded" and task is not None:
                never_stopped += 1
                contradicted += [site] if task.ended_by else []
            elif at in unstopped and site["stop"] != "no":
                contradicted.append(site)
    assert stopped >= 15
    assert never_stopped >= 30
    assert contradicted == []
