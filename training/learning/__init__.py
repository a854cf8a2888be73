"""The candidates, and what is chosen, weighed and calibrated from what they foretell out of fold."""
