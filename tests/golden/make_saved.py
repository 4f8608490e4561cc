"""Tokenisers as transformers saves them after words were added, and what it makes of texts with these words.

    pip install '.[oracle]'            # and again with transformers of the next major version
    python tests/golden/make_saved.py

Writes `saved/V-FAMILY/`, the files that version V saves, and `saved/V.json`: texts with their ids and what these become
again. Trained from a few made-up lines, so that the files are small.
"""

import json
import logging
import shutil
import warnings
from pathlib import Path
from typing import Any

import sentencepiece
import transformers
from transformers import AddedToken, AutoTokenizer

SAVED = Path(__file__).parent / "saved"
FAMILIES = ("nllb", "m2m100", "marian", "t5", "madlad")
LINES = [
    "Where is the train station? It's 10:45 a.m., and I don't know!",
    "The patient takes the tablet at noon, and the doctor knows it.",
    "0 < 2 > / x f",
    "je ne sais pas où est la gare, dit le médecin.",
]
TYPES = {"nllb": "M2M100", "m2m100": "M2M100", "marian": "Marian", "t5": "T5", "madlad": "T5"}
LANGUAGE = {"nllb": "xyz_Latn", "m2m100": "__xx__", "marian": ">>deu<<", "madlad": "<2de>"}  # one more
WORDS = ("Zyxwv", "Gène", "noon")  # the last one could be made of pieces
SPECIAL = "<ent>"

TEXTS = [
    "the Zyxwv train",
    "Zyxwv",
    "Zyxwv Zyxwv",
    "the Gène is at noon.",
    "theZyxwvtrain",
    "afternoon, noon and noontime",
    "the <ent> train <ent>",
    "<ent> the Zyxwv, the Gène!",
    "a Zyxwv <ent> Zyxwv b",
    "the train station",
    "where is Zyxwv?",
    "je ne sais pas où est Zyxwv",
]


def main() -> None:
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    version = transformers.__version__
    cases: dict[str, Any] = {"transformers": version}
    for family in FAMILIES:
        folder = SAVED / f"{version.partition('.')[0]}-{family}"
        shutil.rmtree(folder, ignore_errors=True)
        save(folder, family)
        cases[family] = said(folder, family)
    path = SAVED / f"{version.partition('.')[0]}.json"
    path.write_text(json.dumps(cases, ensure_ascii=False, indent=1) + "\n", "utf-8")


def save(folder: Path, family: str) -> None:
    """Write what transformers saves of the family's tokeniser with more words, one of them special, and a language."""
    plain = folder.with_name(f"{folder.name}-plain")
    shutil.rmtree(plain, ignore_errors=True)
    plain.mkdir(parents=True)
    write_plain(plain, family)
    tokenizer = AutoTokenizer.from_pretrained(plain, **({"extra_ids": 0} if family == "madlad" else {}))
    tokenizer.add_tokens([WORDS[0], AddedToken(WORDS[1], normalized=False), WORDS[2]])
    tokenizer.add_tokens([SPECIAL, *([LANGUAGE[family]] if family in LANGUAGE else [])], special_tokens=True)
    tokenizer.save_pretrained(folder)
    shutil.rmtree(plain)


def said(folder: Path, family: str) -> dict[str, Any]:
    """Ids of the added words and of all texts, and these ids as text."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    added = [*WORDS, SPECIAL, *([LANGUAGE[family]] if family in LANGUAGE else [])]
    cases = []
    for text in TEXTS:
        ids = list(tokenizer(text, add_special_tokens=False)["input_ids"])
        cases.append({"text": text, "ids": ids, "decoded": tokenizer.batch_decode([ids], skip_special_tokens=True)[0]})
    return {"ids": {text: tokenizer.convert_tokens_to_ids(text) for text in added}, "cases": cases}


def write_plain(folder: Path, family: str) -> None:
    """The files that the first ones of a family have, all small."""
    config: dict[str, Any] = {"tokenizer_class": {"nllb": "Nllb"}.get(family, TYPES[family]) + "Tokenizer"}
    if family == "nllb":
        _train(folder / "sentencepiece.bpe.model", 90)
        config |= {"additional_special_tokens": ["eng_Latn", "fra_Latn", "deu_Latn"], "src_lang": "eng_Latn"}
    elif family == "m2m100":
        pieces = _train(folder / "sentencepiece.bpe.model", 90)
        _write(folder / "vocab.json", {p: i for i, p in enumerate(["<s>", "<pad>", "</s>", "<unk>", *pieces[3:]])})
        config |= {"src_lang": "en", "tgt_lang": "fr"}
    elif family == "marian":
        pieces = [*_train(folder / "source.spm", 90)[3:], *_train(folder / "target.spm", 80)[3:]]
        words = ["</s>", "<unk>", ">>fra<<", *dict.fromkeys(pieces), "<pad>"]
        _write(folder / "vocab.json", {word: i for i, word in enumerate(words)})
        config |= {"source_lang": "en", "target_lang": "roa"}
    elif family == "t5":
        _train(folder / "spiece.model", 80, model_type="unigram", pad_id=0, eos_id=1, unk_id=2, bos_id=-1)
        config |= {"extra_ids": 2}
    else:
        tags = {"user_defined_symbols": ["<2en>", "<2fr>"], "byte_fallback": True}
        _train(folder / "spiece.model", 360, model_type="unigram", **tags)
        config |= {"unk_token": "<unk>", "pad_token": "<s>", "eos_token": "</s>", "extra_ids": 0}
    _write(folder / "tokenizer_config.json", config)
    _write(folder / "config.json", {"model_type": {"M2M100": "m2m_100"}.get(TYPES[family], TYPES[family].lower())})


def _train(path: Path, size: int, model_type: str = "bpe", **options: Any) -> list[str]:
    """Train a small SentencePiece model that knows all letters of the lines; returns its pieces."""
    with path.open("wb") as file:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(LINES * 5),
            model_writer=file,
            vocab_size=size,
            model_type=model_type,
            hard_vocab_limit=False,
            character_coverage=1.0,
            normalization_rule_name="identity",
            num_threads=1,
            minloglevel=2,
            **options,
        )
    model = sentencepiece.SentencePieceProcessor(model_file=str(path))
    return [str(model.id_to_piece(i)) for i in range(len(model))]


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False), "utf-8")


if __name__ == "__main__":
    main()
