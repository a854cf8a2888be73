"""The inbox: which files are complete, and how they become batches."""
