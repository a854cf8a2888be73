"""CSV files: how they are read, where records begin and end, values and rejects."""
