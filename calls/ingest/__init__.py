"""Others speak to us: one outside vocabulary, one file."""
