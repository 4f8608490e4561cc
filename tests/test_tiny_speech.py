"""Every variant of Whisper against transformers: encoder, logits, searches, attention, from golden files."""

import gzip
import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import tiny_speech
from quartet.conversion.convert import convert_folder
from quartet.runtime.decode import decode_one_token, decode_tokens, encode_features, start
from quartet.runtime.engine import open_engine
from quartet.runtime.generate import finished
from quartet.runtime.logits import read_scores
from quartet.runtime.model import Model
from quartet.runtime.speech import DecodingOptions, align, decode_windows, encode_audio, window_requests

GOLDEN = Path(__file__).parent / "golden"
TOLERANCE = 2e-4  # of logits of order 10
MOST = 20  # new tokens, in the golden files


@cache
def golden() -> dict:
    return json.loads(gzip.decompress((GOLDEN / "speech.json.gz").read_bytes()))["variants"]


@pytest.fixture(scope="module", params=tiny_speech.VARIANTS)
def case(request, tmp_path_factory) -> tuple[str, list[dict], Model]:
    name = request.param
    folder = tmp_path_factory.mktemp(name)
    convert_folder(tiny_speech.make(folder / "checkpoint", name), folder / "quartet", precision="fp32")
    entry = golden()[name]
    assert entry["weights_sha256"] == tiny_speech.digest(name), (
        "tiny_speech.py has changed: make the golden files again"
    )
    return name, entry["windows"], open_engine(folder / "quartet", threads=1).model()


def options(model: Model, **more) -> DecodingOptions:
    initial = model.manifest.speech.max_initial_timestamp
    return DecodingOptions(max_new_tokens=MOST, max_initial_timestamp=initial, renormalize=False, **more)


def without_end(ids: list[int]) -> list[int]:
    return ids[:-1] if ids[-1] == tiny_speech.END else ids


def test_hidden_states_and_logits(case):
    name, windows, model = case
    arrays = np.load(GOLDEN / "speech.npz")
    for i, features in enumerate(tiny_speech.features(name)):
        (hidden,) = model.encoder.run(["last_hidden_state"], {"input_features": features[None]})
        assert np.abs(hidden[0] - arrays[f"{name}/{i}/last_hidden_state"]).max() < TOLERANCE
        expected = arrays[f"{name}/{i}/logits"]
        fed = tiny_speech.VARIANTS[name].prompt + windows[i]["timestamps"]["ids"]
        state = start(model, encode_features(model, features[None]), 1)
        for token, logits in zip(fed, expected, strict=True):
            found = read_scores(model, decode_one_token(model, state, np.array([token]))).logits
            assert np.abs(found[0] - logits).max() < TOLERANCE


def test_tokens_fed_together_see_those_before_them(case):
    """A prompt may go in at once, and after a past: what comes out is the same as token by token."""
    name, windows, model = case
    arrays = np.load(GOLDEN / "speech.npz")
    features = tiny_speech.features(name)[:1]
    fed = np.array([tiny_speech.VARIANTS[name].prompt + windows[0]["timestamps"]["ids"]])
    state = start(model, encode_features(model, features), 1)
    cut = fed.shape[1] // 2
    parts = [decode_tokens(model, state, part)[0].numpy() for part in (fed[:, :cut], fed[:, cut:])]
    pre_logits = np.concatenate(parts, axis=1)[0]
    logits = pre_logits @ model.embedding.read(np.arange(tiny_speech.VOCABULARY)).T
    assert np.abs(logits - arrays[f"{name}/0/logits"]).max() < TOLERANCE


def prompts(name: str, mode: str) -> list[int]:
    prompt = tiny_speech.VARIANTS[name].prompt
    if mode == "text":
        return [*prompt, tiny_speech.NO_TIMESTAMPS]
    if mode == "translate":
        return [*prompt[:-1], tiny_speech.TRANSLATE]
    return [tiny_speech.PREVIOUS, 1, 2, 4, 8, 1, 2, *prompt] if mode == "after" else prompt


@pytest.mark.parametrize("mode", ["timestamps", "text", "after", "translate"])
def test_greedy_search_gives_the_reference_tokens(case, mode):
    name, windows, model = case
    if mode not in windows[0]:
        pytest.skip("knows English only: there is nothing to translate")
    wanted = options(model, timestamps=mode != "text")
    audio = encode_audio(model, tiny_speech.features(name))
    prompt = prompts(name, mode)
    together = decode_windows(model, audio, [prompt] * audio.windows, wanted)
    for i, (window, found) in enumerate(zip(windows, together, strict=True)):
        alone = decode_windows(model, audio.take([i]), [prompt], wanted)
        assert list(found.tokens) == list(alone[0].tokens) == without_end(window[mode]["ids"])


def test_windows_of_several_recordings_are_one_batch_unless_they_are_sampled(case):
    name, windows, model = case
    prompt, features = tiny_speech.VARIANTS[name].prompt, tiny_speech.features(name)
    recordings = [encode_audio(model, features[i : i + 1]) for i in range(len(features))]

    def requests(**more):
        return [window_requests(model.manifest, audio, [prompt], options(model, **more))[0] for audio in recordings]

    together = requests()
    assert len({request.alike for request in together}) == 1
    assert len({request.alike for request in requests(temperature=0.5)}) == len(recordings)
    found = finished(together[0].steps(model, together, np.zeros(len(together), bool)), len(together))
    for window, (one,) in zip(windows, found, strict=True):
        assert list(one.tokens) == without_end(window["timestamps"]["ids"])


def test_beams_give_the_reference_tokens(case):
    name, windows, model = case
    audio = encode_audio(model, tiny_speech.features(name))
    prompt = tiny_speech.VARIANTS[name].prompt
    found = decode_windows(model, audio, [prompt] * audio.windows, options(model, beam_size=3))
    for window, one in zip(windows, found, strict=True):
        assert list(one.tokens) == without_end(window["beams"]["ids"])
        assert one.avg_logprob == pytest.approx(window["beams"]["score"], abs=1e-4)


def test_attention_of_the_alignment_heads(case):
    name, windows, model = case
    arrays = np.load(GOLDEN / "speech.npz")
    audio = encode_audio(model, tiny_speech.features(name))
    prompt = tiny_speech.VARIANTS[name].prompt
    found = align(model, audio, [prompt + window["timestamps"]["ids"] for window in windows])
    for i, one in enumerate(found):
        expected = arrays[f"{name}/{i}/attention"]
        assert one.attention.shape == expected.shape
        assert np.abs(one.attention - expected).max() < 1e-5
        fed, logits = prompt + windows[i]["timestamps"]["ids"], arrays[f"{name}/{i}/logits"].astype(np.float64)
        shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        assert one.probabilities[0] == 1
        assert one.probabilities[1:] == pytest.approx(shares[np.arange(len(fed) - 1), fed[1:]], abs=1e-4)
