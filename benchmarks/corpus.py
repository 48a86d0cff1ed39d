"""Download the packages of packages.txt and unpack their Python sources.

    python benchmarks/corpus.py DIRECTORY

Leaves DIRECTORY/<package>/...; a package that is there already is left alone.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

PACKAGES = Path(__file__).parent / "packages.txt"


def fetch(pin: str, directory: Path) -> None:
    """Unpack the wheel of ``pin`` (``name==version``). Raises ``CalledProcessError``."""
    target = directory / pin.partition("==")[0]
    if target.exists():
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


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("directory", type=Path)
    directory = parser.parse_args().directory
    directory.mkdir(parents=True, exist_ok=True)
    for pin in PACKAGES.read_text().split():
        fetch(pin, directory)


if __name__ == "__main__":
    main()
