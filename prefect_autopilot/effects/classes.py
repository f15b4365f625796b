"""The classes of a file: inherited methods, and those that Python calls without a call in the text."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from prefect_autopilot.effects.module import Function, Module

_CONSTRUCTORS = ("__new__", "__init__", "__post_init__")
_KNOWN_ORIGINS = ("pydantic.", "typing.", "enum.", "abc.", "builtins.", "dataclasses.")
_KNOWN_DECORATORS = frozenset(
    {"dataclasses.dataclass", "functools.total_ordering", "typing.final", "enum.unique"}
)


def with_bases(module: Module, name: str) -> list[str]:
    """Return a class of the file and those of its bases that are in the file, nearest first."""
    found: list[str] = []
    pending = [name]
    while pending:
        one = pending.pop(0)
        if one in module.classes and one not in found:
            found.append(one)
            pending += [base.id for base in module.classes[one].bases if isinstance(base, ast.Name)]
    return found


def method_of(module: Module, name: str, method: str, *, inherited: bool = False) -> Function | None:
    """Return a method of a class, its own or a base's; only a base's with ``inherited``."""
    owners = with_bases(module, name)[1 if inherited else 0 :]
    found = (module.functions.get(f"{owner}.{method}") for owner in owners)
    return next((one for one in found if one), None)


def constructors(module: Module, name: str) -> Iterator[Function]:
    """Yield the methods that make an object of a class."""
    found = (method_of(module, name, method) for method in _CONSTRUCTORS)
    return (one for one in found if one)


def implicit_methods(module: Module, name: str) -> Iterator[Function]:
    """Yield what Python may call on an object although no call names it: properties and special methods."""
    for owner in with_bases(module, name):
        for key, function in module.functions.items():
            method = key.removeprefix(f"{owner}.")
            special = method.startswith("__") and method.endswith("__") and method not in _CONSTRUCTORS
            if key.startswith(f"{owner}.") and (special or is_property(function)):
                yield function


def is_property(function: Function) -> bool:
    """Tell whether reading or setting an attribute calls a method."""
    named = (ast.unparse(one) for one in function.node.decorator_list)
    return any(text.endswith(("property", ".setter", ".deleter")) for text in named)


def is_model(module: Module, name: str) -> bool:
    """Tell whether a class of the file is a pydantic model."""
    bases = (base for one in with_bases(module, name) for base in module.classes[one].bases)
    return any((module.qualified(base) or "").startswith("pydantic.") for base in bases)


def unknown_parts(module: Module, name: str) -> Iterator[str]:
    """Yield bases and decorators of a class whose code is not known."""
    for one in with_bases(module, name):
        node = module.classes[one]
        for base in [*node.bases, *(word.value for word in node.keywords if word.arg == "metaclass")]:
            origin = module.qualified(base.value if isinstance(base, ast.Subscript) else base)
            if (origin or ast.unparse(base)) not in module.classes and not (origin or "").startswith(
                _KNOWN_ORIGINS
            ):
                yield origin or ast.unparse(base)
        for decorator in node.decorator_list:
            target = decorator.func if isinstance(decorator, ast.Call) else decorator
            if (module.qualified(target) or "") not in _KNOWN_DECORATORS:
                yield ast.unparse(target)
