"""The precisions that a model can be converted to: which matrices of which file get how many bits."""

from dataclasses import dataclass, field, replace
from typing import Literal

from quartet.errors import OptionError
from quartet.quantize.numerics import METHODS, Method, Scheme
from quartet.spec import CACHE_INITIALIZER, DECODER, EMBED_AND_LM_HEAD, ENCODER, StoredMatrix

SMALLEST_BLOCK = 16  # of the kernels
BLOCK_SIZES = (16, 32, 64, 128, 256)
GPTQ = "gptq"


@dataclass(frozen=True)
class Recipe:
    """How each file's matrices are stored; biases and norms are always float32."""

    name: str
    schemes: dict[str, Scheme] = field(default_factory=dict)  # by file; a file that is missing stays float32
    method: Method = "rtn"
    calibrated: bool = False  # quantised once more with calibration text (GPTQ)

    def scheme(self, file: str, columns: int) -> Scheme | None:
        """How a matrix [rows, columns] of the file is stored; None: in float32.

        The block shrinks until it divides the columns, so that rows need no padding.
        """
        scheme = self.schemes.get(file)
        while scheme and columns % scheme.block_size:
            half = scheme.block_size // 2
            scheme = replace(scheme, block_size=half) if half >= SMALLEST_BLOCK else None
        return scheme


def stored_scheme(matrix: StoredMatrix) -> Scheme | None:
    """How a matrix is stored of which the manifest says where it lies; None: in float32."""
    if matrix.block_size is None:
        return None
    planes = matrix.residual is not None
    bits: Literal[4, 8] = 8 if planes or matrix.bits == 8 else 4
    return Scheme(bits, matrix.block_size, symmetric=matrix.zero_points is None, planes=planes)


_INT8 = Scheme(bits=8, block_size=128, symmetric=True)
_INT4 = Scheme(bits=4, block_size=64, symmetric=False)
_TWO_PLANES = Scheme(bits=8, block_size=128, symmetric=False, planes=True)

RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe("fp32"),
        Recipe("int8", dict.fromkeys((EMBED_AND_LM_HEAD, ENCODER, CACHE_INITIALIZER, DECODER), _INT8)),
        Recipe(
            "int4",
            {EMBED_AND_LM_HEAD: _TWO_PLANES} | dict.fromkeys((ENCODER, CACHE_INITIALIZER, DECODER), _INT4),
            method="mse",
        ),
    )
}
DEFAULT_PRECISION = "int4"


@dataclass(frozen=True)
class QuantizationOptions:
    """What may be chosen otherwise than the recipe does; None leaves it to the recipe."""

    method: str | None = None  # rtn, mse, or gptq: with calibration text
    block_size: int | None = None
    embedding_bits: int | None = None  # of the embedding, which is the LM head too where they are tied


def recipe_of(precision: str, options: QuantizationOptions = QuantizationOptions()) -> Recipe:
    """The recipe of a precision, changed as the options say; `OptionError` for values that there are not."""
    if precision not in RECIPES:
        raise OptionError(f"unknown precision {precision!r}; it is one of {', '.join(RECIPES)}")
    recipe = RECIPES[precision]
    if options == QuantizationOptions():
        return recipe
    if not recipe.schemes:
        raise OptionError(f"precision {precision} quantises nothing: method, block size and bits are for int8 and int4")
    return _with_method(_with_schemes(recipe, options), options.method)


def _with_schemes(recipe: Recipe, options: QuantizationOptions) -> Recipe:
    schemes = dict(recipe.schemes)
    if options.embedding_bits not in (None, 4, 8):
        raise OptionError(f"{options.embedding_bits} bits for the embedding; it has 4 or 8")
    if options.embedding_bits == 4:
        schemes[EMBED_AND_LM_HEAD] = _INT4
    if options.block_size is not None:
        if options.block_size not in BLOCK_SIZES:
            known = ", ".join(map(str, BLOCK_SIZES))
            raise OptionError(f"block size {options.block_size}; it is one of {known}")
        schemes = {file: replace(scheme, block_size=options.block_size) for file, scheme in schemes.items()}
    return replace(recipe, schemes=schemes)


def _with_method(recipe: Recipe, method: str | None) -> Recipe:
    if method is None:
        return recipe
    if method == GPTQ:  # first without data, so that the model can translate its calibration text
        return replace(recipe, method="mse", calibrated=True)
    found = next((known for known in METHODS if known == method), None)
    if found is None:
        raise OptionError(f"unknown method {method!r} of quantisation; it is one of {', '.join((*METHODS, GPTQ))}")
    return replace(recipe, method=found)
