"""Explanations: status, diagnosis of a batch, and what an auditor asks."""
