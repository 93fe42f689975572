"""What all formats of others have in common: the files of ``transformers`` around the settings."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from safetensors import SafetensorError, safe_open

from interlace.errors import CheckpointError
from interlace.models import layout
from interlace.models.checkpoint import TOKENIZER, fault, fingerprint
from interlace.models.formats.fields import Fields, inside

#: Families whose positions begin behind the padding token's id.
_OFFSET_POSITIONS: Final = ("roberta", "xlm-roberta", "camembert", "xmod", "mpnet", "longformer")

#: A ``model_max_length`` above this stands for "none".
_NO_LIMIT: Final = 1 << 24


class Transformer:
    """The transformer's own files in a model folder.

    Attributes
    ----------
    config, tokenizer_config : Fields
        ``config.json`` and ``tokenizer_config.json``; without fields where they are not there.
    graph, weights : Path or None
        The ONNX graph, and the weights; at least one is there.
    precision : str

    Raises
    ------
    CheckpointError
        When it holds neither, or no tokenizer.
    """

    def __init__(self, folder: Path, precision: str | None) -> None:
        self.folder = folder
        self.config = Fields.read_if_there(folder / "config.json")
        self.tokenizer_config = Fields.read_if_there(folder / "tokenizer_config.json")
        self.names = {
            path.relative_to(folder).as_posix()
            for place in ("*", "onnx/*")
            for path in folder.glob(place)
            if path.is_file()
        }
        found = layout.graph(self.names, precision)
        self.graph = folder / found[0] if found else None
        weights = layout.weights(self.names)
        self.weights = folder / weights if weights else None
        self.precision = found[1] if found else precision or "float32"
        if found is None and precision is not None and self.weights is None:
            raise CheckpointError(
                f'no graph of precision "{precision}": {folder}. Make one: '
                f"interlace export {folder} --to FOLDER, with --int8 for int8."
            )
        if self.graph is None and self.weights is None:
            raise CheckpointError(
                f"file missing: {folder / 'model.safetensors'}. A model folder holds that or "
                "an ONNX graph, model.onnx or onnx/model.onnx. Fetch the model again."
            )
        if TOKENIZER not in self.names:
            raise CheckpointError(
                f"file missing: {folder / TOKENIZER}. Where a model has only its tokenizer's "
                "vocabulary, make that file: transformers.AutoTokenizer.from_pretrained(folder)"
                ".save_pretrained(folder)."
            )

    @property
    def is_whole(self) -> bool:
        """Whether the graph is one of next-plaid's, which end in embeddings."""
        return (
            self.graph is not None
            and self.graph.parent == self.folder
            and "onnx_config.json" in self.names
        )

    @property
    def remote_code(self) -> bool:
        """Whether the transformer is code that comes with the model."""
        return self.config.has("auto_map")

    @property
    def positions(self) -> int | None:
        """How many tokens the transformer has positions for; None when it does not say."""
        most: int | None = self.config.count("max_position_embeddings", None)
        if most is not None and self.config.text("model_type", "") in _OFFSET_POSITIONS:
            most -= 1 + (self.config.id("pad_token_id") if self.config.has("pad_token_id") else 1)
        return most

    @property
    def longest(self) -> int | None:
        """How many tokens the tokenizer lets through where no length is given."""
        most = self.tokenizer_config.values.get("model_max_length")
        if not isinstance(most, int) or isinstance(most, bool) or not 1 <= most < _NO_LIMIT:
            most = None
        limits = [limit for limit in (most, self.positions) if limit is not None]
        return min(limits) if limits else None

    def within_positions(self, length: int) -> int:
        """A length, cut to what the transformer has positions for."""
        return length if self.positions is None else max(1, min(length, self.positions))

    def fill_token(self) -> str:
        """What queries are filled up with: the mask token, without one the end of a text."""
        for name in ("mask_token", "eos_token"):
            for said in (
                self.tokenizer_config,
                Fields.read_if_there(self.folder / "special_tokens_map.json"),
            ):
                value = said.values.get(name)
                if isinstance(value, dict):
                    value = value.get("content")
                if isinstance(value, str) and value:
                    return value
        return ""

    def fingerprint(self, *settings: Path, dense: Iterable[Path] = ()) -> str:
        """Over what decides the embeddings: the weights in use, the tokenizer, the settings."""
        files = [self.folder / TOKENIZER, *(path for path in settings if path.is_file()), *dense]
        if self.graph is not None:
            name = self.graph.relative_to(self.folder).as_posix()
            files += [self.folder / one for one in layout.with_data(name, self.names)]
        elif self.weights is not None:
            files += self._parts()
        return fingerprint(self.folder, files)

    def file_of(self, array: str) -> Path | None:
        """The weight file that holds an array; None when there is none, or only a graph."""
        if self.weights is None or self.weights.suffix != ".json":
            return self.weights
        name = Fields.read(self.weights).group("weight_map").text(array, None)
        return None if name is None else self._part(name)

    def _parts(self) -> list[Path]:
        if self.weights is None or self.weights.suffix != ".json":
            return [] if self.weights is None else [self.weights]
        parts = Fields.read(self.weights).group("weight_map")
        return [self.weights, *{self._part(parts.text(array)) for array in parts.values}]

    def _part(self, name: str) -> Path:
        assert self.weights is not None
        return inside(self.folder, name, self.weights, "weight_map")


def shape(path: Path, array: str) -> tuple[int, ...] | None:
    """The shape of an array of a safetensors file, of which only the header is read.

    None when the file has no such array, or is a pickle, which is not opened here.

    Raises
    ------
    CheckpointError
        When it is no safetensors file.
    """
    if path.suffix != ".safetensors":
        return None
    try:
        with safe_open(str(path), framework="np") as file:
            if array not in file.keys():  # noqa: SIM118  (it is no mapping)
                return None
            return tuple(file.get_slice(array).get_shape())
    except (OSError, SafetensorError, ValueError) as cause:
        raise CheckpointError(
            f"cannot be read as safetensors: {path} ({cause}). Fetch the model again."
        ) from cause


def matrix_shape(path: Path, array: str) -> tuple[int, int]:
    """The shape of a matrix that must be there.

    Raises
    ------
    CheckpointError
    """
    found = shape(path, array)
    if found is None:
        raise fault(path, array, "is missing")
    if len(found) != 2 or 0 in found:
        raise fault(path, array, f"must be a matrix, not of shape {found}")
    return found[0], found[1]
