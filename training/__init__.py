"""Training: one module per node of the training DAG, each a pure function with a thin `main`; and synthetic loans."""
