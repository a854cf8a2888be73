"""Loans, models and numbers: reading, scoring, merging and proving. Knows nothing of HTCondor or of the inbox."""

import os

# From 1.32 on onnxruntime collects usage data for its vendor and leaves a device id in the user's cache folder, unless
# this is set before it is imported; its own `disable_telemetry_events()` comes too late. Only this package imports
# onnxruntime, so this line covers every process: daemon, jobs, training nodes, commands and notebooks.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
