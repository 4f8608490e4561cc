from collections import Counter
from dataclasses import dataclass, replace

from hypothesis import given
from hypothesis import strategies as st

from quartet.serve.fair_queue import AGEING, FairQueue, Lane, Waiting


@dataclass(frozen=True, eq=False)
class Row(Waiting):
    name: str = ""


def row(client="a", lane=Lane.INTERACTIVE, alike="greedy", length=10, rows=1, since=0.0, name=""):
    return Row(client, lane, alike, length, rows, since, name)


def waiting(rows, max_tokens=10_000):
    queue = FairQueue(max_tokens)
    queue.add(rows)
    return queue


def names(rows):
    return [one.name for one in rows]


def test_rows_that_are_alike_leave_together():
    queue = waiting([row(name="1"), row(name="2", alike="beams"), row(name="3"), row(name="4", length=100)])
    assert names(queue.next_batch(0, lambda _: 48, 1000)) == ["1", "3"]
    assert names(queue.next_batch(0, lambda _: 48, 1000)) == ["2"]
    assert names(queue.next_batch(0, lambda _: 48, 1000)) == ["4"]
    assert not queue.next_batch(0, lambda _: 48, 1000)


def test_a_batch_has_no_more_rows_and_tokens_than_it_may():
    rows = [row(length=length) for length in (20, 30, 40, 20, 20)]
    assert [one.length for one in waiting(rows).next_batch(0, lambda _: 48, 60)] == [20, 30]
    assert len(waiting(rows).next_batch(0, lambda _: 3, 1000)) == 3
    assert len(waiting([row(rows=4) for _ in range(5)]).next_batch(0, lambda _: 10, 1000)) == 2
    assert len(waiting([row(length=5000)]).next_batch(0, lambda _: 48, 1000)) == 1


def test_rows_that_may_not_begin_hold_up_nobody_and_keep_their_turn():
    queue = waiting([row(alike="busy", name="1"), row(alike="idle", name="2"), row(alike="busy", name="3")])

    def room(one):
        return 48 if one.alike == "idle" else 0

    assert names(queue.next_batch(0, room, 1000)) == ["2"]
    assert not queue.next_batch(0, room, 1000)
    assert names(queue.next_batch(0, lambda _: 48, 1000)) == ["1", "3"]


def test_one_client_with_many_rows_holds_up_nobody():
    queue = waiting([row("many", name="m") for _ in range(100)])
    assert names(queue.next_batch(0, lambda _: 4, 1000)) == ["m"] * 4
    queue.add([row("few", name="f") for _ in range(3)])
    assert sorted(names(queue.next_batch(0, lambda _: 4, 1000))) == ["f", "f", "m", "m"]


def test_who_comes_back_from_idling_has_no_credit():
    queue = waiting([row("busy", name="b") for _ in range(100)])
    queue.add([row("idle", name="i")])
    for _ in range(5):
        queue.next_batch(0, lambda _: 8, 1000)
    queue.add([row("idle", name="i") for _ in range(50)])
    assert Counter(names(queue.next_batch(0, lambda _: 8, 1000))) == {"i": 4, "b": 4}


def test_lanes_come_in_their_order_until_what_waits_is_old():
    rows = [row("f", Lane.FILE, name="file"), row("i", name="page"), row("r", Lane.REALTIME, name="speech")]
    assert names(waiting(rows).next_batch(0, lambda _: 1, 1000)) == ["speech"]
    assert names(waiting(rows[:2]).next_batch(0, lambda _: 1, 1000)) == ["page"]
    now = 2 * AGEING
    fresh = [replace(rows[2], since=now) for _ in range(3)]
    assert "file" in names(waiting([rows[0], *fresh]).next_batch(now, lambda _: 2, 1000))


def test_there_is_room_for_so_many_tokens_and_for_anything_where_nothing_waits():
    queue = FairQueue(100)
    assert queue.has_room(1000)
    queue.add([row(length=90)])
    assert queue.has_room(10)
    assert not queue.has_room(11)


def test_what_nobody_wants_leaves():
    queue = waiting([row(name="1"), row("b", name="2", length=30)])
    assert names(queue.remove(lambda one: one.name == "2")) == ["2"]
    assert (len(queue), queue.tokens) == (1, 10)


ROWS = st.builds(
    Row,
    st.sampled_from("abc"),
    st.sampled_from(Lane),
    st.sampled_from(["greedy", "beams"]),
    st.integers(1, 300),
    st.sampled_from([1, 4]),
    st.floats(0, 100),
)


@given(st.lists(st.lists(ROWS, max_size=20), max_size=5), st.integers(4, 48), st.integers(1, 2000))
def test_every_row_leaves_once_in_a_batch_that_is_no_larger_than_it_may_be(groups, max_rows, max_tokens):
    queue, left, given_ = FairQueue(10**6), [], [one for group in groups for one in group]
    for group in groups:
        queue.add(group)
        left += queue.next_batch(100, lambda _: max_rows, max_tokens)
    while batch := queue.next_batch(100, lambda _: max_rows, max_tokens):
        assert len({one.alike for one in batch}) == 1
        assert sum(one.rows for one in batch) <= max_rows
        assert len(batch) == 1 or len(batch) * max(one.length for one in batch) <= max_tokens
        left += batch
    assert sorted(map(id, left)) == sorted(map(id, given_))
    assert (len(queue), queue.tokens) == (0, 0)
