"""Settings of a site: the site file, the names on the shared tree, and the storage below it."""
