"""RTranslator's layout: its names, shapes and single files, driven call by call as that app's Java code drives them."""

import json
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

import rtranslator
import tiny
import tiny_speech
import tiny_speech_text
from log_mel import log_mel
from quartet.conversion.convert import convert_folder
from quartet.conversion.layouts import check_sizes
from quartet.conversion.layouts.detokenizer import detokenizer, token_bytes
from quartet.conversion.verify import stored_weights
from quartet.errors import CheckpointError, ManifestError, OptionError, UnsupportedModelError
from quartet.quantize.recipes import QuantizationOptions
from quartet.runtime.decode import decode_one_token, encode_features, start
from quartet.runtime.engine import open_engine
from quartet.runtime.generate import SearchOptions, generate_batch
from quartet.runtime.logits import read_scores
from quartet.spec import FILES, MANIFEST_NAME, Manifest, file_entry
from quartet.text.tokenizer import load_tokenizer

TEXTS = ["Where is the train station?", "I do not know.", "She said “多谢” and left.", "It is very cold today."]


@pytest.fixture(scope="module", params=["fp32", "int8", "int4"])
def both(request: pytest.FixtureRequest, demo_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The demo model in the layouts quartet and rtranslator."""
    folder = tmp_path_factory.mktemp("layouts")
    options = QuantizationOptions(method=None if request.param == "fp32" else "mse")  # GPTQ changes codes alone
    for layout in ("quartet", "rtranslator"):
        convert_folder(demo_checkpoint, folder / layout, precision=request.param, options=options, layout=layout)
    return [folder / "quartet", folder / "rtranslator"]


def both_of(checkpoint: Path, precision: str) -> list[Path]:
    """Another model in both layouts."""
    for layout in ("quartet", "rtranslator"):
        convert_folder(checkpoint, checkpoint.parent / layout, precision=precision, layout=layout)
    return [checkpoint.parent / "quartet", checkpoint.parent / "rtranslator"]


# ---- the app says what quartet says ------------------------------------------------------------------------------


def ours(folder: Path, source: list[int], prompt: list[int], most: int) -> list[int]:
    (hypotheses,) = generate_batch(open_engine(folder, 1).model(), [source], [prompt], SearchOptions())
    return list(hypotheses[0].tokens)[:most]


def test_nllb(both: list[Path]) -> None:
    folder, single = both
    manifest = Manifest.load(folder)
    assert manifest.tokenizer is not None
    tokenizer = load_tokenizer(folder, manifest.tokenizer)
    language = {entry.code: entry.token_id or 0 for entry in manifest.languages}
    said = []
    for text in TEXTS:
        source = [language["eng_Latn"], *tokenizer.encode(text), 2]
        said.append(rtranslator.translate(single, source, language["fra_Latn"], 40))
        assert said[-1] == ours(folder, source, [2, language["fra_Latn"]], 40)
    assert tokenizer.decode(said[0]) == "Où est la gare ?"


@pytest.mark.parametrize("variant", ["m2m100-base", "m2m100-untied", "m2m100-heads-differ"])
def test_other_shapes_of_nllb(variant: str, tmp_path: Path) -> None:
    folder, single = both_of(tiny.make(tmp_path / "checkpoint", variant), "int4")
    language = tiny.forced_bos(variant)
    assert language is not None
    for source in tiny.inputs(variant, 2):
        said = rtranslator.translate(single, source, language, 8)
        assert said == ours(folder, source, [2, language], 8)


@pytest.mark.parametrize("precision", ["fp32", "int8", "int4"])
@pytest.mark.parametrize("variant", ["madlad", "t5-v1.0", "t5-v1.1-tied"])
def test_madlad(variant: str, precision: str, tmp_path: Path) -> None:
    """And T5, whose head may be the embedding: then the decoder's file holds that matrix too."""
    folder, single = both_of(tiny.make(tmp_path / "checkpoint", variant), precision)
    tokens = Manifest.load(folder).tokens
    assert tokens.decoder_start == 0
    said = [rtranslator.translate_with_own_head(single, source, 8, tokens.eos) for source in tiny.inputs(variant, 3)]
    assert said == [ours(folder, source, [0], 8) for source in tiny.inputs(variant, 3)]
    assert len({tuple(tokens) for tokens in said}) == 3


def unruled(folder: Path, features: np.ndarray, prompt: list[int], most: int) -> list[int]:
    """Our runtime's greedy search as the app's: no rules, and what the prompt seems to be followed by counts too."""
    model = open_engine(folder, 1).model()
    state, tokens = start(model, encode_features(model, features), 1), []
    for step in range(most):
        fed = prompt[step] if step < len(prompt) else tokens[-1]
        scores = read_scores(model, decode_one_token(model, state, np.array([fed])))
        tokens.append(int(scores.logits[0].argmax()))
        if tokens[-1] == tiny_speech.END:
            break
    return tokens


@pytest.mark.parametrize("precision", ["fp32", "int8", "int4"])
def test_whisper(precision: str, tmp_path: Path) -> None:
    folder, single = both_of(tiny_speech_text.make(tmp_path / "checkpoint"), precision)
    speech, end = tiny_speech, tiny_speech.END
    prompts = [[speech.START, language, speech.TRANSCRIBE, speech.NO_TIMESTAMPS] for language in (speech.ENGLISH, 43)]
    for samples in noises()[2::2]:
        heard = rtranslator.features(single, samples)
        alone = [rtranslator.recognize(single, samples, [prompt], 16, end)[0] for prompt in prompts]
        assert [one.tokens for one in alone] == [unruled(folder, heard, prompt, 16) for prompt in prompts]
        together = rtranslator.recognize(single, samples, prompts, 16, end)
        assert [one.tokens for one in together] == [one.tokens for one in alone]
        assert [one.score for one in together] == pytest.approx([one.score for one in alone], abs=1e-4)
        letters = " " + tiny_speech_text.LETTERS
        assert [one.text for one in alone] == ["".join(letters[t] for t in one.tokens if t < end) for one in alone]


def noises() -> list[np.ndarray]:
    """Sounds shorter than a window, as long and longer."""
    random = np.random.Generator(np.random.PCG64(7))
    lengths = (1, 700, 9_000, 16_000, 20_000)
    return [(random.random(n) * np.sin(np.arange(n) / 300) * n / 40_000).astype(np.float32) for n in lengths]


@pytest.mark.parametrize("variant", ["base", "128-mels"])
def test_samples_to_frames(variant: str, tmp_path: Path) -> None:
    _, single = both_of(tiny_speech.make(tmp_path / "checkpoint", variant), "fp32")
    mels = tiny_speech.VARIANTS[variant].mel_bins
    assert not (single / "Whisper_detokenizer.onnx").exists()  # the checkpoint has no tokeniser
    for samples in (*noises(), np.zeros(16_000, np.float32)):
        found = rtranslator.features(single, samples)
        assert np.abs(found - log_mel(samples[:16_000], mels, seconds=1)).max() < 1e-4


def test_tokens_to_text(tmp_path: Path) -> None:
    """Tokens of a few bytes, of parts of letters, and of none."""
    texts = ["Ġw", "here", "Ã", "©", "ðŁ", "ĺ", "Ģ", "Ċ"]
    data = {"model": {"vocab": {t: i for i, t in enumerate(texts)}}, "added_tokens": [{"id": 8, "content": "<|end|>"}]}
    (tmp_path / "tokenizer.json").write_text(json.dumps(data), "utf-8")
    tokens = token_bytes(tmp_path / "tokenizer.json", 10)
    assert tokens == [b" w", b"here", b"\xc3", b"\xa9", b"\xf0\x9f", b"\x98", b"\x80", b"\n", b"", b""]
    ir.save(detokenizer(tokens).model(), tmp_path / "Whisper_detokenizer.onnx")
    for ids, text in ([0, 1], " where"), ([2, 3, 8], "é"), ([4, 5, 6, 7], "😀\n"), ([8, 9], ""), ([], ""):
        assert rtranslator.text(tmp_path, ids) == text


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"model": {"vocab": {"語": 0}}}', '{"model": {"vocab": {"a": "b"}}}']
)
def test_a_tokeniser_that_is_none_of_bytes(content: str, tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text(content, "utf-8")
    with pytest.raises(CheckpointError, match=r"tokenizer\.json is no tokeniser of byte pairs, as Whisper's is"):
        token_bytes(tmp_path / "tokenizer.json", 4)


# ---- the files ---------------------------------------------------------------------------------------------------


def test_the_folder_holds_single_files_by_the_names_of_the_app(both: list[Path]) -> None:
    single = both[1]
    graphs = {f"NLLB_{file}.onnx" for file in FILES}
    assert {p.name for p in single.iterdir()} == graphs | {MANIFEST_NAME, "sentencepiece_bpe.model", "tokenizer.json"}
    manifest = Manifest.load(single)
    assert manifest.files == {p.name: file_entry(p) for p in single.iterdir() if p.name != MANIFEST_NAME}
    assert (manifest.layout, manifest.embedding, manifest.lm_head) == ("rtranslator", None, None)
    assert manifest.tokenizer is not None
    assert manifest.tokenizer.source_model == "sentencepiece_bpe.model"
    assert load_tokenizer(single, manifest.tokenizer).count(TEXTS[0]) > 1


def test_inputs_and_outputs_are_those_of_the_contract(both: list[Path]) -> None:
    folder, single = both
    for file in FILES:
        graphs = [ir.load(folder / f"{file}.onnx").graph, ir.load(single / f"NLLB_{file}.onnx").graph]
        theirs = [[(v.name, v.dtype, str(v.shape)) for v in (*graph.inputs, *graph.outputs)] for graph in graphs]
        assert theirs[1] == [(name, dtype, shape.replace("sources", "b")) for name, dtype, shape in theirs[0]]


def test_every_weight_is_in_the_file_once_as_it_was(both: list[Path]) -> None:
    folder, single = both
    inside = {file: ir.load(single / f"NLLB_{file}.onnx").graph.initializers for file in FILES}
    for weight in stored_weights(folder):
        data = (folder / weight.data_file).read_bytes()[weight.offset : weight.offset + weight.length]
        tensor = inside[weight.graph].pop(weight.name).const_value
        assert tensor is not None
        assert tensor.tobytes() == data
    left = sum(v.const_value.nbytes for values in inside.values() for v in values.values() if v.const_value)
    assert left < 10_000  # constants of the graphs


def variables(path: Path) -> str:
    """Inputs and outputs of a file in one line; keys and values of all layers are left out."""
    graph = ir.load(path).graph
    sides = [[v for v in values if ".1." not in (v.name or "")] for values in (graph.inputs, graph.outputs)]
    return " -> ".join(" ".join(f"{v.name}{v.shape}".replace(",", " ") for v in side) for side in sides)


PAST = "past_key_values.0.{0}.key[b 4 {1} 8] past_key_values.0.{0}.value[b 4 {1} 8]"
PRESENT = "present.0.{0}.key[b 4 {1} 8] present.0.{0}.value[b 4 {1} 8]"
CACHE = f"{PAST.format('decoder', 'p')} {PAST.format('encoder', 's')}"
GROWN = PRESENT.format("decoder", "p + 1")


def test_how_madlad_is_cut(tmp_path: Path) -> None:
    _, single = both_of(tiny.make(tmp_path / "checkpoint", "madlad"), "fp32")
    assert {p.name for p in single.iterdir()} == {f"NLLB_{file}.onnx" for file in FILES} | {MANIFEST_NAME}
    assert variables(single / "NLLB_embed_and_lm_head.onnx") == "input_ids[b n] -> embed_matrix[b n 32]"
    fed = "input_ids[b 1] encoder_attention_mask[b s] encoder_hidden_states[b s 32] embed_matrix[b 1 32]"
    assert variables(single / "NLLB_decoder.onnx") == f"{fed} {CACHE} -> logits[b 1 99] {GROWN}"


def test_how_whisper_is_cut(tmp_path: Path) -> None:
    _, single = both_of(tiny_speech_text.make(tmp_path / "checkpoint"), "fp32")
    parts = ("initializer", "encoder", "cache_initializer", "cache_initializer_batch", "decoder", "detokenizer")
    graphs = {f"Whisper_{part}.onnx" for part in parts}
    assert {p.name for p in single.iterdir()} == graphs | {MANIFEST_NAME, "tokenizer.json"}
    cache = f"encoder_hidden_states[b s 32] -> {PRESENT.format('encoder', 's')}"
    assert [variables(single / f"Whisper_{part}.onnx") for part in parts] == [
        "audio_pcm[1 samples] -> input_features[1 8 100]",
        "input_features[b 8 frames] -> last_hidden_state[b s 32]",
        cache,
        cache,
        f"input_ids[b 1] {CACHE} -> logits[b 1 102] {GROWN}",
        "sequences[1 1 n] -> text[1 1]",
    ]


# ---- what is refused ---------------------------------------------------------------------------------------------


def test_quartet_does_not_run_the_layout(both: list[Path]) -> None:
    with pytest.raises(ManifestError, match="has the layout rtranslator, for other programs"):
        open_engine(both[1], 1).model()


def test_an_unknown_layout(tmp_path: Path, demo_checkpoint: Path) -> None:
    with pytest.raises(OptionError, match="layout is 'android'; expected quartet or rtranslator"):
        convert_folder(demo_checkpoint, tmp_path / "out", layout="android")


def test_a_family_that_the_app_does_not_run(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModelError, match="RTranslator runs no marian models"):
        convert_folder(tiny.make(tmp_path / "checkpoint", "marian-base"), tmp_path / "out", layout="rtranslator")
    assert not (tmp_path / "out").exists()


def test_fewer_languages(tmp_path: Path, demo_checkpoint: Path) -> None:
    with pytest.raises(OptionError, match="keeps all languages"):
        convert_folder(demo_checkpoint, tmp_path / "out", layout="rtranslator", languages=["en", "fr"])


def test_weights_that_are_too_many_for_one_file() -> None:
    check_sizes({"decoder": 2_000_000_000})
    with pytest.raises(OptionError, match=r"decoder has 2\.2 GB of weights, a single ONNX file holds 2 GB"):
        check_sizes({"decoder": 2_200_000_000})
