"""Which outcome of a window counts, and when it is tried again."""

from quartet.runtime.speech import Decoded
from quartet.transcription.fallback import Outcome, _chosen
from quartet.transcription.options import TranscriptionOptions

OPTIONS = TranscriptionOptions()
LOOP = " and so on" * 40


def outcome(text: str, avg_logprob: float = -0.5, no_speech_prob: float = 0.1, temperature: float = 0.0) -> Outcome:
    return Outcome(Decoded((), avg_logprob, no_speech_prob), text, temperature)


def test_a_window_of_scraps_alone_is_tried_again():
    for text in ("\ufffd", " \ufffd", "\ufffd\ufffd \ufffd"):
        assert outcome(text).failed(OPTIONS)
    for text in ("caf\ufffd", " Hello", "", " "):
        assert not outcome(text).failed(OPTIONS)


def test_a_loop_of_scraps_is_a_loop():
    assert outcome(" Hello" + "\ufffd" * 200).failed(OPTIONS)


def test_scraps_in_silence_are_silence():
    assert not outcome("\ufffd", avg_logprob=-2.0, no_speech_prob=0.9).failed(OPTIONS)


def test_where_all_failed_words_are_better_than_scraps():
    scrap = outcome("\ufffd", avg_logprob=-4.0, temperature=1.0)
    unlikely = outcome(" Hello", avg_logprob=-5.0)
    loop = outcome(LOOP, avg_logprob=-0.2)
    assert _chosen([loop, unlikely, scrap], OPTIONS).text == " Hello"
    assert _chosen([loop, scrap], OPTIONS).text == LOOP
    assert _chosen([scrap, scrap], OPTIONS).text == "\ufffd"
