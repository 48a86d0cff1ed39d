"""Let these tests import what lies beside the tests one level up."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
