"""Decoding windows beyond what the golden files hold: batches of unlike prompts, sampling, languages, bad input."""

import numpy as np
import pytest

import tiny_speech
from quartet import Translator
from quartet.conversion.convert import convert_folder
from quartet.errors import OptionError
from quartet.runtime.decode import decode_tokens, start
from quartet.runtime.engine import open_engine
from quartet.runtime.logits import read_scores
from quartet.runtime.speech import DecodingOptions, align, decode_windows, detect_languages, encode_audio
from tiny_speech import BEGIN, END, ENGLISH, FRENCH, GERMAN, NO_SPEECH, PREVIOUS, START, TRANSCRIBE, VOCABULARY

PROMPT = [START, ENGLISH, TRANSCRIBE]
SHORT = DecodingOptions(max_new_tokens=12)


@pytest.fixture(scope="module", params=["fp32", "int4"])
def quartet(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    convert_folder(tiny_speech.make(folder / "checkpoint", "base"), folder / "quartet", precision=request.param)
    return folder / "quartet"


@pytest.fixture(scope="module")
def model(quartet):
    return open_engine(quartet, threads=1).model()


@pytest.fixture(scope="module")
def audio(model):
    return encode_audio(model, tiny_speech.features("base"))


def log_softmax(logits):
    wide = logits.astype(np.float64)
    return wide - np.log(np.exp(wide).sum(axis=-1, keepdims=True))


def test_prompts_of_unlike_lengths_are_decoded_as_if_alone(model, audio):
    prompts = [PROMPT, [PREVIOUS, 1, 2, *PROMPT], [*PROMPT, BEGIN, 4], PROMPT]
    together = decode_windows(model, audio, prompts, SHORT)
    alone = [decode_windows(model, audio.take([i]), [prompt], SHORT)[0] for i, prompt in enumerate(prompts)]
    assert [one.tokens for one in together] == [one.tokens for one in alone]
    assert [one.no_speech_prob for one in together] == pytest.approx([one.no_speech_prob for one in alone], rel=1e-4)


@pytest.mark.parametrize("beam_size", [1, 3])
def test_several_prompts_of_a_window_are_decoded_as_if_alone(model, audio, beam_size):
    """Two languages of one window, which is encoded once and whose cache is held once."""
    options = DecodingOptions(max_new_tokens=12, beam_size=beam_size)
    languages = [[START, language, TRANSCRIBE] for language in (ENGLISH, FRENCH)]
    together = decode_windows(model, audio, languages * audio.windows, options)
    alone = [decode_windows(model, audio, [prompt] * audio.windows, options) for prompt in languages]
    for window in range(audio.windows):
        for i in range(2):
            assert together[2 * window + i].tokens == alone[i][window].tokens


def test_the_mean_log_probability_is_that_of_the_tokens_after_the_rules(model, audio):
    """Without rules but those of the vocabulary it can be read from the logits."""
    options = DecodingOptions(max_new_tokens=30, timestamps=False, suppress_tokens=(), suppress_blank=False)
    tolerance = 2e-3 if model.manifest.precision == "int4" else 1e-3  # where timestamps are scored once more
    for i, found in enumerate(decode_windows(model, audio, [PROMPT] * audio.windows, options)):
        fed = [*PROMPT, *found.tokens]
        state = start(model, audio.take([i]).cache, 1)
        expected = []
        (pre_logits,) = decode_tokens(model, state, np.array([PROMPT[:-1]]))
        for token, following in zip(fed[2:], [*found.tokens, END], strict=True):
            (pre_logits,) = decode_tokens(model, state, np.array([[token]]))
            scores = read_scores(model, pre_logits)
            expected.append(float(scores.token_log_probs(np.array([following]))[0]))
        expected = expected[: len(found.tokens) + (len(found.tokens) < 30)]
        assert found.avg_logprob == pytest.approx(np.mean(expected), abs=tolerance)


def test_the_probability_of_no_speech_is_read_at_the_decoder_start(model, audio):
    found = decode_windows(model, audio, [[PREVIOUS, 3, *PROMPT]] * audio.windows, SHORT)
    state = start(model, audio.cache, audio.windows)
    (pre_logits,) = decode_tokens(model, state, np.array([[PREVIOUS, 3, START]] * audio.windows))
    rows = model.embedding.read(np.arange(VOCABULARY))
    expected = np.exp(log_softmax(pre_logits.numpy()[:, -1] @ rows.T)[:, NO_SPEECH])
    assert [one.no_speech_prob for one in found] == pytest.approx(expected.tolist(), rel=0.05)


def test_timestamps_keep_the_rules_at_any_temperature(model, audio):
    for seed in range(5):
        options = DecodingOptions(temperature=1.0, seed=seed, max_initial_timestamp=0.1)
        for found in decode_windows(model, audio, [PROMPT] * audio.windows, options):
            times = [token for token in found.tokens if token >= BEGIN]
            assert BEGIN <= found.tokens[0] <= BEGIN + 5
            assert times == sorted(times)
            assert not {3, 5, START, NO_SPEECH} & set(found.tokens)
            assert len(found.tokens) <= tiny_speech.TARGET_POSITIONS - len(PROMPT)


def test_samples_come_again_with_the_same_seed_and_only_then(model, audio):
    def sample(seed):
        options = DecodingOptions(temperature=1.0, seed=seed, max_new_tokens=12)
        return [one.tokens for one in decode_windows(model, audio, [PROMPT] * audio.windows, options)]

    assert sample(1) == sample(1) != sample(2)


def test_samples_follow_the_probabilities(model, audio):
    """The first token, drawn 400 times, comes as often as its probability says."""
    options = DecodingOptions(
        temperature=1.0, max_new_tokens=1, timestamps=False, suppress_tokens=(), suppress_blank=False
    )
    one = audio.take([0])
    drawn = [found.tokens for found in decode_windows(model, one, [PROMPT] * 400, options)]
    state = start(model, one.cache, 1)
    (pre_logits,) = decode_tokens(model, state, np.array([PROMPT]))
    rows = model.embedding.read(np.arange(VOCABULARY))
    shares = np.exp(log_softmax(pre_logits.numpy()[0, -1] @ rows.T))
    counts = np.bincount([tokens[0] if tokens else END for tokens in drawn], minlength=VOCABULARY) / 400
    assert np.abs(counts - shares).max() < 0.12


def test_the_best_of_several_samples_is_the_likeliest(model, audio):
    def mean(best_of):
        options = DecodingOptions(temperature=1.0, best_of=best_of, max_new_tokens=12)
        return np.mean([one.avg_logprob for one in decode_windows(model, audio, [PROMPT] * audio.windows, options)])

    assert mean(5) > mean(1)


def test_patience_lets_beams_go_on(model, audio):
    impatient, patient = (
        decode_windows(model, audio, [PROMPT] * audio.windows, DecodingOptions(beam_size=2, patience=patience))
        for patience in (1.0, 3.0)
    )
    assert all(b.avg_logprob >= a.avg_logprob - 1e-4 for a, b in zip(impatient, patient, strict=True))


def test_languages_by_probability(model, audio):
    found = detect_languages(model, audio)
    assert len(found) == audio.windows
    for shares in found:
        assert set(shares) == {"en", "fr", "de"}
        assert sum(shares.values()) == pytest.approx(1)
        assert list(shares.values()) == sorted(shares.values(), reverse=True)
    state = start(model, audio.cache, audio.windows)
    (pre_logits,) = decode_tokens(model, state, np.array([[START]] * audio.windows))
    logits = pre_logits.numpy()[:, 0] @ model.embedding.read(np.array([ENGLISH, FRENCH, GERMAN])).T
    assert [shares["fr"] for shares in found] == pytest.approx(np.exp(log_softmax(logits))[:, 1].tolist(), abs=1e-3)


def test_shorter_windows_are_shorter_for_the_decoder(model):
    audio = encode_audio(model, tiny_speech.features("base")[:, :, :41])
    assert (audio.windows, audio.positions) == (4, 21)
    assert len(decode_windows(model, audio, [PROMPT] * 4, SHORT)) == 4


def test_attention_of_texts_of_unlike_lengths(model, audio):
    tokens = [[*PROMPT, BEGIN, 1, 2, END], [*PROMPT, END], [*PROMPT, BEGIN, END], PROMPT]
    together = align(model, audio, tokens)
    for i, ids in enumerate(tokens):
        (alone,) = align(model, audio.take([i]), [ids])
        attention = together[i].attention
        assert attention.shape == (2, len(ids), audio.positions)
        assert np.abs(attention - alone.attention).max() < 1e-5
        assert attention.sum(axis=2) == pytest.approx(1, abs=1e-5)
        assert together[i].probabilities == pytest.approx(alone.probabilities, abs=1e-4)
        assert len(together[i].probabilities) == len(ids)


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (np.zeros((1, 9, 100)), r"shape \[1, 9, 100\]; \[windows, 8, 1 to 100\] is expected"),
        (np.zeros((1, 8, 101)), r"shape \[1, 8, 101\]"),
        (np.zeros((1, 8, 0)), r"shape \[1, 8, 0\]"),
        (np.zeros((8, 100)), r"shape \[8, 100\]"),
    ],
)
def test_features_that_do_not_fit_are_refused(model, features, message):
    with pytest.raises(OptionError, match=message):
        encode_audio(model, features)


@pytest.mark.parametrize(
    ("prompts", "message"),
    [
        ([], "0 prompts for 4 windows"),
        ([PROMPT] * 3, "3 prompts for 4 windows"),
        ([PROMPT] * 3 + [[1, 2]], "no token 41, the decoder start"),
        ([PROMPT] * 3 + [[*PROMPT] * 16], "a prompt of 48 tokens leaves no room: 48 is the most"),
        ([PROMPT, [PREVIOUS, *PROMPT]] * 4, "prompts of a window differ in length"),
    ],
)
def test_prompts_that_do_not_fit_are_refused(model, audio, prompts, message):
    with pytest.raises(OptionError, match=message):
        decode_windows(model, audio, prompts, SHORT)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("beam_size", 0),
        ("best_of", 0),
        ("temperature", -0.1),
        ("temperature", float("nan")),
        ("patience", 0.0),
        ("repetition_penalty", 0.0),
        ("max_new_tokens", 0),
        ("max_initial_timestamp", -1.0),
        ("no_repeat_ngram_size", -1),
    ],
)
def test_options_out_of_range_are_named(name, value):
    with pytest.raises(OptionError, match=f"{name} is {value}"):
        DecodingOptions(**{name: value})


def test_too_many_tokens_to_align_are_refused(model, audio):
    with pytest.raises(OptionError, match="49 tokens are too many to align: 48 is the most"):
        align(model, audio.take([0]), [[START] * 49])
    with pytest.raises(OptionError, match="1 lists of tokens for 4 windows"):
        align(model, audio, [PROMPT])


def test_a_model_that_translates_text_hears_nothing(demo_checkpoint, tmp_path):
    convert_folder(demo_checkpoint, tmp_path / "demo", precision="fp32")
    with pytest.raises(OptionError, match="translates text; name a speech model"):
        encode_audio(open_engine(tmp_path / "demo", threads=1).model(), np.zeros((1, 80, 10), np.float32))


def test_a_speech_model_translates_no_text(quartet):
    with pytest.raises(OptionError, match="hears speech and translates no text"):
        Translator(quartet)


def test_an_english_model_has_no_languages_to_detect(tmp_path):
    convert_folder(tiny_speech.make(tmp_path / "checkpoint", "english"), tmp_path / "quartet", precision="fp32")
    model = open_engine(tmp_path / "quartet", threads=1).model()
    with pytest.raises(OptionError, match="knows only English"):
        detect_languages(model, encode_audio(model, tiny_speech.features("english")))
