"""Whispers with words that a fine-tune added, with rows that no token has, and without a generation config."""

import json

import numpy as np
import pytest

import tiny_speech
import tiny_speech_text
from quartet import Transcriber
from quartet.audio.audio import RATE
from quartet.conversion.convert import convert_folder
from quartet.errors import CheckpointError, ManifestError
from quartet.families import tokenizers
from quartet.runtime.speech import DecodingOptions
from quartet.spec import Speech

WORD = "quokkaberry"
SOUND = np.random.default_rng(0).normal(size=RATE).astype(np.float32) * np.float32(0.1)
UNLIMITED = {
    "no_speech_threshold": None,
    "log_prob_threshold": None,
    "compression_ratio_threshold": None,
    "temperature": 0.0,
    "beam_size": 1,
    "max_new_tokens": 6,
}


def converted(tmp_path, **more):
    checkpoint = tiny_speech_text.make_fine_tuned(tmp_path / "checkpoint", **more)
    convert_folder(checkpoint, tmp_path / "quartet", precision="fp32")
    return tmp_path / "quartet"


def heard(folder, **more) -> list:
    with Transcriber(folder, threads=1) as model:
        return list(model.transcribe(SOUND, "en", **(UNLIMITED | more))[0])


@pytest.mark.parametrize("generation", [True, False])
@pytest.mark.parametrize("padding", [0, 13])
@pytest.mark.parametrize("times", [True, False])
def test_control_tokens_are_found_by_name(tmp_path, generation, padding, times):
    folder = converted(tmp_path, words=[WORD], padding=padding, generation=generation, times=times)
    with Transcriber(folder, threads=1) as model:
        speech, languages = model.manifest.speech, model.manifest.languages
    assert isinstance(speech, Speech)
    assert (speech.no_timestamps, speech.timestamp_begin, speech.previous, speech.no_speech) == (
        *(tiny_speech.NO_TIMESTAMPS, tiny_speech.BEGIN),
        *(tiny_speech.PREVIOUS, tiny_speech.NO_SPEECH),
    )
    assert (speech.transcribe, speech.translate) == (tiny_speech.TRANSCRIBE, tiny_speech.TRANSLATE)
    assert {one.code: one.token_id for one in languages} == {
        "en": tiny_speech.ENGLISH,
        "fr": tiny_speech.FRENCH,
        "de": tiny_speech.GERMAN,
    }
    assert speech.timestamps == range(tiny_speech.BEGIN, tiny_speech.VOCABULARY)


@pytest.mark.parametrize("padding", [0, 13])
@pytest.mark.parametrize("words", [False, True])
def test_a_word_that_was_added_is_heard(tmp_path, padding, words):
    folder = converted(tmp_path, words=[WORD], padding=padding)
    assert heard(folder, without_timestamps=True, word_timestamps=words)[0].text == WORD * 6
    found = heard(folder, word_timestamps=words)
    assert found[0].text.startswith(WORD * 3)
    assert all(0 <= one.start < one.end <= 1.0 for one in found)
    assert not words or "".join(word.word for word in found[0].words) == found[0].text


def test_words_of_a_window_that_never_ends(tmp_path):
    """As many tokens of text as the decoder can hold: there is no room for an end to be aligned."""
    folder = converted(tmp_path, words=[WORD])
    first = heard(folder, without_timestamps=True, word_timestamps=True, max_new_tokens=None)[0]
    assert first.text == WORD * (tiny_speech.TARGET_POSITIONS - 4)
    edges = [0.0, *(edge for word in first.words for edge in (word.start, word.end)), 1.0]
    assert edges == sorted(edges)
    assert all(word.start < word.end for word in first.words)


def test_rows_that_no_token_has_are_never_said(tmp_path):
    folder = converted(tmp_path, padding=13)
    with Transcriber(folder, threads=1) as model:
        nobodys = range(tiny_speech.VOCABULARY, tiny_speech.VOCABULARY + 13)
        assert set(nobodys) <= set(model.manifest.generation.suppress_tokens)
        assert DecodingOptions().suppress_tokens is None
    for suppressed in ((-1,), (4,), None):
        for one in heard(folder, without_timestamps=True, suppress_tokens=suppressed):
            assert not set(one.tokens) & set(nobodys)


def test_a_word_without_a_row_is_text_like_any_other(tmp_path, caplog):
    checkpoint = tiny_speech_text.make(tmp_path / "checkpoint")
    content = json.loads((checkpoint / "tokenizer.json").read_text())
    content["added_tokens"].append(content["added_tokens"][-1] | {"id": 200, "content": "abc", "special": False})
    (checkpoint / "tokenizer.json").write_text(json.dumps(content))
    convert_folder(checkpoint, tmp_path / "quartet", precision="fp32")
    assert "added words have no row in the embedding of 102 rows and are text like any other: 'abc'" in caplog.text
    assert isinstance(heard(tmp_path / "quartet", hotwords="abc", initial_prompt="abc abc"), list)


def test_the_tokeniser_of_another_model_is_refused(tmp_path):
    checkpoint = tiny_speech_text.make(tmp_path / "checkpoint")
    content = json.loads((checkpoint / "tokenizer.json").read_text())
    for token in content["added_tokens"]:
        token["id"] += 60
    (checkpoint / "tokenizer.json").write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match=r"has id 1\d+, which the vocabulary of 102 tokens does not have"):
        convert_folder(checkpoint, tmp_path / "quartet", precision="fp32")


def test_a_quartet_whose_tokens_are_not_its_tokenisers_is_refused(tmp_path):
    folder = converted(tmp_path)
    manifest = json.loads((folder / "quartet.json").read_text())
    manifest["speech"]["no_timestamps"] -= 1
    (folder / "quartet.json").write_text(json.dumps(manifest))
    with pytest.raises(ManifestError, match=r"speech.no_timestamps is 49; expected 50, the id of <\|notimestamps\|>"):
        Transcriber(folder, threads=1)


def test_words_after_times_that_old_files_do_not_name(tmp_path):
    """`vocab.json` and `merges.txt`, control tokens in `added_tokens.json`, then words: the times have no names."""
    content = tiny_speech_text.tokenizer()
    vocabulary = content["model"]["vocab"]
    named = {one["content"]: one["id"] for one in content["added_tokens"] if one["id"] < tiny_speech.BEGIN}
    (tmp_path / "vocab.json").write_text(json.dumps(vocabulary | {"<|endoftext|>": named.pop("<|endoftext|>")}))
    (tmp_path / "merges.txt").write_text("#version: 0.2\n")
    (tmp_path / "added_tokens.json").write_text(json.dumps(named | {WORD: tiny_speech.VOCABULARY}))
    found = tokenizers.whisper(tmp_path, tiny_speech.VOCABULARY + 1)
    assert found.named[WORD] == tiny_speech.VOCABULARY
    made = {one["content"]: one for one in json.loads(found.made["tokenizer.json"])["added_tokens"]}
    assert (made[WORD]["id"], made[WORD]["special"]) == (tiny_speech.VOCABULARY, False)
    assert made["<|1.00|>"]["id"] == tiny_speech.VOCABULARY - 1
