"""The program that training nodes of earlier releases call: `training.nodes.preprocess` under its former name."""

import sys

from training.nodes.preprocess import main

if __name__ == "__main__":
    sys.exit(main())
