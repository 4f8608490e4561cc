"""What crosses between the stages: `ModelSpec` (what the graph builders need) and `Manifest` (what the runtime needs).

All file names and tensor names of the contract live here too, so that no other module spells them.
"""

import dataclasses
import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

from quartet.errors import ManifestError
from quartet.json_schema import Schema, first_fault, shown

FORMAT_VERSION = "2.2"
DIGEST_SINCE = (2, 2)  # format in which manifests have a digest of themselves
MANIFEST_NAME = "quartet.json"
LARGEST_MANIFEST = 16 << 20  # bytes; that of NLLB has 40,000

EMBED_AND_LM_HEAD = "embed_and_lm_head"
ENCODER = "encoder"
CACHE_INITIALIZER = "cache_initializer"
DECODER = "decoder"
LM_HEAD = "lm_head"  # our runtime's own graph of the head, over the weights of embed_and_lm_head
TOP_K = 64  # how many of the best scores the LM head gives beside the logits

FILES = (EMBED_AND_LM_HEAD, ENCODER, CACHE_INITIALIZER, DECODER)

Part = Literal["encoder", "decoder"]
KeyOrValue = Literal["key", "value"]
KEY_AND_VALUE: tuple[KeyOrValue, ...] = ("key", "value")

Activation = Literal["relu", "gelu", "gelu_new", "swish"]
Norm = Literal["layer", "rms"]


def present_name(layer: int, part: Part, what: KeyOrValue) -> str:
    """Name of a cache tensor as an output, e.g. `present.0.decoder.key`."""
    return f"present.{layer}.{part}.{what}"


def past_name(layer: int, part: Part, what: KeyOrValue) -> str:
    """Name of a cache tensor as an input, e.g. `past_key_values.0.encoder.value`."""
    return f"past_key_values.{layer}.{part}.{what}"


PAST_LENGTH = "past_length"  # input of a decoder whose own cache is written in place (`runtime.machine.in_place`)


def query_name(layer: int) -> str:
    """Name of the decoder's output with a layer's queries of cross-attention, e.g. `queries.3.encoder`."""
    return f"queries.{layer}.encoder"


# ---- for building -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Stack:
    """One of the two stacks of layers."""

    layers: int
    heads: int
    ffn_dim: int


@dataclass(frozen=True)
class Sinusoidal:
    """Sinusoidal positions: sines and cosines of `position * frequency`, computed in the graph."""

    frequencies: tuple[float, ...]  # one per pair of channels, d_model // 2 of them
    offset: int  # position of the first token
    padding_id: int | None  # tokens with this id get no position at all; None: every token gets one
    interleaved: bool = False  # a cosine after each sine (OpenNMT-py); else all sines, then all cosines


@dataclass(frozen=True)
class RelativeBias:
    """T5's positions (Raffel et al. 2020): what each head adds to its scores, by distance, in buckets.

    The decoder looks back only, so that all its buckets are for one direction; the encoder has half for each.
    """

    buckets: int
    max_distance: int  # from here on all distances share the last bucket


@dataclass(frozen=True)
class Learned:
    """Positions looked up in a table [rows, width], the first token's first."""

    rows: int
    width: int


@dataclass(frozen=True)
class FrontEnd:
    """What a speech encoder does before its layers (Radford et al. 2022): log-mel frames through two convolutions.

    Both have windows of three frames and the GELU; the second one halves their number.
    """

    mel_bins: int


@dataclass(frozen=True)
class ModelSpec:
    """An encoder-decoder architecture as the graph builders see it; made by a family from a checkpoint's config."""

    family: str
    d_model: int
    vocab_size: int  # rows of the decoder's embedding and of the LM head
    source_vocab_size: int | None  # rows of a separate encoder embedding; None: one embedding serves both sides
    encoder: Stack
    decoder: Stack
    activation: Activation
    norm_first: bool  # layer norm before each block (M2M100) or after it (Marian)
    final_norm: bool  # one more layer norm after the last layer
    layer_norm_epsilon: float
    positions: Sinusoidal | Learned | RelativeBias
    embed_scale: float
    tied_head: bool  # the LM head is the decoder's embedding matrix
    head_bias: bool  # `final_logits_bias` is added to the logits
    head_size: int | None = None  # of attention; None: the width divided by the heads
    attention_scale: float | None = None  # of the scores; None: 1 / sqrt(head size)
    biases: bool = True  # linear maps have them
    norm: Norm = "layer"  # `rms` has no bias
    gated: bool = False  # feed-forward blocks multiply the activation of one linear map with another one
    output_scale: float = 1.0  # what the decoder's output is multiplied by, for the LM head
    front_end: FrontEnd | None = None  # the encoder reads log-mel frames; None: it reads embeddings
    decoder_positions: Learned | None = None  # None: `positions`, as in the encoder
    key_bias: bool = True  # projections to keys have a bias, where linear maps have any

    def size_of_head(self, stack: Stack) -> int:
        """k: the size of each head of the stack's attention."""
        return self.head_size or self.d_model // stack.heads


# ---- for running ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Origin:
    """What a quartet was made from, and what is known of that very model."""

    name: str  # hub id, `demo`, or the folder's name
    revision: str | None = None  # commit on the hub
    license: str | None = None
    safe_length: int | None = None  # as measured; None: what holds for its family


NOT_HASHED = "0" * 64


@dataclass(frozen=True)
class FileEntry:
    """One file of a quartet folder: its size in bytes and its SHA-256 in hexadecimal."""

    bytes: int
    sha256: str


def file_entry(path: Path) -> FileEntry:
    """Size and SHA-256 of a file."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
    return FileEntry(path.stat().st_size, digest.hexdigest())


def file_in(folder: Path, name: str) -> Path:
    """A file that a manifest names. Raises `ManifestError` where it is missing, no regular file, or in another folder.

    Links may lead to files of the folder, and of the hub's cache from `snapshots/COMMIT` to the `blobs` beside it.
    """
    path, home = folder / name, folder.resolve()
    if not path.exists():
        raise ManifestError(f"{folder} is not complete: {name} is missing; convert the model again")
    if not path.is_file():
        raise ManifestError(f"{path} is no regular file; convert the model again")
    if path.is_symlink():
        leads_to = path.resolve().parent
        blobs = home.parent.parent / "blobs" if home.parent.name == "snapshots" else home
        if leads_to not in (home, blobs):
            raise ManifestError(f"{path} is a link to {leads_to}, out of its folder; convert the model again")
    return path


def unhashed(path: Path) -> FileEntry:
    """The size alone of a file that still changes; it is hashed once, when its quartet is finished."""
    return FileEntry(path.stat().st_size, NOT_HASHED)


@dataclass(frozen=True)
class StoredMatrix:
    """Where rows of a matrix lie: bytes from the beginning of `file` to row 0 of each of its parts.

    In float32 there are only `codes`, the matrix itself. Otherwise a row is made of blocks of `block_size` columns,
    each with a float32 scale, as `MatMulNBits` wants them; `residual` is the fine one of two nibble planes.
    """

    file: str
    rows: int
    columns: int
    bits: int  # 32, 8, or 4 (of one plane where there are two)
    codes: int
    block_size: int | None = None
    scales: int | None = None
    zero_points: int | None = None  # None: 8 or 128 everywhere
    residual: int | None = None
    bias: int | None = None  # of the head: a float32 per row
    column_scales: int | None = None  # a float32 per column, which the rows are to be multiplied by


@dataclass(frozen=True)
class Shapes:
    """Static dimensions of the graphs."""

    d_model: int
    vocab_size: int
    encoder_layers: int
    decoder_layers: int
    decoder_heads: int
    head_size: int
    max_source_length: int  # the window: most source tokens, special ones included
    max_target_length: int  # most target tokens, prefix included
    source_vocab_size: int | None = None  # rows of the encoder's own embedding; None: it shares the decoder's
    embed_scale: float = 1.0  # what rows of the embedding are multiplied by


@dataclass(frozen=True)
class Tokens:
    """Ids of the special tokens."""

    eos: int
    pad: int
    decoder_start: int
    unk: int | None = None
    space: int | None = None  # of a space alone, where the tokeniser puts one before the language's token


# When beams stop: True, where as many are finished as there are beams; False, where by their scores so far no other can
# get better than these; `never`, where at no length any other can.
EarlyStopping = bool | Literal["never"]


@dataclass(frozen=True)
class Generation:
    """What the checkpoint's `generation_config.json` asks of the search."""

    max_length: int  # of the whole decoder sequence, prefix included; what `max_new_tokens` asks for is in it
    forced_bos: int | None = None  # first token after the decoder start, where it does not depend on the language
    forced_eos: int | None = None  # token forced at `max_length`
    bad_words_ids: tuple[tuple[int, ...], ...] = ()
    suppress_tokens: tuple[int, ...] = ()
    begin_suppress_tokens: tuple[int, ...] = ()
    renormalize_logits: bool = False
    no_repeat_ngram_size: int = 0
    repetition_penalty: float = 1.0
    length_penalty: float = 1.0
    early_stopping: EarlyStopping = False
    min_length: int = 0  # of the whole decoder sequence, prefix included: before, there is no end
    max_new_tokens: int | None = (
        None  # after all that the decoder is fed first; only speech has not got it in `max_length`
    )


@dataclass(frozen=True)
class AddedWord:
    """A word with an id of its own: it is taken out of a text before the rest becomes pieces."""

    text: str
    id: int
    special: bool = False  # left out of text that comes out
    normalized: bool = False  # looked for in the text as the SentencePiece model normalises it; else as it was typed
    single_word: bool = False  # only where no letter or digit touches it
    space_before: bool = False  # white space before it becomes a piece of its own; else nothing


@dataclass(frozen=True)
class TokenizerSpec:
    """How text becomes ids and back. File names are relative to the quartet's folder.

    kind `sentencepiece`: one SentencePiece model whose piece ids are shifted by `offset`.
    kind `sentencepiece-vocab`: SentencePiece pieces looked up in `vocab`; `target_model` is the model for the
    target side where it has its own; `target_vocab` likewise.
    kind `tokenizers`: a `tokenizer.json`, where there is no SentencePiece model.
    """

    kind: Literal["sentencepiece", "sentencepiece-vocab", "tokenizers"]
    source_model: str
    unk_id: int  # id of text that the vocabulary does not hold
    target_model: str | None = None
    vocab: str | None = None
    target_vocab: str | None = None
    offset: int = 0
    # Control tokens, text -> id: never made from text, left out of text. Language tokens inside the vocabulary are
    # among them; those that come after it need not be.
    special_tokens: dict[str, int] = field(default_factory=dict)
    clean_up_spaces: bool = False  # the checkpoint asks for no space before English punctuation (" ." -> ".")
    added_words: tuple[AddedWord, ...] = ()
    words_apart: bool = False  # in text that comes out, spaces surround added words; else only those that have pieces


@dataclass(frozen=True)
class Language:
    """A language of the model: its code in the model's own spelling, and the id of its token where it has one."""

    code: str
    token_id: int | None = None
    source: bool = True  # can be translated from
    target: bool = True  # can be translated to


@dataclass(frozen=True)
class Speech:
    """What a speech model hears, and the tokens that steer it. Times are seconds, tokens are ids."""

    mel_bins: int
    sampling_rate: int
    fft_size: int  # samples of a frame
    hop_length: int  # samples from frame to frame
    window_frames: int  # log-mel frames that the encoder was trained with, two for each of its positions
    timestamp_seconds: float  # from one timestamp token to the next
    timestamp_begin: int  # the token of 0 s; each further one is a step later, up to the length of a window
    no_timestamps: int
    no_speech: int  # what is likely after the decoder start where nobody speaks
    previous: int  # comes before text of the window before
    transcribe: int | None  # tasks; None: the model knows only one, and has no languages
    translate: int | None
    multilingual: bool
    max_initial_timestamp: float | None  # that the checkpoint asks for
    alignment_heads: tuple[tuple[int, int], ...]  # (decoder layer, head); their order is that of the alignment's output

    @property
    def timestamps(self) -> range:
        """The tokens of times, from 0 s to the length of a window. What comes after them are words that were added."""
        seconds = self.window_frames * self.hop_length / self.sampling_rate
        return range(self.timestamp_begin, self.timestamp_begin + round(seconds / self.timestamp_seconds) + 1)


@dataclass(frozen=True)
class Pruning:
    """How the vocabulary was cut down to some languages. All ids of the manifest and of the files are the new ones."""

    texts: tuple[str, ...]  # SHA-256 of the text files whose pieces were kept; none: all pieces of the right scripts
    vocab_size: int  # rows of the checkpoint
    source_vocab_size: int | None = None  # likewise, of the encoder's own embedding


@dataclass(frozen=True)
class Difference:
    """How far an output is from what it is in float32, over all tokens and channels."""

    file: str
    output: str
    layer: int | None  # the output of this layer, or of the whole file
    largest: float
    mean: float  # of the magnitudes of the differences
    magnitude: float  # mean magnitude of the output in float32

    @property
    def relative(self) -> float:
        """Mean difference in units of the mean magnitude."""
        return self.mean / self.magnitude if self.magnitude else 0.0


@dataclass(frozen=True)
class Report:
    """Differences to float32, each file given what it would get in float32."""

    inputs: Literal["text", "random ids"]  # random where the checkpoint has no tokeniser
    sentences: int
    outputs: tuple[Difference, ...]  # of the four files
    layers: tuple[Difference, ...]  # of encoder, cache initializer and decoder


@dataclass(frozen=True)
class MatrixBits:
    """How a matrix of the layers is stored."""

    weight: str  # its name in the graph, without what follows the last dot there
    bits: int
    block_size: int


@dataclass(frozen=True)
class Choice:
    """Where conversion put bits by itself, and what it is worth: divergence from float32 in nats per token.

    Both are of sentences that chose nothing.
    """

    tokens: int
    divergence_of_recipe: float
    divergence_of_choice: float
    matrices: tuple[MatrixBits, ...]  # none: the recipe stayed, the choice being no better


@dataclass(frozen=True)
class Manifest:
    """`quartet.json`: everything the runtime knows about a model. The runtime has no `if family == ...`.

    `source_prompt` and `target_prompt` are patterns over the words `source`, `target` (the languages' tokens),
    `text`, `eos`, `decoder_start`, `space` and `task`: NLLB has `("source", "text", "eos")` and
    `("decoder_start", "target")`, MADLAD-400 `("space", "target", "text", "eos")` and `("decoder_start",)`, Whisper
    `()` and `("decoder_start", "source", "task")`.
    """

    family: str
    name: str  # what the model was made from: hub id, alias or folder name
    revision: str | None
    license: str | None
    precision: str  # name of the recipe
    layout: Literal["quartet", "rtranslator"]
    shapes: Shapes
    tokens: Tokens
    generation: Generation
    source_prompt: tuple[str, ...]
    target_prompt: tuple[str, ...]
    safe_length: int  # source tokens up to which the model translates without dropping sentences
    languages: tuple[Language, ...]
    tokenizer: TokenizerSpec | None  # None: the checkpoint had no tokeniser files, the model runs on ids
    files: dict[str, FileEntry]
    embedding: StoredMatrix | None = None  # rows for tokens; None: written before format 1.1
    lm_head: StoredMatrix | None = None  # rows for logits: the same ones where they are tied
    format_version: str = FORMAT_VERSION
    pruning: Pruning | None = None  # None: the vocabulary is the checkpoint's
    report: Report | None = None  # None: no differences to float32 were measured
    method: str | None = None  # of quantisation: rtn, mse or gptq; None: float32, or not known
    speech: Speech | None = None  # what the encoder hears; None: it reads text
    stand_ins: tuple[str, ...] | None = None  # that the model copies, the best first (`text.stand_ins`); None: untried
    choice: Choice | None = None  # None: bits are where the recipe puts them

    def save(self, folder: Path) -> None:
        """Write `quartet.json` into the folder; raises `ManifestError` for what `load` would refuse."""
        path, data = folder / MANIFEST_NAME, dataclasses.asdict(self)
        # as it will be read: tuples are lists
        data = json.loads(json.dumps(data | {"digest": NOT_HASHED}))
        data["digest"] = _digest(data)
        _checked(path, data)
        path.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")

    @staticmethod
    def load(folder: Path, verify: bool = False) -> "Manifest":
        """Read `quartet.json`, checked against its schema and for what is said in two places.

        verify: it has to have its digest, as manifests have from format 2.2 on; one that is there is always checked.
        Raises `ManifestError` where it is missing, damaged or of a newer major version.
        """
        path = folder / MANIFEST_NAME
        try:
            return _loaded(path, verify)
        except RecursionError:
            raise ManifestError(f"{path} is damaged: it is nested too deeply") from None


# ---- reading ----------------------------------------------------------------------------------------------------


def _loaded(path: Path, verify: bool) -> Manifest:
    data = _read(path)
    _check_version(path, data)
    manifest = _checked(path, data)
    wants_digest = verify and _version(data) >= DIGEST_SINCE
    if ("digest" in data or wants_digest) and data.get("digest") != _digest(data):
        raise ManifestError(
            f"{path} was changed: its digest is that of other content; convert the model again, "
            "or take the digest out if the change was meant"
        )
    return manifest


def _read(path: Path) -> dict[str, Any]:
    """The JSON object in a file of a bounded size."""
    try:
        if not path.exists():
            raise ManifestError(f"{path.parent} is not a quartet: it has no {MANIFEST_NAME}")
        file_in(path.parent, path.name)
        with path.open("rb") as file:
            text = file.read(LARGEST_MANIFEST + 1)
        if len(text) > LARGEST_MANIFEST:
            raise ManifestError(f"{path} has more than {LARGEST_MANIFEST} bytes, which no manifest has")
        data = json.loads(text.decode("utf-8"), parse_constant=_refuse_constant)
    except ManifestError:
        raise
    except (ValueError, OSError) as error:
        raise ManifestError(f"{path} is damaged: {error}") from None
    if not isinstance(data, dict):
        raise ManifestError(f"{path} is damaged: it is {shown(data)}; expected an object")
    return data


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number in JSON")


def _version(data: dict[str, Any]) -> tuple[int, int]:
    major, _, minor = data["format_version"].partition(".")
    return int(major), int(minor)


def _check_version(path: Path, data: dict[str, Any]) -> None:
    """Before all else: a newer manifest may look otherwise."""
    version = data.get("format_version")
    if not (isinstance(version, str) and re.fullmatch("[0-9]{1,9}[.][0-9]{1,9}", version)):
        found = shown(version) if "format_version" in data else "missing"
        raise ManifestError(f'{path}: field format_version is {found}; expected text such as "{FORMAT_VERSION}"')
    if _version(data)[0] > int(FORMAT_VERSION.partition(".")[0]):
        raise ManifestError(
            f"{path} has format version {version}; this quartet reads {FORMAT_VERSION}. Upgrade quartet to use it."
        )


def _checked(path: Path, data: dict[str, Any]) -> Manifest:
    fault = first_fault(data, _schema())
    manifest = _manifest(data) if fault is None else None
    fault = contradiction(manifest) if manifest else fault
    if manifest is None or fault is not None:
        raise ManifestError(f"{path}: {fault}")
    return manifest


@cache
def _schema() -> Schema:
    found: Schema = json.loads(Path(__file__).with_name("manifest.schema.json").read_text(encoding="utf-8"))
    return found


def _digest(data: dict[str, Any]) -> str:
    """SHA-256 of all properties but the digest, as JSON with sorted names and without white space."""
    rest = {name: value for name, value in data.items() if name != "digest"}
    text = json.dumps(rest, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _known(cls: type, data: dict[str, Any]) -> dict[str, Any]:
    """The entries of `data` that the dataclass has: a newer minor version may add others."""
    names = {f.name for f in dataclasses.fields(cls)}
    return {k: tuple(map(_tuples, v)) if isinstance(v, list) else v for k, v in data.items() if k in names}


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def _manifest(data: dict[str, Any]) -> Manifest:
    parts = _known(Manifest, data)
    parts["shapes"] = Shapes(**_known(Shapes, data["shapes"]))
    parts["tokens"] = Tokens(**_known(Tokens, data["tokens"]))
    parts["generation"] = Generation(**_known(Generation, data["generation"]))
    parts["languages"] = tuple(Language(**_known(Language, entry)) for entry in data["languages"])
    parts["tokenizer"] = data["tokenizer"] and _tokenizer(data["tokenizer"])
    for name in ("embedding", "lm_head"):
        parts[name] = data.get(name) and StoredMatrix(**_known(StoredMatrix, data[name]))
    pruning = data.get("pruning")
    parts["pruning"] = pruning and Pruning(**_known(Pruning, pruning))
    parts["report"] = data.get("report") and _report(data["report"])
    parts["choice"] = data.get("choice") and _choice(data["choice"])
    parts["speech"] = data.get("speech") and Speech(**_known(Speech, data["speech"]))
    parts["files"] = {name: FileEntry(**_known(FileEntry, entry)) for name, entry in data["files"].items()}
    return Manifest(**parts)


def _tokenizer(data: dict[str, Any]) -> TokenizerSpec:
    words = tuple(AddedWord(**_known(AddedWord, word)) for word in data.get("added_words", ()))
    return TokenizerSpec(**(_known(TokenizerSpec, data) | {"added_words": words}))


def _report(data: dict[str, Any]) -> Report:
    parts = _known(Report, data)
    for name in ("outputs", "layers"):
        parts[name] = tuple(Difference(**_known(Difference, entry)) for entry in data[name])
    return Report(**parts)


def _choice(data: dict[str, Any]) -> Choice:
    matrices = tuple(MatrixBits(**_known(MatrixBits, entry)) for entry in data["matrices"])
    return Choice(**(_known(Choice, data) | {"matrices": matrices}))


# ---- what is said in two places ---------------------------------------------------------------------------------


def contradiction(manifest: Manifest) -> str | None:
    """The first field that another one of a manifest contradicts, in one line; None where none does."""
    for faults in (_of_ids, _of_prompts, _of_languages, _of_tokenizer, _of_matrices, _of_speech):
        if (fault := next(faults(manifest), None)) is not None:
            return fault
    return None


def _not(place: str, value: object, expected: str) -> str:
    return f"field {place} is {shown(value)}; expected {expected}"


def _of_ids(manifest: Manifest) -> Iterator[str]:
    shapes, tokens, generation = manifest.shapes, manifest.tokens, manifest.generation
    rows = shapes.vocab_size
    ids: list[tuple[str, int | None]] = [
        (f"tokens.{name}", getattr(tokens, name)) for name in ("pad", "decoder_start", "unk", "space", "eos")
    ]
    ids += [(f"generation.{name}", getattr(generation, name)) for name in ("forced_bos", "forced_eos")]
    for name in ("suppress_tokens", "begin_suppress_tokens"):
        ids += [(f"generation.{name}[{i}]", token) for i, token in enumerate(getattr(generation, name))]
    for i, word in enumerate(generation.bad_words_ids):
        ids += [(f"generation.bad_words_ids[{i}][{j}]", token) for j, token in enumerate(word)]
        if not word:
            yield _not(f"generation.bad_words_ids[{i}]", list(word), "at least one id")
    yield from _outside(ids, rows)
    if shapes.source_vocab_size is not None:
        yield from _outside([("tokens.eos", tokens.eos)], shapes.source_vocab_size)


def _outside(ids: Iterable[tuple[str, int | None]], rows: int) -> Iterator[str]:
    for place, token in ids:
        if token is not None and token >= rows:
            yield _not(place, token, f"an id below {rows}, the rows of the vocabulary")


def _of_prompts(manifest: Manifest) -> Iterator[str]:
    shapes = manifest.shapes
    reads_text = manifest.speech is None
    texts = manifest.source_prompt.count("text")
    if texts != reads_text:
        yield f"field source_prompt names `text` {texts} times; expected it {'once' if reads_text else 'nowhere'}"
    if "text" in manifest.target_prompt or not manifest.target_prompt:
        yield _not("target_prompt", list(manifest.target_prompt), "one or more words, none of them `text`")
    if reads_text and "task" in (*manifest.source_prompt, *manifest.target_prompt):
        yield "field target_prompt names `task`; expected it in models of speech only"
    if "decoder_start" in manifest.source_prompt:
        yield "field source_prompt names `decoder_start`; expected it in target_prompt only"
    if len(manifest.source_prompt) > shapes.max_source_length:
        yield _not("shapes.max_source_length", shapes.max_source_length, "more than source_prompt has")
    if len(manifest.target_prompt) >= manifest.generation.max_length:
        yield _not("generation.max_length", manifest.generation.max_length, "more than target_prompt has")


def _of_languages(manifest: Manifest) -> Iterator[str]:
    shapes = manifest.shapes
    known: set[str] = set()
    for i, language in enumerate(manifest.languages):
        place = f"languages[{i}]"
        if not language.code or language.code in known:
            yield _not(f"{place}.code", language.code, "a code that no other language has")
        known.add(language.code)
        if language.source and "source" in manifest.source_prompt:
            yield from _outside(
                [(f"{place}.token_id", language.token_id)], shapes.source_vocab_size or shapes.vocab_size
            )
        if language.target and "target" in manifest.source_prompt:
            yield from _outside(
                [(f"{place}.token_id", language.token_id)], shapes.source_vocab_size or shapes.vocab_size
            )
        if {"source", "target"} & set(manifest.target_prompt):
            yield from _outside([(f"{place}.token_id", language.token_id)], shapes.vocab_size)


def _of_tokenizer(manifest: Manifest) -> Iterator[str]:
    spec = manifest.tokenizer
    if spec is None:
        return
    for name in ("source_model", "target_model", "vocab", "target_vocab"):
        file = getattr(spec, name)
        if file is not None and file not in manifest.files:
            yield _not(f"tokenizer.{name}", file, "a file that is among `files`")
    if spec.kind == "sentencepiece-vocab" and spec.vocab is None:
        yield _not("tokenizer.vocab", None, "a file, as tokenizer.kind is sentencepiece-vocab")
    yield from _outside(
        [("tokenizer.unk_id", spec.unk_id)], manifest.shapes.source_vocab_size or manifest.shapes.vocab_size
    )


def _of_matrices(manifest: Manifest) -> Iterator[str]:
    shapes = manifest.shapes
    for name in ("embedding", "lm_head"):
        matrix: StoredMatrix | None = getattr(manifest, name)
        if matrix is None:
            continue
        for part, expected in (("rows", shapes.vocab_size), ("columns", shapes.d_model)):
            if getattr(matrix, part) != expected:
                yield _not(f"{name}.{part}", getattr(matrix, part), f"{expected}, as shapes say")
        if matrix.file not in manifest.files:
            yield _not(f"{name}.file", matrix.file, "a file that is among `files`")
            continue
        yield from _of_bits(name, matrix)
        size = manifest.files[matrix.file].bytes
        for part, length in _lengths(matrix).items():
            start = getattr(matrix, part)
            if start is not None and start + length > size:
                yield _not(f"{name}.{part}", start, f"{size - length} or less: it has {length} of {size} bytes")


def _of_bits(name: str, matrix: StoredMatrix) -> Iterator[str]:
    """A matrix is float32 alone, or codes in blocks with scales."""
    in_blocks = matrix.bits != 32
    for part in ("block_size", "scales"):
        if in_blocks and getattr(matrix, part) is None:
            yield _not(f"{name}.{part}", None, f"a number, as {name}.bits is {matrix.bits}")
    for part in ("block_size", "scales", "zero_points", "residual", "column_scales"):
        if not in_blocks and getattr(matrix, part) is not None:
            yield _not(f"{name}.{part}", getattr(matrix, part), f"null, as {name}.bits is 32")
    if matrix.residual is not None and matrix.bits != 4:
        yield _not(f"{name}.residual", matrix.residual, f"null, as {name}.bits is not 4")


def _lengths(matrix: StoredMatrix) -> dict[str, int]:
    """Bytes of each part of a stored matrix."""
    rows, columns = matrix.rows, matrix.columns
    vectors = {"bias": 4 * rows, "column_scales": 4 * columns}
    if matrix.block_size is None:
        return {"codes": 4 * rows * columns} | vectors
    blocks = -(-columns // matrix.block_size)
    codes = rows * blocks * matrix.block_size * matrix.bits // 8
    zero_points = rows * -(-blocks * matrix.bits // 8)
    return {"codes": codes, "residual": codes, "scales": 4 * rows * blocks, "zero_points": zero_points} | vectors


def _of_speech(manifest: Manifest) -> Iterator[str]:
    speech, shapes = manifest.speech, manifest.shapes
    if speech is None:
        return
    names = ("no_timestamps", "no_speech", "previous", "transcribe", "translate")
    yield from _outside([(f"speech.{name}", getattr(speech, name)) for name in names], shapes.vocab_size)
    named = manifest.tokenizer.special_tokens if manifest.tokenizer else {}
    for name, text in (("no_timestamps", "<|notimestamps|>"), ("transcribe", "<|transcribe|>")):
        token, expected = getattr(speech, name), named.get(text)
        if None not in (token, expected) and token != expected:
            yield _not(f"speech.{name}", token, f"{expected}, the id of {text} in the tokeniser")
    if speech.timestamp_begin > shapes.vocab_size:  # a vocabulary without timestamps ends where they would begin
        yield _not("speech.timestamp_begin", speech.timestamp_begin, f"{shapes.vocab_size} or less")
    for i, (layer, head) in enumerate(speech.alignment_heads):
        if layer >= shapes.decoder_layers or head >= shapes.decoder_heads:
            most = f"a layer below {shapes.decoder_layers} and a head below {shapes.decoder_heads}"
            yield f"field speech.alignment_heads[{i}] is layer {layer}, head {head}; expected {most}"
    if speech.multilingual and not manifest.languages:
        yield "field speech.multilingual is true; expected languages to be named then"
    if speech.hop_length > speech.fft_size:
        yield _not("speech.hop_length", speech.hop_length, f"{speech.fft_size} or less, the samples of a frame")
