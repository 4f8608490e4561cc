"""Does an Argos package translate as well in quartet as in CTranslate2? BLEU and chrF of both on the same sentences.

    python benchmarks/argos.py package CHECKPOINT en-fr.argosmodel
    python benchmarks/argos.py compare en-fr.argosmodel --source en --target fr --data ../shared/data/flores-dev

`package` makes one from an opus-mt checkpoint, since no package registry holds a real one: CTranslate2's int8, and the
two SentencePiece models joined into the single one that Argos knows (target pieces are read, but never cut into).
`compare` translates line by line, greedily and as Argos Translate searches: beam 4, length penalty 0.2, unknown tokens
replaced. Needs ctranslate2, sacrebleu, protobuf; `package` also torch and transformers.
"""

import argparse
import json
import sys
import tempfile
import zipfile
from pathlib import Path

import ctranslate2
import sacrebleu
from ctranslate2.converters import TransformersConverter
from report import add_results_argument, report
from sentencepiece import SentencePieceProcessor, sentencepiece_model_pb2
from sentences import add_sentence_arguments, read_sentences

from quartet import Translator
from quartet.conversion.convert import convert_folder

BEAM, LENGTH_PENALTY = 4, 0.2  # of Argos Translate
METADATA = {
    "package_version": "1.0",
    "argos_version": "1.9",
    "from_code": "en",
    "from_name": "English",
    "to_code": "fr",
    "to_name": "French",
}
UNUSED = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    actions = parser.add_subparsers(required=True)
    make = actions.add_parser("package")
    make.add_argument("checkpoint", type=Path)
    make.add_argument("package", type=Path)
    make.add_argument("--quantization", default="int8")
    make.set_defaults(run=package)
    both = actions.add_parser("compare")
    both.add_argument("package", type=Path)
    add_sentence_arguments(both, 997)
    both.add_argument("--precisions", nargs="+", default=["int8", "int4"])
    both.add_argument("--threads", type=int, default=2)
    add_results_argument(both)
    both.set_defaults(run=compare)
    args = parser.parse_args()
    args.run(args)


# ---- a package ----------------------------------------------------------------------------------------------------


def package(args: argparse.Namespace) -> None:
    """The files of a package, in a folder of its name, zipped."""
    with tempfile.TemporaryDirectory(prefix="quartet-") as work:
        folder = Path(work) / f"translate-{METADATA['from_code']}_{METADATA['to_code']}-1_0"
        model = folder / "model"
        TransformersConverter(str(args.checkpoint)).convert(str(model), quantization=args.quantization)
        settings = json.loads((model / "config.json").read_text())
        (model / "config.json").write_text(json.dumps(settings | {"add_source_eos": True}))  # Argos adds none itself
        joined = join(args.checkpoint / "source.spm", args.checkpoint / "target.spm")
        (folder / "sentencepiece.model").write_bytes(joined)
        (folder / "metadata.json").write_text(json.dumps(METADATA))
        (folder / "README.md").write_text(f"# {METADATA['from_name']} to {METADATA['to_name']}\n")
        (folder / "stanza").mkdir()
        (folder / "stanza" / "resources.json").write_text("{}")
        with zipfile.ZipFile(args.package, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in sorted(folder.rglob("*")):
                archive.write(path, path.relative_to(work))


def join(source: Path, target: Path) -> bytes:
    """The source's model, with those pieces of the target's that it has not as unused ones."""
    first, second = (sentencepiece_model_pb2.ModelProto.FromString(path.read_bytes()) for path in (source, target))
    known = {piece.piece for piece in first.pieces}
    for piece in second.pieces:
        if piece.piece not in known:
            first.pieces.add(piece=piece.piece, score=piece.score, type=UNUSED)
    return first.SerializeToString()


# ---- the comparison -----------------------------------------------------------------------------------------------


def compare(args: argparse.Namespace) -> None:
    sources, references = read_sentences(args)
    rows = []
    with tempfile.TemporaryDirectory(prefix="quartet-") as work:
        zipfile.ZipFile(args.package).extractall(work)
        folder = next(Path(work).rglob("metadata.json")).parent
        for beam in (1, BEAM):
            expected = argos_like(folder, sources, beam, args.threads)
            rows.append(row("CTranslate2", beam, expected, expected, references))
            for precision in args.precisions:
                quartet = Path(work) / precision
                if not quartet.exists():
                    convert_folder(args.package, quartet, precision=precision)
                with Translator(quartet, threads=args.threads) as translator:
                    found = translator.translate_batch(sources, beam_size=beam, split="none", raw=True)
                rows.append(row(f"quartet {precision}", beam, [t.text for t in found], expected, references))
            print(*(" ".join(cells(r)) for r in rows if r["beam"] == beam), sep="; ", file=sys.stderr)
    columns = ("engine", "beam", "BLEU", "chrF", "lines as CTranslate2's")
    report(args.results, columns, map(cells, rows), {"rows": rows}, packages=("ctranslate2", "sacrebleu"))


def argos_like(folder: Path, sources: list[str], beam: int, threads: int) -> list[str]:
    """What Argos Translate does with a sentence: cut, translate, join."""
    pieces = SentencePieceProcessor(model_file=str(folder / "sentencepiece.model"))
    translator = ctranslate2.Translator(str(folder / "model"), inter_threads=1, intra_threads=threads)
    results = translator.translate_batch(
        pieces.encode(sources, out_type=str),
        beam_size=beam,
        length_penalty=LENGTH_PENALTY,
        replace_unknowns=True,
        max_batch_size=16,
    )
    return [pieces.decode_pieces(r.hypotheses[0]).replace("▁", " ").replace("_", " ").strip() for r in results]


def row(name: str, beam: int, found: list[str], expected: list[str], references: list[str]) -> dict[str, object]:
    return {
        "name": name,
        "beam": beam,
        "bleu": sacrebleu.corpus_bleu(found, [references]).score,
        "chrf": sacrebleu.corpus_chrf(found, [references]).score,
        "same": sum(a == b for a, b in zip(found, expected, strict=True)),
    }


def cells(r: dict[str, object]) -> tuple[str, ...]:
    return str(r["name"]), str(r["beam"]), f"{r['bleu']:.2f}", f"{r['chrf']:.2f}", str(r["same"])


if __name__ == "__main__":
    main()
