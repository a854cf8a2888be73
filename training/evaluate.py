"""The program that training nodes of earlier releases call: `training.nodes.evaluate` under its former name."""

import sys

from training.nodes.evaluate import main

if __name__ == "__main__":
    sys.exit(main())
