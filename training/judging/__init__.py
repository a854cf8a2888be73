"""Figures of a candidate, the choice, the champion, and what is published."""
