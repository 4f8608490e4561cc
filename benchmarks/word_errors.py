"""How many words does each precision get wrong?

    python benchmarks/word_errors.py whisper-base --data ../shared/data/flores-dev --precisions fp32 int8 int4

The speech is made by `speech.py`: sentences of FLORES read by espeak-ng in four languages, some minutes each, and
LibriVox recordings. Beam 5 and falling back to higher temperatures, as by default: without that, espeak-ng's voices
make small models loop, and chance decides where. Without the text of the window before. Word error rate:
substitutions, insertions and deletions by the words of the reference, both in lower case without punctuation. Needs
espeak-ng and pocketsphinx-testdata.
"""

import argparse
import tempfile
import unicodedata
from pathlib import Path

import numpy as np
from report import add_results_argument, report
from speech import Reading, readings

from quartet import Transcriber


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--data", type=Path, required=True, help="folder with en.txt, fr.txt, de.txt, es.txt")
    parser.add_argument("--precisions", nargs="+", default=["fp32", "int8", "int4"])
    parser.add_argument("--sentences", type=int, default=30, help="of each language")
    parser.add_argument("--beam-size", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    add_results_argument(parser)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        speech = readings(args.data, Path(work), args.sentences)
    errors = {precision: measure(args.model, precision, speech, args) for precision in args.precisions}
    rows = [
        [one.name, f"{one.seconds / 60:.1f}", *(rate(found[i : i + 1]) for found in errors.values())]
        for i, one in enumerate(speech)
    ]
    minutes = sum(one.seconds for one in speech) / 60
    shown = [*rows, ["all", f"{minutes:.1f}", *(rate(errors[p]) for p in errors)]]
    report(args.results, ("speech", "minutes", *errors), shown, {"minutes": minutes, "errors": errors})


def measure(model: str, precision: str, speech: list[Reading], args: argparse.Namespace) -> list[tuple[int, int]]:
    """Wrong words and words of each reading."""
    with Transcriber(model, precision=precision, threads=args.threads) as transcriber:
        found = []
        for one in speech:
            segments, _ = transcriber.transcribe(
                one.samples, one.language, beam_size=args.beam_size, condition_on_previous_text=False
            )
            found.append(word_errors(one.text, "".join(segment.text for segment in segments)))
            print(precision, one.name, *found[-1], flush=True)
    return found


def word_errors(reference: str, said: str) -> tuple[int, int]:
    """Edits between the words of two texts, and the number of words of the first."""
    expected, got = words(reference), np.array(words(said))
    row = np.arange(len(got) + 1)
    for i, word in enumerate(expected, 1):
        best = np.minimum(row[1:] + 1, row[:-1] + (got != word))
        # an insertion costs one more than the place to the left: a running minimum less the position
        row = np.minimum.accumulate(np.concatenate([[i], best]) - np.arange(len(row))) + np.arange(len(row))
    return int(row[-1]), len(expected)


def words(text: str) -> list[str]:
    kept = (c if unicodedata.category(c)[0] in "LMN" else " " for c in text.lower())
    return "".join(kept).split()


def rate(errors: list[tuple[int, int]]) -> str:
    return f"{100 * sum(wrong for wrong, _ in errors) / sum(count for _, count in errors):.2f} %"


if __name__ == "__main__":
    main()
