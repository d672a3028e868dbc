"""How fast the service is, as ratios of two things measured in one run: `python3 dev.py bench`."""
