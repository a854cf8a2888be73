"""Training: the modules here are the nodes of the training DAG, each a pure function with a thin `main`.

What they are made of stands in rooms: `loans`, `features`, `learning`, `graphs`, `judging`, `card`. `records` is what
they leave for each other, `run` the run as a whole; `contract_proposal` is a tool of its own.
"""
