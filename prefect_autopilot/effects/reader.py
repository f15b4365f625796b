"""Reads what the functions and statements of one file do, by the table and through calls within the file."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from prefect_autopilot.effects.arguments import locate, special_touch
from prefect_autopilot.effects.methods import (
    COMPUTE,
    COMPUTE_ON_DATA,
    FUTURE_METHODS,
    LOG_METHODS,
    LOGGERS,
    MODEL_METHODS,
    MUTATE,
    MUTATE_OR_WRITE,
    TAKE_KEYWORDS,
)
from prefect_autopilot.effects.module import Function, Module, read_module
from prefect_autopilot.effects.scope import PLAIN, Scope, open_scope, without_options
from prefect_autopilot.effects.table import Entry, is_handle, lookup
from prefect_autopilot.effects.values import FunctionEffect, Level, OperationEffects, Touch, worst

_TASK_CALLS = frozenset({"submit", "map", "fn", "delay"})


class EffectReader:
    """What the functions of one file do; every function is read once, calls within the file are followed."""

    def __init__(self, module: Module, operations: OperationEffects | None = None) -> None:
        self.module = module
        self._operations = operations
        self._effects: dict[str, FunctionEffect] = {}
        self._scopes: dict[str, Scope] = {}
        self._returns: dict[str, str] = {}
        self._open: list[str] = []
        self._cyclic = False

    @classmethod
    def of(cls, source: str, operations: OperationEffects | None = None) -> EffectReader:
        """Parse a source text and return its reader; raises InvalidFlowError."""
        return cls(read_module(source), operations)

    def effect(self, function: Function) -> FunctionEffect:
        """Return what calling a function of this file does."""
        known = self._effects.get(function.name)
        if known is not None:
            return known
        if function.name in self._open:
            self._cyclic = True
            return self._value(function, ())  # a cycle adds nothing that its first round does not
        self._open.append(function.name)
        found = self._value(function, tuple(self._body_touches(function)))
        self._open.pop()
        # Inside a cycle the inner functions are seen without the outer one: not to be kept.
        if not self._cyclic or not self._open:
            self._effects[function.name] = found
        self._cyclic = self._cyclic and bool(self._open)
        return found

    def scope(self, function: Function | None) -> Scope:
        """Return the variables of a function."""
        name = function.name if function else ""
        if name not in self._scopes:
            self._scopes[name] = open_scope(self.module, function, self._returned)
        return self._scopes[name]

    def touches(self, node: ast.AST, function: Function | None) -> tuple[Touch, ...]:
        """Return what evaluating a statement or expression of a function does."""
        return tuple(self._read(node, self.scope(function)))

    def own_touches(self, node: ast.Call, function: Function | None) -> tuple[Touch, ...]:
        """Return what a call does once its arguments are there."""
        return tuple(self._call(node, self.scope(function)))

    def called(self, node: ast.Call, function: Function | None) -> Function | None:
        """Return the function of this file that a call names, through ``self.`` and ``.submit`` too."""
        scope = self.scope(function)
        found = self._named(node.func, scope)
        if found is None and isinstance(node.func, ast.Attribute) and node.func.attr in _TASK_CALLS:
            found = self._named(node.func.value, scope)
            return found if found and found.kind == "task" else None
        return found

    def _named(self, node: ast.expr, scope: Scope) -> Function | None:
        bare = without_options(node)
        if bare is not node:
            found = self._named(bare, scope)
            return found if found and found.kind != "function" else None
        if isinstance(node, ast.Name) and node.id not in scope.names:
            return self.module.functions.get(node.id)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            owner = node.value.id
            if scope.function and "." in scope.function.name and owner in {"self", "cls"}:
                owner = scope.function.name.split(".")[0]
            elif scope.type_of(node.value).startswith("."):
                owner = scope.type_of(node.value)[1:]
            elif owner in scope.names:
                return None
            return self.module.functions.get(f"{owner}.{node.attr}")
        return None

    def _returned(self, function: Function) -> str:
        if function.name not in self._returns:
            self._returns[function.name] = ""  # a recursive function's type is not known
            scope = self.scope(function)
            values = [
                part.value for part in ast.walk(function.node) if isinstance(part, ast.Return) and part.value
            ]
            types = {scope.type_of(value) for value in values}
            self._returns[function.name] = types.pop() if len(types) == 1 and not function.strange else ""
        return self._returns[function.name]

    def _value(self, function: Function, touches: tuple[Touch, ...]) -> FunctionEffect:
        node = function.node
        is_generator = any(isinstance(part, ast.Yield | ast.YieldFrom) for part in ast.walk(node))
        if function.marked == "pure":
            touches = tuple(self._as_marked(touch) for touch in touches if touch.level is not Level.PURE)
        return FunctionEffect(
            name=function.name,
            line=node.lineno,
            kind=function.kind,
            level=worst(touch.level for touch in touches),
            touches=touches,
            parameters=function.parameters,
            marked=function.marked,
            is_async=isinstance(node, ast.AsyncFunctionDef),
            is_generator=is_generator,
        )

    @staticmethod
    def _as_marked(touch: Touch) -> Touch:
        """Take the owner's word: it may run at any time and any number of times; it waits where it waited."""
        waits = touch.waits or touch.level is Level.UNKNOWN
        level = Level.READ if waits else Level.PURE
        return touch.model_copy(
            update={"level": level, "waits": waits, "what": f"{touch.what} (marked pure)"}
        )

    def _body_touches(self, function: Function) -> Iterator[Touch]:
        node, scope = function.node, self.scope(function)
        if function.strange:
            yield Touch(level=Level.UNKNOWN, line=node.lineno, what=f"{function.strange} is not known")
        hooks = [name for name in function.options if name.startswith("on_") or name == "**"]
        if hooks:
            yield Touch(
                level=Level.UNKNOWN, line=node.lineno, what=f"the decorator's {hooks[0]} runs other code"
            )
        known = {*function.parameters, *self.module.variables}
        seen: set[Touch] = set()
        for statement in node.body:
            for touch in self._read(statement, scope):
                kept = touch.model_copy(
                    update={
                        "mutates": touch.mutates if touch.mutates in known else "",
                        "shares": touch.shares if touch.shares in known else "",
                    }
                )
                if kept not in seen:
                    seen.add(kept)
                    yield kept

    def _read(self, node: ast.AST, scope: Scope) -> Iterator[Touch]:
        for child in ast.iter_child_nodes(node):  # arguments are evaluated before their call
            yield from self._read(child, scope)
        if isinstance(node, ast.Call):
            yield from self._call(node, scope)
        elif isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign | ast.Delete):
            yield from self._stores(node, scope)

    def _stores(
        self, node: ast.Assign | ast.AugAssign | ast.AnnAssign | ast.Delete, scope: Scope
    ) -> Iterator[Touch]:
        targets = node.targets if isinstance(node, ast.Assign | ast.Delete) else [node.target]
        for target in targets:
            for one in target.elts if isinstance(target, ast.Tuple | ast.List) else [target]:
                if isinstance(one, ast.Subscript | ast.Attribute):
                    if self.module.qualified(one.value, scope.names) == "os.environ":
                        yield Touch(
                            level=Level.WRITE,
                            line=node.lineno,
                            what="sets os.environ",
                            resource="process",
                            idempotent=True,
                        )
                        continue
                    yield from self._mutation(one.value, node.lineno, scope)
                elif isinstance(one, ast.Name) and (
                    isinstance(node, ast.AugAssign) or one.id not in scope.names
                ):
                    yield from self._mutation(one, node.lineno, scope)

    def _mutation(self, node: ast.expr, line: int, scope: Scope) -> Iterator[Touch]:
        for name in sorted(scope.roots(node)):
            outside = name not in scope.names
            yield Touch(
                level=Level.WRITE if outside else Level.PURE,
                line=line,
                what=f"changes {name} in place",
                resource=f"memory:{name}" if outside else "",
                idempotent=True,  # it is gone with the process
                target=name if outside else "",
                mutates=name,
            )

    def _call(self, node: ast.Call, scope: Scope) -> Iterator[Touch]:
        function = self.called(node, scope.function)
        if function is not None:
            yield from self._follow(node, function, scope)
            return
        yield from self._passed_functions(node, scope)
        if self._sets_options(node, scope):
            hooks = [word.arg or "**" for word in node.keywords if not word.arg or word.arg.startswith("on_")]
            if hooks:
                yield _unknown(node, f"what the option {hooks[0]} runs")
            return
        qualified = self.module.qualified(self._reference(node.func, scope), scope.names)
        if qualified is not None:
            yield from self._library(node, qualified, scope)
        elif isinstance(node.func, ast.Attribute):
            yield from self._method(node, node.func, scope)
        elif (
            isinstance(node.func, ast.Name)
            and node.func.id in self.module.classes
            and node.func.id not in scope.names
        ):
            yield from self._construction(node, node.func.id)
        elif not isinstance(node.func, ast.Lambda):
            yield _unknown(node, ast.unparse(node.func))

    def _sets_options(self, node: ast.Call, scope: Scope) -> bool:
        """Tell whether a call is the ``with_options(…)`` of a task or flow that is known."""
        if without_options(node) is node:
            return False
        return self._named(node, scope) is not None or self._is_service_task(without_options(node), scope)

    def _reference(self, func: ast.expr, scope: Scope) -> ast.expr:
        """Return what a call names, without the options and the ``submit`` of our own task."""
        bare = without_options(func)
        if isinstance(bare, ast.Attribute) and bare.attr in _TASK_CALLS:
            bare = without_options(bare.value)
        return bare if self._is_service_task(bare, scope) else func

    def _is_service_task(self, node: ast.expr, scope: Scope) -> bool:
        entry = lookup(self.module.qualified(node, scope.names) or "")
        return entry is not None and entry.special == "service"

    def _construction(self, node: ast.Call, name: str) -> Iterator[Touch]:
        for method in ("__init__", "__post_init__", "__new__"):
            function = self.module.functions.get(f"{name}.{method}")
            if function:
                inner = self.effect(function).touches
                yield from (
                    touch.model_copy(update={"mutates": ""})
                    for touch in inner
                    if touch.mutates in {"self", ""}
                )
        known = {
            "dict",
            "object",
            "list",
            "str",
            "Exception",
            "ValueError",
            "RuntimeError",
            "Enum",
            "StrEnum",
        }
        for base in self.module.classes[name].bases:
            origin = self.module.qualified(base) or ast.unparse(base)
            inside = origin in self.module.classes or origin.removeprefix("builtins.") in known
            if not inside and not origin.startswith(("pydantic.", "typing.", "enum.", "abc.", "builtins.")):
                yield _unknown(node, origin)

    def _follow(self, node: ast.Call, function: Function, scope: Scope) -> Iterator[Touch]:
        """Yield the touches of a called function with its parameters replaced by what the caller passes."""
        effect = self.effect(function)
        passed = self._binding(node, function, scope)
        for touch in effect.touches:
            key = "mutates" if touch.mutates else "shares"
            name = getattr(touch, key)
            for other in self._renamed(name, passed, scope) if name else ():
                yield touch.model_copy(update={key: other})
            if not name:
                yield touch
        if effect.is_generator and function.kind == "task":
            yield Touch(level=Level.UNKNOWN, line=node.lineno, what=f"{function.name} is a generator")

    def _binding(self, node: ast.Call, function: Function, scope: Scope) -> dict[str, list[str]]:
        """Return, by parameter, the names whose objects it receives; an empty one for a new object."""
        names = list(function.parameters)
        if names and names[0] in {"self", "cls"} and "." in function.name:
            names = names[1:]
        given = dict(zip(names, node.args, strict=False))
        given |= {word.arg: word.value for word in node.keywords if word.arg}
        return {name: sorted(scope.roots(value)) or [""] for name, value in given.items()}

    def _renamed(self, name: str, passed: dict[str, list[str]], scope: Scope) -> list[str]:
        if name == "self":
            return ["self" if "self" in scope.names else ""]
        return [name] if name in self.module.variables else passed.get(name, [""])

    def _passed_functions(self, node: ast.Call, scope: Scope) -> Iterator[Touch]:
        """Yield what functions given as arguments do: they may be called."""
        for value in [*node.args, *(word.value for word in node.keywords)]:
            if isinstance(value, ast.Name | ast.Attribute):
                function = self._named(value, scope)
                if function:
                    yield from self.effect(function).touches
                else:
                    entry = lookup(self.module.qualified(value, scope.names) or "")
                    if entry and entry.effect is not Level.PURE:
                        yield self._entry_touch(entry, ast.unparse(value), node, scope)

    def _library(self, node: ast.Call, qualified: str, scope: Scope) -> Iterator[Touch]:
        entry = lookup(qualified)
        if entry is None:
            if not qualified.startswith("builtins."):
                yield _unknown(node, qualified)
            return
        yield self._entry_touch(entry, qualified, node, scope)
        if entry.mutates == "first" and node.args:
            yield from self._mutation(node.args[0], node.lineno, scope)

    def _entry_touch(self, entry: Entry, name: str, node: ast.Call, scope: Scope) -> Touch:
        touch = Touch(
            level=entry.effect,
            line=node.lineno,
            what=name.removeprefix("builtins."),
            resource=entry.resource,
            waits=entry.waits,
            idempotent=entry.idempotent,
            nondeterministic=entry.nondeterministic
            or (name.startswith("builtins.") and name.endswith(".id")),
            paced=entry.paced,
        )
        touch = special_touch(entry, touch, node, scope, self._operations)
        return locate(touch, node, scope)

    def _method(self, node: ast.Call, func: ast.Attribute, scope: Scope) -> Iterator[Touch]:
        kind = scope.type_of(func.value)
        if kind and kind != PLAIN:
            entry = lookup(f"{kind}.{func.attr}")
            if entry is None and func.attr in MODEL_METHODS and self._is_model(kind):
                return
            if entry is None:
                yield _unknown(node, f"{kind}.{func.attr}")
                return
            touch = self._entry_touch(entry, f"{kind}.{func.attr}", node, scope)
            for name in sorted(scope.roots(func.value)) if is_handle(kind) else ():
                yield touch.model_copy(update={"shares": name})
            if not is_handle(kind) or not scope.roots(func.value):
                yield touch
            if entry.mutates == "receiver":
                yield from self._mutation(func.value, node.lineno, scope)
        elif func.attr in MUTATE or (func.attr in MUTATE_OR_WRITE and kind == PLAIN):
            yield from self._mutation(func.value, node.lineno, scope)
        elif func.attr in MUTATE_OR_WRITE or not self._computes(node, func, kind):
            yield _unknown(node, ast.unparse(func))

    def _is_model(self, kind: str) -> bool:
        """Tell whether a class of the file is a pydantic model."""
        node = self.module.classes.get(kind.removeprefix("."))
        bases = (self.module.qualified(base) or "" for base in node.bases) if node else ()
        return any(base.startswith("pydantic.") for base in bases)

    def _computes(self, node: ast.Call, func: ast.Attribute, kind: str) -> bool:
        """Tell whether a method is one of the plain data types' and is used like theirs."""
        if func.attr in FUTURE_METHODS:
            return kind in {"", PLAIN} and not node.args  # of a future
        if kind == PLAIN:
            return func.attr in COMPUTE_ON_DATA
        if func.attr in LOG_METHODS:
            return ast.unparse(func.value).rsplit(".", 1)[-1] in LOGGERS
        if func.attr not in COMPUTE or (node.keywords and func.attr not in TAKE_KEYWORDS):
            return False
        first = ast.unparse(node.args[0]) if node.args else ""
        if func.attr == "get":
            return "://" not in first and not first.lstrip("f").startswith(("'/", '"/'))
        # A path's replace takes one argument, a database's find a document, an object's copy a target.
        one = {"replace": len(node.args) == 1, "copy": bool(node.args), "translate": True}
        return not (
            one.get(func.attr, False) or (func.attr in {"find", "count", "index"} and first[:1] == "{")
        )


def _unknown(node: ast.Call, name: str) -> Touch:
    return Touch(level=Level.UNKNOWN, line=node.lineno, what=f"{name} is not known")
