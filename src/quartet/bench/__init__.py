"""Measure models: how well they translate, and what they cost. `quartet rank`, `quartet bench`, and benchmarks/.

data -> contest (child processes of `worker`, what they run in `peers`) -> quality, faults -> choice -> tables,
html_report
"""
