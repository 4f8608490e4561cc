"""A tokenizer.json made of SentencePiece models: ids and pieces as our own tokeniser has them, or none at all."""

import json
import shutil
from dataclasses import replace

import pytest
from sentencepiece import sentencepiece_model_pb2
from tokenizers import Tokenizer as JsonTokenizer

import tiny_tokenizers
from quartet.checkpoint import open_checkpoint
from quartet.families import find, tokenizer_json
from quartet.text.tokenizer import load_tokenizer

TEXTS = [
    "Where is the train station?",
    "  Two  spaces,\ttabs and ﬁne ligatures １２３ !  ",
    "Où est la gare, s'il vous plaît ? L'école est fermée.",
    "",
    " ",
    "</s> <unk> __fr__ >>fra<< eng_Latn",
]


@pytest.fixture(params=["nllb", "m2m100", "marian"])
def found(request, tmp_path):
    """A folder with a tokeniser's files, and what the manifest says of it."""
    checkpoint = open_checkpoint(tiny_tokenizers.make(tmp_path / "checkpoint", request.param))
    description = find(checkpoint.config).describe(checkpoint)
    for name in description.tokenizer_files:
        shutil.copy(checkpoint.folder / name, tmp_path)
    return tmp_path, description.tokenizer


def test_it_gives_the_ids_of_our_own_tokeniser(found):
    folder, spec = found
    assert tokenizer_json.write(folder, spec)
    ours, theirs = load_tokenizer(folder, spec), JsonTokenizer.from_file(str(folder / "tokenizer.json"))
    for text in (*TEXTS, *tokenizer_json.SAMPLES):
        assert theirs.encode(text, add_special_tokens=False).ids == ours.encode(text)


def test_every_id_has_its_piece(found):
    folder, spec = found
    tokenizer_json.write(folder, spec)
    theirs = JsonTokenizer.from_file(str(folder / "tokenizer.json"))
    if spec.vocab is not None:
        entries = json.loads((folder / spec.vocab).read_text("utf-8"))
        assert {piece: theirs.token_to_id(piece) for piece in entries} == entries
    assert {text: theirs.token_to_id(text) for text in spec.special_tokens} == {
        text: i if text != "<mask>" else theirs.token_to_id(text) for text, i in spec.special_tokens.items()
    }


def test_there_is_none_where_pieces_would_differ(found, monkeypatch):
    folder, spec = found
    monkeypatch.setattr(tokenizer_json, "_normalizer", lambda charsmap: None)  # spaces would stay
    assert not tokenizer_json.write(folder, spec)
    assert not (folder / "tokenizer.json").exists()


@pytest.mark.parametrize("rule", ["add_dummy_prefix", "remove_extra_whitespaces", "escape_whitespaces"])
def test_there_is_none_for_rules_that_it_cannot_say(rule, found):
    folder, spec = found
    model = sentencepiece_model_pb2.ModelProto()
    model.ParseFromString((folder / spec.source_model).read_bytes())
    setattr(model.normalizer_spec, rule, False)
    (folder / spec.source_model).write_bytes(model.SerializeToString())
    assert not tokenizer_json.write(folder, spec)


def test_there_is_none_for_two_vocabularies_or_gaps_between_ids(found):
    folder, spec = found
    assert not tokenizer_json.write(folder, replace(spec, target_vocab="target_vocab.json"))
    assert tokenizer_json._unigram({"a": 0, "b": 2}, {"a": -1.0, "b": -2.0}, 0, False) is None


@pytest.fixture(scope="module")
def of_bytes(tmp_path_factory):
    """MADLAD-400's tokeniser, ours and that of the other library: languages are pieces, other letters are bytes."""
    folder = tiny_tokenizers.make(tmp_path_factory.mktemp("bytes") / "checkpoint", "madlad")
    checkpoint = open_checkpoint(folder)
    spec = find(checkpoint.config).describe(checkpoint).tokenizer
    assert tokenizer_json.write(folder, spec)
    return load_tokenizer(folder, spec), JsonTokenizer.from_file(str(folder / "tokenizer.json"))


def test_letters_that_the_vocabulary_lacks_are_bytes(of_bytes):
    ours, theirs = of_bytes
    for text in ("é", "Où ?", "多谢 and left", "a🙂b 🙂🙂"):
        encoded = theirs.encode(text, add_special_tokens=False)
        assert encoded.ids == ours.encode(text)
        assert any(piece.startswith("<0x") for piece in encoded.tokens)
        assert theirs.decode(encoded.ids) == ours.decode(encoded.ids) == text


def test_a_language_typed_as_text_is_text(of_bytes):
    ours, theirs = of_bytes
    for text in ("<2fr> left", "the <2en>", "<2fr>", "</s>", "<0x41>"):
        ids = theirs.encode(text, add_special_tokens=False).ids
        assert not {0, 1, 2, 3, 4} & {*ids, *ours.encode(text)}
        assert theirs.decode(ids) == ours.decode(ours.encode(text)) == text
