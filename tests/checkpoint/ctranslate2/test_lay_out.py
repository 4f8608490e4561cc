"""Models that CTranslate2's own converters made, against the tensors they were made from."""

import json

import numpy as np
import pytest

import tiny
from ctranslate2_models import unpack, variables, write_model, write_model_bin
from quartet.checkpoint import Checkpoint, opened, read, same_bytes
from quartet.checkpoint.safetensors import index_file as index_safetensors
from quartet.errors import CheckpointError, UnsupportedModelError

TINY = {
    "marian-base": ("float32",),
    "marian-one-layer": ("int8", "int16"),
    "m2m100-base": ("float16",),
    "m2m100-one-layer": ("bfloat16", "int8_float16"),
}
FAMILIES = {"marian": "marian", "m2m100": "m2m_100"}
HALF_A_STEP = {"int8": 0.5001 / 127, "int16": 0.5001 / 1024}  # of the largest value


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """All fixtures, unpacked."""
    root = tmp_path_factory.mktemp("ctranslate2")
    return {name: unpack(root / name, name) for name in (*TINY, "opennmt-py", "opennmt-tf", "whisper")}


def check_equal(found: np.ndarray, expected: np.ndarray, kind: str) -> None:
    """Equal, or for matrices of integers within half a step of the row's (int16: the matrix's) largest value."""
    assert found.shape == expected.shape
    name = kind.partition("_")[0]
    if expected.ndim < 2 or name not in HALF_A_STEP:
        return np.testing.assert_array_equal(found, expected)
    axes = tuple(range(1, expected.ndim)) if name == "int8" else None
    largest = np.abs(expected).max(axis=axes, keepdims=True)
    assert (np.abs(found - expected) <= HALF_A_STEP[name] * largest + 1e-7).all()


@pytest.mark.parametrize(("name", "kind"), [(name, kind) for name, kinds in TINY.items() for kind in kinds])
def test_all_tensors_are_those_of_the_checkpoint(folders, name, kind):
    expected = tiny.tensors(tiny.VARIANTS[name])
    family = name.partition("-")[0]
    with opened(folders[name] / kind) as checkpoint:
        assert checkpoint.config["model_type"] == FAMILIES[family]
        assert checkpoint.tensors.keys() - expected.keys() <= {"final_logits_bias"}
        for tensor, values in expected.items():
            found = read(checkpoint.tensors[tensor])
            if tensor == "final_logits_bias":  # the padding token, the last one, is gone
                assert found.shape == values.shape
                np.testing.assert_array_equal(found[0], [*values[0, :-1], 0])
            else:
                check_equal(found, values, kind)


@pytest.mark.parametrize("name", TINY)
def test_the_config_says_what_the_checkpoints_own_says(folders, name):
    shape = tiny.VARIANTS[name]
    with opened(folders[name] / TINY[name][0]) as checkpoint:
        own = tiny.config(shape)
        keys = own.keys() & checkpoint.config.keys() - {"normalize_before"}
        assert len(keys) > 15
        assert {key: checkpoint.config[key] for key in keys} == {key: own[key] for key in keys}


@pytest.mark.parametrize("kind", ["float32", "int8"])
def test_whisper_has_the_names_of_transformers(folders, kind):
    expected = index_safetensors(folders["whisper"] / "reference.safetensors")
    with opened(folders["whisper"] / kind) as checkpoint:
        assert checkpoint.tensors.keys() == expected.keys()
        for name, entry in expected.items():
            if name.endswith("embed_positions.weight"):
                np.testing.assert_allclose(read(checkpoint.tensors[name]), read(entry), atol=1e-3)
            else:
                check_equal(read(checkpoint.tensors[name]), read(entry), kind)
        config, generation = checkpoint.config, checkpoint.generation_config
    sizes = {"d_model": 16, "num_mel_bins": 8, "vocab_size": 40, "encoder_layers": 2, "decoder_ffn_dim": 32}
    lengths = {"max_source_positions": 20, "max_target_positions": 12, "encoder_attention_heads": 4}
    assert sizes.items() | lengths.items() | {"model_type": "whisper"}.items() <= config.items()
    assert generation["suppress_tokens"] == [1, 2]
    assert generation["begin_suppress_tokens"] == [3]
    assert generation["alignment_heads"] == [[1, 0], [1, 3]]
    assert (generation["decoder_start_token_id"], generation["no_timestamps_token_id"]) == (31, 39)


def test_opennmt_has_settings_of_its_own(folders):
    with opened(folders["opennmt-py"] / "float32") as checkpoint:
        config = checkpoint.config
        assert config["model_type"] == "opennmt"
        assert (config["position_encoding"], config["max_position_embeddings"]) == ("opennmt-py", 64)
        assert (config["vocab_size"], config["decoder_vocab_size"]) == (99, 71)
        assert (config["pad_token_id"], config["decoder_start_token_id"], config["eos_token_id"]) == (1, 2, 3)
        assert not config["add_source_eos"]
        assert read(checkpoint.tensors["final_logits_bias"]).tolist() == [np.linspace(-1, 1, 71, dtype="f4").tolist()]
    with opened(folders["opennmt-tf"] / "float32") as checkpoint:
        assert checkpoint.config["position_encoding"] == "opennmt-tf"
        assert checkpoint.config["add_source_eos"]
        assert not read(checkpoint.tensors["final_logits_bias"]).any()


# ---- what is small or strange -----------------------------------------------------------------------------------


def lay_out(folder) -> Checkpoint:
    with opened(folder) as checkpoint:
        return checkpoint


def test_a_small_model_by_hand(tmp_path):
    checkpoint = lay_out(write_model(tmp_path / "model"))
    assert checkpoint.config["model_type"] == "opennmt"
    assert checkpoint.config["embed_scale"] == 2  # the root of the width, where nothing is said
    assert not checkpoint.folder.exists()


@pytest.mark.parametrize(("value", "scale"), [(np.int8(1), 2), (np.int8(0), 1), (np.float32(3.5), 3.5)])
def test_embeddings_are_scaled_by_a_switch_or_a_number(tmp_path, value, scale):
    made = {f"{side}/scale_embeddings": value for side in ("encoder", "decoder")}
    assert lay_out(write_model(tmp_path / "model", made)).config["embed_scale"] == scale


def test_the_same_rows_for_both_sides_and_the_head_are_one_tensor(tmp_path):
    made = variables()
    del made["encoder/embeddings_0/weight"], made["decoder/projection/weight"]
    folder = write_model(tmp_path / "model")
    aliases = dict.fromkeys(("encoder/embeddings_0/weight", "decoder/projection/weight"), "decoder/embeddings/weight")
    write_model_bin(folder / "model.bin", made, aliases)
    tensors = lay_out(folder).tensors
    assert "model.shared.weight" in tensors
    assert not tensors.keys() & {"lm_head.weight", "model.encoder.embed_tokens.weight"}


def test_a_zero_start_is_a_row_of_zeros(tmp_path):
    ones = {f"{m}/weight": np.ones((9, 4), np.float32) for m in ("decoder/embeddings", "decoder/projection")}
    made = ones | {"decoder/start_from_zero_embedding": np.int8(1), "decoder/projection/bias": np.ones(9, np.float32)}
    checkpoint = lay_out(write_model(tmp_path / "model", made))
    for name in ("model.decoder.embed_tokens.weight", "lm_head.weight"):
        assert read(checkpoint.tensors[name]).sum(axis=1).tolist() == [4] * 9 + [0]
    assert read(checkpoint.tensors["final_logits_bias"]).tolist() == [[1] * 9 + [0]]
    assert checkpoint.config["decoder_start_token_id"] == 9
    assert checkpoint.generation_config["bad_words_ids"] == [[9]]


def test_key_and_value_of_cross_attention_share_a_matrix(tmp_path):
    fused = np.arange(32, dtype=np.float32).reshape(8, 4)
    checkpoint = lay_out(write_model(tmp_path / "model", {"decoder/layer_0/attention/linear_1/weight": fused}))
    key, value = (checkpoint.tensors[f"model.decoder.layers.0.encoder_attn.{p}_proj.weight"] for p in "kv")
    assert read(key).tolist() == fused[:4].tolist()
    assert read(value).tolist() == fused[4:].tolist()
    assert not same_bytes(key, value)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_vocabularies_as_lines(tmp_path, end):
    """A carriage return belongs to the line's end only where all lines have one."""
    folder = write_model(tmp_path / "model")
    (folder / "shared_vocabulary.json").unlink()
    tokens = ["<unk>", "<s>", "</s>", "\u2028", "\x85", "a b", "t", "u", "w\r" if end == "\n" else "w"]
    (folder / "shared_vocabulary.txt").write_bytes("".join(token + end for token in tokens).encode())
    with opened(folder) as checkpoint:
        assert list(json.loads((checkpoint.folder / "vocab.json").read_text("utf-8"))) == tokens


def test_an_unknown_token_that_is_not_listed_comes_last(tmp_path):
    folder = write_model(tmp_path / "model")
    tokens = ["<s>", "</s>", *(f"t{i}" for i in range(6))]
    (folder / "shared_vocabulary.json").write_text(json.dumps(tokens))
    assert lay_out(folder).config["unk_token_id"] == 8


REFUSED = {
    "relative positions": (
        {"encoder/layer_0/self_attention/relative_position_keys": np.zeros((3, 2), np.float32)},
        "a model with relative positions: quartet does not convert",
    ),
    "two features": (
        {
            "encoder/layer_0/ffn/linear_0_noact/weight": np.zeros((6, 4), np.float32),
            "decoder/layer_0/self_attention/rotary_dim": np.int32(2),
        },
        "with gated feed-forward layers, rotary positions: quartet",
    ),
    "ALiBi": ({"decoder/alibi": np.int8(1)}, "attention with linear biases"),
    "something new": ({"decoder/layer_0/adapter/weight": np.zeros(3, np.float32)}, "'decoder/layer_0/adapter/weight'"),
    "a number of something new": ({"decoder/scale_outputs": np.float32(2)}, "'decoder/scale_outputs'"),
    "an activation": (
        {"encoder/activation": np.int8(5), "decoder/activation": np.int8(5)},
        r"activation \[5\]; .*0 \(relu",
    ),
    "two activations": ({"encoder/activation": np.int8(2)}, r"activation \[0, 2\]"),
    "scales that differ": ({"encoder/scale_embeddings": np.int8(0)}, "scales the embeddings of its encoder and"),
    "learned positions": (
        {f"{side}/position_encodings/encodings": np.ones((5, 4), np.float32) for side in ("encoder", "decoder")},
        "holds learned positions",
    ),
    "norms behind, and one at the end": (
        {"encoder/pre_norm": np.int8(0), "decoder/pre_norm": np.int8(0)},
        "norms before its blocks without one at the end",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_no_family_has_is_named(tmp_path, case):
    changes, message = REFUSED[case]
    with pytest.raises(UnsupportedModelError, match=message):
        lay_out(write_model(tmp_path / "model", changes))


def test_zero_switches_are_no_features(tmp_path):
    made = {"decoder/alibi": np.int8(0), "encoder/multi_query_attention": np.int8(0)}
    assert lay_out(write_model(tmp_path / "model", made)).config["model_type"] == "opennmt"


@pytest.mark.parametrize(
    ("kind", "revision", "message"),
    [
        ("TransformerDecoderModelSpec", 8, "is a TransformerDecoderModelSpec; read are TransformerSpec, WhisperSpec"),
        ("", 1, "is a model without a name"),
        ("TransformerSpec", 8, "has revision 8 of TransformerSpec; revisions 5 to 7 are read"),
        ("TransformerSpec", 4, "has revision 4"),
    ],
)
def test_other_kinds_and_revisions_are_refused(tmp_path, kind, revision, message):
    folder = write_model(tmp_path / "model")
    write_model_bin(folder / "model.bin", variables(), kind=kind, revision=revision)
    with pytest.raises(UnsupportedModelError, match=message):
        lay_out(folder)


def without(name):
    return {key: value for key, value in variables().items() if key != name}


@pytest.mark.parametrize(
    "name", ["encoder/layer_0/ffn/linear_1/weight", "decoder/projection/weight", "decoder/num_heads"]
)
def test_what_is_missing_is_named(tmp_path, name):
    folder = write_model(tmp_path / "model")
    write_model_bin(folder / "model.bin", without(name))
    with pytest.raises(CheckpointError, match=f"has no '{name}'"):
        lay_out(folder)


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("decoder/layer_0/attention/linear_1/bias", (7,)),
        ("decoder/projection/bias", (8,)),
        ("decoder/embeddings/weight", ()),
        ("encoder/layer_0/ffn/linear_0/weight", (6,)),
        ("encoder/num_heads", (2,)),
        ("encoder/layer_0/self_attention/linear_0/weight", (13, 4)),
    ],
)
def test_what_has_another_shape_is_named(tmp_path, name, shape):
    folder = write_model(tmp_path / "model", {name: np.ones(shape, np.float32)})
    with pytest.raises(CheckpointError, match=rf"'{name}' has shape \[{', '.join(map(str, shape))}\]"):
        lay_out(folder)


def test_norms_without_bias_are_t5s(tmp_path):
    folder = write_model(tmp_path / "model")
    write_model_bin(folder / "model.bin", without("encoder/layer_norm/beta"))
    with pytest.raises(UnsupportedModelError, match="norms without bias"):
        lay_out(folder)


BAD_FILES = {
    "no vocabulary": ("shared_vocabulary.json", None, "neither shared_vocabulary.json .* nor source_vocabulary"),
    "a short vocabulary": (
        "shared_vocabulary.json",
        '["<unk>", "a"]',
        "source vocabulary has 2 tokens, its embedding 9",
    ),
    "a vocabulary of numbers": ("shared_vocabulary.json", "[1, 2]", "is not a list of tokens"),
    "a broken vocabulary": ("shared_vocabulary.json", "[", "shared_vocabulary.json is damaged"),
    "no config": ("config.json", None, "config.json cannot be read"),
    "a broken config": ("config.json", "[]", "config.json is not a JSON object"),
    "a start token that is none": (
        "config.json",
        '{"decoder_start_token": "<go>"}',
        "the start token '<go>' of config",
    ),
    "no start token": ("config.json", '{"decoder_start_token": null}', "names no decoder_start_token"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_bad_files_beside_the_weights(tmp_path, case):
    name, text, message = BAD_FILES[case]
    folder = write_model(tmp_path / "model")
    (folder / name).unlink()
    if text is not None:
        (folder / name).write_text(text)
    with pytest.raises(CheckpointError, match=message):
        lay_out(folder)
