"""Routers of resources. What a request asks with a parameter that is not there is refused, at every address."""

import inspect
from collections.abc import Callable
from functools import lru_cache
from typing import Annotated, Any, get_args

from fastapi import APIRouter, Depends
from fastapi.params import Query
from fastapi.routing import APIRoute
from pydantic import ConfigDict, create_model


def resource(prefix: str = "", *, tags: list[str]) -> APIRouter:
    """A router for the operations of one resource."""
    return APIRouter(prefix=prefix, tags=list(tags), route_class=StrictRoute)


class StrictRoute(APIRoute):
    """Names each unknown query parameter beside whatever else is wrong with the request."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        strict = Depends(_no_others(query_names(endpoint)))
        # Including a router makes its routes anew, with the dependencies they have.
        others = [one for one in options.pop("dependencies", None) or () if one != strict]
        super().__init__(path, endpoint, dependencies=[*others, strict], **options)


def query_names(endpoint: Callable[..., Any]) -> frozenset[str]:
    """The query parameters of an operation: those that are annotated with `Query`."""
    parameters = inspect.signature(endpoint, eval_str=True).parameters
    return frozenset(
        name
        for name, parameter in parameters.items()
        if any(isinstance(about, Query) for about in get_args(parameter.annotation)[1:])
    )


@lru_cache
def _no_others(names: frozenset[str]) -> Callable[..., Any]:
    fields: dict[str, Any] = dict.fromkeys(sorted(names), (Any, None))
    known = create_model("KnownQuery", __config__=ConfigDict(extra="forbid"), **fields)

    async def no_others(query: Any) -> None:
        """The framework has checked them."""

    no_others.__annotations__["query"] = Annotated[known, Query(include_in_schema=False)]
    return no_others
