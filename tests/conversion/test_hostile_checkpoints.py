"""Files that are made to harm, or are no checkpoints: each ends in one line, a hint and exit code
2; nothing in them runs."""

from __future__ import annotations

import io
import os
import pickle
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from hanet.cli import main
from hanet.conversion.checkpoint_file import LEGACY_MAGIC, open_checkpoint
from hanet.conversion.inert_pickle import read_pickle
from hanet.errors import HanetError

PROTO, STOP = b"\x80\x04", b"."
FLOATS = b"ctorch\nFloatStorage\n"


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def stack_global(module: str, name: str) -> bytes:
    return text(module) + text(name) + b"\x93"


def zipped(
    content: bytes, storages: dict[str, bytes] | None = None, folder: str = "archive"
) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(f"{folder}/data.pkl", content)
        for key, numbers in (storages or {}).items():
            archive.writestr(f"{folder}/data/{key}", numbers)
    return buffer.getvalue()


def legacy(content: bytes, keys: list[str] | None = None, storages: bytes = b"") -> bytes:
    start = b"".join(
        pickle.dumps(value, 2) for value in (LEGACY_MAGIC, 1001, {"little_endian": True})
    )
    return start + content + pickle.dumps(keys or [], 2) + storages


def whole(number: int) -> bytes:
    content = number.to_bytes(9, "little", signed=True)
    return b"\x8a" + bytes([len(content)]) + content


def numbers(*values: int) -> bytes:
    return b"(" + b"".join(map(whole, values)) + b"t"


def tensor(
    shape: bytes,
    strides: bytes,
    *,
    key: str = "0",
    count: int = 4,
    offset: int = 0,
    storage: bytes = FLOATS,
) -> bytes:
    """The opcodes of a tensor as torch.save writes it."""
    reference = b"(" + text("storage") + storage + text(key) + text("cpu") + whole(count) + b"tQ"
    arguments = b"(" + reference + whole(offset) + shape + strides + b"\x89" + b"}" + b"t"
    return b"ctorch._utils\n_rebuild_tensor_v2\n" + arguments + b"R"


def state(value: bytes) -> bytes:
    """A dictionary with one tensor, under names that make it a HANet's."""
    return (
        PROTO + b"}" + text("conv0_0.weight") + value + b"s" + text("conv7.weight") + b"Ns" + STOP
    )


MARKER = "hanet_hostile_checkpoint_ran"
COMMAND = f"{sys.executable} -c \"import pathlib; pathlib.Path('{MARKER}').write_text('')\""

CODE: dict[str, tuple[bytes, str]] = {
    "REDUCE os.system": (b"cos\nsystem\n" + text(COMMAND) + b"\x85R.", "os.system"),
    "REDUCE posix.system": (b"cposix\nsystem\n" + text(COMMAND) + b"\x85R.", "posix.system"),
    "REDUCE nt.system": (b"cnt\nsystem\n" + text(COMMAND) + b"\x85R.", "nt.system"),
    "REDUCE builtins.eval": (
        PROTO + stack_global("builtins", "eval") + text("1") + b"\x85R.",
        "builtins.eval",
    ),
    "REDUCE __builtin__.exec": (b"c__builtin__\nexec\n" + text("1") + b"\x85R.", "builtins.exec"),
    "REDUCE subprocess": (b"csubprocess\nPopen\n" + text("ls") + b"\x85R.", "subprocess.Popen"),
    "a name alone": (b"cos\nsystem\n.", "os.system"),
    "nested global": (
        PROTO + stack_global("torch", "serialization.os.system") + text("ls") + b"\x85R.",
        "torch.serialization.os",
    ),
    "nested in harmless": (
        PROTO + stack_global("collections", "OrderedDict.__init__.__globals__") + b".",
        "OrderedDict.__init__",
    ),
    "nested call": (
        PROTO + stack_global("models.HANet", "os.system") + text("ls") + b"\x85R.",
        "call of models.HANet.os.system",
    ),
    "function of a stranger": (
        b"cpip._internal\nmain\n" + text("x") + b"\x85R.",
        "call of pip._internal.main",
    ),
    "getattr of a module": (
        b"cbuiltins\ngetattr\n(cmodels.HANet\nHAN\n" + text("__init__") + b"tR.",
        "HAN.__init__",
    ),
    "getattr of harmless": (
        b"cbuiltins\ngetattr\n(ccollections\nOrderedDict\n" + text("fromkeys") + b"tR.",
        "OrderedDict.fromkeys",
    ),
    "getattr of anything": (
        b"cbuiltins\ngetattr\n(" + text("a") + text("upper") + b"tR.",
        "builtins.getattr",
    ),
    "torch.load": (b"ctorch\nload\n" + text("other.pth") + b"\x85R.", "torch.load"),
    "torch.storage._load_from_bytes": (
        b"ctorch.storage\n_load_from_bytes\nC\x01x\x85R.",
        "_load_from_bytes",
    ),
    "torch.hub.load": (b"ctorch.hub\nload\n" + text("x") + b"\x85R.", "torch.hub.load"),
    "torch.jit": (b"ctorch.jit\nload\n" + text("x") + b"\x85R.", "torch.jit.load"),
    "numpy load": (b"cnumpy\nload\n" + text("x") + b"\x85R.", "numpy.load"),
    "INST": (b"(" + text("ls") + b"ios\nsystem\n.", "os.system"),
    "OBJ": (b"(cos\nsystem\n" + text("ls") + b"o.", "os.system"),
    "OBJ of a stranger's function": (b"(cevil\nrun\n" + text("ls") + b"o.", "call of evil.run"),
    "NEWOBJ": (PROTO + b"cos\nsystem\n" + text("ls") + b"\x85\x81.", "os.system"),
    "NEWOBJ_EX": (PROTO + b"cos\nsystem\n" + text("ls") + b"\x85}\x92.", "os.system"),
    "NEWOBJ of getattr": (PROTO + b"cbuiltins\ngetattr\n)\x81.", "builtins.getattr"),
    "BUILD of a class": (
        b"cmodels.HANet\nHAN\n}" + text("__setstate__") + b"cos\nsystem\nsb.",
        "os.system",
    ),
    "BUILD sets a class": (
        b"cmodels.HANet\nHAN\n}" + text("x") + b"Nsb.",
        "sets attributes of something that has none",
    ),
    "BUILD of a list": (b"]}b.", "sets attributes of something that has none"),
    "REDUCE of a tensor": (b"}" + text("x") + b"\x85R.", "calls something that is not a function"),
    "EXT1": (b"\x82\x01.", "EXT1"),
    "EXT4": (b"\x84\x01\x00\x00\x00.", "EXT4"),
    "PERSID": (b"Pstorage\n.", "PERSID"),
    "NEXT_BUFFER": (PROTO + b"\x97.", "NEXT_BUFFER"),
    "unprintable names": (
        PROTO + stack_global("os\x1b[31m\n", "sys\ttem") + text("x") + b"\x85R.",
        "\\x1b",
    ),
}
"""What asks for code -> the name that the refusal gives."""


DAMAGE: dict[str, Callable[[], tuple[bytes, str]]] = {
    "empty": lambda: (b"", "is empty"),
    "text": lambda: (b"hello, world\n" * 50, "no checkpoint"),
    "web page": lambda: (b"<!DOCTYPE html><html><title>Google Drive</title>", "web page"),
    "pointer of LFS": lambda: (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS"),
    "safetensors": lambda: (struct.pack("<Q", 2) + b"{}", "safetensors file already"),
    "PNG": lambda: (b"\x89PNG\r\n\x1a\n" + bytes(100), "no checkpoint"),
    "another pickle": lambda: (pickle.dumps({"a": 1}), "not one that torch.save wrote"),
    "pickle of nothing": lambda: (b"\x80\x02", "no checkpoint"),
    "tar": lambda: (bytes(257) + b"ustar" + bytes(300), "tar archive"),
    "zip without pickle": lambda: (_zip_of({"a.txt": b"a"}), "no NAME/data.pkl"),
    "two pickles": lambda: (_zip_of({"a/data.pkl": b"N.", "b/data.pkl": b"N."}), "no NAME/data.pkl"),
    "TorchScript": lambda: (_zip_of({"a/data.pkl": b"N.", "a/constants.pkl": b"N."}), "TorchScript"),
    "cut zip": lambda: (zipped(PROTO + b"}.")[:-30], "damaged zip"),
    "cut pickle": lambda: (zipped(PROTO + b"}" + text("conv0_0.weight")), "corrupt or cut short"),
    "no stack": lambda: (zipped(b"R."), "corrupt or cut short"),
    "mark as value": lambda: (zipped(b"(."), "mark"),
    "unknown opcode": lambda: (zipped(b"\xff\xff."), "corrupt or cut short"),
    "recalls nothing": lambda: (zipped(b"h\x07."), "recalls what it never kept"),
    "odd dictionary": lambda: (zipped(b"(Nd."), "corrupt"),
    "not UTF-8": lambda: (zipped(b"X\x01\x00\x00\x00\xff."), "corrupt"),
    "no network": lambda: (zipped(b"}."), "holds no network"),
    "a number": lambda: (zipped(b"K\x01."), "holds no network"),
    "wrong persistent id": lambda: (zipped(state(_tensor_of(b"K\x07Q"))), "no storage"),
    "persistent id of a dictionary": lambda: (zipped(state(_tensor_of(b"}Q"))), "no storage"),
    "storage without size": lambda: (zipped(state(_tensor_of(_reference(b"N")))), "without name or size"),
    "size is text": lambda: (zipped(state(_tensor_of(_reference(text("4"))))), "without name or size"),
    "traversal": lambda: (zipped(state(tensor(numbers(4), numbers(1), key="../../etc/passwd"))), "does not hold the numbers"),
    "no such storage": lambda: (zipped(state(tensor(numbers(4), numbers(1)))), "does not hold the numbers"),
    "storage of nothing": lambda: (_zip(tensor(numbers(4), numbers(1), storage=b"cmodels\nFloatStorages\n")), "of a type"),
    "quantised": lambda: (_zip(tensor(numbers(4), numbers(1), storage=b"ctorch\nQInt8Storage\n")), "of a type"),
    "storage claims more": lambda: (_zip(tensor(numbers(4), numbers(1), count=5)), "claims 5 numbers, the file holds 4"),
    "shape claims more": lambda: (_zip(tensor(numbers(5), numbers(1))), "its storage has 4 numbers"),
    "huge shape": lambda: (_zip(tensor(numbers(2**40, 2**40), numbers(2**40, 1))), "its storage has 4 numbers"),
    "huge size": lambda: (_zip(tensor(numbers(2**60), numbers(1))), "impossible shape"),
    "zero strides": lambda: (_zip(tensor(numbers(2**40, 4), numbers(0, 1))), "more than once"),
    "overlapping strides": lambda: (_zip(tensor(numbers(2, 2), numbers(1, 1))), "more than once"),
    "negative strides": lambda: (_zip(tensor(numbers(4), numbers(-1))), "impossible shape"),
    "negative offset": lambda: (_zip(tensor(numbers(2), numbers(1), offset=-1)), "impossible shape"),
    "offset beyond": lambda: (_zip(tensor(numbers(2), numbers(1), offset=3)), "its storage has 4 numbers"),
    "many axes": lambda: (_zip(tensor(numbers(*[1] * 9), numbers(*[1] * 9))), "impossible shape"),
    "shape is text": lambda: (_zip(tensor(text("4"), numbers(1))), "impossible shape"),
    "packed": lambda: (_packed(), "without compression"),
    "entry twice": lambda: (_twice(), "twice"),
    "legacy cut": lambda: (legacy(state(tensor(numbers(4), numbers(1))), ["0"], struct.pack("<q", 4) + bytes(15)), "cut short"),
    "legacy storage claims more": lambda: (
        legacy(state(tensor(numbers(4), numbers(1))), ["0"], struct.pack("<q", 2**60) + bytes(16)), "claims more than it holds",
    ),
    "legacy negative size": lambda: (
        legacy(state(tensor(numbers(4), numbers(1))), ["0"], struct.pack("<q", -4) + bytes(16)), "claims more than it holds",
    ),
    "legacy without size": lambda: (legacy(state(tensor(numbers(4), numbers(1))), ["0"], b"\x04"), "claims more than it holds"),
    "legacy stranger": lambda: (legacy(state(tensor(numbers(4), numbers(1))), ["1"], bytes(8)), "nothing refers to"),
    "legacy view claims more": lambda: (
        legacy(state(_view(b"(" + text("0_1") + whole(3) + whole(4) + b"t")), ["0"], struct.pack("<q", 4) + bytes(16)),
        "claims 4 numbers",
    ),
    "legacy damaged view": lambda: (
        legacy(state(_view(b"(" + text("0_1") + whole(-3) + whole(4) + b"t")), ["0"], struct.pack("<q", 4) + bytes(16)),
        "damaged view",
    ),
    "legacy deep version": lambda: (
        pickle.dumps(LEGACY_MAGIC, 2) + b"]" * 9000 + b"a" * 8999 + b"." + pickle.dumps({}, 2), "another version",
    ),
    "legacy long version": lambda: (
        pickle.dumps(LEGACY_MAGIC, 2) + b"\x8b" + struct.pack("<i", 9000) + b"\x01" * 9000 + b"." + pickle.dumps({}, 2),
        "another version",
    ),
    "a long number as a key": lambda: (zipped(b"}\x8b" + struct.pack("<i", 9000) + b"\x01" * 9000 + b"Ns."), "holds no network"),
    "long name of a tensor": lambda: (zipped(_module_of(text("a" * 1000))), "parts within parts"),
    "long name of a class": lambda: (zipped(stack_global("models", "A" * 1000) + b"."), "in more than 500 characters"),
    "long name of a method": lambda: (
        zipped(b"cbuiltins\ngetattr\n(cmodels\nHAN\n" + text("a" * 1000) + b"tR."), "in more than 500 characters",
    ),
    "legacy keys": lambda: (legacy(b"}.")[:-6] + b"K\x01.", "list of its storages"),
}  # fmt: skip


def _zip(value: bytes) -> bytes:
    return zipped(state(value), {"0": bytes(16)})


def _reference(count: bytes) -> bytes:
    return b"(" + text("storage") + FLOATS + text("0") + text("cpu") + count + b"tQ"


def _module_of(name: bytes) -> bytes:
    """A pickled module with one tensor of this name."""
    parts = (
        text("_parameters")
        + b"}"
        + name
        + tensor(numbers(4), numbers(1))
        + b"s"
        + text("_modules")
        + b"}"
    )
    return PROTO + b"cmodels\nHAN\n)\x81}(" + parts + b"ub."


def _view(view: bytes) -> bytes:
    return _tensor_of(
        b"(" + text("storage") + FLOATS + text("0") + text("cpu") + whole(4) + view + b"tQ"
    )


def _tensor_of(reference: bytes) -> bytes:
    return (
        b"ctorch._utils\n_rebuild_tensor_v2\n("
        + reference
        + whole(0)
        + numbers(4)
        + numbers(1)
        + b"\x89}tR"
    )


def _zip_of(entries: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def _packed() -> bytes:
    return _zip_of({"a/data.pkl": b"N" * 10_000_000 + b"."}, zipfile.ZIP_DEFLATED)


def _twice() -> bytes:
    content = _zip_of({"a/data.pkl": b"N.", "a/data.pkx": b"N."})
    return content.replace(b"a/data.pkx", b"a/data.pkl")


def _refused(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> str:
    out = path.with_name("out.safetensors")
    monkeypatch.chdir(path.parent)
    monkeypatch.setattr(
        sys, "argv", ["hanet", "convert", str(path), str(out), "--dataset", "levir-cd"]
    )
    with pytest.raises(SystemExit) as stop:
        main()
    printed = capsys.readouterr()
    assert stop.value.code == 2
    assert printed.out == ""
    lines = printed.err.splitlines()
    assert [line.split(":")[0] for line in lines] == ["error", "hint"]
    assert printed.err.isprintable() or printed.err.replace("\n", "").isprintable()
    assert not out.exists()
    assert sorted(entry.name for entry in path.parent.iterdir()) == [path.name]
    return printed.err


@pytest.mark.parametrize("container", [zipped, legacy])
@pytest.mark.parametrize("case", CODE)
def test_what_asks_for_code_is_refused_by_name(
    case: str,
    container: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    content, named = CODE[case]
    (tmp_path / "a.pth").write_bytes(container(content))
    error = _refused(tmp_path / "a.pth", monkeypatch, capsys)
    assert named in error
    assert not Path(MARKER).exists()


@pytest.mark.parametrize("case", DAMAGE)
def test_damaged_and_foreign_files_are_refused_in_words(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    content, message = DAMAGE[case]()
    (tmp_path / "a.pth").write_bytes(content)
    assert message in _refused(tmp_path / "a.pth", monkeypatch, capsys)


def test_the_marker_would_be_there_if_code_ran(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    pickle.loads(CODE["REDUCE os.system"][0])
    assert Path(MARKER).exists()


def test_missing_files_and_folders_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing.pth"):
        with pytest.raises(HanetError, match=r"cannot be read|is a directory"):
            open_checkpoint(path)


def test_every_cut_of_a_pickle_is_an_error_of_ours() -> None:
    content = state(tensor(numbers(4), numbers(1)) + b"c__builtin__\nset\n]\x85R0")
    for length in range(len(content)):
        with pytest.raises(HanetError):
            read_pickle(io.BytesIO(content[:length]))


def test_random_damage_never_leaves_our_errors() -> None:
    random, content = Random(0), state(tensor(numbers(4), numbers(1)))
    refused = 0
    for _ in range(3000):
        damaged = bytearray(content)
        for _ in range(random.randint(1, 4)):
            damaged[random.randrange(len(damaged))] = random.randrange(256)
        try:
            read_pickle(io.BytesIO(bytes(damaged)))
        except HanetError:
            refused += 1
    assert 0 < refused < 3000, "damage that is seen, and damage that makes another pickle"


BOMBS = """
import io, resource, struct, sys, time, zipfile
from pathlib import Path
from hanet.conversion.checkpoint_file import open_checkpoint
from hanet.errors import HanetError
from hanet.conversion.inert_pickle import MAX_OPCODES

def zipped(content):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a/data.pkl", content)
    return buffer.getvalue()

def memo(n):
    return b"r" + struct.pack("<I", n)

laughs = b")" + b"2\\x86" * 200
bombs = {
    "claims a long text": zipped(b"\\x8d" + struct.pack("<Q", 2**62) + b"abc."),
    "claims long bytes": zipped(b"\\x8e" + struct.pack("<Q", 2**62) + b"abc."),
    "claims a long frame": zipped(b"\\x80\\x04\\x95" + struct.pack("<Q", 2**62) + b"N."),
    "keeps at a far place": zipped(b"N" + memo(2**32 - 1) + b"."),
    "a long number": zipped(b"\\x8b" + struct.pack("<i", 2**31 - 1) + b"abc."),
    "many dictionaries": zipped(b"}" * (MAX_OPCODES + 10) + b"."),
    "many sets": zipped(b"\\x8f" * (MAX_OPCODES + 10) + b"."),
    "deep lists": zipped(b"]" * 240000 + b"a" * 239999 + b"."),
    "deep tuples": zipped(b")" + b"\\x85" * 490000 + b"."),
    "doubled tuples": zipped(laughs + b"."),
    "doubled tuples as a key": zipped(b"}" + laughs + b"Ns."),
    "deep tuples as a key": zipped(b"}" + b")" + b"\\x85" * 490000 + b"Ns."),
    "copies of a long list": zipped(b"](" + b"N" * 200000 + b"eq\\x00" + b"c__builtin__\\nlist\\nh\\x00\\x85R" * 50000 + b"."),
    "dictionaries of a long list": zipped(
        b"](" + b"NN\\x86" * 60000 + b"eq\\x00" + b"ccollections\\nOrderedDict\\nh\\x00\\x85R" * 100 + b"."),
    "records of a long tuple": zipped(
        b"(cmodels\\nHAN\\n" + b"N" * 100000 + b"tq\\x00" + b"ccopyreg\\n_reconstructor\\nh\\x00R" * 100000 + b"."),
    "methods of methods": zipped(
        b"cmodels\\nHAN\\nX" + struct.pack("<I", 2**20) + b"a" * 2**20 + b"q\\x010q\\x00"
        + b"0cbuiltins\\ngetattr\\nh\\x00h\\x01\\x86Rq\\x00" * 2000 + b"."),
    "a long pickle": zipped(b"N0" * (33 * 2**20)),
    "a long line": zipped(b"c" + b"a" * (70 * 2**20)),
    "old, claims a long text": b"\\x80\\x02\\x8d" + struct.pack("<Q", 2**62) + b"abc.",
    "directory of many entries": None,
}
folder = Path(sys.argv[1])
resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30))
for name, content in bombs.items():
    path = folder / "bomb.pth"
    if content is None:
        entry = b"PK\\x01\\x02" + bytes(24) + struct.pack("<H", 0) + bytes(16)
        many = 400000
        end = b"PK\\x05\\x06" + struct.pack("<HHHHIIH", 0, 0, 65535, 65535, len(entry) * many, 4, 0)
        path.write_bytes(b"PK\\x03\\x04" + entry * many + end)
    else:
        path.write_bytes(content)
    try:
        open_checkpoint(path)
        print("read", name)
    except HanetError as error:
        print("refused", name, "|", error.message)
assert "torch" not in sys.modules
# not ru_maxrss: on Linux a new process takes over that of the one that started it
status = Path("/proc/self/status").read_text().splitlines()
peak_kb = int(next(line for line in status if line.startswith("VmHWM")).split()[1])
print("peak", peak_kb // 1024, "MiB")
"""


@pytest.mark.skipif(
    not Path("/proc/self/status").exists(),
    reason="memory of a process cannot be limited and read here",
)
def test_bombs_stay_small(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-c", BOMBS, str(tmp_path)],
        capture_output=True, text=True, timeout=120, check=False,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
    )  # fmt: skip
    assert result.returncode == 0, result.stderr[-2000:]
    lines = result.stdout.splitlines()
    harmless = {"keeps at a far place", "deep lists", "deep tuples", "doubled tuples", "doubled tuples as a key",
                "deep tuples as a key", "copies of a long list", "claims a long frame"}  # fmt: skip
    assert {line.removeprefix("read ") for line in lines if line.startswith("read ")} == harmless, (
        result.stdout
    )
    assert sum(line.startswith("refused ") for line in lines) == 12
    assert int(lines[-1].split()[1]) < 400, lines[-1]
