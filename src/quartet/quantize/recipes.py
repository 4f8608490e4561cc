"""The precisions that a model can be converted to: which matrices of which file get how many bits."""

from dataclasses import dataclass, field, replace
from typing import Literal

from quartet.errors import OptionError
from quartet.options.declared import CONVERSION, QUANTIZATION
from quartet.options.kinds import bad_value, check_fields, checked
from quartet.quantize.numerics import METHODS, Method, Scheme
from quartet.spec import CACHE_INITIALIZER, DECODER, EMBED_AND_LM_HEAD, ENCODER, StoredMatrix

SMALLEST_BLOCK = 16  # of the kernels
GPTQ = "gptq"


@dataclass(frozen=True)
class Recipe:
    """How each file's matrices are stored; biases and norms are always float32."""

    name: str
    schemes: dict[str, Scheme] = field(default_factory=dict)  # by file; a file that is missing stays float32
    untied_embedding: Scheme | None = None  # of an embedding that is not the LM head too; None: as the head
    method: Method = "rtn"
    calibrated: bool = False  # quantised once more with sentences (GPTQ)
    without_text: bool = False  # calibrated all the same where there is no tokeniser, with random ids
    last_layer: dict[str, Scheme] = field(default_factory=dict)  # by file; where its last layer is stored otherwise
    choices: tuple[Scheme, ...] = ()  # what each linear map may have instead, by what sentences say; none: it is fixed
    chosen: dict[str, Scheme] = field(default_factory=dict)  # by a linear map's weight; where it has something else

    @property
    def final_method(self) -> str | None:
        """The method of quantisation that a converted model ends up with; None: it stays float32."""
        return None if not self.schemes else GPTQ if self.calibrated else self.method

    def of_layer(self, layer: int, layers: int) -> "Recipe":
        """The recipe for a layer of a stack of `layers`."""
        return self if layer < layers - 1 else replace(self, schemes=self.schemes | self.last_layer)

    def for_ids(self) -> "Recipe":
        """The recipe for a model without a tokeniser, which has no sentences to be calibrated with."""
        if not self.calibrated or self.without_text:
            return self
        return replace(self, method="mse", calibrated=False, choices=())

    def scheme(self, file: str, columns: int, weight: str = "") -> Scheme | None:
        """How a matrix [rows, columns] of the file is stored; None: in float32. weight: a linear map's, by its name."""
        return fitting(self.chosen.get(weight, self.schemes.get(file)), columns)

    def embedding_scheme(self, columns: int, tied: bool) -> Scheme | None:
        """Likewise of the embedding, which may be the LM head too."""
        if tied or self.untied_embedding is None:
            return self.scheme(EMBED_AND_LM_HEAD, columns)
        return fitting(self.untied_embedding, columns)


def fitting(scheme: Scheme | None, columns: int) -> Scheme | None:
    """The scheme with blocks that divide the columns, so that rows need no padding; None where none does."""
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
    scaled = matrix.column_scales is not None
    return Scheme(bits, matrix.block_size, symmetric=matrix.zero_points is None, planes=planes, scaled_columns=scaled)


_INT8 = Scheme(bits=8, block_size=128, symmetric=True)
_INT4 = Scheme(bits=4, block_size=64, symmetric=False)
_INT4_STEPS = Scheme(bits=4, block_size=128, symmetric=False)  # a step multiplies by these 12 % faster
_CHOICES = (
    *(Scheme(bits=4, block_size=size, symmetric=False) for size in (128, 64, 32)),
    Scheme(bits=8, block_size=128, symmetric=True),
)
_TABLE = Scheme(bits=4, block_size=64, symmetric=False, scaled_columns=True)
_TWO_PLANES = Scheme(bits=8, block_size=128, symmetric=False, planes=True, scaled_columns=True)

RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe("fp32"),
        Recipe("int8", dict.fromkeys((EMBED_AND_LM_HEAD, ENCODER, CACHE_INITIALIZER, DECODER), _INT8)),
        Recipe(
            "int4",
            {EMBED_AND_LM_HEAD: _TWO_PLANES, ENCODER: _INT4, CACHE_INITIALIZER: _INT4, DECODER: _INT4_STEPS},
            calibrated=True,
            last_layer={DECODER: _INT8},  # no later layer evens its errors out
            untied_embedding=_TABLE,
            choices=_CHOICES,
        ),
    )
}
DEFAULT_PRECISION = "int4"
SPEECH_PRECISION = "int8"  # of models that hear, by default: at INT4 they mishear more, and some of them loop


@dataclass(frozen=True)
class QuantizationOptions:
    """What may be chosen otherwise than the recipe does; None leaves it to the recipe."""

    method: str | None = None  # rtn, mse, or gptq: with calibration text
    block_size: int | None = None
    embedding_bits: int | None = None  # of the embedding, which is the LM head too where they are tied

    def __post_init__(self) -> None:
        """Raise `OptionError` for a value that there is not."""
        check_fields(self, QUANTIZATION)


def recipe_of(precision: str, options: QuantizationOptions = QuantizationOptions()) -> Recipe:
    """The recipe of a precision, changed as the options say; `OptionError` for values that there are not."""
    recipe = RECIPES[checked(CONVERSION["precision"], precision)]
    if not isinstance(options, QuantizationOptions):
        raise bad_value("options", options, "QuantizationOptions")
    if options == QuantizationOptions():
        return recipe
    if not recipe.schemes:
        raise OptionError(f"precision {precision} quantises nothing: method, block size and bits are for int8 and int4")
    return _with_method(_with_schemes(recipe, options), options.method)


def _with_schemes(recipe: Recipe, options: QuantizationOptions) -> Recipe:
    schemes, last_layer, choices = dict(recipe.schemes), recipe.last_layer, recipe.choices
    untied = recipe.untied_embedding
    if options.embedding_bits is not None:
        untied = None  # the embedding and the LM head alike
    if options.embedding_bits == 4:
        schemes |= {EMBED_AND_LM_HEAD: _TABLE, DECODER: _INT4}  # such a head forgives less
    if options.block_size is not None:
        schemes, last_layer = (_in_blocks(found, options.block_size) for found in (schemes, last_layer))
        untied = untied and replace(untied, block_size=options.block_size)
        choices = tuple(dict.fromkeys(replace(scheme, block_size=options.block_size) for scheme in choices))
    # GPTQ leaves a table of embeddings that is no linear map as it is
    method = "mse" if recipe.calibrated and options.embedding_bits == 4 else recipe.method
    return replace(
        recipe, schemes=schemes, last_layer=last_layer, untied_embedding=untied, method=method, choices=choices
    )


def _in_blocks(schemes: dict[str, Scheme], size: int) -> dict[str, Scheme]:
    return {file: replace(scheme, block_size=size) for file, scheme in schemes.items()}


def _with_method(recipe: Recipe, method: str | None) -> Recipe:
    if method is None:
        return recipe
    if method == GPTQ:  # first without data, so that the model can translate its calibration text
        return replace(recipe, method="mse", calibrated=True, without_text=True)
    found = next(known for known in METHODS if known == method)
    return replace(recipe, method=found, calibrated=False, choices=())
