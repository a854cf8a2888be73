"""Model versions: the registry, what is in production, and how a version is verified and opened."""
