"""RTranslator's layout: its names, shapes and single files, driven call by call as that app's Java code drives them."""

from pathlib import Path

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
import pytest

import tiny
from quartet.conversion import convert_folder
from quartet.errors import ManifestError, OptionError, UnsupportedModelError
from quartet.graph.verify import stored_weights
from quartet.layouts import check_sizes
from quartet.runtime.generate import SearchOptions, generate_batch
from quartet.runtime.sessions import open_sessions
from quartet.runtime.text import load_tokenizer
from quartet.spec import FILES, MANIFEST_NAME, Manifest, file_entry

TEXTS = ["Where is the train station?", "I do not know.", "She said “多谢” and left.", "It is very cold today."]


@pytest.fixture(scope="module", params=["fp32", "int8", "int4"])
def both(request: pytest.FixtureRequest, demo_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The demo model in the layouts quartet and rtranslator."""
    folder = tmp_path_factory.mktemp("layouts")
    for layout in ("quartet", "rtranslator"):
        convert_folder(demo_checkpoint, folder / layout, precision=request.param, layout=layout)
    return [folder / "quartet", folder / "rtranslator"]


# ---- the app -----------------------------------------------------------------------------------------------------


def app_session(path: Path) -> ort.InferenceSession:
    """A session as RTranslator opens it: graph optimisation, memory pattern and arena switched off."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.enable_mem_pattern = False
    options.enable_cpu_mem_arena = False
    options.intra_op_num_threads = 1
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def app_translate(folder: Path, source: list[int], language: int, most: int) -> list[int]:
    """The app's greedy loop: one call after the other, one output of `embed_and_lm_head` at a time."""
    shapes = Manifest.load(folder).shapes
    encoder, decoder, initializer, embed_and_lm_head = (
        app_session(folder / f"NLLB_{name}.onnx")
        for name in ("encoder", "decoder", "cache_initializer", "embed_and_lm_head")
    )
    no_logits, no_ids = np.zeros((1, 1, shapes.d_model), np.float32), np.zeros((1, 2), np.int64)

    def embed(ids: np.ndarray) -> np.ndarray:
        inputs = {"input_ids": ids, "pre_logits": no_logits, "use_lm_head": np.array([False])}
        return embed_and_lm_head.run(["embed_matrix"], inputs)[0]

    ids = np.array([source], np.int64)
    mask = np.ones_like(ids)
    (hidden,) = encoder.run(None, {"input_ids": ids, "attention_mask": mask, "embed_matrix": embed(ids)})
    fixed = named(initializer, {"encoder_hidden_states": hidden})
    empty = np.zeros((1, shapes.decoder_heads, 0, shapes.head_size), np.float32)
    grown = {f"present.{i}.decoder.{w}": empty for i in range(shapes.decoder_layers) for w in ("key", "value")}
    token, tokens = 2, []
    while len(tokens) < most:
        step = np.array([[token]], np.int64)
        inputs = {"input_ids": step, "encoder_attention_mask": mask, "embed_matrix": embed(step)}
        inputs |= {name.replace("present", "past_key_values"): value for name, value in (fixed | grown).items()}
        grown = named(decoder, inputs)
        pre_logits = grown.pop("pre_logits")
        scoring = {"input_ids": no_ids, "pre_logits": pre_logits, "use_lm_head": np.array([True])}
        (logits,) = embed_and_lm_head.run(["logits"], scoring)
        assert logits.shape == (1, 1, shapes.vocab_size)
        best = int(logits[0, 0].argmax())
        if inputs["past_key_values.0.decoder.key"].shape[2] == 0:
            token = language  # what the first step says is not looked at
            continue
        if best == 2:
            break
        tokens.append(best)
        token = best
    return tokens


def named(session: ort.InferenceSession, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return dict(zip([output.name for output in session.get_outputs()], session.run(None, inputs), strict=True))


def ours(folder: Path, source: list[int], prompt: list[int], most: int) -> list[int]:
    (hypotheses,) = generate_batch(open_sessions(folder, 1), [source], [prompt], SearchOptions())
    return list(hypotheses[0].tokens)[:most]


def test_the_app_says_what_quartet_says(both: list[Path]) -> None:
    folder, single = both
    manifest = Manifest.load(folder)
    assert manifest.tokenizer is not None
    tokenizer = load_tokenizer(folder, manifest.tokenizer)
    language = {entry.code: entry.token_id or 0 for entry in manifest.languages}
    said = []
    for text in TEXTS:
        source = [language["eng_Latn"], *tokenizer.encode(text), 2]
        said.append(app_translate(single, source, language["fra_Latn"], 40))
        assert said[-1] == ours(folder, source, [2, language["fra_Latn"]], 40)
    assert tokenizer.decode(said[0]) == "Où est la gare ?"


@pytest.mark.parametrize("variant", ["m2m100-base", "m2m100-untied", "m2m100-heads-differ"])
def test_other_shapes(variant: str, tmp_path: Path) -> None:
    checkpoint = tiny.make(tmp_path / "checkpoint", variant)
    for layout in ("quartet", "rtranslator"):
        convert_folder(checkpoint, tmp_path / layout, layout=layout)
    language = tiny.forced_bos(variant)
    assert language is not None
    for source in tiny.inputs(variant, 2):
        said = app_translate(tmp_path / "rtranslator", source, language, 8)
        assert said == ours(tmp_path / "quartet", source, [2, language], 8)


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


# ---- what is refused ---------------------------------------------------------------------------------------------


def test_quartet_does_not_play_the_layout(both: list[Path]) -> None:
    with pytest.raises(ManifestError, match="has the layout rtranslator, for other programs"):
        open_sessions(both[1], 1)


def test_an_unknown_layout(tmp_path: Path, demo_checkpoint: Path) -> None:
    with pytest.raises(OptionError, match=r"unknown layout 'android'; it is one of quartet, rtranslator"):
        convert_folder(demo_checkpoint, tmp_path / "out", layout="android")


def test_a_family_that_the_app_does_not_run(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModelError, match="RTranslator runs no marian models"):
        convert_folder(tiny.make(tmp_path / "checkpoint", "marian-base"), tmp_path / "out", layout="rtranslator")
    assert not (tmp_path / "out").exists()


def test_fewer_languages(tmp_path: Path, demo_checkpoint: Path) -> None:
    with pytest.raises(OptionError, match="keeps all languages"):
        convert_folder(demo_checkpoint, tmp_path / "out", layout="rtranslator", languages=["en", "fr"])


def test_weights_that_are_too_many_for_one_file() -> None:
    check_sizes("quartet", {"decoder": 3_000_000_000})
    check_sizes("rtranslator", {"decoder": 2_000_000_000})
    with pytest.raises(OptionError, match=r"decoder has 2\.2 GB of weights, a single ONNX file holds 2 GB"):
        check_sizes("rtranslator", {"decoder": 2_200_000_000})
