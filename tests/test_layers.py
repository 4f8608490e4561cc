"""What may import what in `src/quartet`: lower layers know nothing of higher ones, and no imports go in a circle."""

import ast
import functools
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "src"
LAYERS = (  # top to bottom; a folder or file may import its own layer and those below it (CONTRIBUTING.md)
    {"__main__", "cli", "serve", "corpus", "inspection"},
    {"bench"},
    {"live", "transcription", "documents", "markup"},
    {"translation"},
    {"provision"},
    {"conversion"},
    {"runtime"},
    {"graph", "families"},
    {"quantize", "text", "audio", "checkpoint", "store", "catalog"},
    {
        "spec",
        "json_schema",
        "errors",
        "options",
        "progress",
        "positions",
        "arrays",
        "protobuf_wire",
        "staging",
        "derived",
    },
)
LAYER_OF = {part: number for number, parts in enumerate(LAYERS) for part in parts}
MODULES = {
    ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted((SOURCE / "quartet").rglob("*.py"))
}


def imported(node: ast.AST) -> set[str]:
    """All names that are imported anywhere below a node of the tree, but for those under `if TYPE_CHECKING`."""
    if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
        return set().union(*map(imported, node.orelse))
    if isinstance(node, ast.Import):
        return {alias.name for alias in node.names}
    if isinstance(node, ast.ImportFrom):
        assert node.level == 0, f"{ast.unparse(node)!r}: imports are absolute here"
        return {f"{node.module}.{alias.name}" for alias in node.names}
    return set().union(*map(imported, ast.iter_child_nodes(node)))


def module_of(name: str) -> str | None:
    """The module of ours that a dotted name is, or is in."""
    return next((found for found in (name, name.rpartition(".")[0]) if found in MODULES), None)


@functools.cache
def edges() -> dict[str, set[str]]:
    """Each module, and those of ours that it imports. The root is left out: it imports nothing until it is asked."""
    found = {}
    for module, path in MODULES.items():
        names = map(module_of, imported(ast.parse(path.read_text("utf-8"))))
        found[module] = {name for name in names if name not in (None, module, "quartet")}
    return found


def part_of(module: str) -> str:
    return module.split(".")[1]


def test_every_folder_and_file_has_a_layer() -> None:
    parts = {part_of(module) for module in MODULES if module != "quartet"}
    homeless = sorted(parts - LAYER_OF.keys())
    assert not homeless, f"no layer for {', '.join(homeless)}: add it to LAYERS in {Path(__file__).name}"


def test_no_import_goes_from_a_lower_layer_to_a_higher_one() -> None:
    upwards = [
        f"{module} imports {other}"
        for module, others in edges().items()
        for other in sorted(others)
        if module != "quartet" and LAYER_OF[part_of(module)] > LAYER_OF[part_of(other)]
    ]
    assert not upwards, f"imports from a lower layer to a higher one: {'; '.join(upwards)}"


def test_no_imports_go_in_a_circle() -> None:
    try:
        TopologicalSorter(edges()).prepare()
    except CycleError as error:
        raise AssertionError(f"imports in a circle: {' <- '.join(error.args[1])}") from None
