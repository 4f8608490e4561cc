"""A quartet cut down to some languages: the rows it has are those of the whole one, and so is what it says."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import onnxruntime as ort
import pytest

import tiny
from demo_model import FRENCH, GERMAN
from quartet import Translator
from quartet.checkpoint import open_checkpoint
from quartet.conversion.convert import convert_folder
from quartet.conversion.prune import Pruned, prune
from quartet.errors import CheckpointError, LanguageError, OptionError
from quartet.families import find
from quartet.quantize.recipes import QuantizationOptions
from quartet.spec import EMBED_AND_LM_HEAD, ENCODER, MANIFEST_NAME, Generation, Manifest
from quartet.text.tokenizer import load_tokenizer
from tiny_tokenizers import make

LANGUAGES = {
    "nllb": ["en", "fr"],
    "m2m100": ["en", "fr", "ru"],
    "m2m100-untied": ["en", "fr"],
    "marian": ["en", "fr"],
    "marian-separate": ["en", "fr", "pt"],
}
KINDS = list(LANGUAGES)
TEXT = "Where is the train station?\nOù est la gare ?\n"


class Converted:
    """A checkpoint and its conversions, each made once."""

    def __init__(self, folder: Path, kind: str) -> None:
        self.kind, self.languages, self.folder = kind, LANGUAGES[kind], make(folder / "checkpoint", kind)
        self.text = folder / "text.txt"
        self.text.write_text(TEXT, "utf-8")

    def whole(self, precision: str = "fp32") -> Path:
        return self._convert(f"whole-{precision}", precision=precision)

    def less(self, with_text: bool, precision: str = "fp32") -> Path:
        name = f"less-{with_text}-{precision}"
        return self._convert(name, precision=precision, languages=self.languages, texts=self._texts(with_text))

    def pruned(self, with_text: bool) -> Pruned:
        return pruned(self.folder, self.languages, self._texts(with_text))

    def _texts(self, with_text: bool) -> tuple[Path, ...]:
        return (self.text,) if with_text else ()

    def _convert(self, name: str, **options: Any) -> Path:
        out = self.folder.with_name(name)
        if not out.exists():  # GPTQ would run other sentences through another vocabulary
            method = QuantizationOptions(method="mse") if options["precision"] == "int4" else QuantizationOptions()
            convert_folder(self.folder, out, options=method, **options)
        return out


@pytest.fixture(scope="module", params=KINDS)
def converted(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Converted:
    return Converted(tmp_path_factory.mktemp("prune"), request.param)


def schema() -> Any:
    return json.loads((Path(tiny.__file__).parents[1] / "src/quartet/manifest.schema.json").read_text("utf-8"))


def pruned(folder: Path, languages: list[str], texts: tuple[Path, ...] = ()) -> Pruned:
    checkpoint = open_checkpoint(folder)
    family = find(checkpoint.config)
    return prune(folder, family.read_spec(checkpoint.config), family.describe(checkpoint), languages, texts)


@dataclass(frozen=True)
class Files:
    """The files that hold the vocabulary, as any reader runs them."""

    manifest: Manifest
    embed_and_lm_head: ort.InferenceSession
    encoder: ort.InferenceSession


def opened(folder: Path) -> Files:
    head, encoder = (ort.InferenceSession(folder / f"{name}.onnx") for name in (EMBED_AND_LM_HEAD, ENCODER))
    return Files(Manifest.load(folder), head, encoder)


def embedded(model: Files, ids: list[int]) -> np.ndarray:
    idle = np.zeros((1, 1, model.manifest.shapes.d_model), np.float32)
    inputs = {"use_lm_head": np.array([False]), "input_ids": np.array([ids]), "pre_logits": idle}
    return model.embed_and_lm_head.run(["embed_matrix"], inputs)[0][0]


def logits(model: Files) -> np.ndarray:
    states = np.random.default_rng(0).normal(size=(3, 1, model.manifest.shapes.d_model)).astype(np.float32)
    inputs = {"use_lm_head": np.array([True]), "input_ids": np.zeros((1, 2), np.int64), "pre_logits": states}
    return model.embed_and_lm_head.run(["logits"], inputs)[0][:, 0]


def encoded(model: Files, rows: list[int]) -> np.ndarray:
    ids = np.array([rows])
    vectors = np.zeros((*ids.shape, model.manifest.shapes.d_model), np.float32)
    if model.manifest.shapes.source_vocab_size is None:
        vectors = embedded(model, rows)[None]
    inputs = {"input_ids": ids, "attention_mask": np.ones_like(ids), "embed_matrix": vectors}
    return model.encoder.run(["last_hidden_state"], inputs)[0]


@pytest.mark.parametrize("precision", ["fp32", "int8", "int4"])
@pytest.mark.parametrize("with_text", [False, True])
def test_kept_rows_are_those_of_the_whole_model(converted: Converted, precision: str, with_text: bool) -> None:
    rows = converted.pruned(with_text)
    whole = opened(converted.whole(precision))
    less = opened(converted.less(with_text, precision))
    assert less.manifest.shapes.vocab_size == len(rows.target) < whole.manifest.shapes.vocab_size
    some = dict(list(rows.source.items())[::7])
    vectors = embedded(less, list(rows.target.values())), embedded(whole, list(rows.target))
    states = encoded(less, list(some.values())), encoded(whole, list(some))
    if precision != "int4":
        assert np.array_equal(*vectors)
        assert np.array_equal(*states)
    pairs = vectors, states, (logits(less), logits(whole)[:, list(rows.target)])
    for found, expected in pairs:
        if precision == "int4":  # columns are scaled by the rows that there are, and the best scores are exact ones
            assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.99
        else:
            np.testing.assert_allclose(found, expected, atol=1e-4, rtol=1e-4)


def test_the_manifest_has_the_new_ids(converted: Converted) -> None:
    folder = converted.less(with_text=True)
    whole, less, rows = Manifest.load(converted.whole()), Manifest.load(folder), converted.pruned(with_text=True)
    jsonschema.validate(json.loads((folder / MANIFEST_NAME).read_text("utf-8")), schema())
    for name in ("eos", "pad", "decoder_start"):
        assert rows.target[getattr(whole.tokens, name)] == getattr(less.tokens, name)
        assert rows.source[getattr(whole.tokens, name)] == getattr(less.tokens, name)
    assert rows.source[whole.tokenizer.unk_id] == less.tokenizer.unk_id
    old = {language.code: language for language in whole.languages}
    assert len(less.languages) == len(converted.languages)
    for language in less.languages:
        assert rows.source.get(old[language.code].token_id) == language.token_id
    assert less.generation.bad_words_ids == (((less.tokens.pad,),) if whole.family == "marian" else ())
    assert (less.pruning.vocab_size, len(less.pruning.texts)) == (whole.shapes.vocab_size, 1)
    assert less.pruning.source_vocab_size == whole.shapes.source_vocab_size
    assert whole.pruning is None


@pytest.mark.parametrize("text", ["Where is the train station?", "Où est la gare ?", "is  there a train ?", "7 % «à»"])
def test_text_becomes_the_same_pieces(converted: Converted, text: str) -> None:
    """Other text in the same scripts is spelled with what is there."""
    rows = converted.pruned(with_text=True)
    with Translator(converted.whole(), threads=1) as whole, Translator(converted.less(True), threads=1) as less:
        ids, found = whole.tokenizer.encode(text), less.tokenizer.encode(text)
        if set(ids) <= rows.source.keys():
            assert found == [rows.source[i] for i in ids]
        else:
            assert text not in TEXT.splitlines()
            assert len(found) > len(ids)
        assert set(found) <= set(rows.source.values())


def test_ids_become_the_same_text(converted: Converted) -> None:
    rows = converted.pruned(with_text=True).target
    with Translator(converted.whole(), threads=1) as whole, Translator(converted.less(True), threads=1) as less:
        for ids in (list(rows), list(rows)[7:30], list(rows)[:9]):
            assert less.tokenizer.decode([rows[i] for i in ids]) == whole.tokenizer.decode(ids)


def test_letters_that_are_gone_are_unknown(converted: Converted) -> None:
    with Translator(converted.less(with_text=False), threads=1) as less:
        assert less.manifest.tokenizer.unk_id in less.tokenizer.encode("the 日本 train")
        assert less.translate("the 日本 train", "fr", "en").source in ("eng_Latn", "en")


def test_a_language_that_is_gone_is_refused(converted: Converted) -> None:
    with (
        Translator(converted.less(with_text=False), threads=1) as less,
        pytest.raises(LanguageError, match="the model has no Chinese"),
    ):
        less.translate("the train", "zh", "en")


# ---- the demo model, whose words mean something ----

SENTENCES = ["Where is the train station?", "Thank you.", "My brother is taller than me.", "I'm tired (not 2 old)."]


@pytest.fixture(scope="module")
def demo(demo_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A folder with the demo's quartet, and its translations of the sentences."""
    folder = tmp_path_factory.mktemp("demo")
    convert_folder(demo_checkpoint, folder / "whole", precision="int8")
    with Translator(folder / "whole", threads=1) as whole:
        found = {text: whole.translate(text, "fr", "en").text for text in SENTENCES}
    return folder, found


@pytest.mark.parametrize("with_text", [False, True])
def test_translations_are_the_same(demo, demo_checkpoint: Path, with_text: bool, tmp_path: Path) -> None:
    _, expected = demo
    (tmp_path / "en").write_text("\n".join(expected.keys()))
    (tmp_path / "fr").write_text("\n".join(expected.values()))
    texts = [tmp_path / "en", tmp_path / "fr"] if with_text else []
    out, languages = tmp_path / "less", ["en", "fr"]
    manifest = convert_folder(demo_checkpoint, out, precision="int8", languages=languages, texts=texts)
    with Translator(tmp_path / "less", threads=1) as less:
        assert {text: less.translate(text, "fr", "en").text for text in expected} == expected
        text = SENTENCES[0]
        assert list(less.stream(text, "fr", "en"))[-1] == expected[text]
        assert less.translate(expected[text], "en").source == "fra_Latn"  # it detects among the kept ones
    assert (manifest.shapes.vocab_size < 600) == with_text


def test_the_order_of_the_languages_does_not_matter(tmp_path: Path) -> None:
    folder = make(tmp_path / "checkpoint", "marian")
    one = convert_folder(folder, tmp_path / "one", languages=["en", "fr"])
    other = convert_folder(folder, tmp_path / "other", languages=["French", "English", "fra"])
    assert one == other


# ---- what goes wrong ----


@pytest.mark.parametrize(
    ("languages", "texts", "error", "message"),
    [
        (["en", "klingon"], [], LanguageError, "unknown language 'klingon'"),
        (["en", "it"], [], LanguageError, "the model has no Italian"),
        (["en"], [], LanguageError, "en: nothing to translate between"),
        (["en", " "], [], OptionError, "one of them has no name"),
        ("en", [], OptionError, "languages is 'en'; expected a list of languages"),
        ([], ["text.txt"], OptionError, r"text \(text.txt\) is for the vocabulary of some languages"),
        (["en", "fr"], ["missing.txt"], OptionError, "missing.txt cannot be read: No such file"),
        (["en", "fr"], ["latin1.txt"], OptionError, "latin1.txt is not UTF-8"),
    ],
)
def test_bad_selections_leave_nothing(languages, texts, error, message, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    make(tmp_path / "checkpoint", "nllb")
    Path("latin1.txt").write_bytes("été".encode("latin-1"))
    with pytest.raises(error, match=message):
        convert_folder(tmp_path / "checkpoint", tmp_path / "out", languages=languages, texts=texts)
    assert {path.name for path in tmp_path.iterdir()} == {"checkpoint", "latin1.txt"}


def test_without_a_tokeniser_nothing_is_known_of_languages(tmp_path: Path) -> None:
    tiny.make(tmp_path / "checkpoint", "marian-base")
    with pytest.raises(OptionError, match="has no tokeniser files"):
        convert_folder(tmp_path / "checkpoint", tmp_path / "out", languages=["en", "fr"])


def test_a_model_whose_languages_are_not_named(tmp_path: Path) -> None:
    make(tmp_path / "checkpoint", "marian")
    (tmp_path / "checkpoint" / "tokenizer_config.json").unlink()
    vocab = tmp_path / "checkpoint" / "vocab.json"
    entries = json.loads(vocab.read_text("utf-8"))
    vocab.write_text(json.dumps({piece.replace(">>", "»"): i for piece, i in entries.items()}))
    with pytest.raises(LanguageError, match="'en': the model names no languages"):
        convert_folder(tmp_path / "checkpoint", tmp_path / "out", languages=["en", "fr"])


def test_a_tokenizer_json_alone_is_cut_like_a_sentencepiece_model(demo_checkpoint: Path, tmp_path: Path) -> None:
    folder = make(tmp_path / "checkpoint", "nllb")
    expected = convert_folder(folder, tmp_path / "expected", languages=["en", "fr"])
    (folder / "sentencepiece.bpe.model").unlink()
    (folder / "tokenizer.json").write_bytes((demo_checkpoint / "tokenizer.json").read_bytes())
    found = convert_folder(folder, tmp_path / "out", languages=["en", "fr"])
    assert (found.tokenizer, found.languages, found.tokens) == (expected.tokenizer, expected.languages, expected.tokens)
    ours, theirs = (load_tokenizer(tmp_path / name, found.tokenizer) for name in ("out", "expected"))
    for text in TEXT.splitlines():
        assert ours.encode(text) == theirs.encode(text)
        assert ours.decode(ours.encode(text)) == text


def test_a_tokenizer_json_that_sentencepiece_cannot_say_is_refused(demo_checkpoint: Path, tmp_path: Path) -> None:
    folder = make(tmp_path / "checkpoint", "nllb")
    (folder / "sentencepiece.bpe.model").unlink()
    content = json.loads((demo_checkpoint / "tokenizer.json").read_text("utf-8"))
    (folder / "tokenizer.json").write_text(json.dumps(content | {"normalizer": {"type": "Lowercase"}}))
    with pytest.raises(OptionError, match=r"there is only tokenizer\.json"):
        convert_folder(folder, tmp_path / "out", languages=["en", "fr"])


def test_two_vocabularies_in_one_embedding_are_refused(tmp_path: Path) -> None:
    folder = make(tmp_path / "checkpoint", "marian")
    (folder / "target_vocab.json").write_bytes((folder / "vocab.json").read_bytes())
    with pytest.raises(CheckpointError, match="two vocabularies but one embedding"):
        convert_folder(folder, tmp_path / "out", languages=["en", "fr"])


# ---- generation settings ----


def test_what_is_gone_need_not_be_forbidden(tmp_path: Path) -> None:
    folder = make(tmp_path / "checkpoint", "nllb")
    settings = json.loads((folder / "generation_config.json").read_text())
    german, french, comma = GERMAN, FRENCH, 4 + 10
    (folder / "README.md").unlink()  # all of NLLB's languages, then
    settings |= {"forced_bos_token_id": german, "bad_words_ids": [[french], [german, 2], [2, 3]]}
    settings |= {"suppress_tokens": [german, 1], "begin_suppress_tokens": [french, comma]}
    (folder / "generation_config.json").write_text(json.dumps(settings))
    ids = pruned(folder, ["en", "fr"]).target
    less = convert_folder(folder, tmp_path / "out", languages=["en", "fr"])
    assert german not in ids
    assert less.generation == Generation(
        max_length=40,
        forced_bos=None,
        bad_words_ids=((ids[french],), (2, 3)),
        suppress_tokens=(1,),
        begin_suppress_tokens=(ids[french], ids[comma]),
    )


def test_a_short_text_is_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = make(tmp_path / "checkpoint", "nllb")
    for repeats, warned in ((1, True), (2, False)):
        (tmp_path / "text").write_text(TEXT * repeats, "utf-8")
        caplog.clear()
        convert_folder(folder, tmp_path / f"out{repeats}", languages=["en", "fr"], texts=[tmp_path / "text"])
        assert ("1 token in 1 would be missing" in caplog.text) == warned
    (tmp_path / "text").write_text("")
    convert_folder(folder, tmp_path / "empty", languages=["en", "fr"], texts=[tmp_path / "text"])
    assert "1 token in 1 would be missing" in caplog.text
