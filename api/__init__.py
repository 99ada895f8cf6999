"""Documented entry points of the deployment guide; the code lives in `src/beta9_provisioning`."""

import sys
from pathlib import Path

# Works from a checkout where only requirements.txt is installed.
_SRC = str(Path(__file__).resolve().parent.parent / "src")
if _SRC not in sys.path:
    sys.path.insert(0, _SRC)
