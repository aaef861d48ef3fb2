"""The benchmarks behind `tools/bench`."""
