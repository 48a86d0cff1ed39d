"""Download the packages of packages.txt, or of a list of judged sites, and unpack their sources.

    python benchmarks/corpus.py DIRECTORY [--labels tests/sites/unseen.tsv]

Leaves DIRECTORY/<package>/...; a package that is there already is left alone. A package called
``owner/name`` is a repository on GitHub, and its version a commit.
"""

from __future__ import annotations

import argparse
import csv
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

PACKAGES = Path(__file__).parent / "packages.txt"


def fetch(pin: str, directory: Path) -> None:
    """Unpack what ``pin`` (``name==version``) names. Raises ``CalledProcessError``."""
    name, _, version = pin.partition("==")
    target = directory / name
    if target.exists():
        return
    if "/" in name:
        check_out(name, version, target)
        return
    with tempfile.TemporaryDirectory() as scratch:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        subprocess.run([*command, "--only-binary", ":all:", "--dest", scratch, pin], check=True)
        wheel = next(Path(scratch).glob("*.whl"))
        unfinished = directory / f".{target.name}.part"
        with zipfile.ZipFile(wheel) as archive:
            sources = [name for name in archive.namelist() if name.endswith((".py", ".pyi"))]
            archive.extractall(unfinished, sources)
        unfinished.rename(target)
    print(target)


def check_out(name: str, commit: str, target: Path) -> None:
    """Check out one commit of a repository on GitHub. Raises ``CalledProcessError``."""
    unfinished = target.with_name(f".{target.name}.part")
    unfinished.mkdir(parents=True, exist_ok=True)
    for command in (
        ["init", "--quiet"],
        ["fetch", "--quiet", "--depth", "1", f"https://github.com/{name}.git", commit],
        ["checkout", "--quiet", "FETCH_HEAD"],
    ):
        subprocess.run(["git", "-C", unfinished, *command], check=True)
    unfinished.rename(target)
    print(target)


def pins(labels: Path | None) -> list[str]:
    """Return the packages to download, as ``name==version``."""
    if labels is None:
        return PACKAGES.read_text().split()
    with labels.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    return sorted({f"{row['package']}=={row['version']}" for row in rows})


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("directory", type=Path)
    parser.add_argument("--labels", type=Path, help="the packages of this list of judged sites")
    options = parser.parse_args()
    directory = options.directory
    directory.mkdir(parents=True, exist_ok=True)
    for pin in pins(options.labels):
        fetch(pin, directory)


if __name__ == "__main__":
    main()
