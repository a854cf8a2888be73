"""Take the htcondor requirement out of a compiled lock file: it is installed by range, not by pin.

Usage: without_htcondor.py COMPILED LOCK
"""

import re
import sys
from pathlib import Path

compiled, lock = map(Path, sys.argv[1:])
entries = re.split(r"(?m)^(?=[A-Za-z0-9])", compiled.read_text())
lock.write_text("".join(entry for entry in entries if not entry.startswith("htcondor==")))
