"""Train the demo model: NLLB's architecture in miniature, four languages, from sentence pairs to a checkpoint.

    python training/demo.py prepare  --pairs PAIRS --work WORK [--teacher LINES.tsv]
    python training/demo.py train    --work WORK --out OUT [--steps N] [--minutes M]
    python training/demo.py export   --work WORK --weights OUT --checkpoint DIR
    python training/demo.py evaluate --work WORK [--flores FLORES] --checkpoint DIR

README.md beside this file says what each step needs, and what was done to make the model in the package.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import math
import random
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields
from itertools import permutations
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import sentencepiece

CODES = {"en": "eng_Latn", "fr": "fra_Latn", "es": "spa_Latn", "de": "deu_Latn"}
HELD_OUT = {"test": range(6), "validation": range(6, 9)}  # MD5 of the English sentence modulo 1000
BOS, PAD, EOS, UNK = range(4)  # NLLB's ids; a piece of SentencePiece has its own id plus one
ROWS = 8192  # of the embedding: four special tokens, the pieces, 202 languages, <mask>
T = TypeVar("T", "Size", "Recipe")

# Sentences that mean the same: language -> sentences; `teacher` holds machine-made French of the English one.
Group = dict[str, list[str]]
Example = tuple[str, str, str, str]  # source language, target language, source, target
Row = tuple[list[int], list[int]]  # their ids


# ---- prepare ----------------------------------------------------------------------------------------------------


def prepare(pairs: Path, teacher: Path | None, work: Path) -> None:
    """Write `train`, `validation` and `test.jsonl.gz`, a group of sentences a line, and the SentencePiece model."""
    groups = read_groups(pairs, teacher)
    parts: dict[str, list[Group]] = {"train": [], **{name: [] for name in HELD_OUT}}
    for group in groups:
        digest = int(hashlib.md5(group["en"][0].encode()).hexdigest(), 16) % 1000
        parts[next((name for name, rest in HELD_OUT.items() if digest in rest), "train")].append(group)
    seen = {(lang_of(key), text) for name in HELD_OUT for group in parts[name] for key in group for text in group[key]}
    parts["train"] = [kept for group in parts["train"] if len(kept := without(group, seen)) > 1]
    work.mkdir(parents=True, exist_ok=True)
    for name, part in parts.items():
        with gzip.open(work / f"{name}.jsonl.gz", "wt", encoding="utf-8") as out:
            out.writelines(json.dumps(group, ensure_ascii=False) + "\n" for group in part)
        print(f"{name}: {len(part)} English sentences with {sum(len(t) for g in part for t in g.values())} in all")
    train_pieces(parts["train"], work)


def read_groups(pairs: Path, teacher: Path | None) -> list[Group]:
    """One group per English sentence from `en-XX.tsv.gz`, in order of the sentences."""
    groups: dict[str, Group] = defaultdict(dict)
    for lang in [lang for lang in CODES if lang != "en"]:
        with gzip.open(pairs / f"en-{lang}.tsv.gz", "rt", encoding="utf-8") as lines:
            for line in lines:
                english, other = line.rstrip("\n").split("\t")
                groups[english].setdefault(lang, []).append(other)
    if teacher:
        for line in teacher.read_text(encoding="utf-8").splitlines():
            english, french = line.split("\t")
            if english in groups and french:
                groups[english]["teacher"] = [french]
    return [{"en": [english], **groups[english]} for english in sorted(groups)]


def without(group: Group, seen: set[tuple[str, str]]) -> Group:
    """The group without the sentences that held-out groups have too."""
    kept = {key: [text for text in texts if (lang_of(key), text) not in seen] for key, texts in group.items()}
    return {key: texts for key, texts in kept.items() if texts}


def lang_of(key: str) -> str:
    """The language of a group's list."""
    return "fr" if key == "teacher" else key


def train_pieces(groups: list[Group], work: Path) -> None:
    """SentencePiece BPE, on as many different sentences in each language."""
    texts = {lang: sorted({t for group in groups for t in group.get(lang, ())}) for lang in CODES}
    rng, share = random.Random(0), min(map(len, texts.values()))
    languages = len(language_codes())
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([t for lang in CODES for t in rng.sample(texts[lang], share)]),
        model_prefix=str(work / "sentencepiece.bpe"),
        model_type="bpe",
        vocab_size=ROWS - languages - 2,  # less <pad> and <mask>, which SentencePiece does not have
        character_coverage=0.9999,
        hard_vocab_limit=False,
        bos_id=1,
        eos_id=2,
        unk_id=0,
        pad_id=-1,
        num_threads=4,
        minloglevel=1,
    )


def language_codes() -> list[str]:
    """The 202 codes of FLORES-200 in the order of NLLB's vocabulary."""
    return (Path(__file__).parent / "languages.txt").read_text().split()


# ---- ids --------------------------------------------------------------------------------------------------------


class Pieces:
    """The ids of NLLB's layout: special tokens, pieces (shifted by one), language codes, `<mask>`."""

    def __init__(self, model: Path) -> None:
        self.processor = sentencepiece.SentencePieceProcessor(model_file=str(model))
        self.known: dict[str, list[int]] = {}  # texts come again in every pass
        size = self.processor.vocab_size()
        self.language = {lang: size + 1 + language_codes().index(code) for lang, code in CODES.items()}

    def ids(self, text: str, dropout: float = 0.0) -> list[int]:
        """The pieces of a text; with BPE-dropout (Provilkov et al. 2020) at that rate."""
        if dropout:
            row = self.processor.encode(text, enable_sampling=True, alpha=dropout, nbest_size=-1)
        elif (row := self.known.get(text)) is None:
            row = self.known[text] = self.processor.encode(text)
        return [i + 1 if i else UNK for i in row]

    def row(self, example: Example, dropout: float = 0.0) -> Row:
        """The ids of both sides, those of the source with dropout."""
        source_lang, target_lang, source, target = example
        return (
            [self.language[source_lang], *self.ids(source, dropout), EOS],
            [EOS, self.language[target_lang], *self.ids(target), EOS],
        )


@dataclass(frozen=True)
class Batch:
    """Ids padded at the end: `source` [rows, source length], `target` [rows, target length]: EOS, language, pieces,
    EOS; the decoder reads all but the last and says all but the first."""

    source: np.ndarray
    target: np.ndarray


def batches(rows: Iterable[Row], most_ids: int) -> Iterator[Batch]:
    """Rows of like lengths together, in batches of few shapes: each as many rows as keep it below `most_ids` ids, and
    what is left at the end in smaller ones."""
    waiting: dict[tuple[int, int], list[Row]] = defaultdict(list)
    for source, target in rows:
        shape = rounded(len(source)), rounded(len(target) - 1) + 1  # the decoder reads one id less
        waiting[shape].append((source, target))
        if len(waiting[shape]) >= max(1, most_ids // sum(shape)):
            yield batch_of(waiting.pop(shape), shape)
    for shape, left in waiting.items():
        yield batch_of(left, shape)


def rounded(length: int) -> int:
    """The length of the batches that a row of this length goes to: of 67 shapes, 20 hold 99 % of Tatoeba's pairs."""
    step = 4 if length <= 32 else 8 if length <= 64 else 32
    return -(-length // step) * step


def batch_of(rows: list[Row], shape: tuple[int, int]) -> Batch:
    return Batch(padded([source for source, _ in rows], shape[0]), padded([target for _, target in rows], shape[1]))


def padded(rows: list[list[int]], length: int) -> np.ndarray:
    """[rows, length], int64."""
    out = np.full((len(rows), length), PAD, np.int64)
    for i, row in enumerate(rows):
        out[i, : len(row)] = row
    return out


# ---- examples ---------------------------------------------------------------------------------------------------


def read_part(work: Path, name: str) -> list[Group]:
    with gzip.open(work / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def one_pass(groups: list[Group], rng: random.Random) -> Iterator[Example]:
    """Every group in every direction once, with sentences drawn anew; between two languages other than English
    four times in ten. English to French: twice in three the teacher's translation, which is easier to learn
    (Kim and Rush 2016); a text that people wrote is a source before a machine's."""
    for group in rng.sample(groups, len(groups)):
        langs = sorted({lang_of(key) for key in group})
        for source, target in permutations(langs, 2):
            if "en" not in (source, target) and rng.random() > 0.4:
                continue
            texts = group.get(target)
            if target == "fr" and "teacher" in group and (not texts or rng.random() < 2 / 3):
                texts = group["teacher"]
            yield source, target, rng.choice(group.get(source) or group["teacher"]), rng.choice(texts or [])


def varied(examples: Iterable[Example], rng: random.Random) -> Iterator[Example]:
    """As people type: one in twenty without the full stop, one in thirty in lower case, and one in eight followed by
    another sentence in the same direction."""
    last: dict[tuple[str, str], tuple[str, str]] = {}
    for source_lang, target_lang, source, target in examples:
        draw = rng.random()
        if draw < 0.05 and source[-1] in ".?!" and target[-1] in ".?!" and len(source) > 5:
            yield source_lang, target_lang, source[:-1].rstrip(), target[:-1].rstrip()
        elif draw < 0.08 and source_lang != "de":
            yield source_lang, target_lang, source.lower(), target
        elif draw < 0.205 and (source_lang, target_lang) in last:
            before = last[source_lang, target_lang]
            yield source_lang, target_lang, f"{before[0]} {source}", f"{before[1]} {target}"
        else:
            last[source_lang, target_lang] = source, target
            yield source_lang, target_lang, source, target


def training_rows(groups: list[Group], pieces: Pieces, seed: int, longest: int = 200) -> Iterator[Row]:
    """Rows without end, every second source with BPE-dropout."""
    rng = random.Random(seed)
    while True:
        for example in varied(one_pass(groups, rng), rng):
            row = pieces.row(example, 0.1 if rng.random() < 0.5 else 0.0)
            if max(map(len, row)) <= longest:
                yield row


# ---- train ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Size:
    """Widths and depths of the model; 13.3 million parameters by default."""

    width: int = 320
    heads: int = 5
    feed_forward: int = 1280
    encoder_layers: int = 6
    decoder_layers: int = 2


@dataclass(frozen=True)
class Recipe:
    """How long and how fast it learns. `most_ids`: source and target ids of a batch, with padding."""

    steps: int = 12_000
    minutes: float = math.inf  # the learning rate falls to nothing by the earlier of the two
    most_ids: int = 49_152
    peak_rate: float = 2e-3
    warmup: int = 500
    dropout: float = 0.1
    smoothing: float = 0.1
    average: float = 0.999  # of the running mean of the weights, which is what is kept
    every: int = 500  # steps between two looks at the held-out loss
    seed: int = 0
    workers: int = 0
    replay: bool = False  # record a GPU's work for each shape of batch once, and replay it


def new_model(size: Size, dropout: float, rows: int) -> Any:
    import transformers

    config = transformers.M2M100Config(
        vocab_size=rows,
        d_model=size.width,
        encoder_layers=size.encoder_layers,
        decoder_layers=size.decoder_layers,
        encoder_attention_heads=size.heads,
        decoder_attention_heads=size.heads,
        encoder_ffn_dim=size.feed_forward,
        decoder_ffn_dim=size.feed_forward,
        dropout=dropout,
        attention_dropout=0.0,
        activation_dropout=0.0,
        encoder_layerdrop=0.0,
        decoder_layerdrop=0.0,
        max_position_embeddings=256,
        scale_embedding=True,
        use_cache=False,
    )
    return transformers.M2M100ForConditionalGeneration(config)


def logits_of(model: Any, source: Any, target: Any) -> Any:
    """What `M2M100ForConditionalGeneration` computes for ids padded at the end, [rows, target length, vocabulary],
    with nothing between the products that would stop a GPU from replaying them."""
    import torch

    dropped = torch.nn.Dropout(model.config.dropout).train(model.training)

    def embedded(stack: Any, ids: Any) -> Any:
        positions = stack.embed_positions.weights[PAD + 1 : PAD + 1 + ids.shape[1]]
        return dropped(stack.embed_tokens(ids) + positions)

    def attended(attention: Any, states: Any, others: Any, hidden: Any) -> Any:
        query, key, value = (
            projection(x).unflatten(-1, (attention.num_heads, -1)).transpose(1, 2)
            for projection, x in zip(
                (attention.q_proj, attention.k_proj, attention.v_proj), (states, others, others), strict=True
            )
        )
        scores = (query @ key.mT * attention.scaling).float().masked_fill(hidden, -1e9)
        return dropped(attention.out_proj((scores.softmax(-1).to(value.dtype) @ value).transpose(1, 2).flatten(2)))

    def fed_forward(layer: Any, states: Any) -> Any:
        return dropped(layer.fc2(layer.fc1(layer.final_layer_norm(states)).relu()))

    encoder, decoder = model.model.encoder, model.model.decoder
    padding = (source == PAD)[:, None, None]
    future = torch.ones(target.shape[1], target.shape[1], dtype=torch.bool, device=target.device).triu(1)
    states = embedded(encoder, source)
    for layer in encoder.layers:
        normed = layer.self_attn_layer_norm(states)
        states = states + attended(layer.self_attn, normed, normed, padding)
        states = states + fed_forward(layer, states)
    read = encoder.layer_norm(states)
    states = embedded(decoder, target)
    for layer in decoder.layers:
        normed = layer.self_attn_layer_norm(states)
        states = states + attended(layer.self_attn, normed, normed, future)
        normed = layer.encoder_attn_layer_norm(states)
        states = states + attended(layer.encoder_attn, normed, read, padding)
        states = states + fed_forward(layer, states)
    return model.lm_head(decoder.layer_norm(states))


def loss_of(model: Any, source: Any, target: Any, smoothing: float, reduction: str = "mean") -> Any:
    """Cross-entropy of the target's ids but the first."""
    import torch

    with torch.autocast(source.device.type, dtype=torch.bfloat16, cache_enabled=False):
        logits = logits_of(model, source, target[:, :-1])
    wanted = target[:, 1:].flatten()
    return torch.nn.functional.cross_entropy(
        logits.flatten(0, 1).float(), wanted, ignore_index=PAD, label_smoothing=smoothing, reduction=reduction
    )


def gradient_step(model: Any, smoothing: float, replay: bool) -> Callable[[Batch], Any]:
    """A function that puts the gradients of a batch into the weights' `grad` and returns its loss. With `replay` a GPU
    records the work for each shape of batch once: its kernels are too short to be started one by one."""
    import torch

    weights = list(model.parameters())
    for weight in weights:
        weight.grad = torch.zeros_like(weight)
    gradients = [weight.grad for weight in weights]
    device = weights[0].device
    recorded: dict[tuple[int, ...], tuple[Any, Any, Any, Any]] = {}

    def compute(source: Any, target: Any) -> Any:
        loss = loss_of(model, source, target, smoothing)
        torch._foreach_copy_(gradients, torch.autograd.grad(loss, weights))
        return loss.detach()

    def record(source: Any, target: Any) -> tuple[Any, Any, Any, Any]:
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):  # libraries set themselves up at the first call, which cannot be recorded
            compute(source, target)
        torch.cuda.current_stream().wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        pool = next((graph.pool() for graph, *_ in recorded.values()), None)
        with torch.cuda.graph(graph, pool=pool):
            loss = compute(source, target)
        return graph, source, target, loss

    def step(batch: Batch) -> Any:
        source, target = torch.from_numpy(batch.source), torch.from_numpy(batch.target)
        if not (replay and device.type == "cuda"):
            return compute(source.to(device), target.to(device))
        shape = *source.shape, *target.shape
        if shape not in recorded:
            recorded[shape] = record(source.to(device), target.to(device))
        graph, source_on_gpu, target_on_gpu, loss = recorded[shape]
        source_on_gpu.copy_(source.pin_memory(), non_blocking=True)
        target_on_gpu.copy_(target.pin_memory(), non_blocking=True)
        graph.replay()
        return loss

    return step


def train(work: Path, out: Path, size: Size, recipe: Recipe, resume: Path | None) -> None:
    """Write to `out`: `mean-*.safetensors`, the averaged weights with the lowest held-out loss, `last-*.safetensors`,
    those to resume from, and `log.tsv`."""
    import torch

    start = time.monotonic()
    torch.manual_seed(recipe.seed)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    pieces = Pieces(work / "sentencepiece.bpe.model")
    feed = loader(work, pieces, recipe)  # its processes begin before anything is on the GPU
    model = new_model(size, recipe.dropout, pieces.processor.vocab_size() + len(language_codes()) + 2).to(device)
    done = load_shards(model, resume, "last") if resume else 0
    mean = {name: value.detach().clone() for name, value in model.named_parameters()}
    weights = list(model.parameters())
    print(f"{sum(w.numel() for w in weights):,} parameters on {device}", flush=True)
    decayed, others = [w for w in weights if w.ndim > 1], [w for w in weights if w.ndim < 2]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.01}, {"params": others, "weight_decay": 0.0}],
        lr=recipe.peak_rate,
        betas=(0.9, 0.98),
        fused=device == "cuda",
    )
    gradients = gradient_step(model, recipe.smoothing, recipe.replay)
    out.mkdir(parents=True, exist_ok=True)
    log = (out / "log.tsv").open("a", encoding="utf-8")
    validation = validation_batches(work, pieces, recipe.most_ids)
    best, running, seen = math.inf, torch.zeros((), device=device), 0
    for step in range(done + 1, recipe.steps + 1):
        progress = max(step / recipe.steps, (time.monotonic() - start) / 60 / recipe.minutes)
        rate = recipe.peak_rate * min((step - done) / recipe.warmup, (1 + math.cos(math.pi * min(progress, 1))) / 2)
        for group in optimizer.param_groups:
            group["lr"] = rate
        batch = next(feed)
        loss = gradients(batch)
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        keep = min(recipe.average, step / (step + 10))
        torch._foreach_lerp_(list(mean.values()), [w.detach() for w in weights], 1 - keep)
        running, seen = (
            running.lerp(loss, max(0.02, 1 / (step - done))),
            seen + batch.source.size + batch.target.size,
        )
        last = step == recipe.steps or progress >= 1
        if step % recipe.every == 0 or last:
            held_out = validate(model, mean, validation, device)
            line = f"{step}\t{(time.monotonic() - start) / 60:.2f}\t{seen}\t{running.item():.4f}\t{held_out:.4f}"
            print(line, flush=True)
            print(line, file=log, flush=True)
            save_shards(out, "last", dict(model.named_parameters()), step)
            if held_out < best:
                best = held_out
                save_shards(out, "mean", mean, step)
        if last:
            break


def loader(work: Path, pieces: Pieces, recipe: Recipe) -> Iterator[Batch]:
    """The training batches, made in other processes where `workers` is not 0."""
    groups = read_part(work, "train")
    if not recipe.workers:
        return batches(training_rows(groups, pieces, recipe.seed), recipe.most_ids)
    import multiprocessing

    context = multiprocessing.get_context("fork")
    queue: Any = context.Queue(maxsize=256)
    for worker in range(recipe.workers):
        rows = training_rows(groups[worker :: recipe.workers], pieces, recipe.seed * 1000 + worker)
        context.Process(target=_work, args=(queue, rows, recipe.most_ids), daemon=True).start()
    return iter(queue.get, None)


def _work(queue: Any, rows: Iterator[Row], most_ids: int) -> None:
    for batch in batches(rows, most_ids):
        queue.put(batch)


def validation_batches(work: Path, pieces: Pieces, most_ids: int) -> list[Batch]:
    """Every validation group in every direction, with the first sentence that people wrote in each language."""
    rows = [
        pieces.row((source, target, group[source][0], group[target][0]))
        for group in read_part(work, "validation")
        for source, target in permutations([lang for lang in CODES if lang in group], 2)
    ]
    return list(batches(rows, most_ids))


def validate(model: Any, mean: dict[str, Any], held_out: list[Batch], device: str) -> float:
    """Mean loss per id of the averaged weights, without label smoothing."""
    import torch

    weights = dict(model.named_parameters())
    kept = {name: value.detach().clone() for name, value in weights.items()}
    model.eval()
    with torch.no_grad():
        for name, value in weights.items():
            value.copy_(mean[name])
        ids = [[torch.from_numpy(a).to(device) for a in (batch.source, batch.target)] for batch in held_out]
        total = sum(loss_of(model, source, target, 0.0, "sum").item() for source, target in ids)
        for name, value in weights.items():
            value.copy_(kept[name])
    model.train()
    return float(total) / sum(int((batch.target[:, 1:] != PAD).sum()) for batch in held_out)


# ---- weights ----------------------------------------------------------------------------------------------------


def save_shards(out: Path, name: str, weights: dict[str, Any], step: int, most_bytes: int = 15_000_000) -> None:
    """`NAME-N.safetensors` in float16, each below `most_bytes`, complete before it takes its name."""
    import torch
    from safetensors.torch import save_file

    shards: list[dict[str, Any]] = [{}]
    for key, value in weights.items():
        if sum(2 * t.numel() for t in shards[-1].values()) + 2 * value.numel() > most_bytes:
            shards.append({})
        shards[-1][key] = value.detach().to("cpu", torch.float16).contiguous()
    for number, shard in enumerate(shards):
        partial = out / f"{name}-{number}.partial"
        save_file(shard, partial, {"format": "pt", "step": str(step)})
        partial.replace(out / f"{name}-{number}.safetensors")


def load_shards(model: Any, folder: Path, name: str) -> int:
    """Put the saved weights into the model; the step at which they were saved."""
    import torch
    from safetensors import safe_open

    weights, step = dict(model.named_parameters()), 0
    paths = sorted(folder.glob(f"{name}-*.safetensors"))
    if not paths:
        sys.exit(f"no {name}-*.safetensors in {folder}")
    with torch.no_grad():
        for path in paths:
            with safe_open(path, "pt") as file:
                step = int(file.metadata()["step"])
                for key in file.keys():  # noqa: SIM118 (no dict)
                    weights.pop(key).copy_(file.get_tensor(key))
    if weights:
        sys.exit(f"{folder} lacks {', '.join(weights)}")
    return step


def export(work: Path, weights: Path, checkpoint: Path, size: Size) -> None:
    """A Hugging Face folder: the averaged weights in float16, config, and NLLB's tokeniser."""
    import torch
    import transformers
    from safetensors.torch import save_file

    pieces = Pieces(work / "sentencepiece.bpe.model")
    codes = language_codes()
    model = new_model(size, 0.0, pieces.processor.vocab_size() + len(codes) + 2)
    load_shards(model, weights, "mean")
    checkpoint.mkdir(parents=True, exist_ok=True)
    tensors = {name: value.detach().to(torch.float16) for name, value in model.named_parameters()}
    save_file(tensors, checkpoint / "model.safetensors", {"format": "pt"})
    (checkpoint / "model.safetensors").chmod(0o644)  # safetensors writes for its user alone
    settings = {"architectures": [type(model).__name__], "tokenizer_class": "NllbTokenizer"}
    config = model.config.to_diff_dict() | settings | {"dtype": "float16", "use_cache": True}
    write_json(checkpoint / "config.json", config)
    generation = {"bos_token_id": BOS, "pad_token_id": PAD, "eos_token_id": EOS, "decoder_start_token_id": EOS}
    write_json(checkpoint / "generation_config.json", generation | {"max_length": 200})
    write_tokenizer(work / "sentencepiece.bpe.model", checkpoint)
    tokenizer = transformers.AutoTokenizer.from_pretrained(checkpoint)
    ours = {lang: tokenizer.convert_tokens_to_ids(code) for lang, code in CODES.items()}
    if ours != pieces.language:
        sys.exit(f"language ids of the tokeniser, {ours}, are not those of the training, {pieces.language}")


def write_tokenizer(model: Path, checkpoint: Path) -> None:
    """NLLB's tokeniser files. `<mask>` is the last id, as in NLLB's own; a tokeniser new in transformers has it before
    the languages."""
    import transformers

    (checkpoint / model.name).write_bytes(model.read_bytes())
    codes = language_codes()
    new = transformers.NllbTokenizerFast(vocab_file=str(model), src_lang=CODES["en"], additional_special_tokens=codes)
    first = min(new.convert_tokens_to_ids([*codes, "<mask>"]))
    ids = {token: first + i for i, token in enumerate([*codes, "<mask>"])}
    tokenizer = json.loads(new.backend_tokenizer.to_str())
    for token in tokenizer["added_tokens"]:
        token["id"] = ids.get(token["content"], token["id"])
    tokenizer["added_tokens"].sort(key=lambda token: token["id"])
    for name, token in tokenizer["post_processor"]["special_tokens"].items():
        token["ids"] = [ids.get(name, token["ids"][0])]
    (checkpoint / "tokenizer.json").write_text(json.dumps(tokenizer, ensure_ascii=False) + "\n", encoding="utf-8")
    special = {"bos": "<s>", "eos": "</s>", "unk": "<unk>", "sep": "</s>", "cls": "<s>", "pad": "<pad>"}
    names = {f"{name}_token": token for name, token in special.items()} | {"additional_special_tokens": codes}
    mask = {"content": "<mask>", "lstrip": True, "normalized": True, "rstrip": False, "single_word": False}
    write_json(checkpoint / "special_tokens_map.json", names | {"mask_token": mask})
    settings = {"tokenizer_class": "NllbTokenizer", "src_lang": CODES["en"], "tgt_lang": None, "model_max_length": 250,
                "legacy_behaviour": False, "mask_token": {"__type": "AddedToken", **mask}}  # fmt: skip
    write_json(checkpoint / "tokenizer_config.json", names | settings)


def write_json(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


# ---- evaluate ---------------------------------------------------------------------------------------------------


def evaluate(work: Path, flores: Path | None, checkpoint: Path, precisions: list[str], langs: list[str]) -> None:
    """Print a Markdown table: BLEU and chrF per direction and precision, greedy, by quartet itself."""
    import tempfile

    import sacrebleu

    from quartet import Translator, convert

    sets = {"held out": held_out_sets(work, langs)}
    if flores:
        lines = {lang: (flores / f"{lang}.txt").read_text(encoding="utf-8").splitlines() for lang in langs}
        sets["FLORES dev"] = {(s, t): {a: [b] for a, b in zip(lines[s], lines[t], strict=True)}
                              for s, t in permutations(langs, 2)}  # fmt: skip
    print("| set | direction | sentences | " + " | ".join(f"{p} BLEU | {p} chrF" for p in precisions) + " |")
    print("|---|---|---|" + "---|" * (2 * len(precisions)))
    with tempfile.TemporaryDirectory() as folder:
        for precision in precisions:
            convert(str(checkpoint), Path(folder) / precision, precision=precision)
        translators = [Translator(Path(folder) / precision) for precision in precisions]
        for name, directions in sets.items():
            for (source, target), texts in directions.items():
                cells = []
                for translator in translators:
                    found = [t.text for t in translator.translate_batch(list(texts), target, source)]
                    most = max(map(len, texts.values()))
                    references = [[r[i] if i < len(r) else None for r in texts.values()] for i in range(most)]
                    bleu = sacrebleu.corpus_bleu(found, references).score
                    cells += [f"{bleu:.1f}", f"{sacrebleu.corpus_chrf(found, references).score:.1f}"]
                print(f"| {name} | {source} → {target} | {len(texts)} | {' | '.join(cells)} |", flush=True)


def held_out_sets(work: Path, langs: list[str]) -> dict[tuple[str, str], dict[str, list[str]]]:
    """For each direction the held-out sentences with all their translations."""
    groups = read_part(work, "test")
    found: dict[tuple[str, str], dict[str, list[str]]] = {}
    for source, target in permutations(langs, 2):
        texts = found[source, target] = {}
        for group in groups:
            for text in group.get(source, ()):
                for translation in group.get(target, ()):
                    texts.setdefault(text, []).append(translation)
    return found


# ---- command line -----------------------------------------------------------------------------------------------


def main() -> None:
    args = parser().parse_args()
    if args.step == "prepare":
        prepare(args.pairs, args.teacher, args.work)
    elif args.step == "train":
        train(args.work, args.out, options(Size, args), options(Recipe, args), args.resume)
    elif args.step == "export":
        export(args.work, args.weights, args.checkpoint, options(Size, args))
    else:
        evaluate(args.work, args.flores, args.checkpoint, args.precision, args.languages)


def parser() -> argparse.ArgumentParser:
    whole = argparse.ArgumentParser(description="Train quartet's demo model.")
    steps = whole.add_subparsers(dest="step", required=True)
    work = argparse.ArgumentParser(add_help=False)
    work.add_argument("--work", type=Path, required=True, help="folder of the prepared sentences")
    size = argparse.ArgumentParser(add_help=False)
    add_options(size, Size)
    checkpoint = argparse.ArgumentParser(add_help=False)
    checkpoint.add_argument("--checkpoint", type=Path, required=True, help="Hugging Face folder")

    step = steps.add_parser("prepare", parents=[work], help="split the pairs, train SentencePiece")
    step.add_argument("--pairs", type=Path, required=True, help="folder of en-fr.tsv.gz and the others")
    step.add_argument("--teacher", type=Path, help="English<TAB>machine-made French, a pair a line")
    step = steps.add_parser("train", parents=[work, size], help="on the GPU where there is one")
    step.add_argument("--out", type=Path, required=True, help="folder for weights and log")
    step.add_argument("--resume", type=Path, help="an earlier --out, to go on from there")
    add_options(step, Recipe)
    step = steps.add_parser("export", parents=[work, size, checkpoint], help="write a checkpoint in float16")
    step.add_argument("--weights", type=Path, required=True, help="the --out of train")
    step = steps.add_parser("evaluate", parents=[work, checkpoint], help="BLEU and chrF, by quartet")
    step.add_argument("--flores", type=Path, help="folder of en.txt, fr.txt, …, line by line the same")
    step.add_argument("--precision", nargs="+", default=["fp32", "int8", "int4"])
    step.add_argument("--languages", nargs="+", default=list(CODES))
    return whole


def add_options(to: argparse.ArgumentParser, kind: type[Size | Recipe]) -> None:
    for field in fields(kind):
        option = f"--{field.name.replace('_', '-')}"
        if isinstance(field.default, bool):
            to.add_argument(option, action="store_true")
        else:
            to.add_argument(option, type=type(field.default), default=field.default, help="default: %(default)s")


def options(kind: type[T], args: argparse.Namespace) -> T:
    return kind(**{field.name: getattr(args, field.name) for field in fields(kind)})


if __name__ == "__main__":
    main()
