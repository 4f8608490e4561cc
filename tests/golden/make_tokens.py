"""Make `tests/golden/tokens`: token ids and decoded text as transformers gives them, and three tiny tokenisers.

    python tests/golden/make_tokens.py --flores ../shared/data/flores-dev

Needs the oracle extra. Each `<name>.json` holds `cases`, a list of `{text, ids, decoded}`; ids are without language
and end tokens, `decoded` is `batch_decode(skip_special_tokens=True)`. FLORES lines are CC-BY-SA 4.0.
"""

import argparse
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import sentencepiece
import transformers
from transformers import M2M100Tokenizer, MarianTokenizer, NllbTokenizer, T5Tokenizer

TOKENS = Path(__file__).parent / "tokens"
DEMO = Path(__file__).parents[2] / "src" / "quartet" / "demo"
LANGUAGES = ("en", "fr", "de", "es")
EVERY = 40  # one FLORES line in so many

NASTY = [
    "",
    "   ",
    "  two  spaces   and\ttabs  ",
    "line\nbreak\r\nand another\n\n",
    "NUL \0 inside",
    "zero\u200bwidth \u200d joiner \ufeff mark",
    "\u200fright to left\u200e \u202eoverride",
    "שלום, עולם. مرحبا بالعالم؟",
    "😀 👩‍👩‍👧‍👦 🇫🇷 👍🏽",
    "cafe\u0301 ﬁne ½ ① Ⅳ ™ …",
    "non\u00a0breaking\u3000spaces\u2028lines",
    "▁ metaspace▁in text",
    "你好，世界。こんにちは 안녕하세요",
    "don 't do n't . Really ? Yes ! I 'm , you 're",
    "<div class='a'>&amp;</div> {x} [y] http://example.org/?a=1&b=2",
    "x" * 300,
    "1,234.56 − 7 × 8 = ?",
    "\ue000 private use, \uffff no character",
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--flores", type=Path, required=True, help="folder with en.txt, fr.txt, de.txt and es.txt")
    flores = parser.parse_args().flores
    lines = [line for name in LANGUAGES for line in (flores / f"{name}.txt").read_text("utf-8").splitlines()[::EVERY]]
    english, french = ((flores / f"{name}.txt").read_text("utf-8").splitlines() for name in ("en", "fr"))
    make_m2m100(TOKENS / "m2m100", [*english[:200], *french[:200]])
    make_marian(TOKENS / "marian", english[:200], french[:200])
    texts = [*NASTY, *lines]
    save("demo", texts, NllbTokenizer.from_pretrained(DEMO))
    save("m2m100", texts, M2M100Tokenizer.from_pretrained(TOKENS / "m2m100"))
    save("marian", texts, MarianTokenizer.from_pretrained(TOKENS / "marian"))
    make_t5(TOKENS / "t5", [*english[:200], *french[:200]])
    save("t5", texts, T5Tokenizer.from_pretrained(TOKENS / "t5", extra_ids=0))


def save(name: str, texts: list[str], tokenizer: Any) -> None:
    def ids(text: str) -> list[int]:
        return list(tokenizer(text, add_special_tokens=False)["input_ids"])

    def target_ids(text: str) -> list[int]:
        return list(tokenizer(text_target=text, add_special_tokens=False)["input_ids"])

    def decoded(tokens: list[int]) -> str:
        return str(tokenizer.batch_decode([tokens], skip_special_tokens=True)[0])

    cases = [{"text": text, "ids": ids(text)} for text in texts]
    cases += [{"target_ids": target_ids(text), "decoded": decoded(target_ids(text))} for text in texts]
    pieces = enumerate(tokenizer.convert_ids_to_tokens(range(len(tokenizer))))
    every = [i for i, token in pieces if ">>" not in token and not token.startswith("<2")]
    cases.append({"target_ids": every, "decoded": decoded(every)})  # some tokenisers show language tokens, we do not
    content = {"transformers": transformers.__version__, "cases": cases}
    (TOKENS / f"{name}.json").write_text(json.dumps(content, ensure_ascii=True, indent=None) + "\n", "utf-8")


def make_m2m100(folder: Path, lines: Iterable[str]) -> None:
    """A tokeniser like M2M100's: specials, pieces, made-up words; then the languages."""
    folder.mkdir(parents=True, exist_ok=True)
    pieces = train(folder / "sentencepiece.bpe.model", lines, 400)
    write(folder / "vocab.json", {p: i for i, p in enumerate(["<s>", "<pad>", "</s>", "<unk>", *pieces[3:-20]])})
    write(folder / "tokenizer_config.json", {"tokenizer_class": "M2M100Tokenizer", "src_lang": "en", "tgt_lang": "fr"})


def make_marian(folder: Path, source: Iterable[str], target: Iterable[str]) -> None:
    """A tokeniser like opus-mt's: the union of two models' pieces, languages in the vocabulary, `<pad>` last."""
    folder.mkdir(parents=True, exist_ok=True)
    pieces = [*train(folder / "source.spm", source, 300)[3:], *train(folder / "target.spm", target, 300)[3:]]
    words = ["</s>", "<unk>", ">>fra<<", ">>pt_br<<", ">>cmn_Hans<<", *dict.fromkeys(pieces[:-20]), "<pad>"]
    write(folder / "vocab.json", {word: i for i, word in enumerate(words)})
    write(folder / "tokenizer_config.json", {"source_lang": "en", "target_lang": "roa"})


def make_t5(folder: Path, lines: Iterable[str]) -> None:
    """A tokeniser like MADLAD-400's: the target languages are pieces, and so is something that only looks like one."""
    folder.mkdir(parents=True, exist_ok=True)
    tags = ["<2en>", "<2fr>", "<2zh_Hant>", "<2translate>"]
    train(folder / "spiece.model", lines, 700, model_type="unigram", user_defined_symbols=tags, byte_fallback=True)
    specials = {"unk_token": "<unk>", "pad_token": "<s>", "eos_token": "</s>"}
    write(folder / "tokenizer_config.json", {"tokenizer_class": "T5Tokenizer", **specials})


def train(path: Path, lines: Iterable[str], size: int, model_type: str = "bpe", **options: Any) -> list[str]:
    """Train a small SentencePiece model without a normaliser (its table alone would be 240 kB); return its pieces."""
    with path.open("wb") as file:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(lines),
            model_writer=file,
            vocab_size=size,
            model_type=model_type,
            normalization_rule_name="identity",
            num_threads=1,
            minloglevel=2,
            **options,
        )
    model = sentencepiece.SentencePieceProcessor(model_file=str(path))
    to_piece: Callable[[int], str] = model.id_to_piece
    return [to_piece(i) for i in range(len(model))]


def write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False), "utf-8")


if __name__ == "__main__":
    main()
