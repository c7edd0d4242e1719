"""The site's own modules and the browser's helpers are found by these tests."""

import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(TESTS.parent / "site"), str(TESTS / "browser")]
