"""Pickles read as data: a machine that builds plain containers and inert records, and never
imports, looks up or calls anything.

Python's own unpickler runs what a file asks for. This one walks the opcodes of the stream and
writes down what was asked: a global becomes a :class:`Global`, a call or an instance a
:class:`Record`. A harmless name (the parts of torch, numpy and the standard library that
checkpoints consist of, and classes of packages that we know nothing of) is kept as a name; every
other is refused by name, so that a hostile file is told apart from an old one.
``checkpoint_file.py`` gives the meaning to tensors and storages.

Bounded: the length of a stream, its opcodes and each of its strings are limited, nothing is hashed
that could be deep, and no recursion follows the nesting of the file.
"""

from __future__ import annotations

import pickletools
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from hanet.conversion.pickle_names import (
    HARMLESS,
    OLD_MODULES,
    Global,
    is_known,
    may_be_mentioned,
    shown,
)
from hanet.errors import UnsafeWeightsError, WeightsError

MAX_PICKLE_BYTES = 64 * 2**20
"""Longest stream; a HANet module with its optimiser takes below 1 MB, the pickle holds no tensor
data."""

DAMAGED = "the file is damaged or was made to mislead; fetch it again"
"""Hint of every error about what a file claims."""

MAX_OPCODES = 500_000
"""Most opcodes of a stream: they bound the objects that it can make (a HANet module takes about
30,000)."""

MAX_NAME = 500
"""Longest name, module and all, of a class or function: each mention may copy it."""


@dataclass(eq=False, slots=True)
class Record:
    """What the pickle would have made by a call or as an instance of a class.

    Args:
        made_by: The class or function.
        arguments: What it would have been called with.
        state: What the instance's attributes would have been set to; None if nothing was said.
        items: Entries that would have been appended or set, where it is a container of a class of
            its own.
    """

    made_by: Global
    arguments: tuple[Any, ...] = ()
    state: Any = None
    items: list[Any] = field(default_factory=list)


@dataclass(eq=False, slots=True)
class PersistentId:
    """A reference to something outside the pickle: in a checkpoint, a storage.

    Args:
        value: What the pickle says of it, usually a tuple.
    """

    value: Any


class _Mark:
    pass


class _OpaqueKey:
    """Stands for a key that is no scalar: nothing of the file is hashed."""


class InertMachine:
    """Runs one pickle; see :func:`read_pickle`."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.mentioned: dict[Global, None] = {}
        self._copied = 0

    def run(self, stream: BinaryIO) -> Any:
        """The object that the stream describes."""
        for count, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
            if count >= MAX_OPCODES:
                raise WeightsError(
                    f"the pickle has more than {MAX_OPCODES:,} opcodes",
                    hint="no checkpoint of HANet is that large",
                )
            if opcode.name == "STOP":
                return self._pop()
            action = _ACTIONS.get(opcode.name)
            if action is None:
                raise UnsafeWeightsError(
                    f"the pickle uses the opcode {opcode.name}, which no checkpoint needs",
                    hint=_DISTRUST,
                )
            action(self, argument)
        raise WeightsError("the pickle has no end")

    # -- the stack

    def _pop(self) -> Any:
        value = self.stack.pop()
        if value is _Mark:
            raise WeightsError("the pickle is corrupt: a mark stands where a value should")
        return value

    def _push(self, value: Any) -> None:
        self.stack.append(value)

    def _pop_mark(self) -> list[Any]:
        for position in range(len(self.stack) - 1, -1, -1):
            if self.stack[position] is _Mark:
                values = self.stack[position + 1 :]
                del self.stack[position:]
                return values
        raise WeightsError("the pickle is corrupt: a mark is missing")

    def _pop_tuple(self, count: int) -> None:
        values = [self._pop() for _ in range(count)]
        self._push(tuple(reversed(values)))

    def _top(self) -> Any:
        value = self.stack[-1]
        if value is _Mark:
            raise WeightsError("the pickle is corrupt: a mark stands where a value should")
        return value

    def _pop_any(self) -> None:
        self.stack.pop()

    # -- containers

    def _append(self, values: list[Any]) -> None:
        target = self._top()
        if isinstance(target, Record):
            target.items.extend(values)
        elif isinstance(target, list):
            target.extend(values)
        else:
            raise WeightsError("the pickle is corrupt: it appends to something that is not a list")

    def _set(self, values: list[Any]) -> None:
        target = self._top()
        pairs = list(zip(values[::2], values[1::2], strict=True))
        if isinstance(target, Record):
            target.items.extend(pairs)
        elif isinstance(target, dict):
            target.update((_key(key), value) for key, value in pairs)
        else:
            raise WeightsError(
                "the pickle is corrupt: it sets items of something that is not a dictionary"
            )

    def _set_one(self) -> None:
        value, key = self._pop(), self._pop()
        self._set([key, value])

    def _dict_of(self, values: list[Any]) -> None:
        self._push({})
        self._set(values)

    # -- names, calls, instances

    def _global(self, module: Any, name: Any) -> None:
        if not isinstance(module, str) or not isinstance(name, str):
            raise UnsafeWeightsError(
                "the pickle names a global by something other than text", hint=_DISTRUST
            )
        if len(module) + len(name) > MAX_NAME:
            raise WeightsError(f"the pickle names a global in more than {MAX_NAME} characters")
        found = Global(OLD_MODULES.get(module, module), name)
        if not may_be_mentioned(found):
            raise UnsafeWeightsError(
                f"the file asks for {shown(found)}, which no checkpoint needs", hint=_DISTRUST
            )
        self.mentioned[found] = None
        self._push(found)

    def _call(self, function: Any, arguments: Any) -> None:
        if not isinstance(function, Global) or not isinstance(arguments, tuple):
            raise UnsafeWeightsError(
                "the pickle calls something that is not a function", hint=_DISTRUST
            )
        if function.module in ("builtins", "collections", "copyreg", "_codecs"):
            self._push(self._plain(function, arguments))
        elif function.is_class or function.name in HARMLESS.get(function.module, ()):
            self._push(Record(function, arguments))
        else:
            raise UnsafeWeightsError(
                f"the file asks for a call of {shown(function)}", hint=_DISTRUST
            )

    def _plain(self, function: Global, arguments: tuple[Any, ...]) -> Any:
        """What the harmless functions that make containers would give, as plain data."""
        first = arguments[0] if arguments else None
        if function.name == "getattr":
            return _attribute(arguments)
        if function.name in ("_reconstructor", "__newobj__"):
            if not isinstance(first, Global):
                raise UnsafeWeightsError(
                    "the pickle makes an instance of something that is not a class", hint=_DISTRUST
                )
            plain = first.module in ("collections", "builtins") and first.name in (
                "OrderedDict",
                "dict",
            )
            if not plain:
                self._count_copied(len(arguments))
            return {} if plain else Record(first, arguments[1:])
        if function.name in ("OrderedDict", "dict", "defaultdict", "Counter"):
            return self._dict_of_pairs(first if isinstance(first, list | tuple) else [])
        if function.name in ("set", "frozenset", "list", "tuple") and isinstance(
            first, list | tuple
        ):
            return first  # not a copy: a short pickle could ask for a million copies of a long list
        return [] if function.name in ("set", "frozenset", "list") else Record(function, arguments)

    def _count_copied(self, values: int) -> None:
        self._copied += values
        if self._copied > MAX_OPCODES:
            raise WeightsError(
                "the pickle copies its lists without end", hint="no checkpoint of HANet does"
            )

    def _dict_of_pairs(self, pairs: list[Any] | tuple[Any, ...]) -> dict[Any, Any]:
        self._count_copied(len(pairs))
        return {
            _key(pair[0]): pair[1]
            for pair in pairs
            if isinstance(pair, list | tuple) and len(pair) == 2
        }

    def _reduce(self) -> None:
        arguments, function = self._pop(), self._pop()
        self._call(function, arguments)

    def _instance(self, cls: Any, arguments: Any) -> None:
        if not isinstance(cls, Global) or not isinstance(arguments, tuple):
            raise UnsafeWeightsError(
                "the pickle makes an instance of something that is not a class", hint=_DISTRUST
            )
        if is_known(cls.module) and not cls.is_class:
            self._call(cls, arguments)
        else:
            self._push(Record(cls, arguments))

    def _new_object(self) -> None:
        arguments, cls = self._pop(), self._pop()
        self._instance(cls, arguments)

    def _new_object_with_keywords(self) -> None:
        keywords, arguments, cls = self._pop(), self._pop(), self._pop()
        if not isinstance(keywords, dict):
            raise WeightsError("the pickle is corrupt: keyword arguments are no dictionary")
        self._instance(cls, arguments)

    def _old_instance(self, text: Any) -> None:
        module, _, name = str(text).partition(" ")
        arguments = tuple(self._pop_mark())
        self._global(module, name)
        self._call(self._pop(), arguments)

    def _old_object(self) -> None:
        values = self._pop_mark()
        if not values:
            raise WeightsError("the pickle is corrupt: an instance without a class")
        self._call(values[0], tuple(values[1:]))

    def _build(self) -> None:
        state = self._pop()
        target = self._top()
        if isinstance(target, Record):
            target.state = state
        elif not isinstance(
            target, dict
        ):  # its attributes (torch: _metadata of a state dict) hold no tensor
            raise UnsafeWeightsError(
                "the pickle sets attributes of something that has none", hint=_DISTRUST
            )

    def _persistent(self) -> None:
        value = self._pop()
        # the old container names the class of a module by ("module", class, its file, its source)
        module = (
            isinstance(value, tuple)
            and len(value) == 4
            and value[0] == "module"
            and isinstance(value[1], Global)
        )
        self._push(value[1] if module else PersistentId(value))

    def _stack_global(self) -> None:
        name, module = self._pop(), self._pop()
        self._global(module, name)

    def _get(self, index: Any) -> None:
        try:
            self._push(self.memo[int(index)])
        except KeyError as error:
            raise WeightsError("the pickle is corrupt: it recalls what it never kept") from error


def read_pickle(stream: BinaryIO) -> tuple[Any, list[Global]]:
    """The object that a pickle describes, and every global that it mentions.

    The stream is left behind the pickle's end. Dictionaries (ordered or not), lists, tuples and
    scalars are Python's own, sets are lists; all else are :class:`Global`, :class:`Record` and
    :class:`PersistentId`.

    Args:
        stream: At the start of the pickle; its ``read`` gives at most what is there.

    Raises:
        UnsafeWeightsError: The pickle asks for something that is neither harmless nor a class of an
            unknown package.
        WeightsError: It is corrupt, cut short or too large.
    """
    machine = InertMachine()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # escapes in old strings that Python will stop to understand
            value = machine.run(_Limited(stream))  # type: ignore[arg-type]
    except (ValueError, IndexError, KeyError, OverflowError, AttributeError, TypeError) as error:
        reason = " ".join(str(error).split())[:120]
        raise WeightsError(
            f"the pickle is corrupt or cut short: {ascii(reason)[1:-1] or type(error).__name__}",
            hint=DAMAGED,
        ) from error
    except WeightsError as error:
        error.hint = error.hint or DAMAGED
        raise
    return value, list(machine.mentioned)


class _Limited:
    """A stream of limited length whose reads never ask for more than a limit, whatever length the
    pickle claims."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream, self._left = stream, MAX_PICKLE_BYTES

    def read(self, size: int) -> bytes:
        return self._taken(self._stream.read(min(size, self._left + 1)))

    def readline(self) -> bytes:
        return self._taken(self._stream.readline(self._left + 1))

    def tell(self) -> int:
        return MAX_PICKLE_BYTES - self._left

    def _taken(self, content: bytes) -> bytes:
        self._left -= len(content)
        if self._left < 0:
            raise WeightsError(
                f"the pickle is longer than {MAX_PICKLE_BYTES:,} bytes",
                hint="no checkpoint of HANet is that large",
            )
        return content


_DISTRUST = (
    "nothing of the file was run; do not load it with torch.load, and get the "
    "checkpoint from its authors"
)


def _key(key: Any) -> Any:
    return key if isinstance(key, str | int | float | bytes | bool) or key is None else _OpaqueKey()


def _attribute(arguments: tuple[Any, ...]) -> Global:
    """``getattr(class, "method")`` of an unknown package (mmengine's history buffers hold such) is
    kept as a name."""
    owner, attribute = arguments if len(arguments) == 2 else (None, "")
    if not isinstance(owner, Global) or not isinstance(attribute, str):
        raise UnsafeWeightsError("the file asks for a call of builtins.getattr", hint=_DISTRUST)
    if len(owner.name) + len(attribute) > MAX_NAME:
        raise WeightsError(f"the pickle names a method in more than {MAX_NAME} characters")
    if is_known(owner.module) or not attribute.isidentifier() or attribute.startswith("_"):
        wanted = Global(owner.module, f"{owner.name}.{attribute}")
        raise UnsafeWeightsError(
            f"the file asks builtins.getattr for {shown(wanted)}", hint=_DISTRUST
        )
    return Global(owner.module, f"{owner.name}.{attribute}")


def _pushes(value: Callable[[], Any]) -> Callable[[InertMachine, Any], None]:
    return lambda machine, _: machine._push(value())


def _does(method: Callable[..., None], *values: Any) -> Callable[[InertMachine, Any], None]:
    return lambda machine, _: method(machine, *values)


def _put(machine: InertMachine, index: Any) -> None:
    machine.memo[int(index)] = machine._top()


def _pass(machine: InertMachine, argument: Any) -> None:
    """What an unpickler that reads ahead would need to know."""


def _drop_to_mark(machine: InertMachine, _: Any) -> None:
    machine._pop_mark()


_VALUES = [
    "INT",
    "BININT",
    "BININT1",
    "BININT2",
    "LONG",
    "LONG1",
    "LONG4",
    "STRING",
    "BINSTRING",
    "SHORT_BINSTRING",
    "BINBYTES",
    "SHORT_BINBYTES",
    "BINBYTES8",
    "BYTEARRAY8",
    "UNICODE",
    "SHORT_BINUNICODE",
    "BINUNICODE",
    "BINUNICODE8",
    "FLOAT",
    "BINFLOAT",
]

_ACTIONS: dict[str, Callable[[InertMachine, Any], None]] = {
    **dict.fromkeys(_VALUES, lambda machine, argument: machine._push(argument)),
    **dict.fromkeys(("PROTO", "FRAME"), _pass),
    "NONE": _pushes(lambda: None),
    "NEWTRUE": _pushes(lambda: True),
    "NEWFALSE": _pushes(lambda: False),
    "MARK": _pushes(lambda: _Mark),
    "EMPTY_DICT": _pushes(dict),
    "EMPTY_LIST": _pushes(list),
    "EMPTY_SET": _pushes(list),
    "EMPTY_TUPLE": _pushes(tuple),
    "LIST": lambda machine, _: machine._push(machine._pop_mark()),
    "FROZENSET": lambda machine, _: machine._push(machine._pop_mark()),
    "TUPLE": lambda machine, _: machine._push(tuple(machine._pop_mark())),
    "DICT": lambda machine, _: machine._dict_of(machine._pop_mark()),
    "TUPLE1": _does(InertMachine._pop_tuple, 1),
    "TUPLE2": _does(InertMachine._pop_tuple, 2),
    "TUPLE3": _does(InertMachine._pop_tuple, 3),
    "APPEND": lambda machine, _: machine._append([machine._pop()]),
    "APPENDS": lambda machine, _: machine._append(machine._pop_mark()),
    "ADDITEMS": lambda machine, _: machine._append(machine._pop_mark()),
    "SETITEM": _does(InertMachine._set_one),
    "SETITEMS": lambda machine, _: machine._set(machine._pop_mark()),
    "POP": _does(InertMachine._pop_any),
    "POP_MARK": _drop_to_mark,
    "DUP": lambda machine, _: machine._push(machine._top()),
    "PUT": _put,
    "BINPUT": _put,
    "LONG_BINPUT": _put,
    "MEMOIZE": lambda machine, _: _put(machine, len(machine.memo)),
    **dict.fromkeys(
        ("GET", "BINGET", "LONG_BINGET"), lambda machine, argument: machine._get(argument)
    ),
    "GLOBAL": lambda machine, argument: machine._global(*str(argument).split(" ", 1)),
    "STACK_GLOBAL": _does(InertMachine._stack_global),
    "REDUCE": _does(InertMachine._reduce),
    "NEWOBJ": _does(InertMachine._new_object),
    "NEWOBJ_EX": _does(InertMachine._new_object_with_keywords),
    "INST": lambda machine, argument: machine._old_instance(argument),
    "OBJ": _does(InertMachine._old_object),
    "BUILD": _does(InertMachine._build),
    "BINPERSID": _does(InertMachine._persistent),
}
"""What each opcode does; those that are not here (extension registry, out-of-band buffers, textual
ids) are refused."""
