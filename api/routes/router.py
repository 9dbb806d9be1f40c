"""What resources are made of: routers and bodies that refuse a parameter or field they do not have."""

import inspect
from collections.abc import Callable
from functools import lru_cache
from typing import Annotated, Any, get_args

from fastapi import APIRouter, Depends
from fastapi.params import Query
from fastapi.routing import APIRoute
from pydantic import AfterValidator, BaseModel, ConfigDict, create_model
from starlette.responses import Response


def resource(prefix: str = "", *, tags: list[str]) -> APIRouter:
    """Return a router for the operations of one resource. They return responses, which their `responses` describe."""
    return APIRouter(prefix=prefix, tags=list(tags), route_class=StrictRoute, default_response_class=Response)


class RequestBody(BaseModel):
    """Base of every body that is an object. It refuses a field that it does not have."""

    model_config = ConfigDict(extra="forbid")


class StrictRoute(APIRoute):
    """A route that names each query parameter that is unknown or given twice, beside other faults of the request."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        strict = Depends(_no_others(query_names(endpoint)))
        # Including a router creates its routes again, with the dependencies they have.
        others = [one for one in options.pop("dependencies", None) or () if one != strict]
        super().__init__(path, endpoint, dependencies=[*others, strict], **options)


def query_names(endpoint: Callable[..., Any]) -> frozenset[str]:
    """Return the query parameters of an operation: those that are annotated with `Query`."""
    parameters = inspect.signature(endpoint, eval_str=True).parameters
    return frozenset(
        name
        for name, parameter in parameters.items()
        if any(isinstance(about, Query) for about in get_args(parameter.annotation)[1:])
    )


def _once(given: list[str]) -> list[str]:
    if len(given) > 1:
        raise ValueError("give it once")
    return given


@lru_cache
def _no_others(names: frozenset[str]) -> Callable[..., Any]:
    fields: dict[str, Any] = dict.fromkeys(sorted(names), (Annotated[list[str], AfterValidator(_once)], []))
    known = create_model("KnownQuery", __config__=ConfigDict(extra="forbid"), **fields)

    async def no_others(query: Any) -> None:
        """Do nothing: the framework has checked the parameters."""

    no_others.__annotations__["query"] = Annotated[known, Query(include_in_schema=False)]
    return no_others
