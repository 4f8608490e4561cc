from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quartet.errors import OptionError
from quartet.transcription import hallucinations
from quartet.transcription.options import TranscriptionOptions, clips_of
from quartet.transcription.segments import Phrase, Word, cut, hundredths
from quartet.transcription.words import (
    Timing,
    merge_punctuation,
    phrases_with_words,
    shorten_at_sentence_ends,
    split_words,
    usual_duration,
    warp,
    whole_text,
    word_timings,
)

BEGIN = 1000
TIMES = range(BEGIN, BEGIN + 1501)


def at(seconds: float) -> int:
    return BEGIN + round(seconds / 0.02)


def shown(found) -> list[tuple]:
    return [(round(p.start, 2), round(p.end, 2), list(p.tokens)) for p in found.phrases]


# ---- phrases --------------------------------------------------------------------------------------------------------


def test_the_next_window_begins_after_the_last_whole_phrase():
    tokens = [at(0), 1, 2, at(4), at(4.5), 3, at(8), at(8), 4]
    found = cut(tokens, TIMES, 0.02, 3000)
    assert shown(found) == [(0, 4, [at(0), 1, 2, at(4)]), (4.5, 8, [at(4.5), 3, at(8)])]
    assert found.frames == 800
    assert found.unfinished


def test_nothing_follows_a_single_last_timestamp():
    found = cut([at(0), 1, at(4), at(4), 2, at(9)], TIMES, 0.02, 3000)
    assert shown(found) == [(0, 4, [at(0), 1, at(4)]), (4, 9, [at(4), 2, at(9)])]
    assert found.frames == 3000
    assert not found.unfinished


def test_a_window_without_pairs_is_one_phrase():
    assert shown(cut([1, 2], TIMES, 0.02, 1200)) == [(0, 12, [1, 2])]
    found = cut([at(0), 1, at(3)], TIMES, 0.02, 3000)
    assert shown(found) == [(0, 3, [at(0), 1, at(3)])]
    assert found.frames == 3000


def test_what_is_heard_after_the_window_joins_the_last_phrase():
    tokens = [at(0), 1, at(4), at(4), 2, at(6), at(6), 3, at(9)]
    found = cut(tokens, TIMES, 0.02, 515)
    assert shown(found) == [(0, 4, [at(0), 1, at(4)]), (4, 5.15, [at(4), 2, at(6), at(6), 3, at(9)])]
    assert found.frames == 515
    assert shown(cut([at(7), 1, at(9)], TIMES, 0.02, 515)) == [(0, 5.15, [at(7), 1, at(9)])]
    assert shown(cut([at(7), 1, at(9), at(9)], TIMES, 0.02, 515)) == [(0, 5.15, [at(7), 1, at(9)])]


def test_a_word_that_was_added_is_no_time():
    assert shown(cut([at(0), TIMES.stop, at(3)], TIMES, 0.02, 3000)) == [(0, 3, [at(0), TIMES.stop, at(3)])]


@given(
    st.lists(st.lists(st.integers(1, 3), max_size=3), min_size=1, max_size=6),
    st.lists(st.integers(0, 1500), min_size=14, max_size=14),
    st.integers(2, 3000),
    st.sampled_from(["single", "pair", "open"]),
)
def test_phrases_of_any_window(texts, times, frames, ending):
    """Whatever times a window has: its phrases are in order, within it, and hold all tokens that are accounted for."""
    edges = iter(sorted(times))
    tokens: list[int] = []
    for text in texts:
        tokens += [BEGIN + next(edges), *text, BEGIN + next(edges)]
    tokens = {"single": tokens, "pair": [*tokens, tokens[-1]], "open": [*tokens, tokens[-1], 7]}[ending]
    found = cut(tokens, TIMES, 0.02, frames)
    edges = [0.0, *(edge for phrase in found.phrases for edge in (phrase.start, phrase.end)), frames / 100]
    assert edges == sorted(edges)
    assert 0 < found.frames <= frames
    said = [token for phrase in found.phrases for token in phrase.tokens]
    assert said == tokens[: len(said)]
    rest = tokens[len(said) :]
    assert not rest or found.frames < frames or found.phrases[-1].end in (0.0, frames / 100)


@given(st.floats(0, 1e5), st.floats(0.02, 30))
def test_hundredths_lie_within(start, length):
    first, last = hundredths(start, start + length)
    assert start - 1e-6 <= first < last <= start + length + 1e-6
    assert (round(first, 2), round(last, 2)) == (first, last)


def test_a_window_never_stands_still():
    assert cut([at(0), at(0), 1], TIMES, 0.02, 500).frames == 500


# ---- words ----------------------------------------------------------------------------------------------------------


def naive_warp(cost):
    total = np.full((cost.shape[0] + 1, cost.shape[1] + 1), np.inf)
    total[0, 0] = 0
    for i in range(cost.shape[0]):
        for j in range(cost.shape[1]):
            total[i + 1, j + 1] = cost[i, j] + min(total[i, j], total[i, j + 1], total[i + 1, j])
    return total[-1, -1]


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (7, 1), (5, 30), (30, 5)])
def test_the_cheapest_path(shape):
    cost = np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32)
    rows, positions = warp(cost)
    assert (rows[0], positions[0], rows[-1], positions[-1]) == (0, 0, shape[0] - 1, shape[1] - 1)
    steps = set(zip(np.diff(rows).tolist(), np.diff(positions).tolist(), strict=True))
    assert steps <= {(0, 1), (1, 0), (1, 1)}
    assert np.isclose(cost[rows, positions].sum(), naive_warp(cost), atol=1e-4)


def test_words_are_where_the_attention_is():
    attention = np.full((2, 4, 40), 1e-3, np.float32)
    for token, place in enumerate((0, 10, 20, 30)):
        attention[:, token, place : place + 10] = 1
    found = word_timings([(" one", [1, 2]), (" two", [3])], attention, np.array([0.5, 0.7, 1], np.float32), 0.02)
    assert [(w.word, w.start, w.end) for w in found] == [(" one", 0.0, 0.4), (" two", 0.4, 0.6)]
    assert [w.probability for w in found] == pytest.approx([0.6, 1.0])


PIECES = {1: b" Hel", 2: b"lo", 3: b",", 4: b" w\xc3", 5: b"\xb6rld", 6: b".", 7: "你".encode(), 8: "好".encode()}


def to_text(tokens) -> str:
    return b"".join(PIECES[token] for token in tokens).decode(errors="replace")


def test_words_of_tokens():
    assert split_words([1, 2, 3, 4, 5, 6], to_text, "en") == [
        (" Hello", [1, 2]),
        (",", [3]),
        (" wörld", [4, 5]),
        (".", [6]),
    ]
    assert split_words([7, 8], to_text, "zh") == [("你", [7]), ("好", [8])]
    assert split_words([4], to_text, "en") == [(" w", [4])]
    assert split_words([], to_text, "en") == []


SCRAPS = {9: b"\xb6", 10: b" \xc3", 11: b"a\xe4", 12: b"\xbd\xa0\xe4", 13: "\ufffd".encode(), 14: " \ufffd".encode()}


def to_text_with_scraps(tokens) -> str:
    return b"".join((PIECES | SCRAPS)[token] for token in tokens).decode(errors="replace")


@pytest.mark.parametrize(
    ("tokens", "words"),
    [
        ([1, 2, 9], [(" Hello", [1, 2, 9])]),  # half a letter behind a word
        ([1, 2, 14, 4, 5], [(" Hello", [1, 2, 14]), (" wörld", [4, 5])]),  # between two
        ([10, 1, 2], [(" Hello", [10, 1, 2])]),  # before the first
        ([10, 2], [(" lo", [10, 2])]),  # at the beginning of one
        ([13, 13, 13], [("", [13, 13, 13])]),  # a loop of nothing
        ([11, 12, 12], [("a你你", [11, 12, 12])]),  # a letter that three tokens share is whole; the last one is none
    ],
)
def test_scraps_of_letters_are_no_text(tokens, words):
    assert split_words(tokens, to_text_with_scraps, "en") == words
    assert whole_text(tokens, to_text_with_scraps) == "".join(word for word, _ in words)


@given(st.lists(st.sampled_from(sorted(PIECES | SCRAPS))), st.sampled_from(["en", "zh"]))
def test_no_text_has_scraps_and_no_token_is_lost(tokens, language):
    words = split_words(tokens, to_text_with_scraps, language)
    assert [token for _, ids in words for token in ids] == tokens
    assert "\ufffd" not in "".join(word for word, _ in words)
    text, raw = whole_text(tokens, to_text_with_scraps), to_text_with_scraps(tokens)
    assert "".join(text.split()) == "".join(raw.replace("\ufffd", "").split())
    if "\ufffd" not in raw:
        assert text == raw
    if language == "en":
        assert text == "".join(word for word, _ in words)


def timing(word: str, start: float, end: float, token: int = 1, probability: float = 0.9) -> Timing:
    return Timing(word, (token,), start, end, probability)


def test_punctuation_joins_its_word():
    found = merge_punctuation(
        [timing(' "', 0, 1), timing("yes", 1, 2), timing(",", 2, 3), timing(" no", 3, 4), timing(".", 4, 5)], '"', ",."
    )
    assert [(w.word, w.start, w.end, len(w.tokens)) for w in found] == [(' "yes,', 1, 2, 3), (" no.", 3, 4, 2)]


def test_long_words_at_the_end_of_a_sentence_are_shortened():
    words = [timing(" a", 0, 0.2), timing(" b", 0.2, 0.4), timing(".", 0.4, 3.0), timing(" c", 3.0, 6.0)]
    found = shorten_at_sentence_ends(words, 2 * usual_duration(words[:2]))
    assert [(w.start, round(w.end, 2)) for w in found[2:]] == [(0.4, 0.8), (5.6, 6.0)]
    assert usual_duration([]) == 0


def test_phrases_get_their_words_and_times():
    phrases = [Phrase(0, 5, (at(0), 1, 2, at(5))), Phrase(5, 9, (at(5), 3, at(9)))]
    words = [[timing(" a", 0.5, 1.0, 1), timing(" b", 1.0, 1.5, 2)], [timing(" c", 5.5, 6.0, 3)]]
    found = phrases_with_words(phrases, words, 0.5, 0.0, 30)
    assert [(p.start, p.end, [w.word for w in p.words]) for p in found] == [
        (0.5, 1.5, [" a", " b"]),
        (5.5, 6.0, [" c"]),
    ]


@given(
    st.lists(st.tuples(st.floats(0, 40), st.floats(-1, 3)), min_size=1, max_size=60),
    st.floats(0.02, 30),
    st.floats(0, 0.7),
    st.floats(-30, 0),
)
def test_words_of_any_alignment(places, duration, usual, last_speech):
    """Whatever the alignment says: words are in order, within the window, and each has a length."""
    words = [timing(f" {i}", start, start + length) for i, (start, length) in enumerate(sorted(places))]
    half = len(words) // 2
    phrases = [Phrase(0, duration / 2, (1,)), Phrase(duration / 2, duration, (2,))]
    found = phrases_with_words(phrases, [words[:half], words[half:]], usual, last_speech, duration)
    said = [word for phrase in found for word in phrase.words]
    assert [word.word for word in said] == [word.word for word in words]
    edges = [0.0, *(edge for word in said for edge in (word.start, word.end)), duration]
    assert all(earlier <= later + 1e-9 for earlier, later in pairwise(edges))
    assert all(word.end - word.start > min(0.02, duration / len(said)) - 1e-9 for word in said)
    assert all((p.start, p.end) == (p.words[0].start, p.words[-1].end) for p in found if p.words)


def test_the_first_word_after_a_pause_is_shortened():
    (found,) = phrases_with_words(
        [Phrase(0, 9, (1, 2))], [[timing(" a", 0, 8, 1), timing(" b", 8, 8.4, 2)]], 0.4, -3, 30
    )
    assert found.words[0].start == pytest.approx(7.2)


def test_made_up_phrases_between_silences():
    good = Phrase(0.2, 2, (1,), (Word(0.2, 1.0, " good", 0.9), Word(1.0, 2.0, " one", 0.9)))
    bad = Phrase(10, 10.1, (2,), (Word(10, 10.02, " thanks", 0.01),))
    assert hallucinations.is_anomaly(bad)
    assert not hallucinations.is_anomaly(good)
    assert hallucinations.without([good], 30, 0, 2) == ([good], None)
    assert hallucinations.without([good, bad], 30, 0, 2) == ([good], 10)
    assert hallucinations.without([bad], 30, 0, 2) == ([], 10)
    assert hallucinations.without([good, bad], 11, 0, 2) == ([good], 11)


# ---- options --------------------------------------------------------------------------------------------------------


def test_clips():
    assert clips_of("0") == clips_of("") == clips_of([0]) == ()
    assert clips_of("1,2.5") == clips_of([1, 2.5]) == (1, 2.5)
    with pytest.raises(OptionError, match=r"clip_timestamps\[1\] is 'x'; expected seconds"):
        clips_of("1,x")


@pytest.mark.parametrize(
    "wrong",
    [
        {"task": "summarize"},
        {"beam_size": 0},
        {"batch_size": 0},
        {"temperatures": ()},
        {"chunk_length": 31},
        {"clip_timestamps": (3, 1)},
        {"clip_timestamps": (-1, 1)},
        {"hallucination_silence_threshold": 2.0},
    ],
)
def test_options_that_make_no_sense(wrong):
    with pytest.raises(OptionError):
        TranscriptionOptions(**wrong)
