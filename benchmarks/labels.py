"""Precision and recall of flake8-task-refs, ruff and flake8-async on call sites judged by hand.

    python benchmarks/labels.py LABELS ROOT [--show]

LABELS is a tab-separated table with the columns package, path, line, verdict and confidence; ROOT
holds the unpacked packages, one directory each. A site counts as found when a finding stands on
its line. ``discarded``, ``lost`` and ``leaks`` are faults, other verdicts are not; sites of low
confidence are left out. Only the files that have a labelled site are checked. Prints a Markdown
table; ``--show`` adds what this plugin missed, and its false alarms.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

FAULTS = {"discarded", "lost", "leaks"}
OURS = "flake8-task-refs"
# The codes that speak of a lost or leaking handle, by the tool that says them.
CODES = {OURS: ("TSK001", "TSK002", "TSK101"), "flake8-async ASYNC300": ("ASYNC300",)}

Found = set[tuple[Path, int]]


@dataclass(frozen=True)
class Site:
    """One labelled call: where it stands (1-based line) and whether it is a fault."""

    path: Path
    line: int
    fault: bool
    why: str


def read_labels(labels: Path, root: Path) -> list[Site]:
    """Return the sites of high confidence whose package lies under ``root``."""
    with labels.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file, delimiter="\t") if row["confidence"] == "high"]
    sites = [
        Site(
            root / row["package"] / row["path"],
            int(row["line"]),
            row["verdict"] in FAULTS,
            f"{row['verdict']}: {row['why']}",
        )
        for row in rows
    ]
    missing = {site.path for site in sites if not site.path.is_file()}
    if missing:
        sys.exit(f"not under {root}: " + ", ".join(sorted(map(str, missing))))
    return sites


def run(module: str, *arguments: str) -> str:
    """Run a linter. Return what it prints; end the program if it fails to run."""
    command = [sys.executable, "-m", module, *arguments]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if ran.returncode not in (0, 1):
        sys.exit(ran.stderr)
    return ran.stdout


def found_by_flake8(paths: list[Path]) -> dict[str, Found]:
    """Return the lines that each flake8 plugin flags, by plugin."""
    select = ",".join(code for codes in CODES.values() for code in codes)
    form = "%(code)s:%(row)d:%(path)s"
    flagged: dict[str, Found] = defaultdict(set)
    for line in run(
        "flake8", "--isolated", "--select", select, "--format", form, *map(str, paths)
    ).splitlines():
        code, row, path = line.split(":", 2)
        tool = next(tool for tool, codes in CODES.items() if code in codes)
        flagged[tool].add((Path(path), int(row)))
    return flagged


def found_by_ruff(paths: list[Path]) -> Found:
    """Return the lines that ruff's RUF006 flags."""
    options = ("--isolated", "--no-cache", "--select", "RUF006", "--output-format", "json")
    return {
        (Path(found["filename"]), found["location"]["row"])
        for found in json.loads(run("ruff", "check", *options, *map(str, paths)))
        if found["code"] == "RUF006"
    }


def score(name: str, sites: list[Site], found: Found) -> str:
    """Return the row of the table for one linter."""
    flagged = {site for site in sites if (site.path, site.line) in found}
    faults = {site for site in sites if site.fault}
    hits = len(flagged & faults)
    precision = hits / max(1, len(flagged))
    recall = hits / max(1, len(faults))
    return (
        f"| {name} | {hits} | {len(faults - flagged)} | {len(flagged - faults)} "
        f"| {precision:.3f} | {recall:.3f} |"
    )


def main() -> None:
    """Read the arguments, run the linters, print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("labels", type=Path)
    parser.add_argument("root", type=Path)
    parser.add_argument("--show", action="store_true", help="list misses and false alarms of ours")
    options = parser.parse_args()
    root = options.root.expanduser().resolve()
    sites = read_labels(options.labels, root)
    paths = sorted({site.path for site in sites})
    by_flake8 = found_by_flake8(paths)
    faults = sum(site.fault for site in sites)
    print(f"{len(sites)} sites in {len(paths)} files, {faults} of them faults\n")
    print("| linter | found | missed | false alarms | precision | recall |")
    print("|---|---:|---:|---:|---:|---:|")
    print(score(OURS, sites, by_flake8[OURS]))
    print(score("ruff RUF006", sites, found_by_ruff(paths)))
    print(score("flake8-async ASYNC300", sites, by_flake8["flake8-async ASYNC300"]))
    if options.show:
        for site in sites:
            flagged = (site.path, site.line) in by_flake8[OURS]
            if flagged != site.fault:
                kind = "false alarm" if flagged else "missed"
                print(f"{kind} {site.path.relative_to(root)}:{site.line} {site.why}")


if __name__ == "__main__":
    main()
