"""The small files of a Whisper model as transformers would have them, for the folders that faster-whisper reads."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

from quartet.checkpoint.ctranslate2.model_bin import ModelBin
from quartet.checkpoint.ctranslate2.names import SIDES, layers, matrix, number, variable, width
from quartet.checkpoint.ctranslate2.translation import read_tokens
from quartet.checkpoint.shards import read_json_object
from quartet.checkpoint.tensors import same_bytes
from quartet.errors import CheckpointError

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "preprocessor_config.json", "README.md")
TASKS = ("transcribe", "translate")
LANGUAGE = re.compile(r"<\|[a-z]{2,3}\|>")
LANGUAGES_END = "<|translate|>"  # the first token after the languages


def lay_out(folder: Path, model: ModelBin, out: Path) -> None:
    """Write both configs into `out`, with the tokeniser's files; raises `CheckpointError` where something lacks."""
    tokens = read_tokens(folder, "vocabulary")
    if tokens is None:
        raise CheckpointError(f"{folder} is incomplete: it has neither vocabulary.json nor vocabulary.txt")
    rows = matrix(model, "decoder/embeddings").shape[0]
    if len(tokens) != rows:
        raise CheckpointError(f"{folder}: the vocabulary has {len(tokens)} tokens, the embedding {rows} rows")
    ids = {token: i for i, token in enumerate(tokens)}
    generation = _generation(folder, ids)
    config = _architecture(model) | {key: value for key, value in generation.items() if key.endswith("_id")}
    for name, value in (("config.json", config), ("generation_config.json", generation)):
        (out / name).write_text(json.dumps(value), encoding="utf-8")
    for name in TOKENIZER_FILES:
        if (folder / name).is_file():
            shutil.copyfile(folder / name, out / name)


def _architecture(model: ModelBin) -> dict[str, Any]:
    embedding, head = (matrix(model, f"decoder/{module}") for module in ("embeddings", "projection"))
    config: dict[str, Any] = {
        "model_type": "whisper",
        "activation_function": "gelu",  # CTranslate2 runs nothing else
        "d_model": width(model),
        "num_mel_bins": matrix(model, "encoder/conv1", rank=3).shape[1],
        "max_source_positions": _positions(model, "encoder"),
        "max_target_positions": _positions(model, "decoder"),
        "vocab_size": embedding.shape[0],
        "scale_embedding": False,
        "tie_word_embeddings": same_bytes(embedding, head),
    }
    for side in SIDES:
        config[f"{side}_layers"] = layers(model, side)
        config[f"{side}_attention_heads"] = int(number(model, f"{side}/num_heads"))
        config[f"{side}_ffn_dim"] = matrix(model, f"{side}/layer_0/ffn/linear_0").shape[0]
    return config


def _positions(model: ModelBin, side: str) -> int:
    """Rows of a stack's table of positions."""
    shape = variable(model, f"{side}/position_encodings/encodings").shape
    return shape[0] if shape else 0


def _generation(folder: Path, ids: dict[str, int]) -> dict[str, Any]:
    """Special tokens by the vocabulary; what is suppressed and which heads align by CTranslate2's config."""
    settings = read_json_object(folder / "config.json")
    end, start = _id(folder, ids, "<|endoftext|>"), _id(folder, ids, "<|startoftranscript|>")
    found: dict[str, Any] = {
        "bos_token_id": end,
        "eos_token_id": end,
        "pad_token_id": end,
        "decoder_start_token_id": start,
        "no_timestamps_token_id": _id(folder, ids, "<|notimestamps|>"),
        "suppress_tokens": settings.get("suppress_ids") or [],
        "begin_suppress_tokens": settings.get("suppress_ids_begin") or [],
        "alignment_heads": settings.get("alignment_heads") or [],
        "max_initial_timestamp_index": 50,  # one second, CTranslate2's default
        "max_length": 448,
    }
    if "<|startofprev|>" in ids:
        found["prev_sot_token_id"] = ids["<|startofprev|>"]
    found["is_multilingual"] = found["eos_token_id"] == 50257  # the English models have one token less
    if found["is_multilingual"]:
        after = _id(folder, ids, LANGUAGES_END)
        found["lang_to_id"] = {t: i for t, i in ids.items() if start < i < after and LANGUAGE.fullmatch(t)}
        found["task_to_id"] = {task: _id(folder, ids, f"<|{task}|>") for task in TASKS}
    return found


def _id(folder: Path, ids: dict[str, int], token: str) -> int:
    if token not in ids:
        raise CheckpointError(f"{folder}: the vocabulary has no {token}, so it is not Whisper's")
    return ids[token]
