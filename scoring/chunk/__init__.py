"""One chunk of a file: its plan, the job that scores it, and the part that the job writes."""
