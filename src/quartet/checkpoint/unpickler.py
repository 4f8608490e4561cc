"""A pickle machine that knows plain values and tensors, and nothing else.

Python's own unpickler imports and calls what a pickle names, and writes to what it gets back. This one interprets
the opcodes itself: a name is only ever looked up in the tables below, nothing is imported, no attribute is set. What
is not in the tables is refused by name. Opcodes that could build other objects (INST, OBJ, NEWOBJ, EXT1, ...) are
not implemented at all.
"""

import io
import pickletools
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from quartet.checkpoint.tensors import MAX_ELEMENTS, DType, is_shape, span
from quartet.errors import CheckpointError

MAX_OPCODES = 500_000  # a tensor takes some 35
# What opcodes in a wrong order or with wrong values raise; the warning (of a bad escape) where warnings are errors.
MALFORMED = (ValueError, IndexError, KeyError, TypeError, DeprecationWarning)


@dataclass(frozen=True)
class Storage:
    """A block of `count` elements that tensors are views of. Its place is in the file around the pickle."""

    key: str
    dtype: DType
    count: int


@dataclass(frozen=True)
class Tensor:
    """A view of a storage; offset and strides in elements, within the storage."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


@dataclass(frozen=True)
class Unpickled:
    """What a pickle holds: plain values, lists, tuples and dicts, and `Tensor`s of the named storages."""

    value: Any
    storages: dict[str, Storage]


def unpickle(path: Path, stream: io.BytesIO) -> Unpickled:
    """Run one pickle and leave the stream behind its end. `path` is for messages.

    Raises `CheckpointError` where the pickle is damaged, too long, or asks for anything but plain values and tensors.
    """
    machine = _Machine(path)
    try:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
            if count == MAX_OPCODES:
                raise ValueError(f"its pickle has more than {MAX_OPCODES} opcodes")
            if opcode.name not in _OPCODES:
                raise machine.refusal(f"for pickle opcode {opcode.name}")
            _OPCODES[opcode.name](machine, argument)
        return Unpickled(machine.stack.pop(), machine.storages)
    except CheckpointError:
        raise
    except MALFORMED as error:
        problem = ascii(str(error))[1:-1]  # on one line, whatever bytes it quotes
        raise CheckpointError(f"{path} is truncated, damaged or no torch checkpoint: {problem[:200]}") from None


@dataclass(frozen=True)
class _Global:
    """A name that a pickle asked for and that is in one of the tables."""

    name: str


@dataclass
class _Machine:
    path: Path
    stack: list[Any] = field(default_factory=list)
    marks: list[int] = field(default_factory=list)
    memo: dict[int, Any] = field(default_factory=dict)
    storages: dict[str, Storage] = field(default_factory=dict)

    def refusal(self, what: str) -> CheckpointError:
        return CheckpointError(f"{self.path} asks {ascii(what)[1:-1][:200]}: refused; only tensors are read")

    def pop_to_mark(self) -> list[Any]:
        start = self.marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items


# ---- what a pickle may name -------------------------------------------------------------------------------------


def _ordered_dict(pairs: Any = ()) -> dict[Any, Any]:
    result: dict[Any, Any] = {}
    _set_items(result, [part for key, value in pairs for part in (key, value)])
    return result


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any, *rest: Any) -> Tensor:
    """What `torch._utils._rebuild_tensor_v2(storage, offset, size, stride, requires_grad, hooks, metadata)` makes."""
    if not (isinstance(storage, Storage) and is_shape((offset,)) and is_shape(shape)):
        raise ValueError("a tensor without a proper storage, offset and shape")
    if not (isinstance(strides, tuple) and len(strides) == len(shape) and all(is_shape((s,)) for s in strides)):
        raise ValueError(f"a tensor of shape {shape} without proper strides")
    shape = tuple(shape)
    if offset + span(shape, strides) > storage.count:
        raise ValueError(f"a tensor of shape {shape} reaches beyond the {storage.count} elements of its storage")
    if len(rest) > 2 and rest[2]:
        raise ValueError("a tensor that is stored negated or conjugated")
    return Tensor(storage, offset, shape, strides)


def _parameter(data: Any, *_: Any) -> Tensor:
    if not isinstance(data, Tensor):
        raise ValueError("a parameter that is no tensor")
    return data


_CALLS: dict[str, Callable[..., Any]] = {
    "collections.OrderedDict": _ordered_dict,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
}

_TYPES: dict[str, DType] = {
    "DoubleStorage": "float64",
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
}
_STORAGES = {f"{module}.{name}": dtype for module in ("torch", "torch.cuda") for name, dtype in _TYPES.items()}


# ---- opcodes ----------------------------------------------------------------------------------------------------


def _push(machine: _Machine, argument: Any) -> None:
    machine.stack.append(argument)


def _nothing(machine: _Machine, argument: Any) -> None:
    pass


def _mark(machine: _Machine, _: Any) -> None:
    machine.marks.append(len(machine.stack))


def _put(machine: _Machine, slot: Any) -> None:
    machine.memo[len(machine.memo) if slot is None else slot] = machine.stack[-1]


def _get(machine: _Machine, slot: Any) -> None:
    machine.stack.append(machine.memo[slot])


def _tuple(machine: _Machine, _: Any) -> None:
    machine.stack.append(tuple(machine.pop_to_mark()))


def _tuple_of(length: int) -> Callable[[_Machine, Any], None]:
    def step(machine: _Machine, _: Any) -> None:
        items = [machine.stack.pop() for _ in range(length)]
        machine.stack.append(tuple(reversed(items)))

    return step


def _appends(machine: _Machine, _: Any) -> None:
    _extend(machine.stack, machine.pop_to_mark())


def _append(machine: _Machine, _: Any) -> None:
    _extend(machine.stack, [machine.stack.pop()])


def _extend(stack: list[Any], items: list[Any]) -> None:
    if not isinstance(stack[-1], list):
        raise ValueError("items for what is no list")
    stack[-1].extend(items)


def _setitems(machine: _Machine, _: Any) -> None:
    items = machine.pop_to_mark()
    _set_items(machine.stack[-1], items)


def _setitem(machine: _Machine, _: Any) -> None:
    value, key = machine.stack.pop(), machine.stack.pop()
    _set_items(machine.stack[-1], [key, value])


def _set_items(target: Any, items: list[Any]) -> None:
    """Keys and values in turn. Keys are plain: hashing deeply nested tuples would overflow the C stack."""
    if not isinstance(target, dict) or any(type(key) not in (str, int) for key in items[::2]):
        raise ValueError("items for what is no dict, or keys that are neither text nor integers")
    target.update(zip(items[::2], items[1::2], strict=True))


def _global(machine: _Machine, argument: str) -> None:
    name = argument.replace(" ", ".")
    if name not in _CALLS and name not in _STORAGES:
        raise machine.refusal(f"to run {name}")
    machine.stack.append(_Global(name))


def _stack_global(machine: _Machine, _: Any) -> None:
    name, module = machine.stack.pop(), machine.stack.pop()
    if not isinstance(name, str) or not isinstance(module, str):
        raise ValueError("a name that is no text")
    _global(machine, f"{module} {name}")


def _reduce(machine: _Machine, _: Any) -> None:
    arguments, called = machine.stack.pop(), machine.stack.pop()
    if not isinstance(called, _Global) or called.name not in _CALLS:
        raise machine.refusal("to call what is no function")
    if not isinstance(arguments, tuple):
        raise ValueError("arguments that are no tuple")
    machine.stack.append(_CALLS[called.name](*arguments))


def _build(machine: _Machine, _: Any) -> None:
    """Attributes of a state dict (`_metadata`) are of no use here, nothing else may have any."""
    machine.stack.pop()
    if not isinstance(machine.stack[-1], dict):
        raise machine.refusal("to set attributes of what is no dict")


def _persistent_id(machine: _Machine, _: Any) -> None:
    match machine.stack.pop():
        case ("storage", _Global(name), str(key), _, int(count), *view) if name in _STORAGES and view in ([], [None]):
            storage = Storage(key, _STORAGES[name], count)
        case _:
            raise ValueError("a persistent id that is no storage of a known type")
    if not 0 <= count <= MAX_ELEMENTS or machine.storages.setdefault(key, storage) != storage:
        raise ValueError(f"storage {key} has a count that cannot be, or two types or counts")
    machine.stack.append(storage)


_OPCODES: dict[str, Callable[[_Machine, Any], None]] = {
    **dict.fromkeys(("PROTO", "FRAME", "STOP"), _nothing),
    **dict.fromkeys(("BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT"), _push),
    **dict.fromkeys(("SHORT_BINSTRING", "BINSTRING", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"), _push),
    **dict.fromkeys(("SHORT_BINBYTES", "BINBYTES", "BINBYTES8"), _push),
    "NONE": _push,  # the argument of an opcode that has none is None
    "NEWTRUE": lambda machine, _: _push(machine, True),
    "NEWFALSE": lambda machine, _: _push(machine, False),
    "EMPTY_TUPLE": _tuple_of(0),
    "EMPTY_LIST": lambda machine, _: _push(machine, []),
    "EMPTY_DICT": lambda machine, _: _push(machine, {}),
    "MARK": _mark,
    "TUPLE": _tuple,
    "TUPLE1": _tuple_of(1),
    "TUPLE2": _tuple_of(2),
    "TUPLE3": _tuple_of(3),
    "APPEND": _append,
    "APPENDS": _appends,
    "SETITEM": _setitem,
    "SETITEMS": _setitems,
    **dict.fromkeys(("BINPUT", "LONG_BINPUT", "MEMOIZE"), _put),
    **dict.fromkeys(("BINGET", "LONG_BINGET"), _get),
    "GLOBAL": _global,
    "STACK_GLOBAL": _stack_global,
    "REDUCE": _reduce,
    "BUILD": _build,
    "BINPERSID": _persistent_id,
}
