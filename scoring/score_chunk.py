"""The program that jobs of earlier releases call: `scoring.chunk.job` under its former name.

A job that was queued before an upgrade names this module, and may start on an execute node after it.
"""

import os

from scoring.chunk.job import main

if __name__ == "__main__":
    # Not sys.exit: that fails with a code of its own where what could not be printed cannot be flushed.
    os._exit(main())
