"""whisper-streaming 0.1.0 on a recording in real time, for `live_speech.py --peer`; prints one JSON object.

    pip install faster-whisper==1.2.1 librosa soundfile websockets opus-fast-mosestokenizer
    pip install --no-deps whisper-streaming==0.1.0      # it wants pyalsaaudio, which needs a sound card's headers
    python live_whisper_streaming.py CTRANSLATE2_MODEL SOUND.wav [--language en] [--threads 2]

Pieces of a second, trimmed to 15 s: its trimming by sentences raises an exception in this version. Greedy, without
falling back to higher temperatures, as quartet's looks are. Its words come with times, so a word's delay is measured as
quartet's is. The text of the file is faster-whisper's with beams of 5 and voice detection.
"""

import argparse
import json
import queue
import threading
import time

import numpy as np
import soundfile
from faster_whisper import WhisperModel
from whisper_streaming import ASRProcessor, AudioReceiver, Backend, OutputSender, TimeTrimming, Word
from whisper_streaming.backend import (
    FasterWhisperFeatureExtractorConfig,
    FasterWhisperModelConfig,
    FasterWhisperTranscribeConfig,
)

RATE = 16_000
PIECE = 1.0  # seconds
BUFFER = 15.0  # seconds


class Microphone(AudioReceiver):
    """Brings a second of sound when it is over."""

    def __init__(self, samples: np.ndarray) -> None:
        super().__init__()
        self._samples, self._place, self.began = samples, 0, 0.0

    def _do_receive(self) -> np.ndarray | None:
        self.began = self.began or time.monotonic()
        piece = self._samples[self._place : self._place + int(PIECE * RATE)]
        self._place += len(piece)
        time.sleep(max(0.0, self.began + self._place / RATE - time.monotonic()))
        return piece if len(piece) else None

    def _do_close(self) -> None:
        pass


class Notes(OutputSender):
    """Keeps what was told, and when."""

    def __init__(self, microphone: Microphone) -> None:
        super().__init__()
        self._microphone, self.told = microphone, []
        self.queue = self  # it takes words at once, not every tenth of a second

    def put_nowait(self, word: Word) -> None:
        self.told.append({"text": word.word, "end": word.end, "at": time.monotonic() - self._microphone.began})

    def get_nowait(self) -> Word:
        raise queue.Empty

    def _do_output(self, data: Word) -> None:
        pass

    def _do_close(self) -> None:
        pass


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("sound")
    parser.add_argument("--language", default="en")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    samples, rate = soundfile.read(args.sound, dtype="float32")
    assert rate == RATE, rate
    microphone = Microphone(samples)
    notes = Notes(microphone)
    processor = ASRProcessor(
        ASRProcessor.ProcessorConfig(RATE, 200, 30.0, audio_trimming=TimeTrimming(BUFFER), language=args.language),
        microphone,
        notes,
        Backend.FASTER_WHISPER,
        FasterWhisperModelConfig(args.model, device="cpu", compute_type="int8", cpu_threads=args.threads),
        FasterWhisperTranscribeConfig(beam_size=1, best_of=1, temperature=[0.0]),
        FasterWhisperFeatureExtractorConfig(),
    )
    began = time.process_time()
    thread = threading.Thread(target=processor.run)
    thread.start()
    thread.join()
    cpu = time.process_time() - began
    model = WhisperModel(args.model, device="cpu", compute_type="int8", cpu_threads=args.threads)
    segments, _ = model.transcribe(samples, language=args.language, vad_filter=True)
    print(json.dumps({"words": notes.told, "cpu": cpu, "file": "".join(one.text for one in segments)}))


if __name__ == "__main__":
    main()
