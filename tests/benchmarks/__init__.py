"""The benchmarks run; what they measure is asserted nowhere."""
