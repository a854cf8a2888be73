"""What HTCondor is told and what it tells back: pure texts and values, and one seam to the bindings.

The package imports nothing else of the product, so its errors are its own.
"""
