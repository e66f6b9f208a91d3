"""Files of tensors: read as views of the file, written whole or not at all."""

import contextlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import ml_dtypes
import numpy as np

DTYPES: Mapping[str, Any] = {
    "F64": np.float64,
    "F32": np.float32,
    "F16": np.float16,
    "BF16": ml_dtypes.bfloat16,
    "I64": np.int64,
    "I32": np.int32,
    "I16": np.int16,
    "I8": np.int8,
    "U8": np.uint8,
    "BOOL": np.bool_,
}
LARGEST_HEADER = 100 * 2**20


def read(path: Path | str) -> dict[str, np.ndarray]:
    """The tensors of a file by name, as views: nothing is copied until somebody looks.

    Args:
      path: of a `.safetensors` file.

    Returns:
      Arrays by name.

    Raises:
      FileNotFoundError: naming the file.
      ValueError: for a file that is cut, or whose header does not describe it.

    Example:
      >>> import tempfile
      >>> with tempfile.TemporaryDirectory() as directory:
      ...     write(f"{directory}/two.safetensors", {"a": np.arange(3.0), "b": np.ones((2, 1), np.int8)})
      ...     tensors = read(f"{directory}/two.safetensors")
      >>> tensors["a"].tolist(), tensors["b"].shape
      ([0.0, 1.0, 2.0], (2, 1))

    Source: the format of the safetensors library: eight bytes of a header's length, the header in JSON, the tensors.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such file; is the download complete?")
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > min(size - 8, LARGEST_HEADER):
            raise ValueError(f"{path}: its header would have {length} bytes of a file of {size}; it is cut or damaged")
        header = _header(path, file.read(length))
    begin = 8 + length
    spans = {name: _span(path, name, entry) for name, entry in header.items()}
    _check_spans(path, {name: offsets for name, (_, _, offsets) in spans.items()}, size - begin)
    if size == begin:
        return {name: np.empty(shape, dtype) for name, (dtype, shape, _) in spans.items()}
    data = np.memmap(path, np.uint8, mode="r", offset=begin)
    return {name: _tensor(data, *span) for name, span in spans.items()}


def _header(path: Path, text: bytes) -> dict[str, Any]:
    try:
        header = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: its header is no JSON; it is no safetensors file, or damaged") from error
    if not isinstance(header, dict):
        raise ValueError(f"{path}: its header is no table of tensors; it is damaged")
    header.pop("__metadata__", None)
    return header


def _span(path: Path, name: str, entry: Any) -> tuple[Any, tuple[int, ...], tuple[int, int]]:
    """Dtype, shape and place of a tensor."""
    try:
        dtype, shape, (first, last) = entry["dtype"], tuple(entry["shape"]), entry["data_offsets"]
        integers = all(type(n) is int for n in (*shape, first, last))
        if not integers or not isinstance(dtype, str):
            raise TypeError
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: {name} lacks dtype, shape or data_offsets; the header is damaged") from error
    if dtype not in DTYPES:
        raise ValueError(f"{path}: {name} has the dtype {dtype}; supported are {', '.join(DTYPES)}")
    needed = np.dtype(DTYPES[dtype]).itemsize * int(np.prod(shape, dtype=object))
    if last - first != needed or min(*shape, first, last, 0) < 0:
        raise ValueError(f"{path}: {name} of shape {list(shape)} cannot be what stands at {first} to {last}")
    return DTYPES[dtype], shape, (first, last)


def _check_spans(path: Path, spans: Mapping[str, tuple[int, int]], size: int) -> None:
    """Refuse tensors that overlap, leave gaps, or end elsewhere than the file."""
    position, before = 0, "the beginning"
    for name, (first, last) in sorted(spans.items(), key=lambda item: item[1]):
        if first != position:
            what = "overlap" if first < position else "leave a gap"
            raise ValueError(f"{path}: {before} and {name} {what}; the file is damaged")
        position, before = last, name
    if position != size:
        what = "is cut" if position > size else "goes on behind them"
        raise ValueError(f"{path}: the tensors have {position} bytes and the file {size}: it {what}")


def _tensor(data: np.ndarray, dtype: Any, shape: tuple[int, ...], offsets: tuple[int, int]) -> np.ndarray:
    piece = data[slice(*offsets)]
    if offsets[0] % np.dtype(dtype).itemsize:  # a view would not be aligned
        piece = np.array(piece)
    return piece.view(dtype).reshape(shape)


def write(path: Path | str, tensors: Mapping[str, Any]) -> None:
    """Write tensors to a file that appears only when it is complete.

    Args:
      path: of the file.
      tensors: arrays by name; one of them at a time is on the host.

    Raises:
      ValueError: for a tensor of a dtype that has no name in the format, naming both.

    Example:
      >>> import tempfile
      >>> with tempfile.TemporaryDirectory() as directory:
      ...     write(Path(directory) / "one.safetensors", {"a": np.zeros(2, np.float32)})
      ...     [path.name for path in Path(directory).iterdir()]
      ['one.safetensors']

    Source: as `read`.
    """
    path, names = Path(path), {np.dtype(dtype): name for name, dtype in DTYPES.items()}
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}  # transformers wants to be told
    position = 0
    for name, tensor in tensors.items():
        dtype = np.dtype(tensor.dtype)
        if dtype not in names:
            raise ValueError(f"{path}: {name} has the dtype {dtype}; supported are {', '.join(map(str, names))}")
        last = position + dtype.itemsize * int(np.prod(tensor.shape))
        header[name] = {"dtype": names[dtype], "shape": list(tensor.shape), "data_offsets": [position, last]}
        position = last
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with _complete(path) as part, part.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for tensor in tensors.values():
            file.write(np.ascontiguousarray(on_host(tensor)).view(np.uint8).data if tensor.size else b"")


def on_host(tensor: Any) -> np.ndarray:
    """A tensor as an array of NumPy that lives no longer than whoever asked for it.

    A `jax.Array` keeps what `np.asarray` copied from its devices; another one of the same buffers is thrown away.

    Args:
      tensor: `jax.Array`, or what NumPy can read.

    Returns:
      Its values, of the same shape.

    Source: our own.
    """
    if isinstance(tensor, jax.Array):
        shards = [shard.data for shard in tensor.addressable_shards]
        tensor = jax.make_array_from_single_device_arrays(tensor.shape, tensor.sharding, shards)
    return np.asarray(tensor)


@contextlib.contextmanager
def new_directory(directory: Path | str) -> Iterator[Path]:
    """A directory to fill, which has its name when everything in it is written, and is gone if something raises.

    Args:
      directory: that must not exist.

    Yields:
      Where it is filled.

    Raises:
      FileExistsError: if there is something already.

    Source: our own.
    """
    directory = Path(directory)
    if directory.exists():
        raise FileExistsError(f"{directory}: it exists; choose another directory")
    with _complete(directory) as part:
        part.mkdir(parents=True)
        yield part


@contextlib.contextmanager
def _complete(path: Path) -> Iterator[Path]:
    """A place beside `path` to write to; it takes the name when all is written, and goes if something raises."""
    part = path.with_name(path.name + ".part")
    _remove(part)  # of a process that was killed
    try:
        yield part
        os.replace(part, path)
    except BaseException:
        _remove(part)
        raise


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
