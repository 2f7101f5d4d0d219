"""IAM policies, evaluated as AWS documents it: an explicit Deny wins, else an Allow is needed.

Written from the IAM user guide's "Policy evaluation logic" and "IAM JSON policy elements". Only what the deployment's
policies use is understood; anything else is an error, so that no condition is ever ignored.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Context = Mapping[str, str | Sequence[str]]
"""Condition keys with their values."""


@dataclass(frozen=True, slots=True)
class Request:
    """One action on one resource, which is what policies speak of."""

    action: str
    resource: str
    context: Context


def allows(documents: Sequence[Mapping[str, Any]], request: Request) -> bool:
    """Whether the policies of a role let it do something."""
    effects = {statement["Effect"] for statement in _statements(documents) if _applies(statement, request)}
    return effects == {"Allow"}


def _statements(documents: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    for document in documents:
        yield from document["Statement"]


def _applies(statement: Mapping[str, Any], request: Request) -> bool:
    unknown = statement.keys() - {"Sid", "Effect", "Action", "Resource", "Condition"}
    if unknown:
        raise NotImplementedError(f"policy elements {unknown}")
    return (
        any(_matches(pattern.lower(), request.action.lower()) for pattern in _list(statement["Action"]))
        and any(_matches(pattern, request.resource) for pattern in _list(statement["Resource"]))
        and all(
            _holds(operator, request.context.get(key), _list(wanted))
            for operator, keys in statement.get("Condition", {}).items()
            for key, wanted in keys.items()
        )
    )


def _holds(operator: str, value: str | Sequence[str] | None, wanted: Sequence[str]) -> bool:
    if operator == "Null":  # of the key itself: "true" where there must be none
        return any((one.lower() == "true") == (value is None) for one in wanted)
    quantifier, _, comparison = operator.rpartition(":")
    compare = _COMPARISONS[comparison]
    if quantifier == "ForAllValues":
        return all(any(compare(one, given) for one in wanted) for given in value or ())
    if quantifier:
        raise NotImplementedError(operator)
    return isinstance(value, str) and any(compare(one, value) for one in wanted)


def _matches(pattern: str, value: str) -> bool:
    """Whether a value fits a pattern in which * is any text and ? any character."""
    expression = "".join({"*": ".*", "?": "."}.get(letter, re.escape(letter)) for letter in pattern)
    return re.fullmatch(expression, value, re.DOTALL) is not None


def _list(value: str | Sequence[str]) -> Sequence[str]:
    return [value] if isinstance(value, str) else value


_COMPARISONS: dict[str, Callable[[str, str], bool]] = {
    "StringEquals": lambda wanted, value: wanted == value,
    "StringLike": _matches,
    "ArnEquals": _matches,
    "Bool": lambda wanted, value: wanted.lower() == value.lower(),
}
