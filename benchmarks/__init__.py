"""Speed and memory of the stages, beside what the bare libraries need: `python -m benchmarks`."""
