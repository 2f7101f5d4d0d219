"""How a call is declared: its path, who may make it, what it takes and what it answers; OpenAPI follows from that."""

import inspect
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import cache, wraps
from typing import Any, Literal

from flask_openapi3 import APIBlueprint, Schema, Tag
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, with_config
from pydantic.json_schema import SkipJsonSchema

from face_common.contract import Code
from face_web.access import Requirement, Role, Scope
from face_web.idempotency import KEY_PATTERN, LONGEST_KEY
from face_web.problems import STATUS

SECURITY = "key"
"""The name of the security scheme in the OpenAPI document."""
Content = Mapping[str, Any]
"""Media types with their schemas."""
Answer = type | tuple[type, ...] | Content | None
Absent = SkipJsonSchema[None]
"""Of a parameter that may be left out, but is never null: `int | Absent`."""
_EVERYWHERE = (
    Code.REQUEST_INVALID,
    Code.PARAMETER_INVALID,
    Code.BODY_TOO_LARGE,
    Code.INTERNAL,
    Code.STORAGE_UNAVAILABLE,
)
_WITH_KEY = (Code.KEY_MISSING, Code.KEY_INVALID, Code.FORBIDDEN, Code.RATE_LIMITED)
_WITH_COLLECTION = (Code.COLLECTION_INVALID,)
_POSTED = (Code.IDEMPOTENCY_KEY_INVALID, Code.IDEMPOTENCY_KEY_REUSED)
_PROBLEM = {"$ref": "#/components/schemas/Problem"}
_REFERENCE = "#/components/schemas/{model}"


class _Headers(BaseModel):
    """The header that every POST may have; it is looked at where ids are made."""

    idempotency_key: str | Absent = Field(
        None,
        alias="Idempotency-Key",
        description="Any text of your own, new for each request: a request that is sent again with it changes nothing.",
        json_schema_extra={"pattern": KEY_PATTERN, "maxLength": LONGEST_KEY},
    )


class Routes:
    """The calls of one blueprint."""

    def __init__(self, name: str, prefix: str = "", *, tag: str, about: str) -> None:
        """`tag` is the heading under which the documentation lists the calls, `about` a sentence on them."""
        self.blueprint = APIBlueprint(
            name, __name__, url_prefix=prefix or None, abp_tags=[Tag(name=tag, description=about)]
        )
        self.requirements: dict[str, Requirement] = {}
        """What each endpoint asks of its caller; endpoints that are not in it are open to everybody."""
        self.schemas: dict[str, Schema] = {}
        """What the TypedDicts that calls answer look like, by name."""

    def add(
        self,
        method: str,
        path: str,
        view: Callable[..., Any],
        *,
        id: str,  # noqa: A002
        answers: Mapping[int, Answer],
        role: Role | None = None,
        scope: Scope = "collection",
        errors: Sequence[Code] = (),
        takes: Content | None = None,
    ) -> None:
        """Declare a call.

        `view` takes pydantic models as its parameters `path`, `query` and `body`; its docstring documents the call.
        `id` names it in OpenAPI and among the blueprint's endpoints. `answers`: by status, a pydantic model, a
        TypedDict, several of them, media types with their schemas, or None for no body. `takes`: media types with the
        schemas of bodies that the view reads by itself. `errors` are those beside the ones that every such call has.
        """
        extensions: dict[str, Any] = {}
        options: dict[str, Any] = {}
        if role is not None:
            self.requirements[f"{self.blueprint.name}.{id}"] = Requirement(role, scope)
            extensions |= {"x-role": role.value, "x-scope": scope}
            options["security"] = [{SECURITY: []}]
        if takes is not None:
            extensions["requestBody"] = {"required": True, "content": _content(takes)}
        summary, _, description = (inspect.getdoc(view) or "").partition("\n\n")
        getattr(self.blueprint, method.lower())(
            path,
            endpoint=id,
            operation_id=id,
            summary=summary,
            description=description,
            responses=self._responses(answers, _codes(method, role, scope, errors)),
            openapi_extensions=extensions,
            **options,
        )(_function(view, takes_headers=method == "POST" and role is not None))

    def _responses(self, answers: Mapping[int, Answer], codes: set[Code]) -> dict[str, Any]:
        """What OpenAPI says of a call's answers, good and bad."""
        responses: dict[str, Any] = {str(status): self._answer(answer) for status, answer in answers.items()}
        by_status = defaultdict(list)
        for code in sorted(codes):
            by_status[str(STATUS[code][0])].append(code.value)
        for status, found in sorted(by_status.items()):
            content = {"application/problem+json": {"schema": _PROBLEM}}
            content |= responses.get(status, {}).get("content", {})  # a refused enrolment has its verdicts for a body
            responses[status] = {"description": ", ".join(found), "content": content}
        return responses

    def _answer(self, answer: Answer) -> dict[str, Any]:
        if answer is None:
            return {}
        if isinstance(answer, Mapping):
            return {"content": _content(answer)}
        kinds = (answer,) if isinstance(answer, type) else answer
        references = [self._reference(kind) for kind in kinds]
        return {"content": _content({"application/json": references[0] if len(kinds) == 1 else {"anyOf": references}})}

    def _reference(self, kind: type) -> dict[str, str]:
        schema = _described(kind)
        for name, part in {**schema.get("$defs", {}), kind.__name__: schema}.items():
            self.schemas[name] = Schema(**{key: value for key, value in part.items() if key != "$defs"})
        return {"$ref": _REFERENCE.format(model=kind.__name__)}


def _function(view: Callable[..., Any], *, takes_headers: bool) -> Callable[..., Any]:
    """The view as a function of its own, which flask-openapi3 may hang its notes on."""

    @wraps(view)
    def function(**arguments: Any) -> Any:
        arguments.pop("header", None)
        return view(**arguments)

    if takes_headers:
        function.__annotations__ = {**function.__annotations__, "header": _Headers}
    return function


def _codes(method: str, role: Role | None, scope: Scope, errors: Sequence[Code]) -> set[Code]:
    codes = {*_EVERYWHERE, *errors}
    if role is not None:
        codes |= {*_WITH_KEY}
        codes |= {*(_WITH_COLLECTION if scope == "collection" else ()), *(_POSTED if method == "POST" else ())}
    return codes


def _content(kinds: Content) -> dict[str, Any]:
    """Media types as OpenAPI wants them; a form's `encoding` stands in its schema, and goes beside it here."""
    content: dict[str, Any] = {}
    for kind, whole in kinds.items():
        schema = dict(whole)
        encoding = schema.pop("encoding", None)
        content[kind] = {"schema": schema} if encoding is None else {"schema": schema, "encoding": encoding}
    return content


@cache  # the docstrings of fields are looked up in the source, which takes a while
def _described(kind: type) -> dict[str, Any]:
    """The schema of a model or a TypedDict, with docstrings as descriptions."""
    if not issubclass(kind, BaseModel):
        kind = with_config(ConfigDict(use_attribute_docstrings=True))(kind)
    return TypeAdapter(kind).json_schema(ref_template=_REFERENCE, mode="serialization")


BINARY = {"type": "string", "format": "binary", "minLength": 1}
"""The schema of a body that is a file."""


COLLECTION = r"^[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?$"
"""What a collection's name looks like."""


class CollectionQuery(BaseModel):
    """The parameter that most calls have."""

    collection: str = Field(
        "default",
        pattern=COLLECTION,
        description="Which gallery: 1 to 40 of a-z, 0-9 and inner hyphens.",
    )


class Queued(BaseModel):
    """A job that is not finished yet."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    id: str
    state: Literal["queued"] = "queued"
    predicted_wait_s: float | None = None
    """Seconds until a worker begins with it, as the fleet looks now; null where that is not known."""
