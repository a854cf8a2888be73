"""The nodes of the training DAG: one module for each kind of job."""
