"""What can be measured, one file each. They run where no quartet is installed, so only `quartet.py` imports it.

A file has

- `PACKAGES`: what has to be installed, the one that gives the kind its name first
- `VARIANTS`: by name (the usual one first), how many bytes of memory a weight takes, for an estimate before loading
- `SPEAKS`: `ids` or `tokens` (of the checkpoint's vocabulary), or `text`: what a job's sources and prefix come as
- `load(folder, threads, variant)`: seconds of loading, and a function from a `worker.Job` to seconds and new rows
- `make(checkpoint, folder, variant)`, where the kind has a format of its own: convert; in a process of its own too

Heavy imports belong into the functions.
"""
