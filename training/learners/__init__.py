"""The candidate models, their parameters and their calibration."""
