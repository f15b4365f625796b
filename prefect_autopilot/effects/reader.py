"""Reads what the functions and statements of one file do, by the table and through calls within the file."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from prefect_autopilot.effects.arguments import locate, special_touch
from prefect_autopilot.effects.classes import (
    constructors,
    implicit_methods,
    is_model,
    is_property,
    method_of,
    unknown_parts,
)
from prefect_autopilot.effects.memory import mutation, stores
from prefect_autopilot.effects.methods import (
    APPLY,
    CALL_THEIR_FIRST,
    COMPUTE,
    MODEL_METHODS,
    MUTATE,
    MUTATE_OR_WRITE,
    computes,
    is_other_logger,
)
from prefect_autopilot.effects.module import Function, Module, children, read_module, walked
from prefect_autopilot.effects.passing import TASK_CALLS, applied, passed_on
from prefect_autopilot.effects.project import Progress, Project, as_foreign, seen_from_outside
from prefect_autopilot.effects.returning import ReturnedValues
from prefect_autopilot.effects.scope import PLAIN, Scope, open_scope, without_options
from prefect_autopilot.effects.table import Entry, is_handle, lookup
from prefect_autopilot.effects.values import FunctionEffect, Level, OperationEffects, Touch, worst


class EffectReader:
    """What the functions of one file do; every function is read once, calls within the file are followed."""

    def __init__(
        self,
        module: Module,
        operations: OperationEffects | None = None,
        project: Project | None = None,
        place: str = "",
    ) -> None:
        self.module = module
        self._operations = operations
        self._project = project
        self.place = place
        self._progress = project.progress if project else Progress()
        self._foreign: dict[str, tuple[EffectReader, Function]] = {}
        self._effects: dict[str, FunctionEffect] = {}
        self._scopes: dict[str, Scope] = {}
        self.values = ReturnedValues(self)

    @classmethod
    def of(
        cls,
        source: str,
        operations: OperationEffects | None = None,
        project: Project | None = None,
        place: str = "",
    ) -> EffectReader:
        """Return a source text's reader (``place``: its dotted name); raises InvalidFlowError."""
        return cls(read_module(source), operations, project, place)

    def effect(self, function: Function) -> FunctionEffect:
        """Return what calling a function of this file does."""
        if function.name in self._foreign:
            reader, own = self._foreign[function.name]
            return seen_from_outside(reader.effect(own), reader.place)
        known = self._effects.get(function.name)
        if known is not None:
            return known
        progress, key = self._progress, (self.place, function.name)
        if key in progress.open:
            progress.cyclic = True
            return self._value(function, ())  # a cycle adds nothing that its first round does not
        progress.open.append(key)
        found = self._value(function, tuple(self._body_touches(function)))
        progress.open.pop()
        # Inside a cycle the inner functions are seen without the outer one: not to be kept.
        if not progress.cyclic or not progress.open:
            self._effects[function.name] = found
        progress.cyclic = progress.cyclic and bool(progress.open)
        return found

    def foreign(self, function: Function) -> tuple[EffectReader, Function] | None:
        """Return another module's reader with its function, None for a function of this one."""
        return self._foreign.get(function.name)

    def module_of(self, function: Function) -> Module:
        """Return the module that a function stands in: this one, or another of the project."""
        return self._foreign[function.name][0].module if function.name in self._foreign else self.module

    def scope(self, function: Function | None) -> Scope:
        """Return the variables of a function."""
        name = function.name if function else ""
        if name not in self._scopes:
            values = self.values
            self._scopes[name] = open_scope(
                self.module,
                function,
                values.type_of,
                self._imported,
                values.names_of_call,
                values.puts_of_call,
            )
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
        found = self.named(node.func, scope)
        if found is None and isinstance(node.func, ast.Attribute) and node.func.attr in TASK_CALLS:
            found = self.named(node.func.value, scope)
            return found if found and found.kind == "task" else None
        return found

    def named(self, node: ast.expr, scope: Scope) -> Function | None:
        """Return the function that an expression names, with options or without."""
        bare = without_options(node)
        if bare is not node:
            found = self.named(bare, scope)
            return found if found and found.kind != "function" else None
        if isinstance(node, ast.Name) and node.id not in scope.names:
            return self.module.functions.get(node.id) or self._imported(node, scope)
        if isinstance(node, ast.Attribute):
            return self._named_method(node, scope) or self._imported(node, scope)
        return None

    def _imported(self, node: ast.expr, scope: Scope) -> Function | None:
        """Return a function of another module of the project, under a name of its own."""
        qualified = self.module.qualified(node, scope.names) if self._project else None
        found = self._project.find(qualified, self.place) if self._project and qualified else None
        if found is None:
            return None
        function = as_foreign(found[1], found[0].place)
        self._foreign[function.name] = found
        return function

    def _named_method(self, node: ast.Attribute, scope: Scope) -> Function | None:
        kind = scope.type_of(node.value)
        inside = scope.function.name.split(".")[0] if scope.function and "." in scope.function.name else ""
        owner = node.value.id if isinstance(node.value, ast.Name) else ""
        if kind.startswith("."):
            owner = kind[1:]
        elif inside and (owner in {"self", "cls"} or ast.unparse(node.value) == "super()"):
            return method_of(self.module, inside, node.attr, inherited=not owner)
        elif owner in scope.names:
            return None
        return method_of(self.module, owner, node.attr)

    def _value(self, function: Function, touches: tuple[Touch, ...]) -> FunctionEffect:
        node = function.node
        is_generator = any(isinstance(part, ast.Yield | ast.YieldFrom) for part in walked(node))
        if function.marked == "pure":
            touches = tuple(touch.as_marked() for touch in touches if touch.level is not Level.PURE)
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
                        "mutates": touch.mutates if touch.mutates in known or "." in touch.mutates else "",
                        "shares": touch.shares if touch.shares in known or "." in touch.shares else "",
                    }
                )
                if kept not in seen:
                    seen.add(kept)
                    yield kept

    def _read(self, node: ast.AST, scope: Scope) -> Iterator[Touch]:
        for child in children(node):  # arguments are evaluated before their call
            yield from self._read(child, scope)
        if isinstance(node, ast.Call):
            yield from self._call(node, scope)
        elif isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign | ast.Delete):
            yield from stores(node, scope)
        elif isinstance(node, ast.Attribute):
            yield from self._special(node, node.attr, scope)
        elif isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load):
            yield from self._special(ast.Attribute(node.value, "__getitem__", node.ctx), "__getitem__", scope)

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
            yield from self._construction(node, node.func.id, scope)
        elif not isinstance(node.func, ast.Lambda):
            yield _unknown(node, ast.unparse(node.func))

    def _sets_options(self, node: ast.Call, scope: Scope) -> bool:
        """Tell whether a call is the ``with_options(…)`` of a task or flow that is known."""
        if without_options(node) is node:
            return False
        return self.named(node, scope) is not None or self._is_service_task(without_options(node), scope)

    def _reference(self, func: ast.expr, scope: Scope) -> ast.expr:
        """Return what a call names, without the options and the ``submit`` of our own task."""
        bare = without_options(func)
        if isinstance(bare, ast.Attribute) and bare.attr in TASK_CALLS:
            bare = without_options(bare.value)
        return bare if self._is_service_task(bare, scope) else func

    def _is_service_task(self, node: ast.expr, scope: Scope) -> bool:
        entry = lookup(self.module.qualified(node, scope.names) or "")
        return entry is not None and entry.special == "service"

    def _construction(self, node: ast.Call, name: str, scope: Scope) -> Iterator[Touch]:
        for function in constructors(self.module, name):
            yield from self._follow(node, function, scope)
        for function in implicit_methods(self.module, name):
            yield from self._implicit(function)
        yield from (_unknown(node, part) for part in unknown_parts(self.module, name))

    def _implicit(self, function: Function) -> Iterator[Touch]:
        """Yield what a method does that no call names; what it changes in its own object stays there."""
        for touch in self.effect(function).touches:
            yield touch.model_copy(update={"mutates": ""}) if touch.mutates in function.parameters else touch

    def _special(self, node: ast.Attribute, name: str, scope: Scope) -> Iterator[Touch]:
        """Yield what a property, an item or an attribute that is loaded late does, which no call names."""
        kind = scope.type_of(node.value)
        if kind and kind != PLAIN and (late := lookup(f"{kind}.{name}")) and late.attribute:
            yield late.told(node.lineno, f"{kind}.{name}")
        found = method_of(self.module, kind[1:], name) if kind.startswith(".") else None
        if found and (is_property(found) or name == "__getitem__"):
            yield from passed_on(self.effect(found).touches, ast.Call(node, [], []), found, scope)

    def _follow(self, node: ast.Call, function: Function, scope: Scope) -> Iterator[Touch]:
        """Yield the touches of a called function with its parameters replaced by what the caller passes."""
        effect = self.effect(function)
        yield from passed_on(effect.touches, node, function, scope)
        if effect.is_generator and function.kind == "task":
            yield Touch(level=Level.UNKNOWN, line=node.lineno, what=f"{function.name} is a generator")

    def _passed_functions(self, node: ast.Call, scope: Scope) -> Iterator[Touch]:
        """Yield what functions given as arguments do: they may be called."""
        yield from self._called_later(node, scope)
        given = [*node.args, *(word.value for word in node.keywords)]
        for value in given:
            if not isinstance(value, ast.Name | ast.Attribute):
                continue
            function = self.named(value, scope)
            qualified = self.module.qualified(value, scope.names)
            entry = None if function else lookup(qualified or "")
            if function:
                yield from applied(self.effect(function).touches, function, given, scope)
            elif entry and entry.effect is not Level.PURE:
                yield self._entry_touch(entry, ast.unparse(value), node, scope)
            elif (
                isinstance(value, ast.Attribute) and not qualified and value.attr in MUTATE | MUTATE_OR_WRITE
            ):
                yield from mutation(value.value, node.lineno, scope)

    def _called_later(self, node: ast.Call, scope: Scope) -> Iterator[Touch]:
        """Yield what is not known of what ``map``, ``sorted`` and the like will call."""
        called = [word.value for word in node.keywords if word.arg == "key"]
        takes = self.module.qualified(node.func, scope.names) in CALL_THEIR_FIRST
        on_frame = isinstance(node.func, ast.Attribute) and node.func.attr in APPLY
        if takes or (on_frame and scope.type_of(node.func).startswith(("pandas.", "polars."))):
            called += node.args[:1]
        for value in called:
            if (
                isinstance(value, ast.Name)
                and value.id in self.module.classes
                and value.id not in scope.names
            ):
                yield from self._construction(node, value.id, scope)
            elif not self._is_known_function(value, scope):
                yield _unknown(node, ast.unparse(value))

    def _is_known_function(self, value: ast.expr, scope: Scope) -> bool:
        target = value.func if isinstance(value, ast.Call) else value
        if isinstance(value, ast.Lambda | ast.Constant) or self.named(value, scope):
            return True
        qualified = self.module.qualified(target, scope.names) or ""
        if qualified:
            return qualified.startswith("builtins.") or lookup(qualified) is not None
        plain = isinstance(value, ast.Attribute) and value.attr in COMPUTE
        return plain or scope.type_of(value) == PLAIN

    def _library(self, node: ast.Call, qualified: str, scope: Scope) -> Iterator[Touch]:
        own = self._project is not None and self._project.holds(qualified, self.place)
        entry = None if own else lookup(qualified)
        if entry is None:
            if not qualified.startswith("builtins."):
                yield _unknown(node, qualified)
            return
        touch = self._entry_touch(entry, qualified, node, scope)
        # A connection that is given is used; an engine hands out a connection to each thread.
        given = [*node.args, *(word.value for word in node.keywords)]
        kinds = [(one, scope.type_of(one)) for one in given if entry.effect is not Level.PURE]
        held = [one for one, kind in kinds if is_handle(kind) and kind != "sqlalchemy.Engine"]
        for name in sorted({name for one in held for name in scope.roots(one)}) or [""]:
            yield touch.model_copy(update={"shares": name}) if name else touch
        changed = node.args[:1] if entry.mutates == "first" else []
        changed += [
            word.value for word in node.keywords if word.arg == "out" and qualified.startswith("numpy.")
        ]
        for one in changed:
            yield from mutation(one, node.lineno, scope)

    def _entry_touch(self, entry: Entry, name: str, node: ast.Call, scope: Scope) -> Touch:
        touch = entry.told(node.lineno, name.removeprefix("builtins."))
        touch = special_touch(entry, touch, node, scope, self._operations)
        return locate(touch, node, scope)

    def _method(self, node: ast.Call, func: ast.Attribute, scope: Scope) -> Iterator[Touch]:
        kind = scope.type_of(func.value)
        if kind and kind != PLAIN:
            entry = lookup(f"{kind}.{func.attr}")
            entry = None if entry and entry.attribute else entry
            if entry is None and func.attr in MODEL_METHODS and is_model(self.module, kind.removeprefix(".")):
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
                yield from mutation(func.value, node.lineno, scope)
        elif func.attr in MUTATE or (
            func.attr in MUTATE_OR_WRITE and (kind == PLAIN or self._of_class(func, scope))
        ):
            # list.append(rows, row) changes its argument
            for one in node.args[:1] if self._of_class(func, scope) else [func.value]:
                yield from mutation(one, node.lineno, scope)
        elif (
            func.attr in MUTATE_OR_WRITE
            or not computes(node, func, kind)
            or is_other_logger(func, self.module.made_of_classes)
        ):
            yield _unknown(node, ast.unparse(func))

    def _of_class(self, func: ast.Attribute, scope: Scope) -> bool:
        """Tell whether a method is named by its builtin class, not by an object."""
        return (self.module.qualified(func.value, scope.names) or "").startswith("builtins.")


def _unknown(node: ast.Call, name: str) -> Touch:
    return Touch(level=Level.UNKNOWN, line=node.lineno, what=f"{name} is not known")
