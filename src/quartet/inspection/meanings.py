"""What the files and variables mean, by name: those of a quartet, of RTranslator, and of an export by Optimum.

In the tables `{i}` is a layer. A name without `.key` or `.value` at its end stands for both.
"""

import re
from collections.abc import Collection
from typing import Literal

from quartet.conversion.layouts.detokenizer import DETOKENIZER
from quartet.conversion.layouts.mel_graph import INITIALIZER
from quartet.spec import CACHE_INITIALIZER, DECODER, EMBED_AND_LM_HEAD, ENCODER, FILES, LM_HEAD

ROLES = {  # in the order in which data passes the files
    INITIALIZER: "samples of a recording to log-mel frames, for the encoder",
    EMBED_AND_LM_HEAD: "token ids to vectors, before the encoder and the decoder; vectors to scores, after the decoder",
    ENCODER: "reads the source, once per text",
    CACHE_INITIALIZER: "makes the encoder part of the cache, once per text",
    DECODER: "one step: takes one token and the cache, gives one vector and the cache grown by one",
    LM_HEAD: "for quartet's own runtime: vectors to scores with weights of embed_and_lm_head, and the best of them",
    DETOKENIZER: "token ids to text, at the end",
    "encoder_model": "reads the source, once per text",
    "decoder_model": "the decoder without past: the first step, which makes the whole cache",
    "decoder_with_past_model": "the decoder with past: every step after the first, one token each",
    "decoder_model_merged": "both decoders behind one switch: stands for decoder_model and decoder_with_past_model",
}

EMBED, DECODER_WITH_HEAD = "embed", "decoder_with_head"  # what RTranslator has under the names of others
_OTHERWISE_CUT = {
    EMBED: "token ids to vectors, before the encoder and the decoder",
    DECODER_WITH_HEAD: "one step: takes one token and the cache, gives scores and the cache grown by one",
}

# Whisper_decoder.onnx, decoder_model_quantized.onnx: a model's name before it, a kind of weights after it
_BEFORE = r"(?:[A-Z]\w*?_)?"
_AFTER = r"(?:_(?:quantized|q8|q4|q4f16|fp16|int8|uint8|bnb4|batch))?"

_LOGITS = "A score for each token of the vocabulary; the highest is the greedy choice."
_SOURCE_IDS = "Token ids of the source, special tokens included; short rows are padded."
_SOURCE_MASK = "1 where the source has a token, 0 where it is padded."
_SAME_MASK = "The attention_mask that the encoder got."
_STATES = "last_hidden_state of the encoder."
_STEP_IDS = "The tokens fed in this step: those of the prompt first, then the one just generated."

_GROWN = (
    "Self-attention keys and values with this step's token added; at the next step they go in as "
    "past_key_values.{i}.decoder."
)
_PAST = "Self-attention keys and values of the tokens so far: present.{i}.decoder of the step before, "
_CROSS = "Cross-attention keys and values of the source; at every step they go in as past_key_values.{i}.encoder."
_CROSS_PAST = "Cross-attention keys and values of the source: present.{i}.encoder of "

_QUARTET: dict[str, dict[str, str]] = {
    EMBED_AND_LM_HEAD: {
        "use_lm_head": "false: input_ids become embed_matrix; true: pre_logits become logits.",
        "input_ids": "Token ids to look up; when use_lm_head is true, anything small, such as zeros [1, 2].",
        "pre_logits": "pre_logits of the decoder; when use_lm_head is false, anything small, such as zeros [1, 1, d].",
        "embed_matrix": "A vector per token, for the encoder or the decoder; means nothing when use_lm_head is true.",
        "logits": _LOGITS + " Mean nothing when use_lm_head is false.",
    },
    ENCODER: {
        "input_ids": _SOURCE_IDS,
        "attention_mask": _SOURCE_MASK,
        "embed_matrix": "embed_matrix of embed_and_lm_head for the same ids.",
        "input_features": "The log-mel spectrogram of a window of audio.",
        "last_hidden_state": "The source as the decoder sees it, a vector per token; goes to cache_initializer.",
    },
    CACHE_INITIALIZER: {
        "encoder_hidden_states": _STATES,
        "present.{i}.encoder": _CROSS,
    },
    DECODER: {
        "input_ids": _STEP_IDS,
        "encoder_attention_mask": _SAME_MASK,
        "encoder_hidden_states": _STATES,
        "embed_matrix": "embed_matrix of embed_and_lm_head for these tokens.",
        "past_key_values.{i}.decoder": _PAST + "length 0 at the first one.",
        "past_key_values.{i}.encoder": _CROSS_PAST + "cache_initializer, the same at every step.",
        "pre_logits": "The vector from which embed_and_lm_head makes logits (use_lm_head true).",
        "logits": _LOGITS,
        "present.{i}.decoder": _GROWN,
        "queries.{i}.encoder": "Queries of cross-attention: with the keys of the source they say where it looks.",
    },
    INITIALIZER: {
        "audio_pcm": "Samples at 16 kHz, between -1 and 1; the window is filled up with silence.",
        "input_features": "The log-mel spectrogram of the window.",
    },
    DETOKENIZER: {
        "sequences": "Token ids; control tokens have no text.",
        "text": "What they say.",
    },
    EMBED: {
        "input_ids": "Token ids to look up.",
        "embed_matrix": "A vector per token, for the encoder or the decoder.",
    },
    LM_HEAD: {
        "pre_logits": "pre_logits of the decoder.",
        "logits": _LOGITS + " At 4 bits where the matrix has two planes: the best want to be scored again.",
        "top_scores": "The highest scores, best first.",
        "top_ids": "The tokens that top_scores belong to.",
        "log_sum_exp": "What to subtract from a score for a log probability.",
    },
}

_QUARTET[DECODER_WITH_HEAD] = _QUARTET[DECODER] | {"encoder_hidden_states": _STATES + " It is not read."}

_OPTIMUM: dict[str, dict[str, str]] = {
    "encoder_model": {
        "input_ids": _SOURCE_IDS,
        "attention_mask": _SOURCE_MASK,
        "input_features": "The log-mel spectrogram of the audio, from the feature extractor.",
        "last_hidden_state": "The source as the decoder sees it, a vector per token: encoder_hidden_states.",
    },
    "decoder_model": {
        "input_ids": "The decoder's prompt: the start token, and the target language's where the model has them.",
        "encoder_attention_mask": _SAME_MASK,
        "encoder_hidden_states": _STATES,
        "logits": "Scores of what follows each token; the last row is the next token's.",
        "present.{i}.decoder": _GROWN,
        "present.{i}.encoder": _CROSS.replace("every step", "every further step"),
    },
    "decoder_with_past_model": {
        "input_ids": "The token generated last.",
        "encoder_attention_mask": _SAME_MASK,
        "encoder_hidden_states": _STATES,
        "past_key_values.{i}.decoder": _PAST + "at first of decoder_model.",
        "past_key_values.{i}.encoder": _CROSS_PAST + "decoder_model, the same at every step.",
        "logits": _LOGITS,
        "present.{i}.decoder": _GROWN,
    },
    "decoder_model_merged": {
        "input_ids": "The prompt at the first step, then the token generated last.",
        "encoder_attention_mask": _SAME_MASK,
        "encoder_hidden_states": _STATES,
        "past_key_values.{i}.decoder": _PAST + "not read at the first one.",
        "past_key_values.{i}.encoder": _CROSS_PAST + "the first step, not read at that step itself.",
        "use_cache_branch": "false at the first step (without past), true from then on (with past).",
        "logits": "Scores of what follows each token; the last row is the next token's.",
        "present.{i}.decoder": _GROWN,
        "present.{i}.encoder": "Cross-attention keys and values of the source; keep those of the first step, "
        "later ones mean nothing.",
    },
}

_ANYWHERE = {  # what other versions of the exporters add
    "cache_position": "Position of the first token fed in this step: how many came before it.",
    "position_ids": "Position of each token fed in this step.",
    "decoder_input_ids": "Tokens for the decoder: the prompt first, then the token generated last.",
    "decoder_attention_mask": "1 where the decoder has a token, 0 where it is padded.",
    "inputs_embeds": "Vectors in place of input_ids, for those who look up embeddings themselves.",
    "token_type_ids": "Which of two segments a token belongs to.",
    "pixel_values": "The image, from the image processor.",
    "encoder_last_hidden_state": "What the encoder gave, handed through.",
}

UNKNOWN = "A name that quartet does not know."

Layout = Literal["quartet", "optimum", "onnx"]


def kind_of(stem: str) -> str | None:
    """Which of the files in `ROLES` a file name (without its ending) stands for; None for others."""
    fitting = (kind for kind in ROLES if re.fullmatch(_BEFORE + kind + _AFTER, stem))
    return max(fitting, key=len, default=None)  # cache_initializer is no initializer


def cut_of(kind: str | None, variables: Collection[str]) -> str | None:
    """The kind, told from another cut of the same name by the inputs and outputs."""
    if kind == EMBED_AND_LM_HEAD and "use_lm_head" not in variables:
        return EMBED
    return DECODER_WITH_HEAD if kind == DECODER and "logits" in variables else kind


def role_of(kind: str | None) -> str:
    """What a file of this kind or cut does; nothing for others."""
    return (ROLES | _OTHERWISE_CUT).get(kind or "", "")


def layout_of(kinds: set[str]) -> Layout:
    """Where files of these kinds come from."""
    if not kinds:
        return "onnx"
    return "quartet" if kinds & set(FILES) else "optimum"


def meaning(kind: str | None, name: str) -> str:
    """One sentence on a variable; `name` has `{i}` in the place of a layer's number."""
    pattern = re.sub(r"\.(key|value)$", "", name)
    tables = _QUARTET | _OPTIMUM
    return tables.get(kind or "", {}).get(pattern) or _ANYWHERE.get(pattern, UNKNOWN)
