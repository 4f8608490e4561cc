"""Sentences for calibration: which, in which direction, and how they are framed."""

from dataclasses import replace
from itertools import pairwise

import pytest

import tiny
import tiny_text
from quartet import Translator
from quartet.conversion.calibration.examples import BATCH_SIZE, Examples, bundled_sentences, sentences_for, translated
from quartet.conversion.convert import convert_folder
from quartet.errors import OptionError


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("examples")
    convert_folder(tiny_text.make(folder / "checkpoint"), folder / "quartet")
    return folder / "quartet"


@pytest.fixture(scope="module")
def translator(folder):
    with Translator(folder, threads=1) as translator:
        yield translator


def examples(folder, manifest, lines=None) -> Examples:
    return translated(folder, sentences_for(folder, manifest, lines), manifest.tokens.pad)


def rows(found):
    """(source ids, target ids) without padding."""
    return [
        (s[m > 0].tolist(), t[n > 0].tolist())
        for b in found.batches
        for s, m, t, n in zip(b.source_ids, b.source_mask, b.target_ids, b.target_mask, strict=True)
    ]


def test_the_bundled_sentences_say_the_same_in_each_language():
    sentences = bundled_sentences()
    assert {"en", "fr", "de", "es"} <= sentences.keys()
    assert len({len(column) for column in sentences.values()}) == 1
    for column in sentences.values():
        assert len(set(column)) == len(column) > 30
        assert all(sentence == sentence.strip() for sentence in column)


def test_bundled_sentences_come_with_their_translations(folder, translator):
    found = rows(examples(folder, translator.manifest))
    text = {tuple(s): t for s, t in found}
    tokens, tokenizer = translator.manifest.tokens, translator.tokenizer
    ids = {language.code: language.token_id for language in translator.manifest.languages}
    sentences = bundled_sentences()
    assert len(found) == 2 * len(sentences["en"])  # English and French, both ways
    source = (ids["eng_Latn"], *tokenizer.encode(sentences["en"][0]), tokens.eos)
    assert text[source] == [tokens.decoder_start, ids["fra_Latn"], *tokenizer.encode(sentences["fr"][0])]


def test_other_text_is_translated_by_the_model(folder, translator):
    lines = ["Where is the station?", "Où est la gare ?"]
    found = rows(examples(folder, translator.manifest, lines))
    assert len(found) == 2
    for source, target in found:
        (made,) = translator.generate([source], target[:2], max_new_tokens=62)
        assert target[2:] == made
        assert source[0] != target[1]


def test_text_in_no_form_that_fits(folder, translator):
    with pytest.raises(OptionError, match="no line of the calibration text"):
        examples(folder, translator.manifest, ["word " * 500])


def test_similar_lengths_share_a_batch(folder, translator):
    found = examples(folder, translator.manifest)
    lengths = [batch.source_mask.sum(axis=1) for batch in found.batches]
    assert all(a.max() <= b.min() for a, b in pairwise(lengths))
    assert found.sentences == sum(map(len, lengths))
    assert max(map(len, lengths)) <= BATCH_SIZE


@pytest.mark.parametrize("variant", ["m2m100-base", "marian-separate-sizes", "m2m100-short"])
def test_random_ids_where_there_is_no_tokeniser(variant, tmp_path):
    manifest = convert_folder(tiny.make(tmp_path / "checkpoint", variant), tmp_path / "quartet")
    found = examples(tmp_path / "quartet", manifest)
    assert found.origin == "random ids"
    for source, target in rows(found):
        assert max(source) < (manifest.shapes.source_vocab_size or manifest.shapes.vocab_size)
        assert max(target) < manifest.shapes.vocab_size
        assert source[-1] == manifest.tokens.eos
        assert target[0] == manifest.tokens.decoder_start
        assert max(len(source), len(target)) <= manifest.shapes.max_source_length
    assert rows(examples(tmp_path / "quartet", manifest)) == rows(found)


def test_a_model_between_other_languages(folder, translator):
    """No bundled target: English is translated by the model; no bundled language at all: something is read anyway."""
    languages = [
        replace(entry, code="fin_Latn") if entry.code == "fra_Latn" else entry
        for entry in translator.manifest.languages
    ]
    found = examples(folder, replace(translator.manifest, languages=tuple(languages)), ["Where is the station?"])
    assert found.sentences == 1


def between(manifest, *codes):
    """A manifest that calls the model's languages otherwise."""
    pairs = zip(manifest.languages, codes, strict=True)
    return replace(manifest, languages=tuple(replace(entry, code=code) for entry, code in pairs))


def test_random_ids_where_no_bundled_sentence_fits(folder, translator):
    assert examples(folder, between(translator.manifest, "tha_Thai", "amh_Ethi")).origin == "random ids"


def test_lines_in_other_languages_are_left_out(folder, translator):
    lines = ["12345", "Где находится вокзал?", "Where is the station?"]
    assert examples(folder, translator.manifest, lines).sentences == 1


def test_only_what_is_not_bundled_has_to_be_translated(folder, translator):
    assert sentences_for(folder, translator.manifest).are_translated
    assert not sentences_for(folder, translator.manifest, ["Where is the station?"]).are_translated
    assert not sentences_for(folder, between(translator.manifest, "eng_Latn", "fin_Latn")).are_translated


def test_a_group_is_whatever_it_is_translated_from(folder, translator):
    """As of `opus-mt-roa-en`: the bundled sentences of all other languages are read as its only source."""
    source, target = translator.manifest.languages
    group = (replace(source, code="roa", target=False), replace(target, code="eng_Latn", source=False))
    found = sentences_for(folder, replace(translator.manifest, languages=group))
    assert found.are_translated
    assert len(found.pairs) == 3 * len(bundled_sentences()["fr"])
    assert {pair.prefix[1] for pair in found.pairs} == {target.token_id}
