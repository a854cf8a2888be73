"""What every unit test relies on."""

import os

# The threads of OpenMP wait for each other busily: on a machine with other work two are many times slower than one.
os.environ.setdefault("OMP_NUM_THREADS", "1")
