"""A real HTCondor pool on this machine: get the daemons, configure them, start, inspect and stop them.

Unprivileged, on loopback only, with nothing installed system-wide.  The package imports nothing
else of the product, and never imports the HTCondor bindings: they read their configuration once
per process, and one process may look after several pools.
"""
