"""The part of CEL that device selectors are written in, as the API server means it.

``compiled`` turns an expression into a function of a device; what it does not know it refuses,
rather than guess: then nothing is counted. kube-scheduler evaluates the same expressions with all
of CEL and has the last word. Only administrators write them (DeviceClass, AcceleratorClass).

Language: github.com/google/cel-spec; what Kubernetes adds (quantity, semver, cel.bind, string
functions): "Common Expression Language in Kubernetes".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Final

from conch.observe.cel_values import (
    CONSTANTS,
    FUNCTIONS,
    RELATIONS,
    SUMS,
    CelError,
    Value,
    index,
    number,
    truth,
)

Scope = Mapping[str, Value]
_Eval = Callable[[Scope], Value]

_MAX_CHARACTERS: Final = 10 * 1024  # the API server's own bound
_MAX_DEPTH: Final = 64


@lru_cache(maxsize=256)
def compiled(expression: str) -> Callable[[Scope], bool]:
    """The expression as a function of its variables. Raises CelError when it is not understood.

    The function raises CelError when the expression fails, or does not end in true or false.
    """
    if len(expression) > _MAX_CHARACTERS:
        raise CelError(f"longer than {_MAX_CHARACTERS} characters")
    parser = _Parser(_tokens(expression))
    evaluate = parser.expression()
    parser.end()

    def judge(scope: Scope) -> bool:
        result = evaluate(scope)
        if not isinstance(result, bool):
            raise CelError(f"{expression!r} gives neither true nor false")
        return result

    return judge


# --- words ---------------------------------------------------------------------------------------

_TOKEN: Final = re.compile(
    r"""\s*(?:
      (?P<number>\d+\.\d+(?:[eE][+-]?\d+)?|0x[0-9a-fA-F]+|\d+)
    | (?P<raw>r"[^"\n]*"|r'[^'\n]*')
    | (?P<text>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')
    | (?P<name>[A-Za-z_][A-Za-z0-9_]*)
    | (?P<mark>\|\||&&|[=!<>]=|[-+<>!?:.,()\[\]])
    )""",
    re.VERBOSE,
)
_ESCAPES: Final = {"n": "\n", "t": "\t", "r": "\r"}
_Token = tuple[str, str]


def _tokens(expression: str) -> list[_Token]:
    found: list[_Token] = []
    position, end = 0, len(expression.rstrip())
    while position < end:
        match = _TOKEN.match(expression, position)
        if match is None:
            raise CelError(f"not understood: {expression[position : position + 20]!r}")
        kind = str(match.lastgroup)
        found.append((kind, match[kind]))
        position = match.end()
    return found


def _unquoted(text: str) -> str:
    return re.sub(r"\\(.)", lambda m: _ESCAPES.get(m[1], m[1]), text[1:-1])


# --- grammar -------------------------------------------------------------------------------------


class _Parser:
    """Recursive descent; each method gives a function of the scope."""

    def __init__(self, tokens: Sequence[_Token]) -> None:
        self._tokens = tokens
        self._at = 0
        self._depth = 0

    def expression(self) -> _Eval:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise CelError("nested too deeply")
        condition = self._either()
        if self._took("?"):
            yes = self._either()
            self._need(":")
            no = self.expression()
            chosen = condition
            condition = lambda scope: (yes if truth(chosen(scope)) else no)(scope)  # noqa: E731
        self._depth -= 1
        return condition

    def end(self) -> None:
        if self._at < len(self._tokens):
            raise CelError(f"not understood: {self._tokens[self._at][1]!r}")

    def _either(self) -> _Eval:
        sides = [self._both()]
        while self._took("||"):
            sides.append(self._both())
        return sides[0] if len(sides) == 1 else _short_circuit(sides, decisive=True)

    def _both(self) -> _Eval:
        sides = [self._relation()]
        while self._took("&&"):
            sides.append(self._relation())
        return sides[0] if len(sides) == 1 else _short_circuit(sides, decisive=False)

    def _relation(self) -> _Eval:
        left = self._sum()
        while True:
            kind, text = self._peek()
            if (kind, text) == ("name", "in") or (kind == "mark" and text in RELATIONS):
                self._at += 1
                left = _binary(RELATIONS[text], left, self._sum())
            else:
                return left

    def _sum(self) -> _Eval:
        left = self._unary()
        while self._peek() in (("mark", "+"), ("mark", "-")):
            operator = self._next()[1]
            left = _binary(SUMS[operator], left, self._unary())
        return left

    def _unary(self) -> _Eval:
        marks = ""
        while self._peek() in (("mark", "!"), ("mark", "-")):
            marks += self._next()[1]
        inner = self._member()
        if not marks:
            return inner
        if len(set(marks)) > 1 or len(marks) > _MAX_DEPTH:
            raise CelError(f"not understood: {marks[:20]!r}")
        if marks[0] == "!":
            return lambda scope: truth(inner(scope)) is (len(marks) % 2 == 0)
        return lambda scope: number(inner(scope)) * (-1) ** len(marks)

    def _member(self) -> _Eval:
        target = self._primary()
        while True:
            if self._took("."):
                target = self._selected(target, self._name())
            elif self._took("["):
                key = self.expression()
                self._need("]")
                target = _binary(index, target, key)
            else:
                return target

    def _selected(self, target: _Eval, name: str) -> _Eval:
        if self._took("("):
            return _call(name, [target, *self._arguments()])
        return lambda scope: index(target(scope), name)

    def _primary(self) -> _Eval:
        kind, text = self._next()
        if kind == "number":
            number = float(text) if "." in text else int(text, 0)
            return lambda scope: number
        if kind in ("text", "raw"):
            string = _unquoted(text) if kind == "text" else text[2:-1]
            return lambda scope: string
        if text == "(":
            inner = self.expression()
            self._need(")")
            return inner
        if text == "[":
            items = self._arguments("]")
            return lambda scope: [item(scope) for item in items]
        if kind != "name":
            raise CelError(f"not understood: {text!r}")
        if text in CONSTANTS:
            constant = CONSTANTS[text]
            return lambda scope: constant
        if text == "has" and self._took("("):
            return self._has()
        if text == "cel" and self._took("."):
            return self._bound()
        if self._took("("):
            return _call(text, self._arguments())
        return lambda scope: index(scope, text)

    def _has(self) -> _Eval:
        inner = self._member()
        self._need(")")

        def exists(scope: Scope) -> bool:
            try:
                inner(scope)
            except CelError:
                return False
            return True

        return exists

    def _bound(self) -> _Eval:
        """cel.bind(name, value, expression)."""
        if self._name() != "bind":
            raise CelError("of cel only cel.bind is known")
        self._need("(")
        name = self._name()
        self._need(",")
        bound = self.expression()
        self._need(",")
        inner = self.expression()
        self._need(")")
        return lambda scope: inner({**scope, name: bound(scope)})

    def _arguments(self, end: str = ")") -> list[_Eval]:
        found: list[_Eval] = []
        while not self._took(end):
            if found:
                self._need(",")
            found.append(self.expression())
        return found

    def _peek(self) -> _Token:
        return self._tokens[self._at] if self._at < len(self._tokens) else ("end", "its end")

    def _next(self) -> _Token:
        token = self._peek()
        self._at += 1
        return token

    def _took(self, mark: str) -> bool:
        if self._peek() != ("mark", mark):
            return False
        self._at += 1
        return True

    def _need(self, mark: str) -> None:
        if not self._took(mark):
            raise CelError(f"{mark!r} is missing before {self._peek()[1]!r}")

    def _name(self) -> str:
        kind, text = self._next()
        if kind != "name":
            raise CelError(f"a name is missing before {text!r}")
        return text


# --- meaning -------------------------------------------------------------------------------------


def _short_circuit(sides: Sequence[_Eval], *, decisive: bool) -> _Eval:
    """|| and &&: one decisive side decides, even where another fails."""

    def judge(scope: Scope) -> bool:
        failure: CelError | None = None
        for side in sides:
            try:
                if truth(side(scope)) is decisive:
                    return decisive
            except CelError as error:
                failure = failure or error
        if failure is not None:
            raise failure
        return not decisive

    return judge


def _binary(operation: Callable[[Value, Value], Value], left: _Eval, right: _Eval) -> _Eval:
    return lambda scope: operation(left(scope), right(scope))


def _call(name: str, arguments: Sequence[_Eval]) -> _Eval:
    if name not in FUNCTIONS:
        raise CelError(f"the function {name} is not known")
    types, function = FUNCTIONS[name]
    if len(types) != len(arguments):
        raise CelError(f"{name} takes {len(types)} values, not {len(arguments)}")

    def call(scope: Scope) -> Value:
        values = [argument(scope) for argument in arguments]
        if not all(map(isinstance, values, types)):
            raise CelError(f"{name} cannot take {', '.join(map(repr, values))}")
        try:
            return function(*values)
        except (TypeError, ValueError) as error:
            raise CelError(str(error)) from None

    return call
