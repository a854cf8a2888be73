"""The daemon: from a file dropped in the inbox to published predictions, whatever happens in between."""
