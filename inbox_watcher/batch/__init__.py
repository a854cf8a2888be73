"""Batches: states, journal, claim, planning, publishing and recovery."""
