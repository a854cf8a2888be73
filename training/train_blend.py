"""The program that training nodes of earlier releases call: `training.nodes.train_blend` under its former name."""

import sys

from training.nodes.train_blend import main

if __name__ == "__main__":
    sys.exit(main())
