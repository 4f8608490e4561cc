"""Windows to tokens: again at a higher temperature where it went wrong, and in several languages where asked for."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from quartet.runtime.requests import Runner
from quartet.runtime.speech import Decoded, DecodingOptions, EncodedAudio, window_requests
from quartet.spec import Language
from quartet.transcription.options import TranscriptionOptions
from quartet.transcription.prompts import Prompter
from quartet.transcription.words import SCRAP


@dataclass(frozen=True)
class Outcome:
    """What came out of a window."""

    decoded: Decoded
    text: str  # with U+FFFD where bytes are no character: a loop of such is one too
    temperature: float
    language: Language | None = None

    @property
    def compression_ratio(self) -> float:
        """How well the text packs: a loop does very well."""
        data = self.text.strip().encode()
        return len(data) / len(zlib.compress(data))

    @property
    def is_scrap(self) -> bool:
        """Whether it has tokens of text, of which no character comes: nobody says that."""
        return SCRAP in self.text and not self.text.replace(SCRAP, "").strip()

    def failed(self, options: TranscriptionOptions) -> bool:
        """Whether the text is a loop, scrap or made of unlikely tokens, and the window is not simply silent."""
        limit, likely = options.compression_ratio_threshold, options.log_prob_threshold
        loops = limit is not None and self.compression_ratio > limit
        unlikely = likely is not None and self.decoded.avg_logprob < likely
        return (loops or unlikely or self.is_scrap) and not (unlikely and self.is_silence(options))

    def is_silence(self, options: TranscriptionOptions) -> bool:
        """Whether there is more likely no speech, unless the tokens are likely enough to prove the contrary."""
        threshold, likely = options.no_speech_threshold, options.log_prob_threshold
        if threshold is None or self.decoded.no_speech_prob <= threshold:
            return False
        return likely is None or self.decoded.avg_logprob <= likely


def decode(
    runner: Runner,
    prompter: Prompter,
    audio: EncodedAudio,
    languages: Sequence[Sequence[Language | None]],
    previous: Sequence[Sequence[int]],
    first: bool,
) -> list[Outcome]:
    """The best outcome of each window.

    previous: tokens that each follows on. first: whether the first window is the first one of all.
    languages: the candidates of each window, equally many; all are decoded as one batch, and the one whose tokens are
    likelier counts.
    """
    rows = [(window, language) for window, candidates in enumerate(languages) for language in candidates]
    prompts = [prompter.prompt(language, previous[window], first and window == 0) for window, language in rows]
    best: list[Outcome | None] = [None] * len(languages)
    for (window, language), found in zip(rows, _with_fallback(runner, prompter, audio, prompts), strict=True):
        other = best[window]
        if other is None or found.decoded.avg_logprob > other.decoded.avg_logprob:
            best[window] = replace(found, language=language)
    return [outcome for outcome in best if outcome is not None]


def _with_fallback(
    runner: Runner, prompter: Prompter, audio: EncodedAudio, prompts: Sequence[Sequence[int]]
) -> list[Outcome]:
    """The outcome of each prompt, so many per window: of the first temperature that did not fail, else the best."""
    options = prompter.options
    per_window = len(prompts) // audio.windows
    tries: list[list[Outcome]] = [[] for _ in prompts]
    pending = list(range(len(prompts)))
    for temperature in options.temperatures:
        heard = audio if len(pending) == len(prompts) else audio.take([row // per_window for row in pending])
        own, search = [prompts[row] for row in pending], _search(prompter, temperature)
        of_windows = runner.results(window_requests(prompter.manifest, heard, own, search))
        found = [decoded for window in of_windows for decoded in window]
        for row, decoded in zip(pending, found, strict=True):
            tries[row].append(Outcome(decoded, prompter.raw_text(decoded.tokens), temperature))
        pending = [row for row in pending if tries[row][-1].failed(options)]
        if not pending:
            break
    return [_chosen(outcomes, options) for outcomes in tries]


def _search(prompter: Prompter, temperature: float) -> DecodingOptions:
    options = prompter.options
    return DecodingOptions(
        beam_size=options.beam_size,
        best_of=options.best_of,
        temperature=temperature,
        length_penalty=options.length_penalty,
        patience=options.patience,
        repetition_penalty=options.repetition_penalty,
        no_repeat_ngram_size=options.no_repeat_ngram_size,
        suppress_tokens=prompter.suppressed(),
        suppress_blank=options.suppress_blank,
        timestamps=not options.without_timestamps,
        max_initial_timestamp=options.max_initial_timestamp,
        max_new_tokens=options.max_new_tokens,
    )


def _chosen(outcomes: Sequence[Outcome], options: TranscriptionOptions) -> Outcome:
    """The last one, where it did not fail; else the likeliest that is no loop, at the last one's temperature.

    A loop may have words that were said; scrap has none.
    """
    last = outcomes[-1]
    if not last.failed(options):
        return last
    limit = options.compression_ratio_threshold
    texts = [outcome for outcome in outcomes if not outcome.is_scrap]
    no_loops = [outcome for outcome in texts if limit is None or outcome.compression_ratio <= limit]
    best = max(no_loops or texts or outcomes, key=lambda outcome: outcome.decoded.avg_logprob)
    return replace(best, temperature=last.temperature)
