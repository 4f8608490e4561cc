"""Is the best token ever missed when only the best few of the coarse plane are scored with both planes?

    python benchmarks/rescoring.py CHECKPOINT --source en --target fr --data ../shared/data/flores-dev --beams 1 4

At every step of a translation the logits of all tokens are worked out with both planes, in float32, and compared with
what the coarse plane puts first: greedy search needs the best one, a beam of k the best 2 k.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
from onnxruntime import OrtValue
from precision import converted
from report import last_line, table
from sentences import add_sentence_arguments, read_sentences

from quartet import Translator
from quartet.runtime import generate
from quartet.runtime.decode import RESCORED, read_scores
from quartet.runtime.scores import Scores
from quartet.runtime.sessions import Sessions

FEWER = 4, 8  # candidates that were scored again, instead of as many as the runtime takes


class Watch:
    """Stands in for `read_scores` and counts the rows where candidates by the coarse plane lack what is wanted."""

    def __init__(self) -> None:
        self.matrix: np.ndarray | None = None
        self.rows, self.without_best, self.without_some = 0, 0, 0
        self.fewer = dict.fromkeys(FEWER, 0)

    def __call__(self, model: Sessions, pre_logits: OrtValue, count: int = 1) -> Scores:
        scores = read_scores(model, pre_logits, count)
        assert model.candidates is not None, "the head is not in two planes"
        ids = np.arange(model.manifest.shapes.vocab_size)
        if self.matrix is None:
            self.matrix = model.candidates.read(ids)
        exact = pre_logits.numpy()[:, 0] @ self.matrix.T + model.candidates.bias_of(ids)
        best = exact.argmax(axis=1)
        wanted = np.argpartition(-exact, count - 1, axis=1)[:, :count]
        found = (wanted[:, :, None] == scores.top_ids[:, None, :]).any(axis=2)
        self.rows += len(best)
        self.without_best += int((scores.top_ids != best[:, None]).all(axis=1).sum())
        self.without_some += int((~found).any(axis=1).sum())
        for few in FEWER:
            self.fewer[few] += int((scores.top_ids[:, :few] != best[:, None]).all(axis=1).sum())
        return scores


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    add_sentence_arguments(parser, 100)
    parser.add_argument("--beams", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--threads", type=int)
    args = parser.parse_args()
    sources, _ = read_sentences(args)
    rows = []
    with tempfile.TemporaryDirectory(prefix="quartet-") as work:
        translator = Translator(converted(args.checkpoint, Path(work), "int4"), threads=args.threads)
        for beam in args.beams:
            generate.read_scores = watch = Watch()
            translator.translate_batch(sources, args.target, args.source, beam_size=beam)
            rows.append(facts(beam, watch))
        translator.close()
    columns = "beam", "rows scored", "candidates", "best missed", "one of those wanted missed"
    table((*columns, *(f"best missed by {few}" for few in FEWER)), (row.values() for row in rows))
    last_line({"rows": rows})


def facts(beam: int, watch: Watch) -> dict[str, object]:
    wanted = 1 if beam == 1 else 2 * beam
    return {
        "beam": beam,
        "rows": watch.rows,
        "candidates": RESCORED + 2 * wanted,
        "missed": watch.without_best,
        "wanted_missed": watch.without_some,
        **{f"missed_by_{few}": count for few, count in watch.fewer.items()},
    }


if __name__ == "__main__":
    main()
