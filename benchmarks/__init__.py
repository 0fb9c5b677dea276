"""One script a claim, each prints one table: `python -m benchmarks.live`, `.startup`, `.sampling`, `.training`."""
