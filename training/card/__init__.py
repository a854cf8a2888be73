"""The model card: one page that needs no other file, and the same facts for programs."""
