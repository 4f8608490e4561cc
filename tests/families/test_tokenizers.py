"""What the tokeniser files of checkpoints say."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import sentencepiece

from quartet.errors import CheckpointError
from quartet.families import tokenizers
from quartet.spec import Language
from quartet.text.tokenizer import load_tokenizer

ROOT = Path(__file__).parents[2]
TOKENS = ROOT / "tests" / "golden" / "tokens"
DEMO = ROOT / "src" / "quartet" / "demo"


def write(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content), "utf-8")


def ids(found: tokenizers.TokenizerInfo | None) -> dict[str, int | None]:
    assert found is not None
    return {language.code: language.token_id for language in found.languages}


@pytest.mark.parametrize(
    "find", [tokenizers.nllb, tokenizers.m2m100, tokenizers.marian, tokenizers.nllb_or_m2m100, tokenizers.t5]
)
def test_no_files_no_tokenizer(find: Any, tmp_path: Path) -> None:
    assert find(tmp_path, {}) is None


def test_nllb() -> None:
    found = tokenizers.nllb_or_m2m100(DEMO, {"vocab_size": 8192})
    assert found is not None
    assert found.files == ("sentencepiece.bpe.model", "tokenizer.json")
    assert (found.spec.kind, found.spec.offset, found.spec.unk_id) == ("sentencepiece", 1, 3)
    assert found.spec.special_tokens["<mask>"] == 8191
    assert len(found.languages) == 202
    assert found.languages[0] == Language("ace_Arab", 7989)
    assert ids(found)["eng_Latn"] == 8035
    assert ids(found)["zul_Latn"] == 8190


@pytest.mark.parametrize("file", ["sentencepiece.bpe.model", "tokenizer.json"])
def test_nllb_from_one_file_alone(file: str, tmp_path: Path) -> None:
    shutil.copy(DEMO / file, tmp_path)
    alone, whole = tokenizers.nllb(tmp_path, {}), tokenizers.nllb(DEMO, {})
    assert alone is not None
    assert whole is not None
    assert alone.languages == whole.languages
    assert alone.spec.special_tokens == whole.spec.special_tokens
    assert alone.files == (file,)


def test_ids_that_the_checkpoint_gives_win(tmp_path: Path) -> None:
    shutil.copy(DEMO / "sentencepiece.bpe.model", tmp_path)
    write(
        tmp_path / "tokenizer_config.json",
        {
            "additional_special_tokens": ["eng_Latn", {"content": "fra_Latn"}],
            "added_tokens_decoder": {"9000": {"content": "wol_Latn"}},
        },
    )
    assert ids(tokenizers.nllb(tmp_path, {})) == {"eng_Latn": 7989, "fra_Latn": 7990, "wol_Latn": 9000}


def test_language_tokens_without_a_row_are_refused() -> None:
    with pytest.raises(CheckpointError, match=r"8100 rows: .* \.\.\. come after"):
        tokenizers.nllb(DEMO, {"vocab_size": 8100})


def test_m2m100() -> None:
    found = tokenizers.nllb_or_m2m100(TOKENS / "m2m100", {})
    assert found is not None
    size = len(json.loads((TOKENS / "m2m100" / "vocab.json").read_text("utf-8")))
    assert found.files == ("sentencepiece.bpe.model", "vocab.json")
    assert found.spec.special_tokens == {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3}
    assert len(found.languages) == 100
    assert found.languages[0] == Language("af", size)
    assert found.languages[-1] == Language("zu", size + 99)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"language_codes": "wmt21"}, ["en", "ha", "is", "ja", "cs", "ru", "zh", "de"]),
        ({"additional_special_tokens": ["__fr__", "__en__"]}, ["fr", "en"]),
    ],
)
def test_m2m100_with_other_languages(config: dict[str, Any], expected: list[str], tmp_path: Path) -> None:
    for name in ("vocab.json", "sentencepiece.bpe.model"):
        shutil.copy(TOKENS / "m2m100" / name, tmp_path)
    write(tmp_path / "tokenizer_config.json", config)
    assert list(ids(tokenizers.m2m100(tmp_path, {}))) == expected


@pytest.mark.oracle
def test_language_ids_are_those_of_transformers() -> None:
    transformers = pytest.importorskip("transformers")
    m2m100 = transformers.M2M100Tokenizer.from_pretrained(TOKENS / "m2m100")
    assert ids(tokenizers.m2m100(TOKENS / "m2m100", {})) == m2m100.lang_code_to_id
    demo = transformers.AutoTokenizer.from_pretrained(DEMO)
    assert all(demo.convert_tokens_to_ids(code) == i for code, i in ids(tokenizers.nllb(DEMO, {})).items())


def test_marian_with_many_targets() -> None:
    found = tokenizers.marian(TOKENS / "marian", {})
    assert found is not None
    assert found.languages == (
        Language("en", None, target=False),
        Language("fra", 2, source=False),
        Language("pt_br", 3, source=False),
        Language("cmn_Hans", 4, source=False),
    )
    assert set(found.spec.special_tokens) == {"</s>", "<unk>", "<pad>", ">>fra<<", ">>pt_br<<", ">>cmn_Hans<<"}


def marian_copy(folder: Path, drop: tuple[str, ...] = ()) -> None:
    for file in (TOKENS / "marian").iterdir():
        shutil.copy(file, folder)
    vocab = json.loads((folder / "vocab.json").read_text("utf-8"))
    write(folder / "vocab.json", {word: i for word, i in vocab.items() if word not in drop})


@pytest.mark.parametrize("name", ["opus-mt-en-fr", "opus-mt-tc-big-en-fr"])
def test_marian_languages_by_name(name: str, tmp_path: Path) -> None:
    folder = tmp_path / name
    folder.mkdir()
    marian_copy(folder, (">>fra<<", ">>pt_br<<", ">>cmn_Hans<<"))
    (folder / "tokenizer_config.json").unlink()
    by_folder = tokenizers.marian(folder, {})
    by_config = tokenizers.marian(folder.rename(tmp_path / "other"), {"_name_or_path": f"/x/{name}"})
    for found in (by_folder, by_config):
        assert found is not None
        assert found.languages == (Language("en", target=False), Language("fr", source=False))


def test_marian_with_two_vocabularies(tmp_path: Path) -> None:
    marian_copy(tmp_path)
    shutil.copy(tmp_path / "vocab.json", tmp_path / "target_vocab.json")
    found = tokenizers.marian(tmp_path, {})
    assert found is not None
    assert found.spec.target_vocab == "target_vocab.json"
    assert found.files == ("source.spm", "target.spm", "vocab.json", "target_vocab.json")


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("vocab.json", "{", "damaged"),
        ("vocab.json", "[]", "not an object"),
        ("vocab.json", '{"a": 0}', "no <unk> token"),
        ("tokenizer_config.json", "nonsense", "damaged"),
    ],
)
def test_damaged_files_are_named(file: str, content: str, message: str, tmp_path: Path) -> None:
    marian_copy(tmp_path)
    (tmp_path / file).write_text(content)
    with pytest.raises(CheckpointError, match=message):
        tokenizers.marian(tmp_path, {})


def test_a_damaged_sentencepiece_model_is_named(tmp_path: Path) -> None:
    (tmp_path / "sentencepiece.bpe.model").write_bytes(b"x")
    with pytest.raises(CheckpointError, match="no SentencePiece model"):
        tokenizers.nllb(tmp_path, {})


def trained(folder: Path, **options: Any) -> Path:
    """A small T5 tokeniser that knows `<2fr>`."""
    words = [f"{a}{b} {b}{c}" for a in "abcdef" for b in "ghijk" for c in "lmno"]
    with (folder / "spiece.model").open("wb") as file:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(words),
            model_writer=file,
            vocab_size=30,
            hard_vocab_limit=False,
            minloglevel=2,
            **options,
        )
    return folder


def test_t5_has_the_target_languages_as_pieces() -> None:
    found = tokenizers.t5(TOKENS / "t5", {})
    assert found is not None
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(TOKENS / "t5" / "spiece.model"))
    tags = {code: pieces.piece_to_id(f"<2{code}>") for code in ("en", "fr", "zh_Hant")}
    assert ids(found) == tags  # not `<2translate>`
    assert found.space == pieces.piece_to_id("▁")
    assert found.files == ("spiece.model",)
    assert (found.spec.kind, found.spec.offset, found.spec.unk_id) == ("sentencepiece", 0, 0)
    assert found.spec.special_tokens.keys() == {"<unk>", "<s>", "</s>", "<2en>", "<2fr>", "<2zh_Hant>"}


def test_t5_without_languages(tmp_path: Path) -> None:
    found = tokenizers.t5(trained(tmp_path), {})
    assert found is not None
    assert found.languages == ()
    assert found.space is None


def test_a_language_token_without_a_space_before_it(tmp_path: Path) -> None:
    found = tokenizers.t5(trained(tmp_path, user_defined_symbols=["<2fr>"], add_dummy_prefix=False), {})
    assert found is not None
    assert list(ids(found)) == ["fr"]
    assert found.space is None


def test_language_tokens_that_text_never_becomes_are_refused(tmp_path: Path) -> None:
    trained(tmp_path, control_symbols=["<2fr>"])
    with pytest.raises(CheckpointError, match=r"has the language token <2fr> but reads it as \['▁', "):
        tokenizers.t5(tmp_path, {})


@pytest.mark.oracle
def test_t5_frames_text_as_transformers_does() -> None:
    transformers = pytest.importorskip("transformers")
    found = tokenizers.t5(TOKENS / "t5", {})
    assert found is not None
    ours = load_tokenizer(TOKENS / "t5", found.spec)
    theirs = transformers.T5Tokenizer.from_pretrained(TOKENS / "t5", extra_ids=0)
    text = "The train is late, again."
    framed = [found.space, ids(found)["fr"], *ours.encode(text), theirs.eos_token_id]
    assert theirs(f"<2fr> {text}").input_ids == framed


def test_opennmts_pieces_may_be_elsewhere(tmp_path: Path) -> None:
    """The vocabulary comes with the weights, the SentencePiece model from the folder that was named."""
    folder, other = tmp_path / "model", tmp_path / "tokenizer"
    folder.mkdir()
    other.mkdir()
    write(folder / "vocab.json", {"<unk>": 0, "<s>": 1, "</s>": 2, "▁the": 3})
    shutil.copy(TOKENS / "marian" / "source.spm", other / "sentencepiece.model")
    keys = {"eos_token_id": 2, "pad_token_id": 2, "decoder_start_token_id": 1, "unk_token_id": 0}
    config = keys | {"target_prefix_id": None}
    assert tokenizers.opennmt(folder, config) is None
    found = tokenizers.opennmt(folder, config, other)
    assert found is not None
    assert (found.files, set(found.made)) == (("sentencepiece.model",), {"vocab.json"})


# ---- Whisper ------------------------------------------------------------------------------------------------------


def byte_pairs(folder: Path, merges: list[str], added: dict[str, int] | None = None) -> Path:
    """GPT-2's files with all single bytes, these merges, and what `added_tokens.json` says."""
    from tokenizers.pre_tokenizers import ByteLevel

    pieces = [*sorted(ByteLevel.alphabet()), *(merge.replace(" ", "") for merge in merges), "<|endoftext|>"]
    write(folder / "vocab.json", {piece: i for i, piece in enumerate(pieces)})
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]), "utf-8")
    if added is not None:
        write(folder / "added_tokens.json", {text: len(pieces) + i for text, i in added.items()})
    return folder


MERGES = ["h e", "l l", "he ll", "hell o", "Ġ hello", "Ġ -", "Ġ '"]


def test_whisper_from_vocab_and_merges(tmp_path: Path) -> None:
    folder = byte_pairs(tmp_path, MERGES, {"<|startoftranscript|>": 0, "<|en|>": 1, "<|0.00|>": 2})
    found = tokenizers.whisper(folder)
    assert found is not None
    assert found.files == ()
    end = 256 + len(MERGES)
    assert found.spec.unk_id == end
    assert found.spec.special_tokens == {"<|endoftext|>": end, "<|startoftranscript|>": end + 1, "<|en|>": end + 2}
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "tokenizer.json").write_bytes(found.made["tokenizer.json"])
    tokenizer = load_tokenizer(tmp_path / "out", found.spec)
    assert tokenizer.encode(" hello hello") == [256 + 4, 256 + 4]
    assert tokenizer.encode("<|en|>") != [end + 2]
    for text in ("hello", "Grüße, 世界 🙂", "a  b\n c"):
        assert tokenizer.decode(tokenizer.encode(text)) == text
    again = tokenizers.whisper(tmp_path / "out")
    assert again is not None
    assert (again.spec, again.files) == (found.spec, ("tokenizer.json",))


def test_whisper_without_its_files(tmp_path: Path) -> None:
    assert tokenizers.whisper(tmp_path) is None
    assert tokenizers.non_speech(tmp_path) == ()
    write(tmp_path / "vocab.json", {"a": 0})
    assert tokenizers.whisper(tmp_path) is None


@pytest.mark.parametrize(
    ("merges", "message"),
    [("#version: 0.2\nh\n", "damaged vocab.json or merges.txt"), ("#version: 0.2\nq zz\n", "damaged")],
)
def test_whisper_with_damaged_merges(merges: str, message: str, tmp_path: Path) -> None:
    byte_pairs(tmp_path, MERGES)
    (tmp_path / "merges.txt").write_text(merges, "utf-8")
    with pytest.raises(CheckpointError, match=message):
        tokenizers.whisper(tmp_path)


def test_a_tokeniser_of_something_else_is_not_whispers(tmp_path: Path) -> None:
    write(tmp_path / "tokenizer.json", {"added_tokens": [{"id": 0, "content": "<s>"}]})
    with pytest.raises(CheckpointError, match=r"has no <\|endoftext\|> token"):
        tokenizers.whisper(tmp_path)


def test_signs_that_nobody_speaks(tmp_path: Path) -> None:
    """Signs of one token, alone or after a space; of notes, which are three bytes here, the first."""
    found = set(tokenizers.non_speech(byte_pairs(tmp_path, MERGES)))
    vocab = json.loads((tmp_path / "vocab.json").read_text("utf-8"))
    assert {vocab["["], vocab["#"], vocab["Ġ-"], vocab["Ġ'"], vocab["â"]} <= found
    assert not {vocab["-"], vocab["'"], vocab["a"], vocab["?"], vocab["hello"]} & found
