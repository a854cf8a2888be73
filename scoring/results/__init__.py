"""Published results: merge, receipt, verification, replay, and scoring one file on this machine."""
