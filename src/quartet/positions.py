"""Frequencies of sinusoidal positions, in radians per token: one for each pair of a sine and a cosine channel."""

import math


def vaswani(d_model: int) -> tuple[float, ...]:
    """10000^(-2i / d), as in Vaswani et al. 2017, section 3.5."""
    return tuple(10000 ** (-2 * i / d_model) for i in range(d_model // 2))


def fairseq(d_model: int) -> tuple[float, ...]:
    """10000^(-i / (d/2 - 1)), as in fairseq and tensor2tensor: the last one is exactly 1/10000."""
    half = d_model // 2
    step = math.log(10000) / (half - 1)
    return tuple(math.exp(-step * i) for i in range(half))
