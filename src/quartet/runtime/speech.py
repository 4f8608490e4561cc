"""Windows of audio to tokens: encode once, decode as often as needed, find the language, align words with the audio.

Shapes: w windows, r rows (prompts), n of them per window, mels log-mel bins, s encoder positions (two frames each),
t tokens, h heads, k head size, v vocabulary.
"""

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from onnxruntime import OrtValue

from quartet.arrays import Floats, Ids
from quartet.errors import OptionError
from quartet.options.declared import DECODING
from quartet.options.kinds import check_fields
from quartet.runtime.decode import DecoderState, decode_tokens, encode_features, last_of, rows_of, select_rows, start
from quartet.runtime.generate import Cancelled, Choose, Search, Step, beam_steps, finished, greedy_steps, likeliest
from quartet.runtime.logits import HeadOutputs, read_scores, rescored
from quartet.runtime.model import Model
from quartet.runtime.rules import RowLimits, Rules
from quartet.runtime.scores import Scores
from quartet.runtime.search import Hypothesis
from quartet.runtime.timestamps import TimestampRules
from quartet.spec import Manifest, Speech, past_name, query_name

POSITIONS_PER_TOKEN = 8  # a window is as much work as a text of so many tokens, roughly
FLATTEST = 3.0  # timestamps less likely than the best token by this factor's exponent need not be exact


@dataclass(frozen=True)
class DecodingOptions:
    """How to search for what was said in a window. Lengths are in tokens, times in seconds."""

    beam_size: int = 1  # without sampling
    best_of: int = 1  # with sampling: how often, to keep the likeliest
    temperature: float = 0.0  # 0: the likeliest tokens; above: sampled from logits divided by it
    length_penalty: float = 1.0
    patience: float = 1.0  # finished hypotheses that beams wait for, in multiples of their number
    repetition_penalty: float = 1.0
    no_repeat_ngram_size: int = 0
    suppress_tokens: tuple[int, ...] | None = None  # None: the model's own
    suppress_blank: bool = True  # a window begins with neither a space nor the end
    timestamps: bool = True  # they must come as they are defined; False: the prompt says that there are none
    max_initial_timestamp: float | None = 1.0
    max_new_tokens: int | None = None  # None: as the checkpoint asks, or as many as the model has positions for
    renormalize: bool = True  # probabilities are over what the rules leave; False: as transformers' beams have them
    seed: int | None = 0

    def __post_init__(self) -> None:
        """Raise `OptionError` for values that make no sense."""
        check_fields(self, DECODING)


@dataclass(frozen=True)
class Decoded:
    """What was heard in a window: text and timestamps, without prompt and end token."""

    tokens: tuple[int, ...]
    avg_logprob: float  # mean over the tokens and the end
    no_speech_prob: float  # right after the decoder start


@dataclass(frozen=True)
class EncodedAudio:
    """Windows as the decoder sees them: `past_key_values.{i}.encoder.*` [w, h, s, k] by name."""

    cache: dict[str, OrtValue]

    @property
    def windows(self) -> int:
        """How many there are."""
        return self._shape[0]

    @property
    def positions(self) -> int:
        """Encoder positions of each."""
        return self._shape[2]

    @property
    def _shape(self) -> list[int]:
        shape: list[int] = next(iter(self.cache.values())).shape()
        return shape

    def take(self, windows: Sequence[int]) -> "EncodedAudio":
        """Some of the windows."""
        if list(windows) == list(range(self.windows)):
            return self
        rows = np.asarray(windows, np.int64)
        return EncodedAudio({n: OrtValue.ortvalue_from_numpy(v.numpy()[rows]) for n, v in self.cache.items()})

    @staticmethod
    def joined(parts: Sequence["EncodedAudio"]) -> "EncodedAudio":
        """The windows of several recordings, in their order."""
        names = parts[0].cache
        arrays = {name: np.concatenate([part.cache[name].numpy() for part in parts]) for name in names}
        return EncodedAudio({name: OrtValue.ortvalue_from_numpy(array) for name, array in arrays.items()})


@dataclass(frozen=True)
class Alignment:
    """How a window's tokens were heard, each while the ones before it were known."""

    attention: Floats  # [heads, t, s] of the alignment heads, row j while token j is read, j + 1 foretold
    probabilities: Floats  # [t] of each token before any rule; 1 for the first, which nothing foretells


def encode_audio(model: Model, features: Floats) -> EncodedAudio:
    """Encode windows of log-mel frames [w, mels, frames]; a shorter window costs less. Raises `OptionError`."""
    speech = speech_of(model)
    if features.ndim != 3 or features.shape[1] != speech.mel_bins or not 0 < features.shape[2] <= speech.window_frames:
        wanted = f"[windows, {speech.mel_bins}, 1 to {speech.window_frames}]"
        raise OptionError(f"log-mel features have the shape {list(features.shape)}; {wanted} is expected")
    return EncodedAudio(encode_features(model, np.ascontiguousarray(features, np.float32)))


def speech_of(model: Model) -> Speech:
    """What the manifest says of speech; raises `OptionError` where the model reads text."""
    if model.manifest.speech is None:
        raise OptionError(f"{model.manifest.name} translates text; name a speech model, such as whisper-base")
    return model.manifest.speech


# ---- decoding ---------------------------------------------------------------------------------------------------


def decode_windows(
    model: Model, audio: EncodedAudio, prompts: Sequence[Sequence[int]], options: DecodingOptions
) -> list[Decoded]:
    """What is said in each window, given what the decoder is fed first: one prompt per window, or n of the same length.

    With several, the first n prompts are those of the first window. A prompt holds the decoder start, perhaps behind
    `Speech.previous` and text of the window before. Windows whose prompts are equally long are decoded as one batch.
    Raises `OptionError`.
    """
    requests = window_requests(model.manifest, audio, prompts, options)
    groups: dict[Hashable, list[int]] = {}
    for window, request in enumerate(requests):
        groups.setdefault(request.alike, []).append(window)
    found: dict[int, list[Decoded]] = {}
    for windows in groups.values():
        group = [requests[window] for window in windows]
        steps = group[0].steps(model, group, np.zeros(len(group), bool))
        found |= dict(zip(windows, finished(steps, len(group)), strict=True))
    return [decoded for window in range(audio.windows) for decoded in found[window]]


@dataclass(frozen=True)
class WindowRequest:
    """A window of encoded audio, to be decoded after each of some prompts of the same length."""

    audio: EncodedAudio
    window: int  # of `audio`
    prompts: tuple[tuple[int, ...], ...]
    place: int  # of the decoder start in each of them
    options: DecodingOptions

    head: Path | None = None

    @property
    def length(self) -> int:
        """As of a text that is as much work."""
        return max(1, self.audio.positions // POSITIONS_PER_TOKEN)

    @property
    def rows(self) -> int:
        """Rows of the decoder."""
        sampling = self.options.temperature > 0
        return len(self.prompts) * (self.options.best_of if sampling else self.options.beam_size)

    @property
    def alike(self) -> Hashable:
        """Decoded alike, with prompts of one length. What is sampled is to depend on its own recording alone."""
        shape = self.audio.positions, len(self.prompts), len(self.prompts[0]), self.place
        return self.options, shape, id(self.audio) if self.options.temperature > 0 else None

    def steps(
        self, model: Model, batch: Sequence["WindowRequest"], cancelled: Cancelled
    ) -> Iterator[Step[list[Decoded]]]:
        """Decode windows as one batch; what is heard after each prompt comes with the last step."""
        audio = _audio_of(batch)
        prompts = np.array([prompt for request in batch for prompt in request.prompts], np.int64)
        each = len(self.prompts)
        for decoded in _decode(model, audio, prompts, self.place, self.options, cancelled):
            found = [] if decoded is None else [(i, decoded[i * each : (i + 1) * each]) for i in range(len(batch))]
            yield Step(found)


def _audio_of(batch: Sequence[WindowRequest]) -> EncodedAudio:
    """The windows of a batch, which may be of several recordings."""
    first = batch[0].audio
    if all(request.audio is first for request in batch):
        return first.take([request.window for request in batch])
    return EncodedAudio.joined([request.audio.take([request.window]) for request in batch])


def window_requests(
    manifest: Manifest, audio: EncodedAudio, prompts: Sequence[Sequence[int]], options: DecodingOptions
) -> list[WindowRequest]:
    """A request for each window, see `decode_windows`. Raises `OptionError`."""
    each = check_prompts(manifest, audio, prompts)
    begin = manifest.tokens.decoder_start
    of_windows = [tuple(map(tuple, prompts[first : first + each])) for first in range(0, len(prompts), each)]
    return [WindowRequest(audio, window, own, _last(own[0], begin), options) for window, own in enumerate(of_windows)]


def check_prompts(manifest: Manifest, audio: EncodedAudio, prompts: Sequence[Sequence[int]]) -> int:
    """How many prompts each window has; raises `OptionError` where they do not fit the windows or the model."""
    if not prompts or len(prompts) % audio.windows:
        raise OptionError(f"{len(prompts)} prompts for {audio.windows} windows; give each window as many")
    begin, most = manifest.tokens.decoder_start, manifest.shapes.max_target_length
    for prompt in prompts:
        if begin not in prompt:
            raise OptionError(f"a prompt has no token {begin}, the decoder start")
        if len(prompt) >= most:
            raise OptionError(f"a prompt of {len(prompt)} tokens leaves no room: {most} is the most")
    per_window = len(prompts) // audio.windows
    for first in range(0, len(prompts), per_window):
        shapes = {(len(prompt), _last(prompt, begin)) for prompt in prompts[first : first + per_window]}
        if len(shapes) > 1:
            raise OptionError("the prompts of a window differ in length; decode them one by one")
    return per_window


def _last(prompt: Sequence[int], token: int) -> int:
    """Where the token stands last."""
    return len(prompt) - 1 - list(reversed(prompt)).index(token)


def _decode(
    model: Model, audio: EncodedAudio, prompts: Ids, place: int, options: DecodingOptions, cancelled: Cancelled
) -> Iterator[list[Decoded] | None]:
    """Decode prompts [r, t] as one batch; the decoder start stands at `place`. None after each step but the last."""
    state = start(model, audio.cache, len(prompts))
    (pre_logits,) = decode_tokens(model, state, prompts)
    no_speech = _no_speech(model, pre_logits.numpy()[:, place])
    sampling = options.temperature > 0
    times = options.best_of if sampling else 1
    rows = np.repeat(prompts, times, axis=0)
    search = replace(_search(model, audio, rows, options), cancelled=cancelled)
    last = last_of(pre_logits)
    if not sampling and options.beam_size > 1:
        steps = beam_steps(search, state, last, options.beam_size)
    else:
        steps = _samples(search, state, last, times)
    found: dict[int, Hypothesis] = {}
    for step in steps:
        found |= {row: best[0] for row, best in step.finished if best}
        yield None
    nothing = Hypothesis((), 0.0)  # of a window that was cancelled
    in_order = [found.get(row, nothing) for row in range(len(rows))]
    hypotheses = [max(in_order[i : i + times], key=lambda one: one.score) for i in range(0, len(rows), times)]
    room = int(search.limits.max_length[0]) - prompts.shape[1]
    yield [
        Decoded(one.tokens, _mean(one, room, options.length_penalty), float(silence))
        for one, silence in zip(hypotheses, no_speech, strict=True)
    ]


def _samples(search: Search, state: DecoderState, pre_logits: OrtValue, times: int) -> Iterator[Step[list[Hypothesis]]]:
    """Decode `times` rows for each of the prompts."""
    if times > 1:
        rows = np.repeat(np.arange(len(pre_logits.numpy())), times)
        select_rows(state, rows)
        pre_logits = rows_of(pre_logits, rows)
    return greedy_steps(search, state, pre_logits)


def _mean(found: Hypothesis, room: int, length_penalty: float) -> float:
    """Mean log probability of the tokens and, where it came, of the end."""
    length = min(len(found.tokens) + 1, room)
    return float(found.score * length**length_penalty / length)


def _search(model: Model, audio: EncodedAudio, prompts: Ids, options: DecodingOptions) -> Search:
    rows, length = prompts.shape
    most = model.manifest.shapes.max_target_length
    new = model.manifest.generation.max_new_tokens if options.max_new_tokens is None else options.max_new_tokens
    longest = most if new is None else min(most, length + new)
    return Search(
        model=model,
        rules=_rules(model, options),
        limits=RowLimits(*(np.full(rows, value, np.int64) for value in (length, longest, 0))),
        prefixes=prompts.tolist(),
        length_penalty=options.length_penalty,
        uncounted=np.full(rows, length, np.int64),
        rows_per_source=rows // audio.windows,
        read=_read,
        choose=_chooser(options),
        patience=options.patience,
    )


def _rules(model: Model, options: DecodingOptions) -> Rules:
    generation = model.manifest.generation
    return Rules(
        eos=model.manifest.tokens.eos,
        repetition_penalty=options.repetition_penalty,
        no_repeat_ngram_size=options.no_repeat_ngram_size,
        suppress_tokens=generation.suppress_tokens if options.suppress_tokens is None else options.suppress_tokens,
        begin_suppress_tokens=generation.begin_suppress_tokens if options.suppress_blank else (),
        renormalize=options.renormalize,
        timestamps=_timestamp_rules(model, options.max_initial_timestamp) if options.timestamps else None,
    )


def _timestamp_rules(model: Model, max_initial: float | None) -> TimestampRules:
    speech, manifest = speech_of(model), model.manifest
    times, vocabulary = speech.timestamps, manifest.shapes.vocab_size
    return TimestampRules(
        eos=manifest.tokens.eos,
        no_timestamps=speech.no_timestamps,
        begin=times.start,
        end=min(times.stop, vocabulary),
        vocab_size=vocabulary,
        last_initial=None if max_initial is None else times.start + round(max_initial / speech.timestamp_seconds),
    )


LEAST_TEMPERATURE = 1e-5  # below, the likeliest token is as good as certain, and a logit divided by it not finite
SHORTEST_WAIT = np.float32(2**-24)  # in place of a zero, which would win even for a token that is forbidden


def _chooser(options: DecodingOptions) -> Choose:
    """How the next token of each row is chosen where there are no beams."""
    if options.temperature > 0:
        random = np.random.default_rng(options.seed)
        temperature = np.float32(max(options.temperature, LEAST_TEMPERATURE))

        def sample(scores: Scores) -> tuple[Ids, Floats]:
            # the largest of logits with Gumbel noise, -log of exponential noise, is a sample of their softmax
            waits = random.standard_exponential(scores.logits.shape, np.float32)
            noise = np.log(np.maximum(waits, SHORTEST_WAIT))
            tokens = (scores.logits / temperature - noise).argmax(axis=1)
            return tokens, scores.remaining_log_probs(tokens)

        return sample
    return _likeliest_remaining if options.renormalize else likeliest


def _likeliest_remaining(scores: Scores) -> tuple[Ids, Floats]:
    """The best token of each row, and its log probability among those that the rules leave."""
    tokens = scores.likeliest()
    return tokens, scores.remaining_log_probs(tokens)


def _read(model: Model, pre_logits: OrtValue, count: int, outputs: HeadOutputs) -> Scores:
    """Scores of the next token. With a matrix in two planes, timestamps are exact wherever they may matter.

    They are many and alike, so that the few best of them do not stand for all.
    """
    scores = read_scores(model, pre_logits, count, outputs)
    if model.candidates is None:
        return scores
    begin = speech_of(model).timestamp_begin
    times = scores.logits[:, begin:]
    rows = np.flatnonzero(times.max(axis=1) + np.log(times.shape[1]) > scores.logits.max(axis=1) - FLATTEST)
    if len(rows):
        exact = np.einsum("bd,kd->bk", pre_logits.numpy()[rows, 0], model.candidates.tail(begin))  # see `rescored`
        scores.correct_range(rows, begin, exact)
    return scores


# ---- what a window is like ----------------------------------------------------------------------------------------


def _no_speech(model: Model, pre_logits: Floats) -> Floats:
    """Probability [r] of `no_speech`, by `pre_logits` [r, d] at the decoder start."""
    token = np.array([speech_of(model).no_speech])
    return _probabilities(model, pre_logits, token)[:, 0]


def _probabilities(model: Model, pre_logits: Floats, tokens: Ids) -> Floats:
    """Probabilities [r, n] of tokens [n] among all, by `pre_logits` [r, d]."""
    scores = read_scores(model, OrtValue.ortvalue_from_numpy(np.ascontiguousarray(pre_logits[:, None])))
    logits = scores.logits[:, tokens]
    if model.candidates is not None:
        logits = rescored(pre_logits, model.candidates, np.tile(tokens, (len(pre_logits), 1)))
    probabilities: Floats = np.exp(logits - scores.log_sum_exp[:, None])
    return probabilities


def detect_languages(model: Model, audio: EncodedAudio) -> list[dict[str, float]]:
    """The languages of each window by their codes, likeliest first; the probabilities add up to 1.

    Raises `OptionError` where the model has no languages.
    """
    languages = model.manifest.languages
    if not languages:
        raise OptionError(f"{model.manifest.name} knows only English: there is no language to detect")
    state = start(model, audio.cache, audio.windows)
    begin = np.full((audio.windows, 1), model.manifest.tokens.decoder_start, np.int64)
    (pre_logits,) = decode_tokens(model, state, begin)
    tokens = np.array([language.token_id for language in languages], np.int64)
    shares = _probabilities(model, pre_logits.numpy()[:, 0], tokens)
    shares = shares / shares.sum(axis=1, keepdims=True)
    return [{languages[i].code: float(share[i]) for i in np.argsort(-share, kind="stable")} for share in shares]


def align(model: Model, audio: EncodedAudio, tokens: Sequence[Sequence[int]]) -> list[Alignment]:
    """Where in each window its tokens were heard, by cross-attention, and how likely they were.

    tokens: all that the decoder was fed and gave, prompt and end included, one list per window. Raises `OptionError`.
    """
    if len(tokens) != audio.windows or not all(tokens):
        raise OptionError(f"{len(tokens)} lists of tokens for {audio.windows} windows; give each window one, not empty")
    longest, most = max(map(len, tokens)), model.manifest.shapes.max_target_length
    if longest > most:
        raise OptionError(f"{longest} tokens are too many to align: {most} is the most")
    padded = np.full((len(tokens), longest), model.manifest.tokens.eos, np.int64)
    for row, ids in enumerate(tokens):
        padded[row, : len(ids)] = ids  # what comes after them they do not see
    heads = speech_of(model).alignment_heads
    layers = sorted({layer for layer, _ in heads})
    state = start(model, audio.cache, audio.windows)
    pre_logits, *found = decode_tokens(model, state, padded, [query_name(layer) for layer in layers])
    queries = dict(zip(layers, (value.numpy() for value in found), strict=True))
    return [
        Alignment(
            np.stack(
                [_attention(model, audio, queries[layer][row, : len(ids)], layer, head, row) for layer, head in heads]
            ),
            _foretold(model, pre_logits.numpy()[row, : len(ids) - 1], np.array(ids[1:], np.int64)),
        )
        for row, ids in enumerate(tokens)
    ]


def _foretold(model: Model, pre_logits: Floats, tokens: Ids) -> Floats:
    """Probabilities [t + 1] of tokens [t], each by its row of `pre_logits` [t, d]; the first is 1."""
    if not len(tokens):
        return np.ones(1, np.float32)
    scores = read_scores(model, OrtValue.ortvalue_from_numpy(np.ascontiguousarray(pre_logits[:, None])))
    logits = scores.logits[np.arange(len(tokens)), tokens]
    if model.candidates is not None:
        logits = rescored(pre_logits, model.candidates, tokens[:, None])[:, 0]
    return np.concatenate([np.ones(1, np.float32), np.exp(logits - scores.log_sum_exp)])


def _attention(model: Model, audio: EncodedAudio, queries: Floats, layer: int, head: int, window: int) -> Floats:
    """Attention [t, s] of one head, by queries [t, h * k] of all heads."""
    size = model.manifest.shapes.head_size
    keys = audio.cache[past_name(layer, "encoder", "key")].numpy()[window, head]
    scores = queries[:, head * size : (head + 1) * size] @ keys.T / np.sqrt(np.float32(size))
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    attention: Floats = weights / weights.sum(axis=1, keepdims=True)
    return attention
