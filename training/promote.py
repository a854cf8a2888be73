"""The program that training nodes of earlier releases call: `training.nodes.promote` under its former name."""

import sys

from training.nodes.promote import main

if __name__ == "__main__":
    sys.exit(main())
