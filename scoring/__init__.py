"""Loans, models and numbers: reading, scoring, merging and proving. Knows nothing of HTCondor or of the inbox."""
