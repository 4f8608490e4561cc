"""Exports by Optimum as a source of weights: real ones of tiny models, and what is wrong with others.

The archives are made by `tests/fixtures/make_optimum_export.py`.
"""

import gzip
import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest

import tiny
import tiny_speech
from optimum_exports import unpacked, with_external_data
from quartet import Translator, families
from quartet.checkpoint import open_checkpoint, read
from quartet.checkpoint.onnx_file import read_graph
from quartet.checkpoint.tensors import TensorEntry
from quartet.conversion.convert import convert_folder
from quartet.conversion.matching import match_tensors
from quartet.errors import CheckpointError
from quartet.graph import files
from quartet.quantize.recipes import Recipe
from quartet.runtime.engine import open_engine
from quartet.runtime.speech import DecodingOptions, decode_windows, encode_audio

GOLDEN = Path(__file__).parents[1] / "golden"
FLOAT32 = [  # archive, variant, and the decoders that are taken of it
    ("marian-base", "marian-base", "two"),
    ("marian-base", "marian-base", "merged"),
    ("m2m100-base", "m2m100-base", "two"),
    ("m2m100-base", "m2m100-base", "merged"),
    ("t5-v1.0-two", "t5-v1.0", "two"),
    ("madlad-merged", "madlad", "merged"),
    ("whisper", "whisper", "two"),
    ("whisper", "whisper", "merged"),
]
INT8 = [
    ("marian-base-int8", "marian-base", "two"),
    ("marian-base-int8", "marian-base", "merged"),
    ("m2m100-base-two-int8", "m2m100-base", "two"),
    ("m2m100-base-merged-int8", "m2m100-base", "merged"),
    ("t5-v1.0-two-int8", "t5-v1.0", "two"),
    ("madlad-merged-int8", "madlad", "merged"),
    ("whisper-int8", "whisper", "two"),
    ("whisper-int8", "whisper", "merged"),
]


def made(folder: Path, variant: str) -> Path:
    """The checkpoint that was exported."""
    return tiny_speech.make(folder, "base") if variant == "whisper" else tiny.make(folder, variant)


@pytest.fixture
def export(tmp_path: Path) -> Path:
    """Encoder and both decoders of an M2M100."""
    return unpacked("m2m100-base", tmp_path / "export", "two")


def matched(folder: Path) -> dict[str, TensorEntry]:
    """The tensors that our graphs take from a checkpoint, by canonical name."""
    checkpoint = open_checkpoint(folder)
    family = families.find(checkpoint.config)
    spec = families.spec_of(family, checkpoint)
    return match_tensors(checkpoint, family, spec, files.build(spec, Recipe("fp32")))


def values(folder: Path) -> dict[str, np.ndarray]:
    return {name: read(entry) for name, entry in matched(folder).items()}


def same(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> bool:
    return found.keys() == expected.keys() and all(np.array_equal(found[name], expected[name]) for name in found)


@pytest.mark.parametrize(("name", "variant", "decoders"), FLOAT32)
def test_gives_the_files_that_the_checkpoint_gives(name: str, variant: str, decoders: str, tmp_path: Path) -> None:
    """In float32 the same bytes, so the same tokens; from two decoders and from a merged one alone."""
    direct = convert_folder(made(tmp_path / "checkpoint", variant), tmp_path / "direct", precision="fp32")
    found = convert_folder(unpacked(name, tmp_path / "export", decoders), tmp_path / "out", precision="fp32")
    assert found.files == direct.files
    assert found.shapes == direct.shapes
    assert found.tokens == direct.tokens
    assert found.speech == direct.speech


@pytest.mark.parametrize(("name", "variant", "decoders"), INT8)
def test_weights_of_8_bits_are_near_those_of_the_checkpoint(
    name: str, variant: str, decoders: str, tmp_path: Path
) -> None:
    found = matched(unpacked(name, tmp_path / "export", decoders))
    expected = matched(made(tmp_path / "checkpoint", variant))
    assert found.keys() == expected.keys()
    for tensor, entry in found.items():
        off, step = np.abs(read(entry) - read(expected[tensor])), entry.affine and max(entry.affine.scales)
        assert off.max() <= (step * 1.001 if step else 0), tensor
        in_float = tensor.endswith("bias") or "norm" in tensor or tensor == "encoder.embed_positions.weight"
        assert (step is None) == in_float, tensor
    wide = [len(entry.affine.scales) for entry in found.values() if entry.affine]
    assert (max(wide) > 1) == (name == "m2m100-base-two-int8")


@pytest.mark.parametrize("name", ["madlad-merged-int8", "marian-base-int8"])
def test_an_export_of_8_bits_gives_a_model(name: str, tmp_path: Path) -> None:
    convert_folder(unpacked(name, tmp_path / "export"), tmp_path / "out", precision="int8")


def test_an_export_of_a_speech_model_of_8_bits_hears(tmp_path: Path) -> None:
    """Optimum's quantiser leaves `generation_config.json` behind, which says what tokens so small a model has."""
    unpacked("whisper-int8", tmp_path / "export", "merged")
    shutil.copy(made(tmp_path / "checkpoint", "whisper") / "generation_config.json", tmp_path / "export")
    convert_folder(tmp_path / "export", tmp_path / "out", precision="int8")
    model = open_engine(tmp_path / "out", 1).model()
    audio = encode_audio(model, tiny_speech.features("base")[:1])
    (heard,) = decode_windows(model, audio, [tiny_speech.VARIANTS["base"].prompt], DecodingOptions(max_new_tokens=8))
    assert heard.tokens


def test_rows_of_8_bits_are_read_in_slices(tmp_path: Path) -> None:
    entries = matched(unpacked("m2m100-base-two-int8", tmp_path / "export"))
    entry = next(entry for entry in entries.values() if entry.affine and len(entry.affine.scales) > 1)
    assert np.array_equal(read(entry)[5:9], read(entry, 5, 9))


def test_the_layout_of_repositories_for_javascript(export: Path, tmp_path: Path) -> None:
    expected = values(export)
    (export / "onnx").mkdir()
    for path in export.glob("*.onnx"):
        path.rename(export / "onnx" / path.name)
    assert same(values(export), expected)


@pytest.mark.parametrize("suffix", ["_int8", "_uint8", "_quantized"])
@pytest.mark.parametrize("decoders", ["two", "merged"])
def test_kinds_of_8_bits(suffix: str, decoders: str, tmp_path: Path) -> None:
    export = unpacked("marian-base-int8", tmp_path / "export", decoders)
    expected = values(export)
    (export / "onnx").mkdir()
    for path in export.glob("*.onnx"):
        path.rename(export / "onnx" / f"{path.stem.removesuffix('_quantized')}{suffix}.onnx")
    assert same(values(export), expected)


@pytest.mark.parametrize(("name", "decoders"), [(name, decoders) for name, _, decoders in FLOAT32])
def test_float16(name: str, decoders: str, tmp_path: Path) -> None:
    """The weights of the tiny models are the same in float16."""
    export = unpacked(name, tmp_path / "export", decoders)
    expected = values(export)
    for path in export.glob("*.onnx"):
        in_float16(path, path.with_stem(f"{path.stem}_fp16"))
        path.unlink()
    assert same(values(export), expected)


def in_float16(path: Path, out: Path) -> None:
    """The file with its weights in float16, in branches too, as tools for exports store them."""
    model = onnx.load(path)
    graphs = [model.graph, *(a.g for node in model.graph.node for a in node.attribute if a.HasField("g"))]
    for tensor in (tensor for graph in graphs for tensor in graph.initializer):
        if tensor.data_type == onnx.TensorProto.FLOAT:
            array = onnx.numpy_helper.to_array(tensor).astype(np.float16)
            tensor.CopyFrom(onnx.numpy_helper.from_array(array, tensor.name))
    onnx.save(model, out)


@pytest.mark.parametrize(("coarse", "fine"), [("decoder", "encoder"), ("encoder", "decoder")])
def test_encoder_and_decoder_of_different_kinds(coarse: str, fine: str, tmp_path: Path) -> None:
    """As those who run a model in JavaScript choose them; the embedding, which both have, is that of the finer one."""
    export, packed = unpacked("marian-base", tmp_path / "export"), unpacked("marian-base-int8", tmp_path / "int8")
    expected, rounded = values(export), values(packed)
    for path in export.glob(f"{coarse}*.onnx"):
        path.unlink()
    for path in packed.glob(f"{coarse}*.onnx"):
        shutil.copy(path, export)
    found = values(export)
    for name, value in found.items():
        taken = rounded if name.startswith(coarse) and name != "decoder.embed_tokens.weight" else expected
        assert np.array_equal(value, taken[name]), name


@pytest.mark.slow
def test_opus_mt(opus_mt: Path, opus_mt_export: Path, tmp_path: Path) -> None:
    """A real export, merged, with external data: the files of the checkpoint, and the tokens of transformers."""
    direct = convert_folder(opus_mt, tmp_path / "direct", precision="fp32")
    found = convert_folder(opus_mt_export, tmp_path / "out", precision="fp32")
    changed = {name for name in direct.files if found.files[name] != direct.files[name]}
    assert changed <= {"vocab.json"}  # which transformers writes anew
    lines = json.loads(gzip.decompress((GOLDEN / "opus-mt-en-fr.json.gz").read_bytes()))["lines"][:8]
    sources, eos = [line["source_ids"] for line in lines], found.tokens.eos
    with Translator(tmp_path / "out", threads=2) as ours, Translator(tmp_path / "direct", threads=2) as theirs:
        tokens = ours.generate(sources)
        assert tokens == theirs.generate(sources)
    assert tokens == [[i for i in line["ids"] if i != eos] for line in lines]


def test_external_data(export: Path) -> None:
    expected = values(export)
    data = with_external_data(export / "decoder_model.onnx")
    assert any(entry.path == data for entry in matched(export).values())
    assert same(values(export), expected)


def test_weights_stay_in_the_file(export: Path) -> None:
    """What is parsed holds the places of the weights, not their bytes."""
    path = export / "encoder_model.onnx"
    values = read_graph(path).initializers.values()
    expected = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in onnx.load(path).graph.initializer}
    assert {str(value.name) for value in values} == expected.keys()
    for value in values:
        assert value.const_value is not None
        place = value.const_value
        stored = path.read_bytes()[place.offset : place.offset + place.length]  # type: ignore[attr-defined]
        assert stored == expected[str(value.name)].tobytes()


# ---- bad input --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        (["encoder_model.onnx"], "is half an export: it has decoder_model.onnx, .*, but no encoder_model.onnx"),
        (["decoder_model.onnx"], "but no decoder_model.onnx or decoder_model_merged.onnx"),
        (
            ["decoder_model.onnx", "decoder_with_past_model.onnx"],
            "it has encoder_model.onnx, but no decoder_model.onnx",
        ),
    ],
)
def test_half_an_export(missing: list[str], message: str, export: Path) -> None:
    for name in missing:
        (export / name).unlink()
    with pytest.raises(CheckpointError, match=message):
        open_checkpoint(export)


@pytest.mark.parametrize("suffix", ["_q4", "_bnb4", "_q4f16", "_optimized"])
def test_kinds_that_are_not_read_are_named(suffix: str, export: Path) -> None:
    (export / "onnx").mkdir()
    for path in export.glob("*.onnx"):
        path.rename(export / "onnx" / f"{path.stem}{suffix}.onnx")
    message = rf"has onnx/encoder_model{suffix}.onnx \(.*\), .*, which is not read; what is missing is encoder_model"
    with pytest.raises(CheckpointError, match=message):
        open_checkpoint(export)
    shutil.copy(export / "onnx" / f"encoder_model{suffix}.onnx", export / "onnx" / "encoder_model_fp16.onnx")
    with pytest.raises(CheckpointError, match=r"what is missing is decoder_model\.onnx or decoder_model_merged"):
        open_checkpoint(export)


@pytest.mark.parametrize(
    ("op_type", "message"),
    [
        ("MatMulNBits", r"has weights of 4 bits \(MatMulNBits\), which are not read: take the export in float32"),
        ("SkipLayerNormalization", r"is an optimised graph \(SkipLayerNormalization\).*: .* without --optimize"),
    ],
)
@pytest.mark.parametrize("decoder", ["two", "merged"])
def test_operators_of_the_runtime_alone(op_type: str, message: str, decoder: str, tmp_path: Path) -> None:
    path = next(unpacked("m2m100-base", tmp_path / "export", decoder).glob("decoder_model*.onnx"))
    model = onnx.load(path)
    graph = model.graph
    if decoder == "merged":
        graph = next(node for node in graph.node if node.op_type == "If").attribute[0].g
    graph.node[-1].op_type, graph.node[-1].domain = op_type, "com.microsoft"
    onnx.save(model, path)
    with pytest.raises(CheckpointError, match=message):
        open_checkpoint(path.parent)


def test_an_encoder_of_another_model(export: Path, tmp_path: Path) -> None:
    other = unpacked("marian-base", tmp_path / "other")
    shutil.copy(other / "encoder_model.onnx", export)
    with pytest.raises(CheckpointError, match=r"to which it is tied; model.encoder.layer_norm.weight: missing"):
        matched(export)


@pytest.mark.parametrize("content", [b"\x89PNG\r\n\x1a\n" + bytes(100), b"x", b"", b"<html>" * 50])
def test_a_file_that_is_no_onnx(content: bytes, export: Path) -> None:
    (export / "encoder_model.onnx").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"encoder_model.onnx is truncated or no ONNX file: "):
        open_checkpoint(export)


def test_a_pointer_of_git_lfs(export: Path) -> None:
    (export / "encoder_model.onnx").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    with pytest.raises(CheckpointError, match="git lfs pull"):
        open_checkpoint(export)


@pytest.mark.parametrize("decoders", ["two", "merged"])
def test_a_name_that_is_damaged(decoders: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """One character of what a node takes, which `onnx_ir` tells the log for each node."""
    path = next(unpacked("m2m100-base", tmp_path / "export", decoders).glob("decoder_model*.onnx"))
    model = onnx.load(path)
    graphs = [model.graph, *(a.g for node in model.graph.node for a in node.attribute if a.HasField("g"))]
    next(node for node in graphs[-1].node if node.input).input[0] += "x"
    onnx.save(model, path)
    with pytest.raises(CheckpointError, match=r"no ONNX file: nothing in it makes '.*x'$"):
        open_checkpoint(path.parent)
    assert not caplog.records


@pytest.mark.parametrize("kept", [0.2, 0.6, 0.999])
def test_a_truncated_file(kept: float, export: Path) -> None:
    path = export / "decoder_model.onnx"
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * kept)])
    with pytest.raises(CheckpointError, match=r"decoder_model.onnx is truncated or no ONNX file: "):
        open_checkpoint(export)


def test_external_data_that_is_missing(export: Path) -> None:
    with_external_data(export / "decoder_model.onnx").unlink()
    with pytest.raises(CheckpointError, match=r"decoder_model.onnx_data is missing: it holds '"):
        open_checkpoint(export)


def test_external_data_that_is_truncated(export: Path) -> None:
    data = with_external_data(export / "decoder_model.onnx")
    data.write_bytes(data.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match=r"decoder_model.onnx_data is truncated: '.*' ends at byte \d+ of 1000"):
        open_checkpoint(export)


def test_external_data_elsewhere(export: Path, tmp_path: Path) -> None:
    data = with_external_data(export / "decoder_model.onnx")
    data.rename(tmp_path / "outside")
    path = export / "decoder_model.onnx"
    model = onnx.load(path, load_external_data=False)
    for tensor in model.graph.initializer:
        for item in tensor.external_data:
            item.value = "../outside" if item.key == "location" else item.value
    path.write_bytes(model.SerializeToString())
    with pytest.raises(CheckpointError, match=r"\.\./outside', which is no file of this folder"):
        open_checkpoint(export)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("Softmax", r"0 attentions \(Softmax\) are found"),
        ("LayerNormalization", "0 norms are found for 2 layers with 3 each"),
        ("Gather", "no embedding is gathered by input_ids"),
    ],
)
def test_a_graph_without_some_part_says_which(change: str, message: str, export: Path) -> None:
    path = export / "decoder_model.onnx"
    model = onnx.load(path)
    for node in model.graph.node:
        node.op_type = "Unheard" if node.op_type == change else node.op_type
    onnx.save(model, path)
    with pytest.raises(CheckpointError, match=rf"decoder_model.onnx cannot be taken apart: {message}"):
        open_checkpoint(export)


def test_a_graph_with_a_linear_map_too_few_says_so(export: Path) -> None:
    path = export / "decoder_model.onnx"
    model = onnx.load(path)
    next(node for node in reversed(model.graph.node) if node.op_type == "MatMul").op_type = "Unheard"
    onnx.save(model, path)
    with pytest.raises(CheckpointError, match="3 linear maps are left for the feed-forward blocks of 2 layers"):
        open_checkpoint(export)


def test_a_product_in_8_bits_that_nothing_uses(tmp_path: Path) -> None:
    path = unpacked("marian-base-int8", tmp_path / "export", "two") / "encoder_model_quantized.onnx"
    model = onnx.load(path)
    product = next(node for node in model.graph.node if node.op_type == "MatMulInteger")
    user = next(node for node in model.graph.node if product.output[0] in node.input)
    user.input[0] = "input_ids"
    onnx.save(model, path)
    with pytest.raises(CheckpointError, match=r"cannot be taken apart: its nodes are not connected as in an export"):
        open_checkpoint(path.parent)


def test_an_encoder_that_hears_with_one_convolution(tmp_path: Path) -> None:
    path = unpacked("whisper", tmp_path / "export", "two") / "encoder_model.onnx"
    model = onnx.load(path)
    next(node for node in model.graph.node if node.op_type == "Conv").op_type = "Unheard"
    onnx.save(model, path)
    with pytest.raises(CheckpointError, match="1 convolutions are found where a model that hears has 2"):
        open_checkpoint(path.parent)
