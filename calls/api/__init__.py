"""Our clients speak to us: one resource, one file."""
