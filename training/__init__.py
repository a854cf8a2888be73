"""Training: the modules here are the nodes of the training DAG, each a pure function with a thin `main`.

What they are made of stands in rooms, each of which needs only those named before it: `records` is what nodes leave for
each other, then `loans`, `features`, `learning`, `graphs`, `card`, `judging`; `run` is the run as a whole.
`contract_proposal` is a tool of its own.
"""
