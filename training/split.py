"""The program that training nodes of earlier releases call: `training.nodes.split` under its former name."""

import sys

from training.nodes.split import main

if __name__ == "__main__":
    sys.exit(main())
