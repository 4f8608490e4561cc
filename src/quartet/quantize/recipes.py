"""The precisions that a model can be converted to: which matrices of which file get how many bits."""

from dataclasses import dataclass, field, replace

from quartet.errors import OptionError
from quartet.quantize.numerics import Method, Scheme
from quartet.spec import CACHE_INITIALIZER, DECODER, EMBED_AND_LM_HEAD, ENCODER

SMALLEST_BLOCK = 16  # of the kernels


@dataclass(frozen=True)
class Recipe:
    """How each file's matrices are stored; biases and norms are always float32."""

    name: str
    schemes: dict[str, Scheme] = field(default_factory=dict)  # by file; a file that is missing stays float32
    method: Method = "rtn"

    def scheme(self, file: str, columns: int) -> Scheme | None:
        """How a matrix [rows, columns] of the file is stored; None: in float32.

        The block shrinks until it divides the columns, as the embedding's kernel wants it.
        """
        scheme = self.schemes.get(file)
        while scheme and columns % scheme.block_size:
            half = scheme.block_size // 2
            scheme = replace(scheme, block_size=half) if half >= SMALLEST_BLOCK else None
        return scheme


_INT8 = Scheme(bits=8, block_size=128, symmetric=True)
_INT4 = Scheme(bits=4, block_size=64, symmetric=False)

RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe("fp32"),
        Recipe("int8", dict.fromkeys((EMBED_AND_LM_HEAD, ENCODER, CACHE_INITIALIZER, DECODER), _INT8)),
        Recipe(
            "int4",
            {EMBED_AND_LM_HEAD: _INT8} | dict.fromkeys((ENCODER, CACHE_INITIALIZER, DECODER), _INT4),
            method="mse",
        ),
    )
}
DEFAULT_PRECISION = "fp32"


def recipe_of(precision: str) -> Recipe:
    """The recipe of a precision; raises `OptionError` for one that has none."""
    if precision not in RECIPES:
        raise OptionError(f"unknown precision {precision!r}; it is one of {', '.join(RECIPES)}")
    return RECIPES[precision]
