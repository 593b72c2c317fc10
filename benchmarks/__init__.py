"""Benchmarks: each is a program, `python -m benchmarks.NAME --json FILE`, that starts and stops what it needs.

Exit status 0 means that it ran to its end, whatever the figures. `python -m benchmarks` runs them all.
"""
