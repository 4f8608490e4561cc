"""Starts `quartet serve` with batches of one row: what batching brings is the ratio of the usual one's speed to its.

python benchmarks/one_row_server.py --model MODEL --threads 2 --port 5000
"""

import sys

from quartet.cli import main
from quartet.serve import decoding

decoding.AT_ONCE = 1
decoding.SharedDecoder.__init__.__defaults__ = (1,)  # most rows of a batch
main(["serve", *sys.argv[1:]])
