"""What every test relies on, whoever started it."""

import signal

import scoring  # noqa: F401 (turns onnxruntime's telemetry off, before a test imports onnxruntime itself)

# A script's background process ignores Ctrl-C, and so does all that it starts; tests press it.
signal.signal(signal.SIGINT, signal.default_int_handler)
