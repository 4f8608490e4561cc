"""Where bits go: the scheme of each matrix, such that the harm is least within the bytes and the time of a recipe.

How much each matrix harms is measured elsewhere, one at a time with all others in float32; harms are taken to add up,
and to shrink with the block size as `HARM` says. What is left is a knapsack with several choices for each item (a
multiple-choice knapsack): with a price for each byte every matrix has a best scheme of its own, and the price is
raised until all of them fit. What room is left then goes to whatever gains most.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from quartet.quantize.numerics import Scheme

# Of the harm of 4 bits in blocks of 128; GPTQ on opus-mt-en-fr and the demo model, mean over all matrices.
HARM = {(4, 16): 0.5, (4, 32): 0.62, (4, 64): 0.8, (4, 128): 1.0, (4, 256): 1.25}
HARM_OF_8_BITS = 0.004
# Time of a product with one row, beside 4 bits in blocks of 128 (ONNX Runtime 1.32, AVX-512 VNNI). 8 bits take 1.15
# where the matrix is in the cache, and up to twice as long where it is not.
TIME = {(4, 16): 1.6, (4, 32): 1.35, (4, 64): 1.25, (4, 128): 1.0, (4, 256): 1.0}
TIME_OF_8_BITS = 1.5
WEIGHTS_OF_TIME = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0)  # the price of time beside that of bytes, each of the whole
HALVINGS = 80  # of the interval in which the price is


@dataclass(frozen=True)
class Matrix:
    """What is to be decided about one matrix."""

    name: str
    harm: float  # divergence where it alone has 4 bits in blocks of 128
    weights: int  # of its elements
    in_steps: bool  # multiplied with in each step of the search; else once for a text
    bytes_of: Mapping[Scheme, int]  # its choices, and the bytes of each


@dataclass(frozen=True)
class Budget:
    """What all matrices together may take."""

    bytes: int
    time: float  # of a step, in elements of 4 bits in blocks of 128


def time_of(matrix: Matrix, scheme: Scheme) -> float:
    """Of its product in a step, in elements of 4 bits in blocks of 128."""
    if not matrix.in_steps:
        return 0.0
    factor = TIME_OF_8_BITS if scheme.bits == 8 else TIME[scheme.bits, scheme.block_size]
    return matrix.weights * factor


def harm_of(matrix: Matrix, scheme: Scheme) -> float:
    """Divergence that the matrix is expected to cause."""
    return matrix.harm * (HARM_OF_8_BITS if scheme.bits == 8 else HARM[scheme.bits, scheme.block_size])


def choose(matrices: Sequence[Matrix], budget: Budget) -> dict[str, Scheme] | None:
    """A scheme for each matrix, by name; None where even the smallest ones do not fit."""
    found = [choice for weight in WEIGHTS_OF_TIME if (choice := _within(matrices, budget, weight)) is not None]
    if not found:
        return None
    best = min(found, key=lambda choice: sum(harm_of(m, s) for m, s in zip(matrices, choice, strict=True)))
    return {matrix.name: scheme for matrix, scheme in zip(matrices, best, strict=True)}


def _within(matrices: Sequence[Matrix], budget: Budget, weight_of_time: float) -> list[Scheme] | None:
    """The best choice at the lowest price at which all fit, with what is left spent too; None: at no price."""

    def at(price: float) -> list[Scheme]:
        return [min(m.bytes_of, key=_price(m, budget, price, weight_of_time)) for m in matrices]

    low, high = 1e-9, 1e9
    for _ in range(HALVINGS):
        middle = (low * high) ** 0.5
        low, high = (low, middle) if _fits(matrices, at(middle), budget) else (middle, high)
    choice = at(high)
    return _filled(matrices, choice, budget) if _fits(matrices, choice, budget) else None


def _price(matrix: Matrix, budget: Budget, price: float, weight_of_time: float) -> Callable[[Scheme], float]:
    """Harm and cost of a scheme."""

    def total(scheme: Scheme) -> float:
        cost = matrix.bytes_of[scheme] / budget.bytes + weight_of_time * time_of(matrix, scheme) / (budget.time or 1.0)
        return harm_of(matrix, scheme) + price * cost

    return total


def _left(matrices: Sequence[Matrix], choice: Sequence[Scheme], budget: Budget) -> tuple[int, float]:
    """Bytes and time that a choice leaves of the budget."""
    pairs = list(zip(matrices, choice, strict=True))
    return budget.bytes - sum(m.bytes_of[s] for m, s in pairs), budget.time - sum(time_of(m, s) for m, s in pairs)


def _fits(matrices: Sequence[Matrix], choice: Sequence[Scheme], budget: Budget) -> bool:
    return min(_left(matrices, choice, budget)) >= 0


def _filled(matrices: Sequence[Matrix], choice: list[Scheme], budget: Budget) -> list[Scheme]:
    """Move one matrix after the other to a better scheme, the largest gain first, while one fits."""
    while True:
        room, time = _left(matrices, choice, budget)
        moves = [
            (harm_of(m, choice[i]) - harm_of(m, scheme), i, scheme)
            for i, m in enumerate(matrices)
            for scheme, size in m.bytes_of.items()
            if size - m.bytes_of[choice[i]] <= room and time_of(m, scheme) - time_of(m, choice[i]) <= time
        ]
        gain, place, scheme = max(moves, key=lambda move: move[0])
        if gain <= 0:
            return choice
        choice = [*choice[:place], scheme, *choice[place + 1 :]]
