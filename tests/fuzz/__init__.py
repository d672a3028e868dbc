"""Parsers fed with what no sender would send, guided by which code it reaches (atheris)."""
