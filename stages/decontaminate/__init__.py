"""Decontamination: which documents hold items of evaluation sets, found by n-grams of words.

`decontamination_index` turns benchmarks into a sorted table of n-gram hashes, `decontaminate`
compares documents with it, and `python -m stages.decontaminate.report` tells what was found.
"""
