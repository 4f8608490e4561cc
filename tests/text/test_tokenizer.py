"""Tokenisers against what transformers gave (`golden/make_tokens.py`), and live with the oracle extra."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quartet.errors import ManifestError
from quartet.families import tokenizers
from quartet.text.tokenizer import Tokenizer, clean_up, load_tokenizer, valid_unicode

ROOT = Path(__file__).parents[2]
TOKENS = ROOT / "tests" / "golden" / "tokens"
DEMO = ROOT / "src" / "quartet" / "demo"
FOLDERS = {"demo": DEMO, "m2m100": TOKENS / "m2m100", "marian": TOKENS / "marian", "t5": TOKENS / "t5"}
FINDERS = {"demo": tokenizers.nllb, "m2m100": tokenizers.m2m100, "marian": tokenizers.marian, "t5": tokenizers.t5}
CONTROL = ["</s>", "<pad>", "<unk>", "<mask>", "<s>", "eng_Latn", "__en__", ">>fra<<", "<2fr>", "<2zh_Hant>"]


def load(name: str) -> Tokenizer:
    found = FINDERS[name](FOLDERS[name], {})
    assert found is not None
    return load_tokenizer(FOLDERS[name], found.spec)


def demo_json(tmp_path: Path) -> Tokenizer:
    """The demo's tokeniser from its `tokenizer.json`, by the library that it is written for."""
    shutil.copy(DEMO / "tokenizer.json", tmp_path)
    found = tokenizers.nllb(DEMO, {})
    assert found is not None
    return load_tokenizer(tmp_path, replace(found.spec, kind="tokenizers", source_model="tokenizer.json"))


def golden(name: str, key: str) -> list[dict[str, Any]]:
    cases = json.loads((TOKENS / f"{name}.json").read_text("utf-8"))["cases"]
    return [case for case in cases if key in case]


@pytest.mark.parametrize("name", FOLDERS)
def test_encode_is_that_of_transformers(name: str) -> None:
    tokenizer = load(name)
    cases = golden(name, "text")
    assert len(cases) > 100
    assert [tokenizer.encode(case["text"]) for case in cases] == [case["ids"] for case in cases]


@pytest.mark.parametrize("name", FOLDERS)
def test_decode_is_that_of_transformers(name: str) -> None:
    tokenizer = load(name)
    for case in golden(name, "decoded"):
        assert tokenizer.decode(case["target_ids"]) == case["decoded"]


def test_tokenizer_json_equals_sentencepiece(tmp_path: Path) -> None:
    tokenizer = demo_json(tmp_path)
    for case in golden("demo", "text"):
        assert tokenizer.encode(case["text"]) == case["ids"]
    for case in golden("demo", "decoded"):
        assert tokenizer.decode(case["target_ids"]) == case["decoded"]


@pytest.mark.parametrize("name", [*FOLDERS, "json"])
@pytest.mark.parametrize("text", CONTROL)
def test_text_never_becomes_a_control_token(name: str, text: str, tmp_path: Path) -> None:
    tokenizer = demo_json(tmp_path) if name == "json" else load(name)
    spec_name = "demo" if name == "json" else name
    found = FINDERS[spec_name](FOLDERS[spec_name], {})
    assert found is not None
    control = {*found.spec.special_tokens.values(), *(language.token_id for language in found.languages)}
    ids = tokenizer.encode(f"a {text} b {text}{text}")
    assert not (control - {found.spec.unk_id}) & set(ids)
    assert len(ids) > 4


def test_control_tokens_are_left_out_of_text_even_where_the_vocabulary_spells_them(tmp_path: Path) -> None:
    """A piece made of unknown characters is looked up as it stands: `>>` + `<<` must not reach a language."""
    for file in (TOKENS / "marian").iterdir():
        shutil.copy(file, tmp_path)
    vocab = json.loads((tmp_path / "vocab.json").read_text("utf-8"))
    (tmp_path / "vocab.json").write_text(json.dumps({**vocab, ">>≋≋<<": len(vocab)}), "utf-8")
    found = tokenizers.marian(tmp_path, {})
    assert found is not None
    assert "≋≋" in [language.code for language in found.languages]
    assert len(vocab) not in load_tokenizer(tmp_path, found.spec).encode(">>≋≋<<")


@pytest.mark.parametrize("name", [*FOLDERS, "json"])
def test_no_text_breaks_it(name: str, tmp_path: Path) -> None:
    tokenizer = demo_json(tmp_path) if name == "json" else load(name)
    for text in ("\ud800", "x\udfff\ud800y", "\0", "a" * 100_000, "😀" * 100_000, "\u0301" * 1000):
        assert isinstance(tokenizer.decode(tokenizer.encode(text)), str)
    assert tokenizer.encode("") == []
    assert tokenizer.decode([]) == ""
    assert tokenizer.count("one two") == len(tokenizer.encode("one two"))


def test_language_tokens_give_no_text() -> None:
    tokenizer = load("marian")
    ids = tokenizer.encode("the")
    assert tokenizer.decode([2, *ids, 4]) == tokenizer.decode(ids) != ""


@pytest.mark.parametrize("name", FOLDERS)
def test_ids_outside_of_the_vocabulary_give_no_text(name: str) -> None:
    tokenizer = load(name)
    ids = tokenizer.encode("the")
    assert tokenizer.decode([*ids, 10**6, -1]) == tokenizer.decode(ids) != ""


@pytest.mark.parametrize("name", FOLDERS)
def test_text_grows_with_the_ids(name: str) -> None:
    tokenizer = load(name)
    ids = golden(name, "decoded")[40]["target_ids"]
    texts = [tokenizer.decode(ids[:n]) for n in range(len(ids) + 1)]
    assert all(longer.startswith(text) for text, longer in pairwise(texts))


@given(st.text(alphabet=st.characters(exclude_categories=())))
def test_valid_unicode_can_be_written_and_changes_nothing_else(text: str) -> None:
    valid = valid_unicode(text)
    valid.encode("utf-8")
    if not any(0xD800 <= ord(c) < 0xE000 for c in text):
        assert valid == text


def test_surrogates() -> None:
    assert valid_unicode("\ud83d\ude00") == "😀"
    assert valid_unicode("a\ud800b\udc00") == "a\ufffdb\ufffd"


def test_spaces_are_cleaned_up_where_the_checkpoint_asks_for_it(tmp_path: Path) -> None:
    shutil.copy(DEMO / "sentencepiece.bpe.model", tmp_path)
    (tmp_path / "tokenizer_config.json").write_text('{"clean_up_tokenization_spaces": true}')
    found = tokenizers.nllb(tmp_path, {})
    assert found is not None
    asked, plain = (load_tokenizer(tmp_path, replace(found.spec, clean_up_spaces=flag)) for flag in (True, False))
    assert found.spec.clean_up_spaces
    ids = asked.encode("Yes , no .")
    assert (asked.decode(ids), plain.decode(ids)) == ("Yes, no.", "Yes , no .")
    assert clean_up("I 'm , do n't ' we 've ?") == "I'm, don't'we've?"


@pytest.mark.parametrize("break_it", [Path.unlink, lambda path: path.write_bytes(b"no model")])
def test_missing_and_damaged_files_are_named(break_it: Callable[[Path], Any], tmp_path: Path) -> None:
    for file in (TOKENS / "marian").iterdir():
        shutil.copy(file, tmp_path)
    found = tokenizers.marian(tmp_path, {})
    assert found is not None
    break_it(tmp_path / "target.spm")
    with pytest.raises(ManifestError, match=r"target\.spm|damaged"):
        load_tokenizer(tmp_path, found.spec)


@pytest.mark.parametrize("wrong", ["x", None, 1.5, True, [1]])
def test_ids_that_are_no_integers_are_damage(wrong: object, tmp_path: Path) -> None:
    for file in (TOKENS / "marian").iterdir():
        shutil.copy(file, tmp_path)
    found = tokenizers.marian(tmp_path, {})
    assert found is not None
    vocabulary = json.loads((tmp_path / "vocab.json").read_text("utf-8"))
    (tmp_path / "vocab.json").write_text(json.dumps(vocabulary | {next(iter(vocabulary)): wrong}), "utf-8")
    with pytest.raises(ManifestError, match="is damaged"):
        load_tokenizer(tmp_path, found.spec)


@pytest.mark.slow
def test_tokenizer_json_equals_sentencepiece_on_flores(shared: Path, tmp_path: Path) -> None:
    pieces, whole = load("demo"), demo_json(tmp_path)
    lines = flores(shared)
    assert len(lines) == 4 * 997
    assert [pieces.encode(line) for line in lines] == [whole.encode(line) for line in lines]


@pytest.mark.oracle
@pytest.mark.parametrize("kind", ["NllbTokenizer", "NllbTokenizerFast"])
def test_demo_live(kind: str, shared: Path) -> None:
    transformers = pytest.importorskip("transformers")
    reference = getattr(transformers, kind).from_pretrained(DEMO, tgt_lang="fra_Latn")
    compare(load("demo"), reference, flores(shared)[:: 1 if kind.endswith("Fast") else 8])


@pytest.mark.oracle
@pytest.mark.parametrize(("name", "kind"), [("m2m100", "M2M100Tokenizer"), ("marian", "MarianTokenizer")])
def test_tiny_live(name: str, kind: str, shared: Path) -> None:
    transformers = pytest.importorskip("transformers")
    compare(load(name), getattr(transformers, kind).from_pretrained(FOLDERS[name]), flores(shared)[::8])


@pytest.mark.oracle
@pytest.mark.slow
def test_opus_mt_live(opus_mt: Path, shared: Path) -> None:
    transformers = pytest.importorskip("transformers")
    found = tokenizers.marian(opus_mt, {})
    assert found is not None
    reference = transformers.MarianTokenizer.from_pretrained(opus_mt)
    compare(load_tokenizer(opus_mt, found.spec), reference, flores(shared))


def compare(tokenizer: Tokenizer, reference: Any, lines: list[str]) -> None:
    """Ids of source lines, and text of target ids but for outer white space (NllbTokenizerFast leaves some)."""
    expected = reference(lines, add_special_tokens=False)["input_ids"]
    assert [tokenizer.encode(line) for line in lines] == expected
    target_ids = reference(text_target=lines, add_special_tokens=False)["input_ids"]
    decoded = reference.batch_decode(target_ids, skip_special_tokens=True)
    assert [tokenizer.decode(ids) for ids in target_ids] == [text.strip() for text in decoded]


def flores(shared: Path) -> list[str]:
    folder = shared / "data" / "flores-dev"
    return [
        line for code in ("en", "fr", "de", "es") for line in (folder / f"{code}.txt").read_text("utf-8").splitlines()
    ]
