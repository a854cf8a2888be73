"""Scoring jobs: submission, monitoring, held jobs and excluded hosts."""
