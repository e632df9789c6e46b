"""The one text form of augmentations and attacks: a call expression such as ``dropmix(0.4, of=cutmix(alpha=1.0))``.

Text is parsed with ``ast`` and never evaluated: names come from a table of frozen dataclasses, arguments are numbers,
strings and nested calls. The canonical text has every field written and is what recipes hash.
"""

from __future__ import annotations

import ast
import inspect
import math
from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any

from robustbench_msda.errors import UserError, unknown


def parse(text: str, table: Mapping[str, type], kind: str) -> Any:
    """Return the frozen dataclass that ``text`` names.

    Args:
        text: a bare name (its defaults) or a call expression.
        table: name to dataclass.
        kind: what the table holds, in the singular, for messages.

    Raises:
        UserError: the text is malformed, or an argument is unknown, missing or refused by the dataclass.
        UnknownName: a name is not in the table.
    """
    try:
        value = _value(ast.parse(text.strip(), mode="eval").body, table, kind, text)
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        example = next(iter(table), "name")
        reason = error.args[0] if error.args else "nested too deeply"
        raise UserError(
            f"cannot read the {kind} {text!r}: expected a name or a call such as {example}() ({reason})"
        ) from None
    if isinstance(value, str | int | float):
        raise UserError(f"cannot read the {kind} {text!r}: expected a name or a call, found the constant {value!r}")
    return value


def canonical(value: Any, table: Mapping[str, type]) -> str:
    """Return the text of ``value`` with every field written by name, in the order of its class."""
    name = next(key for key, cls in table.items() if cls is type(value))
    written = (f"{field.name}={_literal(getattr(value, field.name), table)}" for field in fields(value))
    return f"{name}({', '.join(written)})"


def defaults(name: str, table: Mapping[str, type]) -> str:
    """Return the text of ``name`` with the default of every field, also where a field must be given."""
    written = []
    for field in fields(table[name]):
        default = field.default_factory() if field.default_factory is not MISSING else field.default
        written.append(field.name if default is MISSING else f"{field.name}={_literal(default, table)}")
    return f"{name}({', '.join(written)})"


def short(value: Any, table: Mapping[str, type]) -> str:
    """Return the text of ``value`` with nested calls and what differs from the defaults: what tables print."""
    name = next(key for key, cls in table.items() if cls is type(value))
    written = []
    for field in fields(value):
        current = getattr(value, field.name)
        default = field.default_factory() if field.default_factory is not MISSING else field.default
        if type(current) in table.values():
            written.append(f"{field.name}={short(current, table)}")
        elif current != default:
            written.append(f"{field.name}={current!r}")
    return f"{name}({', '.join(written)})" if written else name


def _literal(value: Any, table: Mapping[str, type]) -> str:
    return canonical(value, table) if type(value) in table.values() else repr(value)


def _is_number(node: ast.expr) -> bool:
    """Return whether ``node`` is a finite number; ``1e999`` reads as infinity, which no canonical text can write."""
    if not isinstance(node, ast.Constant) or isinstance(node.value, bool):
        return False
    return isinstance(node.value, int | float) and abs(node.value) < math.inf


def _value(node: ast.expr, table: Mapping[str, type], kind: str, text: str) -> Any:
    if isinstance(node, ast.Constant) and (isinstance(node.value, str) or _is_number(node)):
        return node.value
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) and _is_number(node.operand):
        return -ast.literal_eval(node.operand)
    if isinstance(node, ast.Name):
        return _build(node.id, [], {}, table, kind, text)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        positional = [_value(argument, table, kind, text) for argument in node.args]
        named = {}
        for keyword in node.keywords:
            if keyword.arg is None:
                raise UserError(f"cannot read the {kind} {text!r}: ** is not allowed")
            if keyword.arg in named:
                raise UserError(f"cannot read the {kind} {text!r}: {keyword.arg} is given twice")
            named[keyword.arg] = _value(keyword.value, table, kind, text)
        return _build(node.func.id, positional, named, table, kind, text)
    raise UserError(
        f"cannot read the {kind} {text!r}: expected names, calls, finite numbers and strings, "
        f"found {ast.unparse(node)!r}"
    )


def _as_declared(cls: type, name: str, value: Any) -> Any:
    """Return ``value`` as a float where the field is one, so that ``alpha=1`` and ``alpha=1.0`` are one recipe."""
    declared = next(field.type for field in fields(cls) if field.name == name)
    if declared not in (float, "float"):
        return value
    if not isinstance(value, int | float):
        raise ValueError(f"expected a number for {name}, got {value!r}")
    return float(value)


def _build(  # noqa: PLR0913
    name: str, positional: list[Any], named: dict[str, Any], table: Mapping[str, type], kind: str, text: str
) -> Any:
    if name not in table:
        raise unknown(name, table, kind)
    cls = table[name]
    if excess := set(named) - {field.name for field in fields(cls)}:
        known = [field.name for field in fields(cls)]
        raise unknown(sorted(excess)[0], known or ["(none)"], f"argument of {name} in {text!r}:")
    try:
        bound = inspect.signature(cls).bind(*positional, **named)
        return cls(**{key: _as_declared(cls, key, value) for key, value in bound.arguments.items()})
    except (TypeError, ValueError, OverflowError) as error:
        raise UserError(f"cannot make the {kind} {text!r}: {name}: {error}") from None
