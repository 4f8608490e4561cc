"""Whisper (Radford et al. 2022): log-mel frames through two convolutions, norms first, keys without bias.

Every size has this shape: tiny to large-v3 (128 mel bins), turbo and distil-whisper (fewer decoder layers), and the
English ones, whose vocabulary has one token less and which are given neither language nor task.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from quartet.checkpoint import Checkpoint
from quartet.checkpoint.openai import ENGLISH_VOCABULARY
from quartet.checkpoint.shards import brief
from quartet.errors import CheckpointError, UnsupportedModelError
from quartet.families import bart, tokenizers
from quartet.families.config import activation, check_heads, count, flag, generation, integer, stack, token_ids, tokens
from quartet.families.description import Description
from quartet.families.tokenizers import TIMESTAMP_SECONDS
from quartet.spec import FrontEnd, Generation, Language, Learned, ModelSpec, Speech, Tokens

MODEL_TYPES = ("whisper",)

LEFTOVERS: tuple[str, ...] = ()

# Of the feature extractor and the tokeniser; no checkpoint has others.
SAMPLING_RATE, FFT_SIZE, HOP_LENGTH = 16_000, 400, 160
TIMESTAMPS = 1501  # 0 to 30 s

# The languages in the order of their tokens; the last one is new in large-v3.
LANGUAGES = """
en zh de es ru ko fr ja pt tr pl ca nl ar sv it id hi fi vi he uk el ms cs ro da hu ta no th ur hr bg lt la mi ml cy sk
te fa lv bn sr az sl kn et mk br eu is hy ne mn bs kk sq sw gl mr pa si km sn yo so af oc ka be tg sd gu am yi lo uz fo
ht ps tk nn mt sa lb my bo tl mg as tt haw ln ha ba jw su yue
"""
TASKS = {"transcribe", "translate"}
END, START, NO_TIMESTAMPS, PREVIOUS = "<|endoftext|>", "<|startoftranscript|>", "<|notimestamps|>", "<|startofprev|>"
NO_SPEECH = ("<|nospeech|>", "<|nocaptions|>")  # as OpenAI and transformers name it
ENGLISH_END = 50_256  # the end token of models that know only English
INITIAL = "max_initial_timestamp_index"
SPACE = 220  # in GPT-2's vocabulary and in the multilingual one alike

# The heads whose attention OpenAI found to follow the audio, by decoder layers, heads and rows of the vocabulary. The
# first two large ones cannot be told apart.
ALIGNMENT_HEADS = {
    (4, 6, 51_864): ((1, 0), (2, 0), (2, 5), (3, 0), (3, 1), (3, 2), (3, 3), (3, 4)),
    (4, 6, 51_865): ((2, 2), (3, 0), (3, 2), (3, 3), (3, 4), (3, 5)),
    (6, 8, 51_864): ((3, 3), (4, 7), (5, 1), (5, 5), (5, 7)),
    (6, 8, 51_865): ((3, 1), (4, 2), (4, 3), (4, 7), (5, 1), (5, 2), (5, 4), (5, 6)),
    (12, 12, 51_865): ((5, 3), (5, 9), (8, 0), (8, 4), (8, 7), (8, 8), (9, 0), (9, 7), (9, 9), (10, 5)),
    (24, 16, 51_865): ((13, 15), (15, 4), (15, 15), (16, 1), (20, 0), (23, 4)),
    (32, 20, 51_866): (
        *((7, 0), (10, 17), (12, 18), (13, 12), (16, 1)),
        *((17, 14), (19, 11), (21, 4), (24, 1), (25, 6)),
    ),
    (4, 20, 51_866): ((2, 4), (2, 11), (3, 3), (3, 6), (3, 11), (3, 14)),
}

# Our names of tensors -> those of OpenAI's checkpoints, to be replaced from the first to the last.
OPENAI_NAMES = (
    ("layers.", "blocks."),
    ("self_attn_layer_norm", "attn_ln"),
    ("encoder_attn_layer_norm", "cross_attn_ln"),
    ("final_layer_norm", "mlp_ln"),
    ("self_attn", "attn"),
    ("encoder_attn", "cross_attn"),
    ("q_proj", "query"),
    ("k_proj", "key"),
    ("v_proj", "value"),
    ("out_proj", "out"),
    ("fc1", "mlp.0"),
    ("fc2", "mlp.2"),
    ("encoder.layer_norm", "encoder.ln_post"),
    ("decoder.layer_norm", "decoder.ln"),
    ("embed_tokens", "token_embedding"),
    ("embed_positions.weight", "positional_embedding"),
)


def read_spec(config: dict[str, Any]) -> ModelSpec:
    """The architecture that `config.json` describes."""
    if config.get("scale_embedding"):
        raise UnsupportedModelError("config.json sets scale_embedding, which is not supported for Whisper")
    d_model = integer(config, "d_model")
    return check_heads(
        ModelSpec(
            family="whisper",
            d_model=d_model,
            vocab_size=integer(config, "vocab_size"),
            source_vocab_size=None,
            encoder=stack(config, "encoder"),
            decoder=stack(config, "decoder"),
            activation=activation(config),
            norm_first=True,
            final_norm=True,
            layer_norm_epsilon=1e-5,
            # sines, but stored: checkpoints in float16 have rounded ones, and a model's output depends on that
            positions=Learned(integer(config, "max_source_positions"), d_model),
            embed_scale=1.0,
            tied_head=flag(config, "tie_word_embeddings", True),
            head_bias=False,
            front_end=FrontEnd(integer(config, "num_mel_bins")),
            decoder_positions=Learned(integer(config, "max_target_positions"), d_model),
            key_bias=False,
        )
    )


def tensor_names(spec: ModelSpec) -> dict[str, tuple[str, ...]]:
    """Canonical name -> names in a checkpoint of transformers, then the one in OpenAI's."""
    names = {name: kept for name, kept in bart.tensor_names(spec).items() if not name.endswith("k_proj.bias")}
    convolutions = (f"encoder.conv{i}.{kind}" for i in (1, 2) for kind in ("weight", "bias"))
    positions = (f"{side}.embed_positions.weight" for side in ("encoder", "decoder"))
    names |= {name: (f"model.{name}", name) for name in (*convolutions, *positions)}
    head = "decoder.embed_tokens.weight" if spec.tied_head else "lm_head.weight"
    names[head] = (*names[head], "proj_out.weight")
    return {name: tuple(dict.fromkeys((*known, openai_name(name)))) for name, known in names.items()}


def openai_name(name: str) -> str:
    """What OpenAI's checkpoints call a tensor of ours."""
    for ours, theirs in OPENAI_NAMES:
        name = name.replace(ours, theirs)
    return name


def describe(checkpoint: Checkpoint) -> Description:
    """Tokens and languages by their names in the tokeniser, else by `generation_config.json`, else by the size of the
    vocabulary: that of a fine-tune may have words more, or rows that no token has."""
    config, asked = checkpoint.config, checkpoint.generation_config
    positions, length = integer(config, "max_source_positions"), integer(config, "max_target_positions")
    rows = integer(config, "vocab_size")
    found = tokenizers.whisper(checkpoint.tokenizer_folder, rows)
    named = found.named if found else {}
    start = tokens(config, unk=None)
    start = replace(start, eos=named.get(END, start.eos), decoder_start=named.get(START, start.decoder_start))
    multilingual = flag(asked, "is_multilingual", _is_multilingual(named, rows))
    no_timestamps = named.get(NO_TIMESTAMPS, count(asked, "no_timestamps_token_id", rows - TIMESTAMPS - 1))
    tasks = _ids(asked, "task_to_id") or {"transcribe": no_timestamps - 4, "translate": no_timestamps - 5}
    if multilingual and not tasks.keys() >= TASKS:
        raise CheckpointError(f"generation_config.json has task_to_id = {brief(tasks)}; it has to name {sorted(TASKS)}")
    tasks |= {task: named[f"<|{task}|>"] for task in TASKS if f"<|{task}|>" in named}
    initial = None if asked.get(INITIAL) is None else count(asked, INITIAL)
    no_speech = [named[name] for name in NO_SPEECH if name in named]
    previous = named.get(PREVIOUS, count(asked, "prev_sot_token_id", no_timestamps - 2))
    read = suppressed(checkpoint, generation(config, asked, default_length=length), start, no_timestamps)
    nobody = _nobodys(named, no_timestamps + 1 + positions + 1, rows)
    return Description(
        tokens=start,
        generation=replace(read, suppress_tokens=tuple(dict.fromkeys((*read.suppress_tokens, *nobody)))),
        source_prompt=(),
        target_prompt=("decoder_start", "source", "task") if multilingual else ("decoder_start",),
        max_source_length=positions,
        max_target_length=length,
        safe_length=positions,
        languages=languages(asked, named, start.decoder_start, tasks) if multilingual else (),
        tokenizer=found.spec if found else None,
        tokenizer_files=found.files if found else (),
        made_files=found.made if found else {},
        speech=Speech(
            mel_bins=integer(config, "num_mel_bins"),
            sampling_rate=SAMPLING_RATE,
            fft_size=FFT_SIZE,
            hop_length=HOP_LENGTH,
            window_frames=2 * positions,
            timestamp_seconds=TIMESTAMP_SECONDS,
            timestamp_begin=no_timestamps + 1,
            no_timestamps=no_timestamps,
            no_speech=no_speech[0] if no_speech else no_timestamps - 1,
            previous=previous,
            transcribe=tasks["transcribe"] if multilingual else None,
            translate=tasks["translate"] if multilingual else None,
            multilingual=multilingual,
            max_initial_timestamp=None if initial is None else initial * TIMESTAMP_SECONDS,
            alignment_heads=alignment_heads(config, asked),
        ),
    )


def _is_multilingual(named: Mapping[str, int], rows: int) -> bool:
    """By the end token, which comes right after the text: GPT-2's own has one piece less."""
    return named[END] != ENGLISH_END if END in named else rows > ENGLISH_VOCABULARY


def _nobodys(named: Mapping[str, int], after_times: int, rows: int) -> range:
    """Rows of the embedding that no token has: some round its size up. Empty where the tokeniser is not known."""
    return range(max(after_times, *(i + 1 for i in named.values())), rows) if named else range(0)


def suppressed(checkpoint: Checkpoint, read: Generation, start: Tokens, no_timestamps: int) -> Generation:
    """What must not be generated, as OpenAI has it, where the checkpoint does not say: signs that nobody speaks, tasks
    and other tokens that steer; at the beginning a space and the end."""
    if (checkpoint.generation_config or checkpoint.config).get("suppress_tokens") is not None:
        return read  # an empty list too, as fine-tuned models have it
    steering = (start.decoder_start, *range(no_timestamps - 5, no_timestamps))
    return replace(
        read,
        suppress_tokens=(*tokenizers.non_speech(checkpoint.tokenizer_folder), *steering),
        begin_suppress_tokens=tuple(token for token in (SPACE, start.eos) if token <= start.eos),
    )


def languages(
    asked: dict[str, Any], named: Mapping[str, int], decoder_start: int, tasks: dict[str, int]
) -> tuple[Language, ...]:
    """The languages by the ids of their tokens, which lie between the decoder start and the tasks where nobody says."""
    given = _ids(asked, "lang_to_id")
    ids = {code.strip("<|>"): named.get(code, token) for code, token in given.items()}
    if not ids:
        ids = {code: named[f"<|{code}|>"] for code in LANGUAGES.split() if f"<|{code}|>" in named}
    if not ids:
        rows = range(decoder_start + 1, min(tasks.values()))
        ids = dict(zip(LANGUAGES.split(), rows, strict=False))
    english = ids.get("en")  # the only one that speech is translated to
    return tuple(
        Language(code, token, source=True, target=token == english)
        for code, token in sorted(ids.items(), key=lambda item: item[1])
    )


def alignment_heads(config: dict[str, Any], asked: dict[str, Any]) -> tuple[tuple[int, int], ...]:
    """(layer, head) whose attention follows the audio; where nobody says, all of the later half, as OpenAI has it."""
    named = asked.get("alignment_heads")
    layers, heads = integer(config, "decoder_layers"), integer(config, "decoder_attention_heads")
    if named:
        return _heads(named, layers, heads)
    known = ALIGNMENT_HEADS.get((layers, heads, config["vocab_size"]))
    return known or tuple((layer, head) for layer in range(layers // 2, layers) for head in range(heads))


def _ids(asked: dict[str, Any], key: str) -> dict[str, int]:
    """Ids by name; empty where the config does not say. Raises `CheckpointError`."""
    named = asked.get(key) or {}
    if not isinstance(named, dict):
        raise CheckpointError(f"generation_config.json has {key} = {brief(named)}; ids by name are expected")
    return dict(zip(named, token_ids(list(named.values()), key), strict=True))


def _heads(named: Any, layers: int, heads: int) -> tuple[tuple[int, int], ...]:
    """Pairs of layer and head that the decoder has; raises `CheckpointError`."""
    pairs = [token_ids(pair, "alignment_heads") for pair in (named if isinstance(named, list) else [named])]
    if not all(len(pair) == 2 and pair[0] < layers and pair[1] < heads for pair in pairs):
        raise CheckpointError(
            f"generation_config.json has alignment_heads = {brief(named)}; pairs of layer and head are expected, below "
            f"{layers} and {heads}"
        )
    return tuple((pair[0], pair[1]) for pair in pairs)
