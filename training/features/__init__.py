"""What is derived from a loan before a model sees it: found on training rows, kept if it proves itself."""
