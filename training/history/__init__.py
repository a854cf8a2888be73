"""Labelled loans: the history files, their shards and folds, and generated loans."""
