"""The typical Django design of the same step, written honestly well."""
