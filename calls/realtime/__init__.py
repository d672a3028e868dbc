"""The bell: telling whoever follows the log of calls that there is something new to read."""
