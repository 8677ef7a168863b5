"""How casemate's plain data becomes dicts and comes back."""

import dataclasses
import enum
from typing import Any, Callable, ClassVar, Dict, Mapping, Optional, Type, TypeVar

from ._errors import InvalidInput

__all__ = ["Plain", "binary", "each", "with_sentences"]

T = TypeVar("T", bound="Plain")


def _encoded(value: Any) -> Any:
    if isinstance(value, Plain):
        return value.to_dict()
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    if isinstance(value, (list, tuple)):
        return [_encoded(item) for item in value]
    if isinstance(value, dict):
        return {key: _encoded(item) for key, item in value.items()}
    return value


def each(read: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Reads a list of what ``read`` reads."""
    return lambda values: [read(value) for value in values]


def binary(value: Any) -> Any:
    """Reads bytes as `Plain.to_dict` writes them."""
    return value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value


class Sentences:
    """The docstring of a class of plain data: its own, then each field with the sentence below it in the source, read when it is asked for.

    Python itself drops what stands below a field, and help() would not have it.
    """

    def __init__(self, doc: Optional[str], name: str, module: str) -> None:
        self._doc, self._name, self._module = doc, name, module

    def __get__(self, instance: object, owner: Optional[type] = None) -> Optional[str]:
        from inspect import cleandoc

        fields = "\n".join(f"{field}: {sentence}" for field, sentence in self.of_fields().items())
        return f"{cleandoc(self._doc)}\n\n{fields}" if self._doc and fields else self._doc

    def of_fields(self) -> Dict[str, str]:
        """By field; empty where the source can't be read."""
        import ast
        import sys

        loader = getattr(sys.modules.get(self._module), "__loader__", None)
        try:
            source = loader.get_source(self._module) if loader else None
        except (ImportError, OSError):
            source = None
        found: Dict[str, str] = {}
        for node in ast.parse(source or "").body:
            if isinstance(node, ast.ClassDef) and node.name == self._name:
                for one, below in zip(node.body, node.body[1:]):
                    target = one.target if isinstance(one, ast.AnnAssign) else one.targets[0] if isinstance(one, ast.Assign) else None
                    text = below.value if isinstance(below, ast.Expr) else None
                    if isinstance(target, ast.Name) and isinstance(text, ast.Constant) and isinstance(text.value, str):
                        found[target.id] = " ".join(text.value.split())
        return found


def with_sentences(cls: Type[Any], module: str) -> None:
    """Lets help() of a class show the sentences of its fields; `module` has its source."""
    cls.__doc__ = Sentences(cls.__doc__, cls.__name__, module)  # type: ignore[assignment]


class Plain:
    """A dataclass that can be a dict."""

    _read: ClassVar[Mapping[str, Callable[[Any], Any]]] = {}  # of fields that are more than JSON

    def to_dict(self) -> Dict[str, Any]:
        """All fields as what JSON has.

        Enums are their words. Bytes are text with surrogateescape, so nothing is lost on the way there and back.
        """
        return {field.name: _encoded(getattr(self, field.name)) for field in dataclasses.fields(self)}  # type: ignore[arg-type]

    @classmethod
    def from_dict(cls: Type[T], data: Mapping[str, Any]) -> T:
        """The reverse of `to_dict`. A field that is missing has its default; `InvalidInput` names one that is unknown or can't be read."""
        if not hasattr(data, "items"):
            raise InvalidInput(f"{cls.__name__}: a dict is wanted, not {type(data).__name__}")
        known = [field.name for field in dataclasses.fields(cls)]  # type: ignore[arg-type]
        values: Dict[str, Any] = {}
        for name, value in data.items():
            if name not in known:
                raise InvalidInput(f"{cls.__name__} has no field {name!r}; it has {', '.join(known)}")
            read = cls._read.get(name)
            try:
                values[name] = read(value) if read and value is not None else value
            except InvalidInput as problem:
                raise InvalidInput(f"{cls.__name__}.{name}: {problem}") from None
            except (TypeError, ValueError, AttributeError):
                raise InvalidInput(f"{cls.__name__}.{name}: can't be {value!r:.80}") from None
        for one in dataclasses.fields(cls):  # type: ignore[arg-type]
            if one.name not in values and one.default is dataclasses.MISSING and one.default_factory is dataclasses.MISSING:
                raise InvalidInput(f"{cls.__name__}: {one.name!r} is missing")
        return cls(**values)
