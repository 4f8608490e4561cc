"""`quartet inspect`: quartets, exports that Optimum really made (tests/fixtures), and ONNX files made here."""

import dataclasses
import io
import json
import re
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from rich.console import Console

import tiny
import tiny_speech_text
from optimum_exports import unpacked
from quartet.errors import CheckpointError, ManifestError, ModelNotFoundError, QuartetError
from quartet.inspection import Graph, Inspection, inspect_folder, render, render_both
from quartet.inspection.account import Cache, cache_of, step_of
from quartet.inspection.meanings import UNKNOWN, kind_of
from quartet.inspection.page import megabytes, runtime_of
from quartet.inspection.weights import part_of


@pytest.fixture(scope="module", params=["marian-base", "m2m100-base"])
def variant(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def quartet(variant: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from quartet.conversion.convert import convert_folder

    folder = tmp_path_factory.mktemp("quartet")
    convert_folder(tiny.make(folder / "checkpoint", variant), folder / "quartet")
    return folder / "quartet"


@pytest.fixture(scope="module")
def optimum(variant: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("optimum")
    return unpacked(variant, folder)


@pytest.fixture(scope="module")
def of_quartet(quartet: Path) -> Inspection:
    return inspect_folder(quartet)


@pytest.fixture(scope="module")
def of_optimum(optimum: Path) -> Inspection:
    return inspect_folder(optimum)


def graphs(inspection: Inspection) -> dict[str, Graph]:
    return {graph.file: graph for graph in inspection.graphs}


def printed(inspection: Inspection) -> str:
    out = io.StringIO()
    Console(file=out, width=80).print(render(inspection))
    return out.getvalue()


# ---- quartets ---------------------------------------------------------------------------------------------------


def test_a_quartet_has_its_files_in_the_order_of_the_data(of_quartet: Inspection) -> None:
    assert [g.file for g in of_quartet.graphs] == [
        f"{name}.onnx" for name in ("embed_and_lm_head", "encoder", "cache_initializer", "decoder", "lm_head")
    ]
    assert of_quartet.layout == "quartet"
    assert of_quartet.manifest is not None


def test_layers_are_one_row(of_quartet: Inspection) -> None:
    decoder = graphs(of_quartet)["decoder.onnx"]
    rows = {variable.name: variable for variable in decoder.inputs}
    keys = rows["past_key_values.{0..1}.decoder.key"]
    assert (keys.count, keys.dtype, keys.shape) == (2, "float32", ("b", 4, "p", 8))
    assert len(rows) == 7
    assert [v.name for v in decoder.outputs][1:] == [f"present.{{0..1}}.decoder.{w}" for w in ("key", "value")]


def test_every_variable_of_a_quartet_is_explained(of_quartet: Inspection) -> None:
    for graph in of_quartet.graphs:
        assert graph.role
        assert all(variable.meaning != UNKNOWN for variable in (*graph.inputs, *graph.outputs))


def test_a_quartet_stores_every_weight_once(quartet: Path, of_quartet: Inspection) -> None:
    found = of_quartet
    assert found.repeats == ()
    assert found.wasted_bytes == 0
    data = sum(path.stat().st_size for path in quartet.glob("*.data"))
    constants = 8192  # in the graphs; between tensors there is padding
    assert 0.9 * data < found.weight_bytes < 1.1 * data + constants
    assert "every one stored once" in printed(found)


def test_the_page_shows_the_manifest(of_quartet: Inspection, variant: str) -> None:
    page = " ".join(printed(of_quartet).split())
    prompts = {
        "marian-base": ("text + end 0", "decoder start 98"),
        "m2m100-base": ("source language's token + text + end 2", "decoder start 2 + target language's token"),
    }[variant]
    assert f"encoder's ids {prompts[0]} decoder's" in page
    assert f"decoder's ids {prompts[1]}, then each token as it is generated window" in page
    assert "licence not named by the source" in page
    assert "present.{0..1}.encoder.key" in page


def test_the_page_is_plain_text_of_80_columns(of_quartet: Inspection, of_optimum: Inspection) -> None:
    for inspection in (of_quartet, of_optimum):
        for line in printed(inspection).splitlines():
            assert len(line) <= 80
            assert line == line.rstrip()
            assert "\x1b" not in line


def test_an_inspection_is_json(of_quartet: Inspection, of_optimum: Inspection) -> None:
    for found in (of_quartet, of_optimum):
        again = json.loads(json.dumps(dataclasses.asdict(found)))
        assert again["graphs"][0]["file"] == found.graphs[0].file
        assert again["weight_bytes"] == found.weight_bytes


def test_where_the_bytes_go(of_quartet: Inspection, of_optimum: Inspection) -> None:
    for found in (of_quartet, of_optimum):
        assert sum(found.parts.values()) == found.weight_bytes
        assert {"embedding", "attention", "feed-forward"} <= found.parts.keys()
        assert found.parts["other"] < 0.1 * found.weight_bytes  # norms, and names that say nothing
    page = " ".join(printed(of_quartet).split())
    assert f"attention {megabytes(of_quartet.parts['attention'])} (" in page


@pytest.mark.parametrize(
    ("name", "reader", "part"),
    [
        ("/decoder/layers.0/self_attn/qkv_proj.weight.codes", "", "attention"),
        ("/decoder/layers.0/encoder_attn_layer_norm.weight", "", "other"),
        ("/encoder/layers.11/fc2.bias", "", "feed-forward"),
        ("/embed_tokens.weight", "", "embedding"),
        ("onnx::MatMul_1234", "/model/decoder/layers.0/fc1/MatMul", "feed-forward"),
        ("decoder.block.0.layer.1.EncDecAttention.q.weight", "", "attention"),
        ("encoder.block.0.layer.1.DenseReluDense.wi_0.weight", "", "feed-forward"),
        ("lm_head.weight", "", "embedding"),
        ("onnx::Add_7", "/Add_3", "other"),
    ],
)
def test_parts_by_name(name: str, reader: str, part: str) -> None:
    assert part_of(name, reader) == part


def test_what_the_cache_takes(of_quartet: Inspection, of_optimum: Inspection) -> None:
    for found in (of_quartet, of_optimum):  # 2 layers, keys and values, 4 heads of 8 numbers, 4 bytes each
        assert cache_of(found) == Cache(512, 512)
    assert Cache(512, 256).after(tokens=3, source_tokens=2) == 2048


def test_a_step_is_told_with_the_sizes_of_the_model(of_quartet: Inspection, of_optimum: Inspection) -> None:
    page = " ".join(printed(of_quartet).split())
    assert "one row of 99 in the embedding, 32 numbers" in page
    assert "4 heads of 8 numbers compare it with the keys of all 11 tokens" in page
    assert "grows by 2 x 2 x 4 x 8 numbers, 512 bytes, to 15.9 kB with the source's; after 100 tokens it takes" in page
    assert "The LM head in embed_and_lm_head.onnx multiplies the vector of 32 with 99 rows" in page
    assert step_of(of_optimum) is None


@pytest.mark.parametrize(("precision", "oldest"), [("fp32", (1, 17)), ("int8", (1, 22)), ("int4", (1, 22))])
def test_the_oldest_release_of_the_runtime(precision: str, oldest: tuple[int, int], tmp_path: Path) -> None:
    from quartet.conversion.convert import convert_folder

    convert_folder(tiny.make(tmp_path / "checkpoint", "m2m100-base"), tmp_path / "quartet", precision=precision)
    found = inspect_folder(tmp_path / "quartet")
    assert runtime_of(found) == oldest
    assert [graph.file for graph in found.graphs if graph.pads_from == (1, 21)] == ["decoder.onnx"]
    later = "" if oldest >= (1, 21) else ", batches with padding from 1.21 on"
    page = " ".join(printed(found).split())
    assert f"ONNX Runtime {oldest[0]}.{oldest[1]} and newer (onnxruntime-android too){later} embed_and" in page


def test_no_release_is_claimed_that_was_not_measured(of_optimum: Inspection) -> None:
    assert runtime_of(of_optimum) is None
    assert "not measured" in printed(of_optimum)


# ---- RTranslator's layout ---------------------------------------------------------------------------------------


def for_the_app(checkpoint: Path) -> Inspection:
    from quartet.conversion.convert import convert_folder

    convert_folder(checkpoint, checkpoint.parent / "app", layout="rtranslator")
    return inspect_folder(checkpoint.parent / "app")


def test_the_app_has_the_head_in_the_decoder(tmp_path: Path) -> None:
    found = for_the_app(tiny.make(tmp_path / "madlad", "madlad"))
    roles = {file.removeprefix("NLLB_").removesuffix(".onnx"): graph.role for file, graph in graphs(found).items()}
    assert [*roles] == ["embed_and_lm_head", "encoder", "cache_initializer", "decoder"]
    assert roles["embed_and_lm_head"] == "token ids to vectors, before the encoder and the decoder"
    assert roles["decoder"].endswith("gives scores and the cache grown by one")
    assert [v.name for g in found.graphs for v in (*g.inputs, *g.outputs) if v.meaning == UNKNOWN] == []
    page = " ".join(printed(found).split())
    assert "use_lm_head" not in page
    assert "ONNX Runtime 1.22 and newer (onnxruntime-android too) NLLB" in page
    assert "last_hidden_state of the encoder. It is not read." in page
    assert "The LM head in NLLB_decoder.onnx multiplies the vector of 32 with 99 rows" in page


def test_the_app_hears_and_writes_with_files_of_their_own(tmp_path: Path) -> None:
    found = for_the_app(tiny_speech_text.make(tmp_path / "whisper"))
    assert [graph.file.removeprefix("Whisper_").removesuffix(".onnx") for graph in found.graphs] == [
        *("initializer", "encoder", "cache_initializer", "cache_initializer_batch", "decoder", "detokenizer")
    ]
    assert [v.name for g in found.graphs for v in (*g.inputs, *g.outputs) if v.meaning == UNKNOWN] == []
    assert all(graph.role for graph in found.graphs)
    assert cache_of(found) == Cache(512, 512)
    assert runtime_of(found) == (1, 22)
    assert "The LM head in Whisper_decoder.onnx multiplies the vector of 32 with 102 rows" in " ".join(
        printed(found).split()
    )


# ---- two folders ------------------------------------------------------------------------------------------------


def side_by_side(left: Inspection, right: Inspection) -> dict[str, list[str]]:
    """The table by the labels of its lines, and the values in each."""
    out = io.StringIO()
    Console(file=out, width=200).print(render_both(left, right))
    lines = [re.split(r" {2,}", line) for line in out.getvalue().splitlines() if line]
    return {label: values for label, *values in lines}


def test_two_folders_side_by_side(of_quartet: Inspection, of_optimum: Inspection) -> None:
    table = side_by_side(of_quartet, of_optimum)
    assert table["folder"] == [of_quartet.folder, of_optimum.folder]
    assert table["layout"] == ["quartet", "optimum"]
    assert table["precision"] == ["int4", "-"]
    assert table["weights"] == [megabytes(i.weight_bytes) for i in (of_quartet, of_optimum)]
    assert table["stored again"] == ["0 bytes", megabytes(of_optimum.wasted_bytes)]
    assert table["cache per token"] == ["512 bytes", "512 bytes"]
    assert table["attention"][0].startswith(f"{megabytes(of_quartet.parts['attention'])}, ")
    assert table["encoder"][1] == table["encoder_model"][0] == "-"


def test_files_with_the_same_role_stand_side_by_side(of_quartet: Inspection) -> None:
    renamed = [dataclasses.replace(graph, file=f"NLLB_{graph.file}") for graph in of_quartet.graphs]
    table = side_by_side(of_quartet, dataclasses.replace(of_quartet, graphs=tuple(renamed)))
    assert table["decoder"][0] == table["decoder"][1]


# ---- exports by Optimum -----------------------------------------------------------------------------------------


def test_an_export_by_optimum_is_explained(of_optimum: Inspection) -> None:
    found = of_optimum
    assert found.layout == "optimum"
    assert [g.file for g in found.graphs] == [
        f"{name}.onnx" for name in ("encoder_model", "decoder_model", "decoder_with_past_model", "decoder_model_merged")
    ]
    for graph in found.graphs:
        assert graph.role
        assert [v.name for v in (*graph.inputs, *graph.outputs) if v.meaning == UNKNOWN] == []
    merged = {variable.name: variable for variable in graphs(found)["decoder_model_merged.onnx"].inputs}
    assert merged["use_cache_branch"].dtype == "bool"
    assert merged["past_key_values.{0..1}.encoder.value"].shape == ("batch_size", 4, "encoder_sequence_length", 8)


def test_the_tied_matrix_of_an_export_is_found_wherever_it_is_stored(of_optimum: Inspection, variant: str) -> None:
    found = of_optimum
    matrix = next(repeat for repeat in found.repeats if sorted(repeat.copies[0].shape) == [32, 99])
    turned = [copy.file for copy in matrix.copies if copy.shape == (32, 99)]
    plain = [copy.file for copy in matrix.copies if copy.shape == (99, 32)]
    assert sorted(plain) == sorted(graph.file for graph in found.graphs)
    # Optimum's export of M2M100 keeps the LM head as a second, transposed matrix; Marian's transposes it in the graph
    assert sorted(turned) == ([] if variant.startswith("marian") else sorted(set(plain) - {"encoder_model.onnx"}))
    assert matrix.wasted == (len(matrix.copies) - 1) * 99 * 32 * 4
    assert found.wasted_bytes == sum(repeat.wasted for repeat in found.repeats)


def test_the_page_says_what_is_stored_twice(of_optimum: Inspection) -> None:
    page = printed(of_optimum)
    assert "Stored more than once:" in page
    assert "model.shared.weight [99, 32] in decoder_model.onnx" in page


def test_an_export_is_also_found_in_a_folder_named_onnx(optimum: Path, tmp_path: Path) -> None:
    (tmp_path / "onnx").symlink_to(optimum)
    assert len(inspect_folder(tmp_path).graphs) == 4


@pytest.mark.parametrize(
    ("stem", "kind"),
    [
        ("decoder", "decoder"),
        ("NLLB_decoder", "decoder"),
        ("Whisper_cache_initializer_batch", "cache_initializer"),
        ("Whisper_initializer", "initializer"),
        ("decoder_model_merged_quantized", "decoder_model_merged"),
        ("encoder_model_q4f16", "encoder_model"),
        ("text_encoder", None),
        ("model", None),
    ],
)
def test_files_are_known_by_name(stem: str, kind: str | None) -> None:
    assert kind_of(stem) == kind


# ---- ONNX files made here ---------------------------------------------------------------------------------------


def save(path: Path, weights: dict[str, np.ndarray], data: str | None = None) -> None:
    """A graph that passes its input through and holds these weights, in `data` beside it or inside the file."""
    x = ir.Value(name="x", shape=ir.Shape(["b", 2]), type=ir.TensorType(ir.DataType.FLOAT))
    node = ir.node("Identity", [x], outputs=[ir.Value(name="y", shape=x.shape, type=x.type)])
    initializers = [ir.Value(name=name, const_value=ir.tensor(w, name=name)) for name, w in weights.items()]
    graph = ir.Graph([x], node.outputs, nodes=[node], initializers=initializers, opset_imports={"": 20}, name="g")
    ir.save(ir.Model(graph, ir_version=9), path, external_data=data)


def matrix(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("data", [None, "weights.data"])
def test_a_matrix_and_its_transpose_are_one_content(tmp_path: Path, data: str | None) -> None:
    table = matrix(0, 1500, 700)  # read in several blocks
    other = table.copy()
    other[-1, -1] += 1  # the samples do not see it
    save(tmp_path / "a.onnx", {"table": table, "other": other, "head": np.ascontiguousarray(table.T)}, data)
    found = inspect_folder(tmp_path)
    assert [[copy.name for copy in repeat.copies] for repeat in found.repeats] == [["table", "head"]]
    assert found.wasted_bytes == table.nbytes
    assert ", transposed" in printed(found)


def test_the_same_bytes_in_another_type_are_another_content(tmp_path: Path) -> None:
    numbers = matrix(1, 64, 64)
    save(tmp_path / "a.onnx", {"float": numbers, "int": numbers.view(np.int32)})
    assert inspect_folder(tmp_path).repeats == ()


def test_one_place_with_two_names_is_stored_once(tmp_path: Path) -> None:
    save(tmp_path / "a.onnx", {"one": matrix(2, 64, 64)}, "shared.data")
    save(tmp_path / "b.onnx", {"two": matrix(2, 64, 64)}, "shared.data")
    found = inspect_folder(tmp_path)
    assert found.repeats == ()
    assert found.weight_bytes == 64 * 64 * 4
    assert [graph.weight_bytes for graph in found.graphs] == [64 * 64 * 4] * 2


def test_unknown_files_are_described_all_the_same(tmp_path: Path) -> None:
    save(tmp_path / "some.onnx", {"w": matrix(3, 2, 2)})
    found = inspect_folder(tmp_path)
    (graph,) = found.graphs
    assert (found.layout, graph.role, graph.nodes, graph.opset, graph.ir_version) == ("onnx", "", 1, 20, 9)
    assert (graph.inputs[0].name, graph.inputs[0].shape, graph.inputs[0].meaning) == ("x", ("b", 2), UNKNOWN)
    assert "quartet does not know" in printed(found)


def test_quantised_weights_are_called_by_their_bits(tmp_path: Path) -> None:
    packed = ir.Value(name="w", const_value=ir.tensor(np.zeros((8, 2, 16), np.uint8), name="w"))
    scales = ir.Value(name="s", const_value=ir.tensor(np.ones(16, np.float32), name="s"))
    x = ir.Value(name="x", shape=ir.Shape([1, 64]), type=ir.TensorType(ir.DataType.FLOAT))
    sizes = {"K": 64, "N": 8, "bits": 4, "block_size": 32}
    node = ir.node("MatMulNBits", [x, packed, scales], sizes, domain="com.microsoft")
    graph = ir.Graph([x], node.outputs, nodes=[node], initializers=[packed, scales], opset_imports={"": 20}, name="g")
    ir.save(ir.Model(graph, ir_version=9), tmp_path / "a.onnx")
    assert inspect_folder(tmp_path).graphs[0].precision == {"int4 in blocks of 32": 256, "float32": 64}


@pytest.mark.parametrize("dtype", [ir.DataType.BFLOAT16, ir.DataType.INT4])
def test_types_that_numpy_lacks(tmp_path: Path, dtype: ir.DataType) -> None:
    numbers = (matrix(4, 128, 96) * 3).astype(dtype.numpy())
    save(tmp_path / "a.onnx", {"one": numbers, "two": numbers.copy()})
    found = inspect_folder(tmp_path)
    assert found.graphs[0].precision == {dtype.numpy().name: found.weight_bytes}
    assert [len(repeat.copies) for repeat in found.repeats] == [2]


# ---- errors -----------------------------------------------------------------------------------------------------


def one_line(error: pytest.ExceptionInfo[QuartetError]) -> str:
    message = str(error.value)
    assert "\n" not in message
    return message


def test_no_such_folder(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError) as error:
        inspect_folder(tmp_path / "nowhere")
    assert "no such folder" in one_line(error)


def test_a_folder_without_onnx_files(tmp_path: Path) -> None:
    with pytest.raises(ManifestError) as error:
        inspect_folder(tmp_path)
    assert "no ONNX files" in one_line(error)


def test_a_damaged_graph(tmp_path: Path) -> None:
    (tmp_path / "encoder.onnx").write_bytes(b"not a graph at all")
    with pytest.raises(CheckpointError) as error:
        inspect_folder(tmp_path)
    assert "encoder.onnx" in one_line(error)


def test_a_missing_or_short_data_file(tmp_path: Path) -> None:
    save(tmp_path / "a.onnx", {"w": matrix(5, 64, 64)}, "a.data")
    data = tmp_path / "a.data"
    data.write_bytes(data.read_bytes()[:100])
    with pytest.raises(CheckpointError) as error:
        inspect_folder(tmp_path)
    assert "cut short" in one_line(error)
    data.unlink()
    with pytest.raises(CheckpointError) as error:
        inspect_folder(tmp_path)
    assert "a.data, which is missing" in one_line(error)
