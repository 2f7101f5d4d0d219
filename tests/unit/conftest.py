"""What makes unit tests quick."""

import copy
from collections.abc import Iterator
from functools import cache
from typing import Any

import flask_openapi3.utils
import pytest
from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode


@pytest.fixture(scope="session", autouse=True)
def _each_schema_once() -> Iterator[None]:
    """Hundreds of tests have an application of their own; what its models look like is the same in each."""
    schema_of = cache(flask_openapi3.utils.get_model_schema)

    def copied(model: type[BaseModel], mode: JsonSchemaMode = "validation") -> dict[str, Any]:
        return copy.deepcopy(schema_of(model, mode))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flask_openapi3.utils, "get_model_schema", copied)
        yield
