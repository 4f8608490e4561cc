"""Is the best token ever missed when only the best few of the coarse plane are scored with both planes?

    python benchmarks/rescoring.py CHECKPOINT --source en --target fr --data ../shared/data/flores-dev --beams 1 4

At every step of a translation the logits of all tokens are worked out with both planes, in float32, and compared with
what the coarse plane puts first: greedy search needs the best one, a beam of k the best 2 k. `needed` is how many of
the coarse plane's best would have been enough, at most and in all but one row of a thousand.
"""

import argparse
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
from onnxruntime import OrtValue
from precision import converted
from report import add_results_argument, report
from sentences import add_sentence_arguments, read_sentences

from quartet import Translator
from quartet.runtime import generate
from quartet.runtime.generate import Search
from quartet.runtime.logits import RESCORED, HeadOutputs, read_scores
from quartet.runtime.model import Model
from quartet.runtime.scores import Scores


class Watch:
    """Stands in for `read_scores` and notes where the coarse plane ranks the tokens that are wanted."""

    def __init__(self) -> None:
        self.matrix: np.ndarray | None = None
        self.needed_for_best: list[int] = []
        self.needed_for_all: list[int] = []

    def __call__(self, model: Model, pre_logits: OrtValue, count: int, outputs: HeadOutputs) -> Scores:
        assert model.candidates is not None, "the head is not in two planes"
        ids = np.arange(model.manifest.shapes.vocab_size)
        if self.matrix is None:
            self.matrix = model.candidates.read(ids)
        exact = pre_logits.numpy()[:, 0] @ self.matrix.T + model.candidates.bias_of(ids)
        coarse = model.lm_head.run(["logits"], {"pre_logits": pre_logits.numpy()})[0][:, 0]
        wanted = np.argsort(-exact, axis=1)[:, :count]
        scores = np.take_along_axis(coarse, wanted, axis=1)
        needed = (coarse[:, None] >= scores[:, :, None]).sum(axis=2)
        self.needed_for_best += needed[:, 0].tolist()
        self.needed_for_all += needed.max(axis=1).tolist()
        return read_scores(model, pre_logits, count, outputs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    add_sentence_arguments(parser, 100)
    parser.add_argument("--beams", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--threads", type=int)
    add_results_argument(parser)
    args = parser.parse_args()
    sources, _ = read_sentences(args)
    rows = []
    with tempfile.TemporaryDirectory(prefix="quartet-") as work:
        translator = Translator(converted(args.checkpoint, Path(work), "int4"), threads=args.threads)
        for beam in args.beams:
            watch = Watch()
            generate.Search = partial(Search, read=watch)
            translator.translate_batch(sources, args.target, args.source, raw=True, beam_size=beam)
            rows.append(facts(beam, watch))
        translator.close()
    columns = "beam", "rows scored", "candidates", "best missed", "one of those wanted missed"
    columns = (*columns, "needed for the best", "needed for those wanted")
    report(args.results, columns, (list(row.values()) for row in rows), {"rows": rows})


def facts(beam: int, watch: Watch) -> dict[str, object]:
    candidates = RESCORED + 2 * (1 if beam == 1 else 2 * beam)
    best, every = np.array(watch.needed_for_best), np.array(watch.needed_for_all)
    assert len(best), "no row was scored"
    return {
        "beam": beam,
        "rows": len(best),
        "candidates": candidates,
        "missed": int((best > candidates).sum()),
        "wanted_missed": int((every > candidates).sum()),
        "needed_for_best": f"{best.max()}, {np.quantile(best, 0.999):.0f}",
        "needed_for_wanted": f"{every.max()}, {np.quantile(every, 0.999):.0f}",
    }


if __name__ == "__main__":
    main()
