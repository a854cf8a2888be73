"""Labelled loans: read once, hashed, dealt out to sides, folds and shards, or made up."""
