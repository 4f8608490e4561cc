"""The real whisper-base on a real recording, at every precision, from the hub's layout and from OpenAI's."""

import json

import numpy as np
import pytest

import rtranslator
from checkpoint_files import write_torch_zip
from log_mel import log_mel, read_wav
from quartet.checkpoint import open_checkpoint, read
from quartet.conversion.convert import convert_folder
from quartet.families import tokenizers
from quartet.families.whisper import openai_name
from quartet.provision import convert
from quartet.runtime.engine import open_engine
from quartet.runtime.speech import DecodingOptions, align, decode_windows, detect_languages, encode_audio
from quartet.spec import FILES
from quartet.text.tokenizer import load_tokenizer

pytestmark = pytest.mark.slow

PROMPT = [50258, 50259, 50359]
# transformers 4.57.6, float32, eager attention: generate(..., language="en", task="transcribe", return_timestamps=True)
REFERENCE = [
    *(50364, 400, 370, 452, 7177, 6280, 11, 1029, 406, 437, 428, 1941, 393, 360, 337, 291, 11),
    *(1029, 437, 291, 393, 360, 337, 428, 1941, 13, 50914),
]
WORDS = "and so my fellow americans ask not what your country can do for you ask what you can do for your country"


@pytest.fixture(scope="module")
def features(shared):
    return log_mel(read_wav(shared / "data" / "audio" / "jfk.wav"))


@pytest.fixture(scope="module", params=["fp32", "int8", "int4"])
def quartet(request, whisper_base, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param) / "quartet"
    convert_folder(whisper_base, folder, precision=request.param)
    return folder


def words(text: str) -> str:
    return " ".join("".join(c for c in text.lower() if c.isalpha() or c == " ").split())


def test_the_words_are_right(quartet, features):
    model = open_engine(quartet, threads=2).model()
    tokenizer = load_tokenizer(quartet, model.manifest.tokenizer)
    audio = encode_audio(model, features)
    for options in (DecodingOptions(), DecodingOptions(beam_size=5), DecodingOptions(timestamps=False)):
        prompt = PROMPT if options.timestamps else [*PROMPT, 50363]
        (found,) = decode_windows(model, audio, [prompt], options)
        assert words(tokenizer.decode([t for t in found.tokens if t < 50257])) == WORDS
        assert found.no_speech_prob < 0.2
        assert found.avg_logprob > -0.5
    (shares,) = detect_languages(model, audio)
    assert next(iter(shares)) == "en"
    assert shares["en"] > 0.9


def test_the_tokens_are_those_of_transformers(quartet, features):
    model = open_engine(quartet, threads=2).model()
    if model.manifest.precision != "fp32":
        pytest.skip("only float32 has the reference's tokens")
    options = DecodingOptions(max_initial_timestamp=model.manifest.speech.max_initial_timestamp)
    (found,) = decode_windows(model, encode_audio(model, features), [PROMPT], options)
    assert list(found.tokens) == REFERENCE


def test_attention_follows_the_audio(quartet, features):
    """One after the other, the words of the speech are heard later and later, within its 11 seconds.

    The row of a token says where the next one was heard.
    """
    model = open_engine(quartet, threads=2).model()
    (found,) = align(model, encode_audio(model, features), [[*PROMPT, *REFERENCE, 50257]])
    heard = found.attention.mean(axis=0).argmax(axis=1)[len(PROMPT) : len(PROMPT) + len(REFERENCE) - 3] * 0.02
    assert np.corrcoef(heard, np.arange(len(heard)))[0, 1] > 0.9
    assert heard[0] < 2
    assert 9 < heard[-1] < 11.5


def test_openais_file_of_the_same_weights(whisper_base, tmp_path):
    checkpoint = open_checkpoint(whisper_base)
    tensors = {
        openai_name(n.removeprefix("model.")): read(e) for n, e in checkpoint.tensors.items() if "proj" not in n[:9]
    }
    dims = {"n_mels": 80, "n_vocab": 51865, "n_audio_ctx": 1500, "n_audio_state": 512, "n_audio_head": 8}
    dims |= {"n_audio_layer": 6, "n_text_ctx": 448, "n_text_state": 512, "n_text_head": 8, "n_text_layer": 6}
    write_torch_zip(tmp_path / "base.pt", tensors, "float16", "model_state_dict", dims)
    ours = convert_folder(whisper_base, tmp_path / "hub", precision="int8")
    theirs = convert(tmp_path / "base.pt", tmp_path / "openai", precision="int8", tokenizer=whisper_base)
    assert all(ours.files[f"{file}.onnx.data"] == theirs.files[f"{file}.onnx.data"] for file in FILES)
    assert set(ours.generation.suppress_tokens) == set(theirs.generation.suppress_tokens)
    assert ours.generation.begin_suppress_tokens == theirs.generation.begin_suppress_tokens
    assert (ours.languages, ours.tokens, ours.tokenizer) == (theirs.languages, theirs.tokens, theirs.tokenizer)
    assert ours.speech.alignment_heads == theirs.speech.alignment_heads


def test_a_tokeniser_made_of_vocab_and_merges_cuts_text_alike(whisper_base, shared, tmp_path):
    for name in ("vocab.json", "merges.txt", "added_tokens.json"):
        (tmp_path / name).write_bytes((whisper_base / name).read_bytes())
    made, given = tokenizers.whisper(tmp_path), tokenizers.whisper(whisper_base)
    (tmp_path / "tokenizer.json").write_bytes(made.made["tokenizer.json"])
    ours, theirs = load_tokenizer(tmp_path, made.spec), load_tokenizer(whisper_base, given.spec)
    for language in ("en", "fr", "de", "es"):
        for line in (shared / "data" / "flores-dev" / f"{language}.txt").read_text("utf-8").splitlines()[:100]:
            assert ours.encode(line) == theirs.encode(line)
            assert ours.decode(ours.encode(line)) == line.strip()
    assert tokenizers.non_speech(tmp_path) == tokenizers.non_speech(whisper_base)
    listed = json.loads((whisper_base / "generation_config.json").read_text())["suppress_tokens"]
    assert set(tokenizers.non_speech(whisper_base)) == {token for token in listed if token < 50257}


def test_rtranslator_hears_the_words(whisper_base, shared, tmp_path):
    """As the app does it for two people: the same sound in both languages, and the likelier one is kept."""
    convert_folder(whisper_base, tmp_path / "app", precision="int8", layout="rtranslator")
    prompts = [[50258, language, 50359, 50363] for language in (50259, 50265)]
    samples = read_wav(shared / "data" / "audio" / "jfk.wav")
    assert np.abs(rtranslator.features(tmp_path / "app", samples) - log_mel(samples)).max() < 1e-4
    english, french = rtranslator.recognize(tmp_path / "app", samples, prompts, 60, 50257)
    assert words(english.text) == WORDS
    assert english.score > french.score
    (alone,) = rtranslator.recognize(tmp_path / "app", samples, prompts[:1], 60, 50257)
    assert words(alone.text) == WORDS  # not token for token: one row and two have kernels of their own
