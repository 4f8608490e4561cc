"""The small files of a translation model, as transformers would have them beside the weights of `TransformerSpec`.

What CTranslate2 keeps of a model says which family it is: Marian starts from a zero embedding, M2M100 and NLLB have
tokens for languages, anything else is a transformer as OpenNMT trains it, with its own settings.
"""

import json
import math
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from quartet.checkpoint.ctranslate2.model_bin import ModelBin
from quartet.checkpoint.ctranslate2.names import (
    SIDES,
    embed_scale,
    layers,
    matrix,
    number,
    starts_from_zero,
    variable,
    width,
)
from quartet.checkpoint.shards import Tensors, brief, read_json_object
from quartet.checkpoint.tensors import read
from quartet.errors import CheckpointError, UnsupportedModelError
from quartet.positions import fairseq, vaswani

ACTIVATIONS = ("relu", "gelu_new", "swish", "gelu")  # by number
FAIRSEQ_TOKENS = ["<s>", "<pad>", "</s>", "<unk>"]
LANGUAGE_TOKEN = re.compile(r"[a-z]{3}_[A-Z][a-z]{3}|__[a-z]{2,3}__")  # of NLLB, of M2M100
MADE_UP = re.compile(r"madeupword\d+")  # what fills M2M100's vocabulary up
PADDING = ("<blank>", "<pad>")
SENTENCEPIECE = ("sentencepiece.model", "sentencepiece.bpe.model", "spm.model")  # one model for both sides
SENTENCEPIECE_PAIR = ("source.spm", "target.spm")
LONGEST = 1024  # tokens; tables of positions go far beyond what models are trained on
COMPUTED_LENGTH = 512  # tokens, where positions are computed
TABLE_TOLERANCE = 0.02  # of positions: bfloat16 has eight bits


@dataclass(frozen=True)
class Source:
    """Where the parts of a model are, and what is known of it from elsewhere."""

    model: Path  # folder with `model.bin`
    tokenizer: Path  # folder with SentencePiece models
    name: str
    source_lang: str | None = None
    target_lang: str | None = None
    target_prefix: str = ""  # token that comes before the translation
    length_penalty: float | None = None  # that its users search with


@dataclass(frozen=True)
class Vocabulary:
    """Tokens of both sides, by id; one and the same list where they share it."""

    source: list[str]
    target: list[str]

    @property
    def shared(self) -> bool:
        """Whether both sides have the same tokens."""
        return self.source == self.target


def lay_out(source: Source, model: ModelBin, tensors: Tensors, out: Path) -> None:
    """Write config, vocabulary and SentencePiece files into `out`. Raises `CheckpointError` where something lacks."""
    settings = _settings(source.model)
    vocabulary = _vocabulary(source.model, settings, model)
    config, generation = _configs(source, model, tensors, settings, vocabulary)
    _write_json(out / "config.json", config)
    _write_json(out / "generation_config.json", generation)
    if (source.tokenizer / "README.md").is_file():
        shutil.copyfile(source.tokenizer / "README.md", out / "README.md")
    if config["model_type"] == "m2m_100":
        _m2m100_tokenizer(source.tokenizer, vocabulary.target, out)
    else:
        _pieces_and_tables(source, config, vocabulary, out)


def _settings(folder: Path) -> dict[str, Any]:
    """`config.json`, with CTranslate2's defaults for what it does not say."""
    defaults = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>", "decoder_start_token": "<s>"}
    settings = defaults | read_json_object(folder / "config.json")
    for name in defaults:
        optional = name == "decoder_start_token" and settings[name] is None
        if not optional and not isinstance(settings[name], str):
            raise CheckpointError(f"{folder}: config.json has {name} = {brief(settings[name])}; a token is expected")
    return settings


# ---- vocabulary -------------------------------------------------------------------------------------------------


def _vocabulary(folder: Path, settings: dict[str, Any], model: ModelBin) -> Vocabulary:
    rows = {
        "source": matrix(model, "encoder/embeddings_0").shape[0],
        "target": matrix(model, "decoder/embeddings").shape[0],
    }
    shared = read_tokens(folder, "shared_vocabulary")
    found = {}
    for side, count in rows.items():
        name = f"{side}_vocabulary"
        tokens = read_tokens(folder, name) if shared is None else shared
        if tokens is None:
            raise CheckpointError(f"{folder} is incomplete: it has neither shared_vocabulary.json (or .txt) nor {name}")
        if len(tokens) == count - 1 and settings["unk_token"] not in tokens:
            tokens = [*tokens, settings["unk_token"]]  # as CTranslate2 does
        if len(tokens) != count:
            raise CheckpointError(f"{folder}: the {side} vocabulary has {len(tokens)} tokens, its embedding {count}")
        found[side] = tokens
    return Vocabulary(found["source"], found["target"])


def read_tokens(folder: Path, name: str) -> list[str] | None:
    """The tokens in `NAME.json`, a list, or `NAME.txt`, one a line; None where there is neither."""
    path = folder / f"{name}.json"
    try:
        if path.is_file():
            tokens = json.loads(path.read_text(encoding="utf-8"))
        elif (path := folder / f"{name}.txt").is_file():
            tokens = _lines(path.read_bytes().decode("utf-8"))
        else:
            return None
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror or error}") from None
    except ValueError as error:
        raise CheckpointError(f"{path} is damaged: {error}") from None
    if not isinstance(tokens, list) or not all(isinstance(token, str) for token in tokens):
        raise CheckpointError(f"{path} is damaged: it is not a list of tokens")
    return tokens


def _lines(text: str) -> list[str]:
    """Lines end with a newline and nothing else: some tokens are what Unicode counts as one."""
    lines = text.removesuffix("\n").split("\n")
    return [line[:-1] for line in lines] if all(line.endswith("\r") for line in lines) else lines


def _ids(tokens: list[str]) -> dict[str, int]:
    """Token to id; the first one where a token comes twice."""
    ids: dict[str, int] = {}
    for i, token in enumerate(tokens):
        ids.setdefault(token, i)
    return ids


def _id_of(ids: dict[str, int], token: str, what: str, folder: Path) -> int:
    if not isinstance(token, str) or token not in ids:
        raise CheckpointError(f"{folder}: {what} {token!r} of config.json is not in the vocabulary")
    return ids[token]


# ---- config -----------------------------------------------------------------------------------------------------


def _configs(
    source: Source, model: ModelBin, tensors: Tensors, settings: dict[str, Any], vocabulary: Vocabulary
) -> tuple[dict[str, Any], dict[str, Any]]:
    """`config.json` and `generation_config.json` of the family."""
    positions, window = _positions(model)
    config = _architecture(model, tensors) | {"max_position_embeddings": window, "_name_or_path": source.name}
    config |= _tokens(source.model, settings, vocabulary, config if starts_from_zero(model) else None)
    generation: dict[str, Any] = {}
    if starts_from_zero(model):  # the start token has a row, but is never generated
        generation = {"bad_words_ids": [[config["decoder_start_token_id"]]], "renormalize_logits": True}
    if source.length_penalty is not None:
        generation["length_penalty"] = source.length_penalty
    if _is_marian(model, config, positions):
        ends = {"max_length": window, "forced_eos_token_id": config["eos_token_id"]}  # as all opus-mt have it
        return config | {"model_type": "marian"}, generation | ends
    if _is_m2m100(model, config, positions, vocabulary):
        return config | {"model_type": "m2m_100"}, generation
    return config | _opennmt(source, settings, vocabulary, positions), generation


def _architecture(model: ModelBin, tensors: Tensors) -> dict[str, Any]:
    """What weights and attributes say, under the keys of transformers."""
    config: dict[str, Any] = {
        "d_model": width(model),
        "vocab_size": matrix(model, "encoder/embeddings_0").shape[0],
        "activation_function": _same(model, "activation", ACTIVATIONS),
        "normalize_before": _same(model, "pre_norm", (False, True), 1),
        "embed_scale": embed_scale(model, "encoder"),
        "tie_word_embeddings": "lm_head.weight" not in tensors,
        "share_encoder_decoder_embeddings": "model.shared.weight" in tensors,
    }
    if embed_scale(model, "decoder") != config["embed_scale"]:
        raise UnsupportedModelError(f"{model.path} scales the embeddings of its encoder and its decoder differently")
    final = {f"model.{side}.layer_norm.weight" in tensors for side in SIDES}
    if final != {config["normalize_before"]}:
        raise UnsupportedModelError(f"{model.path} has norms before its blocks without one at the end, or the reverse")
    config["scale_embedding"] = config["embed_scale"] != 1
    head = "model.shared.weight" if "model.shared.weight" in tensors else "model.decoder.embed_tokens.weight"
    config["decoder_vocab_size"] = tensors[head].shape[0]
    if config["share_encoder_decoder_embeddings"]:
        config["vocab_size"] = config["decoder_vocab_size"]
    for side in SIDES:
        config[f"{side}_layers"] = layers(model, side)
        config[f"{side}_attention_heads"] = int(number(model, f"{side}/num_heads"))
        config[f"{side}_ffn_dim"] = matrix(model, f"{side}/layer_0/ffn/linear_0").shape[0]
    return config


def _same(model: ModelBin, attribute: str, values: tuple[Any, ...], default: int = 0) -> Any:
    """What an attribute that both sides have stands for."""
    found = {int(number(model, f"{side}/{attribute}", default)) for side in SIDES}
    if len(found) > 1 or not 0 <= min(found) < len(values):
        known = ", ".join(f"{i} ({value})" for i, value in enumerate(values))
        raise UnsupportedModelError(
            f"{model.path} has {attribute} {sorted(found)}; supported are {known}, on both sides"
        )
    return values[found.pop()]


def _tokens(
    folder: Path, settings: dict[str, Any], vocabulary: Vocabulary, zero_start: dict[str, Any] | None
) -> dict[str, int]:
    """Ids of the special tokens; zero_start: the architecture, where the decoder starts from its last row, of zeros."""
    source, target = _ids(vocabulary.source), _ids(vocabulary.target)
    eos = _id_of(target, settings["eos_token"], "the end token", folder)
    start = settings["decoder_start_token"]
    if zero_start is not None:
        start_id = len(vocabulary.target)
        pad = start_id if zero_start["share_encoder_decoder_embeddings"] else eos
    elif start is None:
        raise UnsupportedModelError(f"{folder}: config.json names no decoder_start_token; it is left to the user")
    else:
        start_id = _id_of(target, start, "the start token", folder)
        pad = next((source[token] for token in PADDING if source.get(token) == target.get(token, -1)), eos)
    unk = _id_of(target, settings["unk_token"], "the unknown token", folder)
    return {"eos_token_id": eos, "pad_token_id": pad, "decoder_start_token_id": start_id, "unk_token_id": unk}


def _is_marian(model: ModelBin, config: dict[str, Any], positions: str) -> bool:
    root = math.sqrt(config["d_model"])
    return (
        starts_from_zero(model)
        and not config["normalize_before"]
        and positions == "marian"
        and (config["embed_scale"] == 1 or math.isclose(config["embed_scale"], root, rel_tol=1e-2))
    )


def _is_m2m100(model: ModelBin, config: dict[str, Any], positions: str, vocabulary: Vocabulary) -> bool:
    return (
        config["normalize_before"]
        and positions == "fairseq"
        and vocabulary.shared
        and vocabulary.target[:4] == FAIRSEQ_TOKENS
        and any(map(LANGUAGE_TOKEN.fullmatch, vocabulary.target))
        and "decoder/projection/bias" not in model.variables
    )


def _opennmt(source: Source, settings: dict[str, Any], vocabulary: Vocabulary, positions: str) -> dict[str, Any]:
    """What only the family `opennmt` reads."""
    ids = _ids(vocabulary.target)
    config: dict[str, Any] = {
        "model_type": "opennmt",
        "position_encoding": positions,
        "layer_norm_epsilon": settings.get("layer_norm_epsilon") or 1e-5,
        "target_prefix_id": None,
    }
    if source.target_prefix:
        config["target_prefix_id"] = _id_of(ids, source.target_prefix, "target_prefix", source.tokenizer)
    for token in ("bos", "eos"):
        config[f"add_source_{token}"] = bool(settings.get(f"add_source_{token}"))
        text = settings[f"{token}_token"]
        other = {"bos": settings["decoder_start_token"], "eos": text}[token]
        if config[f"add_source_{token}"] and (text != other or _ids(vocabulary.source).get(text) != ids.get(text)):
            raise UnsupportedModelError(f"{source.model}: add_source_{token} adds another token than the target's")
    return config


# ---- positions --------------------------------------------------------------------------------------------------


def _positions(model: ModelBin) -> tuple[str, int]:
    """The kind of positions, and how many tokens they reach: by the stored tables, which have to be of a known kind."""
    names = [f"{side}/position_encodings/encodings" for side in SIDES]
    if not any(name in model.variables for name in names):
        return "opennmt-tf", COMPUTED_LENGTH
    kinds = {_kind_of(model, name) for name in names}
    if len(kinds) > 1:
        raise UnsupportedModelError(f"{model.path} has positions of different kinds in its encoder and its decoder")
    return kinds.pop(), min(LONGEST, *(variable(model, name).shape[0] for name in names))


def _kind_of(model: ModelBin, name: str) -> str:
    entry = variable(model, name)
    if len(entry.shape) != 2 or entry.shape[1] != width(model):
        raise CheckpointError(f"{model.path} is damaged: {name!r} has shape {list(entry.shape)}")
    table = read(entry, 0, 64)
    for kind in ("marian", "fairseq", "opennmt-py"):
        if np.abs(_table(kind, *table.shape) - table).max() < TABLE_TOLERANCE:
            return kind
    raise UnsupportedModelError(f"{model.path}: {name!r} holds learned positions; quartet converts sinusoidal ones")


def _table(kind: str, rows: int, d_model: int) -> np.ndarray:
    """Positions [rows, d_model] as Marian, fairseq (from its third row on) or OpenNMT-py makes them."""
    frequencies = np.array(fairseq(d_model) if kind == "fairseq" else vaswani(d_model))
    angles = np.outer(np.arange(rows) + (2 if kind == "fairseq" else 0), frequencies)
    halves = [np.sin(angles), np.cos(angles)]
    return np.stack(halves, -1).reshape(rows, -1) if kind == "opennmt-py" else np.concatenate(halves, -1)


# ---- tokeniser files --------------------------------------------------------------------------------------------


def _m2m100_tokenizer(folder: Path, tokens: list[str], out: Path) -> None:
    """SentencePiece model (or `tokenizer.json`), and the languages with their ids; M2M100 also has a `vocab.json`."""
    languages = {token: i for token, i in _ids(tokens).items() if LANGUAGE_TOKEN.fullmatch(token)}
    _write_json(out / "added_tokens.json", languages)
    _write_json(
        out / "tokenizer_config.json", {"additional_special_tokens": sorted(languages, key=languages.__getitem__)}
    )
    if any(token.startswith("__") for token in languages):
        text = {t: i for t, i in _ids(tokens).items() if t not in languages and not MADE_UP.fullmatch(t)}
        _write_json(out / "vocab.json", text)
    model = next((folder / name for name in SENTENCEPIECE if (folder / name).is_file()), None)
    if model is not None:
        shutil.copyfile(model, out / "sentencepiece.bpe.model")
    elif (folder / "tokenizer.json").is_file():
        shutil.copyfile(folder / "tokenizer.json", out / "tokenizer.json")


def _tokenizer_config(folder: Path) -> dict[str, Any]:
    """That of transformers, which some copy beside the model."""
    path = folder / "tokenizer_config.json"
    return read_json_object(path) if path.is_file() else {}


def _pieces_and_tables(source: Source, config: dict[str, Any], vocabulary: Vocabulary, out: Path) -> None:
    """Vocabularies, languages, and one SentencePiece model or two; Marian always has two."""
    padded = config["model_type"] == "marian" and config["share_encoder_decoder_embeddings"]
    special = {"<pad>": config["pad_token_id"]} if padded else {}
    _write_json(out / "vocab.json", _ids(vocabulary.source) | special)
    if not vocabulary.shared:
        _write_json(out / "target_vocab.json", _ids(vocabulary.target) | special)
    languages = {"source_lang": source.source_lang, "target_lang": source.target_lang}
    known = _tokenizer_config(source.tokenizer) | {key: code for key, code in languages.items() if code}
    _write_json(out / "tokenizer_config.json", known)
    pair = [source.tokenizer / name for name in SENTENCEPIECE_PAIR]
    single = next((path for name in SENTENCEPIECE if (path := source.tokenizer / name).is_file()), None)
    if all(path.is_file() for path in pair):
        models = dict(zip(SENTENCEPIECE_PAIR, pair, strict=True))
    elif single is None:
        models = {}
    else:
        models = dict.fromkeys(SENTENCEPIECE_PAIR if config["model_type"] == "marian" else SENTENCEPIECE[:1], single)
    for name, path in models.items():
        shutil.copyfile(path, out / name)


def _write_json(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")
