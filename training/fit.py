"""The program that training nodes of earlier releases call: `training.nodes.fit` under its former name."""

import sys

from training.nodes.fit import main

if __name__ == "__main__":
    sys.exit(main())
