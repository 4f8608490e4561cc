"""An inspection as a page for people: 80 columns wide, readable with and without colours."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.text import Text

from quartet.inspection.account import Cache, Step, cache_of, step_of
from quartet.inspection.folder import Graph, Inspection, Variable
from quartet.inspection.runtime import Release
from quartet.inspection.weights import Repeat
from quartet.spec import Language, Manifest

LARGEST = 3  # repeats shown one by one
FEW = 4  # languages shown one by one
SOURCE_TOKENS, TOKENS = 20, 10  # of the step that is told as an example: of the source, and fed before it

# Letters for long names of dimensions, and what they stand for.
DIMENSIONS = {
    "b": "batch",
    "batch_size": "batch",
    "s": "source tokens",
    "encoder_sequence_length": "source tokens",
    "n": "tokens looked up",
    "t": "tokens fed in this step",
    "decoder_sequence_length": "tokens fed in this step",
    "p": "tokens fed before this step",
    "past_decoder_sequence_length": "tokens fed before this step",
}
_LETTERS = {meaning: name for name, meaning in DIMENSIONS.items() if len(name) == 1}


@dataclass(frozen=True)
class _Hanging:
    """Text behind a label, its further lines indented as far; no spaces at the ends of lines, unlike rich's tables."""

    label: Text
    text: Text

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        lead = self.label
        for line in self.text.wrap(console, max(20, options.max_width - len(lead))):
            line.rstrip()
            yield Text.assemble(lead, line)
            lead = Text(" " * len(lead))


def _indented(columns: int, text: str, style: str = "") -> _Hanging:
    return _Hanging(Text(" " * columns), Text(text, style))


def render(inspection: Inspection) -> RenderableType:
    """The page: the model, its files one by one, a step, what is stored twice, what the letters in shapes mean."""
    facts = list(_facts(inspection))
    width = max(len(label) for label, _ in facts)
    parts: list[RenderableType] = [_Hanging(Text(f"{label:<{width}}  ", "dim"), Text(text)) for label, text in facts]
    for graph in inspection.graphs:
        parts += ["", *_graph(graph)]
    step, cache = step_of(inspection), cache_of(inspection)
    if step and cache:
        parts += ["", *_step(step, cache)]
    if inspection.repeats:
        parts += ["", *_repeats(inspection)]
    legend = _legend(inspection)
    return Group(*parts, *(["", legend] if legend else []))


# ---- the model --------------------------------------------------------------------------------------------------


def _facts(inspection: Inspection) -> Iterator[tuple[str, str]]:
    manifest = inspection.manifest
    yield "folder", inspection.folder
    if manifest:
        yield from _model_facts(manifest)
    else:
        layouts = {"optimum": "an export by Optimum", "quartet": "a quartet without its quartet.json"}
        yield "what", layouts.get(inspection.layout, "ONNX files that quartet does not know")
    yield "weights", _weight_fact(inspection)
    if inspection.weight_bytes:
        yield "of these", _part_fact(inspection)
    if cache := cache_of(inspection):
        yield "cache", _cache_fact(cache)
    yield "runs on", _runtime_fact(inspection)


def _model_facts(manifest: Manifest) -> Iterator[tuple[str, str]]:
    revision = f" at revision {manifest.revision}" if manifest.revision else ""
    yield "model", f"{manifest.name}{revision}"
    yield "licence", manifest.license or "not named by the source"
    layout = f"{manifest.layout} layout, format {manifest.format_version}"
    yield "family", f"{manifest.family}, {manifest.precision}, {layout}"
    yield "languages", _languages(manifest.languages)
    yield "tokens", _special_tokens(manifest)
    if manifest.speech is None:
        yield "encoder's ids", _prompt(manifest.source_prompt, manifest)
    yield "decoder's ids", _prompt(manifest.target_prompt, manifest) + ", then each token as it is generated"
    shapes = manifest.shapes
    heard = f"{shapes.max_source_length} tokens in"
    if (speech := manifest.speech) is not None:
        seconds = speech.window_frames * speech.hop_length / speech.sampling_rate
        heard = f"{seconds:g} s of audio in, {speech.window_frames} frames of {speech.mel_bins} mel bins"
    yield "window", f"{heard}, {shapes.max_target_length} tokens out"


def _languages(languages: tuple[Language, ...]) -> str:
    if not languages:
        return "none named"
    sources, targets = [x.code for x in languages if x.source], [x.code for x in languages if x.target]
    if sources == targets:
        return _listed(sources)
    return f"{_listed(sources)} to {_listed(targets)}"


def _listed(codes: list[str]) -> str:
    return ", ".join(codes) if len(codes) <= FEW else f"{len(codes)} ({', '.join(codes[:FEW])} ...)"


def _special_tokens(manifest: Manifest) -> str:
    tokens = manifest.tokens
    named = {"decoder start": tokens.decoder_start, "end": tokens.eos, "padding": tokens.pad, "unknown": tokens.unk}
    return ", ".join(f"{name} {token}" for name, token in named.items() if token is not None)


def _prompt(pattern: tuple[str, ...], manifest: Manifest) -> str:
    words = {
        "source": "source language's token" if manifest.speech is None else "spoken language's token",
        "task": "task's token",
        "target": "target language's token",
        "text": "text",
        "eos": f"end {manifest.tokens.eos}",
        "decoder_start": f"decoder start {manifest.tokens.decoder_start}",
        "space": f"space {manifest.tokens.space}",
    }
    return " + ".join(words.get(word, word) for word in pattern)


def _weight_fact(inspection: Inspection) -> str:
    files = len(inspection.graphs)
    total = f"{megabytes(inspection.weight_bytes)} in {files} {'file' if files == 1 else 'files'}"
    if not inspection.wasted_bytes:
        return f"{total}, every one stored once"
    return f"{total}, {megabytes(inspection.wasted_bytes)} of them stored already"


def _part_fact(inspection: Inspection) -> str:
    total = inspection.weight_bytes
    return ", ".join(f"{part} {megabytes(n)} ({100 * n / total:.0f} %)" for part, n in inspection.parts.items())


def _cache_fact(cache: Cache) -> str:
    per_token, per_source = megabytes(cache.per_token), megabytes(cache.per_source_token)
    return f"{per_token} for each token fed, {per_source} for each source token, per row"


def _runtime_fact(inspection: Inspection) -> str:
    oldest = runtime_of(inspection)
    if oldest is None:
        return "ONNX Runtime; from which release on was not measured for these operators"
    padded = max((graph.pads_from for graph in inspection.graphs if graph.pads_from), default=oldest)
    batches = f", batches with padding from {release(padded)} on" if padded > oldest else ""
    return f"ONNX Runtime {release(oldest)} and newer (onnxruntime-android too){batches}"


def runtime_of(inspection: Inspection) -> Release | None:
    """The oldest release that runs all files; None where one of them is not known."""
    found = [graph.oldest_runtime for graph in inspection.graphs]
    known = [oldest for oldest in found if oldest is not None]
    return max(known) if known and len(known) == len(found) else None


def release(number: Release | None) -> str:
    """`1.22`."""
    return ".".join(map(str, number)) if number else "not known"


def megabytes(count: int) -> str:
    """A number of bytes as people write it, in units of 1000."""
    size, unit = float(count), "bytes"
    for larger in ("kB", "MB", "GB"):
        if size < 1000:
            break
        size, unit = size / 1000, larger
    return f"{size:.0f} {unit}" if unit == "bytes" or size >= 100 else f"{size:.1f} {unit}"


# ---- the files --------------------------------------------------------------------------------------------------


def _graph(graph: Graph) -> Iterator[RenderableType]:
    yield Text(graph.file, style="bold cyan")
    if graph.role:
        yield _indented(2, graph.role[0].upper() + graph.role[1:] + ".")
    yield _indented(2, _size(graph), "dim")
    width = max((len(variable.name) for variable in (*graph.inputs, *graph.outputs)), default=0)
    yield from _variables("in", graph.inputs, width)
    yield from _variables("out", graph.outputs, width)


def _size(graph: Graph) -> str:
    counts = f"{graph.nodes} nodes, opset {graph.opset}, IR {graph.ir_version}"
    if not graph.weight_bytes:
        return f"no weights; {counts}"
    where = ", ".join(graph.data_files) or "the file itself"
    return f"{megabytes(graph.weight_bytes)} of weights in {where} ({_precision(graph)}); {counts}"


def _precision(graph: Graph) -> str:
    """`float32`, or `90.1 MB int4 in blocks of 32, 3.2 MB float32`; less than two percent are not mentioned."""
    shares = {name: count for name, count in graph.precision.items() if count * 50 >= graph.weight_bytes}
    return next(iter(shares)) if len(shares) == 1 else ", ".join(f"{megabytes(n)} {k}" for k, n in shares.items())


def _variables(label: str, variables: tuple[Variable, ...], name_width: int) -> Iterator[RenderableType]:
    """A line for each, and below those that mean the same (keys and values) what that is."""
    for meaning, group in groupby(variables, key=lambda variable: variable.meaning):
        for variable in group:
            name, shape = f"{variable.name:<{name_width}}  ", f"{variable.dtype} {_shape(variable)}"
            yield _Hanging(Text(f"  {label:<3} ", "dim"), Text.assemble((name, "bold"), (shape, "green")))
            label = ""
        yield _indented(10, meaning)


def _shape(variable: Variable) -> str:
    return "[" + ", ".join(_short(dim) for dim in variable.shape) + "]"


def _short(dim: int | str) -> str:
    """A dimension with letters in place of the long names that are known."""
    return re.sub(r"[A-Za-z_]\w*", lambda word: _LETTERS.get(DIMENSIONS.get(word[0], ""), word[0]), str(dim))


def _legend(inspection: Inspection) -> RenderableType | None:
    dims = {
        dim
        for graph in inspection.graphs
        for variable in (*graph.inputs, *graph.outputs)
        for dim in variable.shape
        if isinstance(dim, str)
    }
    words = {word for dim in dims for word in re.findall(r"[A-Za-z_]\w*", dim)}
    used = {DIMENSIONS[word]: word for word in sorted(words) if word in DIMENSIONS}
    entries = [f"{letter} {meaning}" for meaning, letter in _LETTERS.items() if meaning in used]
    return _Hanging(Text("In shapes: ", "dim"), Text(", ".join(entries), "dim")) if entries else None


# ---- a step -----------------------------------------------------------------------------------------------------


def _step(step: Step, cache: Cache) -> Iterator[RenderableType]:
    """What happens from one token to the next, told with the model's own sizes."""
    yield Text("One step", style="bold cyan")
    yield _indented(2, f"The decoder's step after {TOKENS} tokens, of a source of {SOURCE_TOKENS} tokens, one row.")
    for number, line in enumerate(_step_lines(step, cache), 1):
        yield _Hanging(Text(f"  {number} ", "dim"), Text(line))


def _step_lines(step: Step, cache: Cache) -> Iterator[str]:
    vocabulary, fed = f"{step.vocabulary:,}", TOKENS + 1
    yield f"The token fed is looked up: one row of {vocabulary} in the embedding, {step.width} numbers."
    yield (
        f"{_layers(step.layers)} of {step.decoder.file} work on it, {megabytes(step.decoder.weight_bytes)} of weights. "
        f"In each, {step.heads} heads of {step.head_size} numbers compare it with the keys of all {fed} tokens fed, "
        f"the new one's appended, and mix their values; they do the same with the {SOURCE_TOKENS} keys and values of "
        "the source; then comes the feed-forward block."
    )
    yield (
        f"The cache grows by {step.layers} x 2 x {step.heads} x {step.head_size} numbers, "
        f"{megabytes(cache.per_token)}, to {megabytes(cache.after(fed, SOURCE_TOKENS))} with the source's; after 100 "
        f"tokens it takes {megabytes(cache.after(100, SOURCE_TOKENS))}."
    )
    yield (
        f"The LM head in {step.head.file} multiplies the vector of {step.width} with {vocabulary} rows: a score for "
        "each token. The best one is fed next, until it is the end token."
    )


def _layers(count: int) -> str:
    return "The one layer" if count == 1 else f"The {count} layers"


# ---- stored twice -----------------------------------------------------------------------------------------------


def _repeats(inspection: Inspection) -> Iterator[RenderableType]:
    wasted, total = megabytes(inspection.wasted_bytes), megabytes(inspection.weight_bytes)
    yield Text(f"Stored more than once: {wasted} of {total}", style="bold yellow")
    counts: Counter[tuple[str, ...]] = Counter()
    sizes: Counter[tuple[str, ...]] = Counter()
    for repeat in inspection.repeats:
        files = tuple(copy.file for copy in repeat.copies)
        counts[files] += 1
        sizes[files] += repeat.bytes
    for files, size in sizes.most_common():
        tensors = f"{counts[files]} {'tensor' if counts[files] == 1 else 'tensors'}"
        yield _indented(2, f"{tensors}, {megabytes(size)} each time, in {_joined(files)}")
    yield _indented(2, "The largest:")
    for repeat in inspection.repeats[:LARGEST]:
        yield from _repeat(repeat)


def _joined(files: tuple[str, ...]) -> str:
    """`a.onnx (twice), b.onnx and c.onnx`."""
    times = {1: "", 2: " (twice)"}
    named = [f"{file}{times.get(n, f' ({n} times)')}" for file, n in Counter(files).items()]
    return named[0] if len(named) == 1 else ", ".join(named[:-1]) + " and " + named[-1]


def _repeat(repeat: Repeat) -> Iterator[RenderableType]:
    first = repeat.copies[0]
    yield _indented(4, f"{megabytes(repeat.bytes)}, {repeat.precision}, {len(repeat.copies)} times", "bold")
    for copy in repeat.copies:
        turned = ", transposed" if copy.shape != first.shape else ""
        yield _indented(6, f"{copy.name} {list(copy.shape)} in {copy.file}{turned}")
