"""Damaged graphs and data files, with manifests that describe them rightly, so that nothing else finds the damage."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from onnx import external_data_helper

import tiny
import tiny_speech
from quartet.conversion.convert import convert_folder
from quartet.errors import ManifestError
from quartet.runtime.contract import check_graphs, read_graph_file
from quartet.runtime.engine import open_engine
from quartet.spec import MANIFEST_NAME, Manifest, file_entry


@pytest.fixture(scope="module")
def quartets(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("contract")
    for make, variant in (
        (tiny.make, "m2m100-one-layer"),
        (tiny.make, "marian-separate-sizes"),
        (tiny_speech.make, "base"),
    ):
        convert_folder(make(folder / f"{variant}-checkpoint", variant), folder / variant, precision="int8")
    return {path.name: path for path in folder.iterdir() if not path.name.endswith("-checkpoint")}


@pytest.fixture
def folder(quartets, tmp_path) -> Path:
    return shutil.copytree(quartets["m2m100-one-layer"], tmp_path / "quartet")


def described(folder: Path, **fields: object) -> Path:
    """The folder with a manifest that has the sizes and hashes of its files, and other fields where they are given."""
    data = json.loads((folder / MANIFEST_NAME).read_text("utf-8"))
    for name in data["files"]:
        entry = file_entry(folder / name)
        data["files"][name] = {"bytes": entry.bytes, "sha256": entry.sha256}
    for name, value in fields.items():
        data["shapes"][name] = value
    del data["digest"]
    (folder / MANIFEST_NAME).write_text(json.dumps(data), "utf-8")
    return folder


def with_graph(folder: Path, change: Callable[[onnx.ModelProto], None], name: str = "decoder") -> Path:
    model = onnx.load(folder / f"{name}.onnx", load_external_data=False)
    change(model)
    (folder / f"{name}.onnx").write_bytes(model.SerializeToString())
    return described(folder)


def refused(folder: Path) -> str:
    with pytest.raises(ManifestError) as error:
        open_engine(folder, threads=1)
    assert len(str(error.value).splitlines()) == 1
    return str(error.value)


@pytest.mark.parametrize("variant", ["m2m100-one-layer", "marian-separate-sizes", "base"])
def test_what_is_read_is_what_onnx_reads(quartets, variant):
    for path in quartets[variant].glob("*.onnx"):
        found, graph = read_graph_file(path), onnx.load(path, load_external_data=False).graph
        for values, theirs in ((found.inputs, graph.input), (found.outputs, graph.output)):
            dims = [[d.dim_value or None for d in value.type.tensor_type.shape.dim] for value in theirs]
            assert values == {value.name: tuple(d) for value, d in zip(theirs, dims, strict=True)}
        assert [weight.name for weight in found.weights] == [tensor.name for tensor in graph.initializer]
        for weight, tensor in zip(found.weights, graph.initializer, strict=True):
            assert weight.dims == tuple(tensor.dims)
            assert {k.decode(): v.decode() for k, v in weight.place.items()} == {
                entry.key: entry.value for entry in tensor.external_data
            }
    check_graphs(quartets[variant], Manifest.load(quartets[variant]))


@pytest.mark.parametrize("precision", ["fp32", "int8", "int4"])
def test_every_precision_is_what_it_says(tmp_path, precision):
    checkpoint = tiny.make(tmp_path / "checkpoint", "marian-separate-sizes")
    check_graphs(tmp_path / "quartet", convert_folder(checkpoint, tmp_path / "quartet", precision=precision))


@pytest.mark.parametrize("content", [b"", b"\0" * 100, b"not found", b"\x3a\x7f", b"\xff" * 50])
def test_what_is_no_graph_is_named(folder, content):
    (folder / "encoder.onnx").write_bytes(content)
    assert "encoder.onnx is damaged, or no ONNX file" in refused(described(folder))


@pytest.mark.parametrize("kept", [1, 50, 200, 1000])
def test_a_graph_that_is_cut_short_is_named(folder, kept):
    path = folder / "decoder.onnx"
    path.write_bytes(path.read_bytes()[:-kept])
    assert "decoder.onnx" in refused(described(folder))


def test_data_that_is_cut_short_is_named(folder):
    path = folder / "decoder.onnx.data"
    path.write_bytes(path.read_bytes()[:-1000])
    assert "of its data file; convert the model again" in refused(described(folder))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("location", "../decoder.onnx.data", "lies in a file that the manifest does not name"),
        ("location", "decoder.onnx.dat", "lies in a file that the manifest does not name"),
        ("offset", "99999999", "ends at byte"),
        ("offset", "-4", "lies at a place that is no number"),
        ("length", "9" * 30, "lies at a place that is no number"),
    ],
)
def test_places_of_weights_are_looked_at(folder, key, value, message):
    def change(model: onnx.ModelProto) -> None:
        tensor = next(tensor for tensor in model.graph.initializer if tensor.external_data)
        next(entry for entry in tensor.external_data if entry.key == key).value = value

    assert message in refused(with_graph(folder, change))


def test_nodes_have_no_weights_in_other_files(folder):
    def change(model: onnx.ModelProto) -> None:
        tensor = onnx.helper.make_tensor("more", onnx.TensorProto.FLOAT, [1], bytes(4), raw=True)
        external_data_helper.set_external_data(tensor, "elsewhere", 0, 4)
        model.graph.node.append(onnx.helper.make_node("Constant", [], ["more"], value=tensor))

    assert "weights inside of nodes lie in other files" in refused(with_graph(folder, change))


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("decoder_layers", 2, "present.1.encoder.key has the shape nothing"),
        ("decoder_heads", 2, "present.0.encoder.key has the shape [?, 4, ?, 8], by the manifest [?, 2, ?, 8]"),
        ("head_size", 16, "present.0.encoder.key has the shape [?, 4, ?, 8], by the manifest [?, 4, ?, 16]"),
        ("source_vocab_size", 99, "it has no embedding of its own, shapes.source_vocab_size is 99"),
    ],
)
def test_shapes_are_those_of_the_graphs(folder, field, value, message):
    assert message in refused(described(folder, **{field: value}))


def test_sizes_of_tables_are_those_of_the_manifest(quartets, tmp_path):
    separate = shutil.copytree(quartets["marian-separate-sizes"], tmp_path / "separate")
    message = "it has an embedding of 99 rows, shapes.source_vocab_size is 100"
    assert message in refused(described(separate, source_vocab_size=100))
    speech = shutil.copytree(quartets["base"], tmp_path / "speech")
    assert "it has 48 positions, the manifest asks for 49" in refused(described(speech, max_target_length=49))


def test_a_name_that_is_no_text_prints_nothing(folder, capfd):
    """ONNX Runtime's message is no UTF-8 then; its wrapper would try again, and say so on stdout."""
    path = folder / "encoder.onnx"
    path.write_bytes(path.read_bytes().replace(b"last_hidden_state", b"last_hidden_stat\xe9", 1))
    assert "encoder.onnx" in refused(described(folder))
    assert capfd.readouterr().out == ""
