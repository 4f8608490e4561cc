"""`Translator`: text in, text out, as its docstrings say. The demo model where the words matter, else a tiny one."""

import itertools
import re

import numpy as np
import pytest

import tiny
import tiny_text
from demo_model import ENGLISH, FRENCH
from quartet import Glossary, Translation, Translator
from quartet.conversion.convert import convert_folder
from quartet.errors import LanguageError, ManifestError, ModelNotFoundError, OptionError
from quartet.runtime.rules import LOOP_REPEATS, longest_repeat
from quartet.translation.plan import Reading

TEXTS = [
    "Where is the train station?",
    "Thank you.",
    "I have been living in this town for three years.",
    "It is raining.",
    "My brother is taller than me, but I am stronger.",
    "Good morning.",
    "What time is it?",
]


@pytest.fixture(scope="module")
def demo():
    with Translator("demo", precision="fp32", threads=1) as translator:
        yield translator


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A tiny model with a tokeniser and a window of 64 tokens; it talks nonsense."""
    folder = tmp_path_factory.mktemp("small")
    convert_folder(tiny_text.make(folder / "checkpoint"), folder / "quartet", precision="fp32")
    with Translator(folder / "quartet", threads=1) as translator:
        yield translator


@pytest.fixture(scope="module")
def marian(tmp_path_factory):
    """A tiny model on ids that forces its end token at the greatest length."""
    folder = tmp_path_factory.mktemp("marian")
    convert_folder(tiny.make(folder / "checkpoint", "marian-base"), folder / "quartet", precision="fp32")
    with Translator(folder / "quartet", threads=1) as translator:
        yield translator


def prompt(translator: Translator, text: str) -> list[int]:
    return [ENGLISH, *translator.tokenizer.encode(text), 2]


PREFIX = [2, FRENCH]


# ---- translate ----


def test_a_translation(demo):
    found = demo.translate("Where is the train station?", source="en", target="fr")
    assert found == Translation("Où est la gare ?", found.score, "eng_Latn", "fra_Latn")
    assert -1 < found.score < 0
    assert demo.translate("Où est la gare ?", source="French", target="eng_Latn").text == "Where's the station?"


def test_the_languages_of_the_model(demo):
    assert demo.source_languages == demo.target_languages == ("deu_Latn", "eng_Latn", "fra_Latn", "spa_Latn")


def test_order_is_kept_and_batches_change_nothing(demo):
    alone = [demo.translate(text, "fr", "en") for text in TEXTS]
    assert len({t.text for t in alone}) == len(TEXTS)
    for max_batch_size in (1, 3, 32):
        together = demo.translate_batch(TEXTS, "fr", "en", max_batch_size=max_batch_size)
        assert [t.text for t in together] == [t.text for t in alone]
        assert [t.score for t in together] == pytest.approx([t.score for t in alone], abs=1e-4)


def test_beams_in_batches_change_nothing(demo):
    alone = [demo.translate(text, "fr", "en", beam_size=3) for text in TEXTS[:4]]
    together = demo.translate_batch(TEXTS[:4], "fr", "en", beam_size=3)
    assert [t.text for t in together] == [t.text for t in alone]


def test_no_text_and_no_texts(demo):
    assert demo.translate_batch([], "fr", "en") == []
    for text in ("", " ", "\n\n", "\t\u00a0"):
        assert demo.translate(text, "fr", "en") == Translation(text, None, None, "fra_Latn")
    mixed = demo.translate_batch(["", TEXTS[0], "  "], "fr", "en")
    assert [t.text for t in mixed] == ["", "Où est la gare ?", "  "]


def test_white_space_around_a_text_and_its_lines_stay(demo):
    first, second = (demo.translate(text, "fr", "en").text for text in TEXTS[:2])
    text = f"  {TEXTS[0]}\r\n\r\n\t{TEXTS[1]} \n"
    assert demo.translate(text, "fr", "en").text == f"  {first}\r\n\r\n\t{second} \n"


def test_progress_counts_pieces(demo):
    told = []
    demo.translate_batch(
        [*TEXTS, "Good morning.\nGood night."],
        "fr",
        "en",
        max_batch_size=4,
        progress=lambda done, total: told.append((done, total)),
    )
    assert told == [(4, 9), (8, 9), (9, 9)]


def test_one_text_where_a_list_is_wanted(demo):
    with pytest.raises(OptionError, match="takes a list of texts"):
        demo.translate_batch("Hello.", "fr", "en")


@pytest.mark.parametrize("text", [None, b"Hello.", 3])
def test_what_is_no_text(demo, text):
    with pytest.raises(OptionError, match=f"text is {re.escape(repr(text))}; expected text"):
        demo.translate(text, "fr", "en")


# ---- languages ----


def test_the_source_is_detected_per_text(demo):
    found = demo.translate_batch(["Where is the train station?", "Il fait très froid aujourd'hui."], "fr")
    assert [t.source for t in found] == ["eng_Latn", "fra_Latn"]


def test_detected_equal_to_target_comes_back_with_a_note(demo, caplog):
    text = " Il fait  très froid aujourd'hui.\n"
    assert demo.translate(text, "fr") == Translation(text, None, "fra_Latn", "fra_Latn")
    assert [record.getMessage() for record in caplog.records] == [
        "already in French, left as it is: Il fait très froid aujourd'hui."
    ]


@pytest.mark.parametrize("text", ["Hello.", ""])
def test_named_equal_is_an_error(demo, text):
    with pytest.raises(LanguageError, match=r"source and target are both French \(fra_Latn\)"):
        demo.translate(text, "fr", "fra_Latn")


@pytest.mark.parametrize("text", ["42", "3.14 + 1", "\U0001f600", "***", "\0"])
def test_text_without_letters_is_in_no_language(demo, text):
    assert demo.translate(text, "fr") == Translation(text, None, None, "fra_Latn")


@pytest.mark.parametrize(
    ("target", "source", "message"),
    [
        (None, "en", r"name the target language with --to .*; the model has: \w+, "),
        ("it", "en", r"no Italian \(ita_Latn\)"),
        ("frnch", "en", "did you mean French"),
        ("fr", "xx", "unknown language 'xx'"),
        ("", "en", "unknown language ''"),
    ],
)
def test_languages_that_the_model_lacks(demo, target, source, message):
    for call in (demo.translate, demo.stream):
        with pytest.raises(LanguageError, match=message):
            call("Hello.", target, source)
    with pytest.raises(LanguageError, match=message):
        demo.check_languages(target, source)


# ---- options ----


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"beam_size": 0}, "beam_size is 0"),
        ({"num_hypotheses": 0}, "num_hypotheses is 0"),
        ({"num_hypotheses": 2}, r"num_hypotheses is 2; expected 1 \(beam_size\)"),
        ({"max_length": 0}, "max_length is 0; expected an integer from 1 to"),
        ({"max_batch_size": 0}, "max_batch_size is 0"),
        ({"repetition_penalty": 0.0}, "repetition_penalty is 0.0"),
        ({"no_repeat_ngram_size": -1}, "no_repeat_ngram_size is -1; expected an integer from 0 to 1000 tokens"),
        ({"length_penalty": float("nan")}, "length_penalty is nan; expected a number from -10 to 10"),
        ({"repetition_penalty": float("nan")}, "repetition_penalty is nan; expected a number from 0.01 to 100"),
        ({"beam_size": 5000}, "beam_size is 5000; expected an integer from 1 to 64"),
        ({"beam_size": True}, "beam_size is True; expected an integer from 1 to 64"),
        ({"max_length": 63}, r"max_length is 63; expected an integer from 1 to 62 tokens \(the model's window"),
        ({"raw": "no"}, "raw is 'no'; expected True or False"),
        ({"source": 3}, "source is 3; expected text"),
        ({"split": "words"}, "split is 'words'; expected auto, sentences or none"),
    ],
)
def test_options_that_make_no_sense(small, options, message):
    with pytest.raises(OptionError, match=message):
        small.translate("Hello.", **{"target": "fr", "source": "en"} | options)


def test_texts_may_come_from_anything_in_order(small):
    whole = small.translate_batch(["One.", "Two."], "fr", "en", max_length=3)
    assert small.translate_batch((text for text in ("One.", "Two.")), "fr", "en", max_length=3) == whole
    for wrong in ({"One."}, b"One.", 3, None, {"One.": "Two."}):
        with pytest.raises(OptionError, match=r"texts is .*; expected a list of texts"):
            small.translate_batch(wrong, "fr", "en")


def test_numbers_of_numpy_are_numbers(small):
    numpy = {"beam_size": np.int64(2), "length_penalty": np.float32(0.5), "raw": np.True_, "max_length": np.uint8(5)}
    plain = {"beam_size": 2, "length_penalty": 0.5, "raw": True, "max_length": 5}
    assert small.translate("Hello.", "fr", "en", **numpy) == small.translate("Hello.", "fr", "en", **plain)


def test_alternatives_are_sorted_and_different(demo):
    best = demo.translate("I am very hungry.", "fr", "en", beam_size=4, num_hypotheses=3)
    found = [best, *best.alternatives]
    assert len({t.text for t in found}) == 3
    assert [t.score for t in found] == sorted((t.score for t in found), reverse=True)
    assert all(t.alternatives == () for t in best.alternatives)
    assert demo.translate("I am very hungry.", "fr", "en", beam_size=4).text == best.text


def test_max_length_counts_the_tokens_of_a_piece(small):
    for length in (1, 5):
        ids = small.generate([prompt(small, "Hello.")], PREFIX, max_new_tokens=length)
        text = small.translate("Hello.", "fr", "en", max_length=length, loop_guard=False).text
        assert text == small.tokenizer.decode(ids[0])


def test_repetition_is_penalised_and_ngrams_banned(small):
    plain = small.generate([prompt(small, TEXTS[0])], PREFIX)[0]
    assert longest_repeat(plain) > 1
    banned = small.generate([prompt(small, TEXTS[0])], PREFIX, no_repeat_ngram_size=1)[0]
    assert len(set(banned)) == len(banned)
    penalised = small.generate([prompt(small, TEXTS[0])], PREFIX, repetition_penalty=5.0)[0]
    assert len(set(penalised)) / len(penalised) > len(set(plain)) / len(plain)


def begins_a_fifth_round(ids: list[int]) -> bool:
    """Whether an n-gram stands there four times in a row, and then its first token once more."""
    starts = ((i, n) for n in range(1, len(ids) // LOOP_REPEATS + 1) for i in range(len(ids) - LOOP_REPEATS * n))
    return any(ids[i : i + n] * LOOP_REPEATS + ids[i : i + 1] == ids[i : i + LOOP_REPEATS * n + 1] for i, n in starts)


def test_the_guard_acts_on_the_fifth_round_only(small):
    loops = []
    for text in [*TEXTS, *(text.upper() for text in TEXTS), "How are you?", "She reads a book.", "We are late."]:
        (ids,) = small.generate([prompt(small, text)], PREFIX)
        loops.append(begins_a_fifth_round(ids))
        off = small.translate(text, "fr", "en", loop_guard=False, split="none", raw=True).text
        assert off == small.tokenizer.decode(ids)
        guarded = small.translate(text, "fr", "en", split="none", raw=True)
        assert (guarded.text != off) == loops[-1]
        assert not (loops[-1] and guarded.complete)
    assert 0 < sum(loops) < len(loops)


# ---- splitting ----

SENTENCES = [*TEXTS, "She bought a new car last week.", "We ate bread and cheese.", "He is sleeping.", "I like tea."]


def test_nothing_of_a_long_paragraph_is_lost(small, demo):
    paragraph = " ".join(SENTENCES * 4)
    assert demo.tokenizer.count(paragraph) > demo.manifest.safe_length
    each = [demo.translate(sentence, "fr", "en").text for sentence in SENTENCES]
    found = demo.translate(paragraph, "fr", "en")
    assert found.text == " ".join(each * 4)
    assert found.score < 0


def test_split_modes(small):
    text = " ".join(TEXTS[:2])
    each = [small.translate(sentence, "fr", "en").text for sentence in TEXTS[:2]]
    for split in ("auto", "sentences"):
        assert small.translate(text, "fr", "en", split=split).text == " ".join(each)
    (whole,) = small.generate([prompt(small, text)], PREFIX)
    found = small.translate(text, "fr", "en", split="none", raw=True, loop_guard=False).text
    assert found == small.tokenizer.decode(whole) != " ".join(each)


def test_split_none_refuses_what_exceeds_the_window(small):
    with pytest.raises(OptionError, match=r"a text of \d+ tokens is longer than the model's 62; use split auto"):
        small.translate("word " * 100, "fr", "en", split="none")
    assert small.translate("word " * 100, "fr", "en", max_length=2).text


def test_pieces_fill_the_window_and_no_more(small):
    longest = "a" * next(n for n in range(100) if small.tokenizer.count("a" * (n + 1)) > 62)
    assert small.tokenizer.count(longest) == 62
    whole, longer = small._texts.plans([longest, longest + "a"], "en", "fr", Reading(raw=True))
    assert len(whole.pieces) == 1
    pieces = longer.pieces
    assert "".join(piece.text for piece in pieces) == longest + "a"
    assert all(small.tokenizer.count(piece.text) <= 62 for piece in pieces)
    assert small.translate(longest, "fr", "en", split="none").text


# ---- stream ----


@pytest.mark.parametrize(
    "text", ["I have been living here for three years.", "Good morning.\n\n  Thank you.\n", "", "12"]
)
def test_a_stream_grows_to_the_translation(demo, text):
    parts = list(demo.stream(text, "fr", "en"))
    assert parts[-1] == demo.translate(text, "fr", "en").text
    assert all(before != after for before, after in itertools.pairwise(parts))
    assert len(parts) > 3 or len(text) < 3
    assert parts[-1].startswith(parts[len(parts) // 3])


def test_a_stream_of_a_long_text(small):
    text = " ".join(SENTENCES)
    *_, last = small.stream(text, "fr", "en")
    assert last == small.translate(text, "fr", "en").text


def test_a_stream_of_what_needs_no_translation(demo):
    assert list(demo.stream("Il fait très froid aujourd'hui.", "fr")) == ["Il fait très froid aujourd'hui."]


# ---- generate ----


def test_exactly_so_many_tokens(demo, marian):
    ids = demo.generate([prompt(demo, TEXTS[0])] * 2, PREFIX, min_new_tokens=75, max_new_tokens=75)
    assert [len(row) for row in ids] == [75, 75]
    # this one has to end with its end token, which counts and is left out
    ids = marian.generate(tiny.inputs("marian-base", 2), min_new_tokens=63, max_new_tokens=63)
    assert [len(row) for row in ids] == [62, 62]


def test_new_tokens_are_counted_after_the_prefix(demo):
    ids = prompt(demo, TEXTS[0])
    (free,) = demo.generate([ids], PREFIX)
    assert demo.generate([ids], PREFIX, max_new_tokens=3) == [free[:3]]
    assert demo.generate([ids], PREFIX, max_new_tokens=len(free) + 1) == [free]
    assert len(demo.generate([ids], PREFIX, min_new_tokens=len(free) + 5)[0]) >= len(free) + 5
    assert 2 not in free


def test_a_prefix_for_all_or_one_per_row(demo):
    rows = [prompt(demo, text) for text in TEXTS[:3]]
    for_all = demo.generate(rows, PREFIX)
    assert demo.generate(rows, [PREFIX] * 3) == for_all
    mixed = demo.generate(rows, [[2, ENGLISH], PREFIX, PREFIX])
    assert mixed[0] != for_all[0]
    assert mixed[1:] == for_all[1:]


@pytest.mark.parametrize("beam_size", [1, 3])
def test_prefixes_of_different_length(demo, beam_size):
    """A row that is given its first tokens goes on as it does alone, whatever its neighbours are given."""
    rows = [prompt(demo, text) for text in TEXTS[:3]]
    free = demo.generate(rows, PREFIX)
    prefixes = [PREFIX, [*PREFIX, *free[1][:3]], [*PREFIX, *free[2][:5]]]
    together = demo.generate(rows, prefixes, beam_size=beam_size)
    alone = [demo.generate([row], [prefix], beam_size=beam_size)[0] for row, prefix in zip(rows, prefixes, strict=True)]
    if beam_size == 1:
        assert together == [free[0], free[1][3:], free[2][5:]]
    assert together == alone


def test_without_a_prefix_the_decoder_start_is_fed(marian):
    rows = tiny.inputs("marian-base")
    start = marian.manifest.tokens.decoder_start
    assert marian.generate(rows) == marian.generate(rows, [start]) == marian.generate(rows, [[start]] * len(rows))
    assert marian.generate([]) == []


@pytest.mark.parametrize("batch_size", [1, 2, 32])
def test_batches_of_ids_change_nothing(marian, batch_size):
    rows = tiny.inputs("marian-base")
    assert marian.generate(rows, max_batch_size=batch_size) == marian.generate(rows)


@pytest.mark.parametrize(
    ("ids", "options", "message"),
    [
        ([[]], {}, r"ids\[0\] is \[\]; expected a list of token ids, not an empty one"),
        ([[5, -1, 0]], {}, r"ids\[0\]\[1\] is -1; expected an integer from 0 to 98 \(the model's vocabulary\)"),
        ([[5, 99, 0]], {}, r"ids\[0\]\[1\] is 99; expected an integer from 0 to 98"),
        ([[5, 0]], {"prefix_ids": [100]}, r"prefix_ids\[0\]\[0\] is 100"),
        ([[5, 0]], {"prefix_ids": [[98], [98]]}, "2 prefixes for 1 rows"),
        ([[5, 0]], {"prefix_ids": [[]]}, r"prefix_ids\[0\] is \[\]"),
        ([[5, 0]], {"prefix_ids": [98] * 64}, r"prefix_ids\[0\] has 64 tokens; expected at most 63"),
        ([[5, 0]], {"max_new_tokens": 0}, "max_new_tokens"),
        ([[5, 0]], {"max_new_tokens": 64}, "max_new_tokens is 64; expected an integer from 1 to 63 tokens"),
        ([[5] * 65], {}, r"ids\[0\] has 65 tokens; expected at most 64 \(the model's window\)"),
        ([[5, 0]], {"prefix_ids": []}, r"prefix_ids is \[\]; expected a list"),
        (
            [[5, 0]],
            {"min_new_tokens": 3, "max_new_tokens": 2},
            r"min_new_tokens is 3; expected an integer from 0 to 2 tokens \(max_new_tokens\)",
        ),
    ],
)
def test_ids_and_lengths_that_make_no_sense(marian, ids, options, message):
    with pytest.raises(OptionError, match=message):
        marian.generate(ids, **options)


def test_two_vocabularies_have_two_limits(tmp_path):
    """99 rows on the source side, 83 on the target side."""
    convert_folder(tiny.make(tmp_path / "checkpoint", "marian-separate-sizes"), tmp_path / "quartet")
    with Translator(tmp_path / "quartet", threads=1) as translator:
        assert translator.generate([[98, 0]], max_new_tokens=3)
        with pytest.raises(OptionError, match=r"ids\[0\]\[0\] is 99; expected an integer from 0 to 98"):
            translator.generate([[99, 0]])
        with pytest.raises(OptionError, match=r"prefix_ids\[0\]\[0\] is 83; expected an integer from 0 to 82"):
            translator.generate([[98, 0]], [83])


# ---- opening and closing ----


def test_a_closed_translator_says_so(small):
    with Translator(small.folder, threads=1) as translator:
        assert translator.translate("Hello.", "fr", "en", max_length=2).text
    translator.close()
    for call in (
        lambda: translator.translate("Hello.", "fr", "en"),
        lambda: translator.translate("", "fr", "en"),
        lambda: translator.stream("Hello.", "fr", "en"),
        lambda: translator.generate([[5, 2]], PREFIX),
    ):
        with pytest.raises(OptionError, match="this translator is closed; make a new one"):
            call()
    assert translator.target_languages == ("eng_Latn", "fra_Latn")


@pytest.mark.parametrize(
    ("model", "options", "error", "message"),
    [
        ("nowhere-to-be-found", {}, ModelNotFoundError, "no model 'nowhere-to-be-found'"),
        ("demo", {"precision": "int3"}, OptionError, "precision is 'int3'"),
        ("demo", {"revision": "v1"}, OptionError, "has no revision"),
        ("demo", {"threads": 0, "precision": "fp32"}, OptionError, "threads is 0"),
    ],
)
def test_models_that_cannot_be_opened(model, options, error, message):
    with pytest.raises(error, match=message):
        Translator(model, **options)


def test_a_damaged_file_is_found_when_asked(small, tmp_path):
    for path in small.folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    with (tmp_path / "decoder.onnx.data").open("r+b") as file:
        file.write(b"\xff\xff")
    Translator(tmp_path, threads=1).close()
    with pytest.raises(ManifestError, match=r"decoder\.onnx\.data is damaged"):
        Translator(tmp_path, threads=1, verify=True)


# ---- glossaries ----


def test_a_glossary_changes_only_what_has_its_terms(demo):
    plain = demo.translate_batch(TEXTS, target="fr", source="en")
    found = demo.translate_batch(TEXTS, target="fr", source="en", glossary={"train station": "Centrale"})
    assert "Centrale" in found[0].text.split()
    assert (found[0].complete, found[0].missing) == (True, ())
    assert found[1:] == plain[1:]


def test_a_stream_with_a_glossary_ends_with_the_translation(demo):
    terms = Glossary({"train station": "Centrale"})
    *_, last = demo.stream(TEXTS[0], "fr", "en", glossary=terms)
    assert last == demo.translate(TEXTS[0], "fr", "en", glossary=terms).text


def test_what_a_term_should_have_become_is_missed(small):
    found = small.translate("Where is the train station?", "fr", "en", glossary={"train station": "Centrale"})
    assert "Centrale" in found.text or "Centrale" in found.missing


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"glossary": "a"}, "glossary is 'a'; expected a dict of terms"),
        ({"glossary": {"a": ""}}, "glossary: 'a' becomes '', and one of them is empty"),
        ({"glossary": {"a": "b"}, "raw": True}, "no use for a glossary"),
    ],
)
def test_glossaries_that_make_no_sense(demo, options, message):
    with pytest.raises(OptionError, match=message):
        demo.translate("Hello.", "fr", "en", **options)
