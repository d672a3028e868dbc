"""The only code that looks things up for readers."""
