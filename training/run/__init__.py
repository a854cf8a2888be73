"""One training run as a whole: planned as a DAG, followed, resumed and told."""
