"""Write a blueprint into a folder: the graphs with their weights, and the tokeniser."""

import shutil
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path

from quartet.conversion.describe import Blueprint
from quartet.families import tokenizer_json
from quartet.graph import writer
from quartet.graph.builder import Builder
from quartet.graph.head import bias_weight, head_weight, lm_head, matrix_weight
from quartet.progress import Progress
from quartet.spec import EMBED_AND_LM_HEAD, FileEntry, Manifest, unhashed


def write_graphs(
    blueprint: Blueprint, folder: Path, left_out: Mapping[str, Collection[str]], progress: Progress
) -> Manifest:
    """Write the four files and our own runtime's head; returns the manifest with them, unhashed.

    left_out: names of weights, by file, whose codes come later (`writer.fill`).
    """
    spec, recipe, graphs = blueprint.spec, blueprint.recipe, blueprint.graphs
    total, done = sum(_weight_bytes(graph, left_out.get(file, ())) for file, graph in graphs.items()), 0

    def advance(count: int) -> None:
        nonlocal done
        done += count
        progress(done, total)

    for file, graph in graphs.items():
        writer.write(graph, blueprint.tensors, folder, advance, left_out.get(file, ()))
    owner = graphs[EMBED_AND_LM_HEAD]
    head = lm_head(spec, recipe)
    writer.write_borrowing(head, writer.data_name(owner.name), writer.written_places(owner), folder)
    names = [name for file in graphs for name in (f"{file}.onnx", writer.data_name(file))]
    return replace(
        blueprint.manifest,
        files={name: unhashed(folder / name) for name in (*names, f"{head.name}.onnx")},
        embedding=writer.stored_matrix(owner, matrix_weight(spec, recipe)),
        lm_head=writer.stored_matrix(owner, head_weight(spec, recipe), bias_weight(spec)),
    )


def _weight_bytes(graph: Builder, left_out: Collection[str]) -> int:
    return sum(weight.nbytes for name, weight in graph.weights.items() if name not in left_out)


def write_tokenizer(blueprint: Blueprint, folder: Path) -> dict[str, FileEntry]:
    """The tokeniser's files, and a `tokenizer.json` for readers in other languages where one can be had.

    A checkpoint's own has the ids of its whole vocabulary: a pruned model goes without it. Returns them unhashed.
    """
    for name, content in blueprint.tokenizer_files.items():
        if isinstance(content, bytes):
            (folder / name).write_bytes(content)
        else:
            shutil.copyfile(content, folder / name)
    names = list(blueprint.tokenizer_files)
    spec = blueprint.manifest.tokenizer
    wanted = spec is not None and blueprint.manifest.pruning is None and tokenizer_json.NAME not in names
    if spec is not None and wanted and tokenizer_json.write(folder, spec):
        names.append(tokenizer_json.NAME)
    return {name: unhashed(folder / name) for name in names}
