"""What is promised is kept while things break: `python3 dev.py soak`. See docs/reliability.md."""
