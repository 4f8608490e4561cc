"""Where bits go: within the budget, and as little harm as a few bytes more would allow."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quartet.quantize.choice import Budget, Matrix, choose, harm_of, time_of
from quartet.quantize.numerics import Scheme

SCHEMES = [Scheme(4, 128, False), Scheme(4, 64, False), Scheme(4, 32, False), Scheme(8, 128, True)]
COST = dict(zip(SCHEMES, (4.28, 4.56, 5.13, 8.25), strict=True))  # bits of a weight


def matrix(name, harm, weights=1 << 14, in_steps=True):
    return Matrix(name, harm, weights, in_steps, {scheme: int(weights * COST[scheme]) for scheme in SCHEMES})


def totals(matrices, found):
    pairs = [(m, found[m.name]) for m in matrices]
    return tuple(sum(f(m, s) for m, s in pairs) for f in (lambda m, s: m.bytes_of[s], time_of, harm_of))


matrices = st.lists(
    st.tuples(st.floats(0, 1), st.integers(1 << 10, 1 << 16), st.booleans()), min_size=1, max_size=12
).map(lambda rows: [matrix(str(i), *row) for i, row in enumerate(rows)])


@given(matrices, st.floats(0.9, 2.2), st.floats(0.9, 2.2))
def test_a_choice_fits_and_no_single_matrix_could_gain(found, size, time):
    least = totals(found, {m.name: SCHEMES[0] for m in found})
    budget = Budget(int(least[0] * size), least[1] * time)
    chosen = choose(found, budget)
    if chosen is None:
        assert least[0] > budget.bytes or least[1] > budget.time
        return
    used = totals(found, chosen)
    assert used[0] <= budget.bytes
    assert used[1] <= budget.time
    for m in found:
        for scheme in SCHEMES:
            other = totals(found, chosen | {m.name: scheme})
            assert other[0] > budget.bytes or other[1] > budget.time or other[2] >= used[2] * (1 - 1e-9)


@given(st.lists(st.floats(0.001, 1), min_size=4, max_size=4), st.floats(1, 2))
def test_it_is_not_far_from_the_best_of_all_choices(harms, size):
    found = [matrix(str(i), harm) for i, harm in enumerate(harms)]
    budget = Budget(int(sum(m.bytes_of[SCHEMES[0]] for m in found) * size), float("inf"))
    all_choices = (dict(zip("0123", schemes, strict=True)) for schemes in product(SCHEMES, repeat=4))
    possible = [t for choice in all_choices if (t := totals(found, choice))[0] <= budget.bytes]
    best, uniform = min(t[2] for t in possible), totals(found, dict.fromkeys("0123", SCHEMES[0]))[2]
    chosen = choose(found, budget)
    assert chosen is not None
    assert totals(found, chosen)[2] <= best + 0.4 * (uniform - best)


def test_bits_go_where_they_are_needed_and_time_counts():
    found = [matrix("quiet", 0.001), matrix("loud", 1.0), matrix("once", 0.5, in_steps=False)]
    size = sum(m.bytes_of[SCHEMES[0]] for m in found)
    room = found[0].bytes_of[SCHEMES[3]] + found[0].bytes_of[SCHEMES[2]] - 2 * found[0].bytes_of[SCHEMES[0]]
    chosen = choose(found, Budget(size + room, float("inf")))
    assert chosen == {"quiet": SCHEMES[0], "loud": SCHEMES[3], "once": SCHEMES[2]}
    without_time = choose(found, Budget(size + room, 2.0 * (1 << 14)))
    assert without_time == {"quiet": SCHEMES[0], "loud": SCHEMES[0], "once": SCHEMES[3]}


@pytest.mark.parametrize("budget", [Budget(1, 1e9), Budget(1 << 30, 1.0)])
def test_nothing_is_chosen_where_nothing_fits(budget):
    assert choose([matrix("a", 1.0)], budget) is None
