"""The settings whose value is more than a number or a text, and how it is written."""

import logging
import re
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated, NamedTuple

from pydantic import AfterValidator, BeforeValidator, SecretStr
from pydantic_settings import NoDecode


class ApiPair(NamedTuple):
    """An application's identity at Telegram: api_id and api_hash."""

    api_id: int
    api_hash: SecretStr


class DataCentre(NamedTuple):
    """The address of a data centre that is not Telegram's own."""

    dc_id: int
    host: str
    port: int


def _as_rate(value: str) -> str:
    if not re.fullmatch(r"[1-9]\d{0,8}/(second|minute|hour|day)", value):
        raise ValueError("write it as a number a second, minute, hour or day, for example 60/minute")
    return value


def _as_level(value: str) -> str:
    if value.upper() not in logging.getLevelNamesMapping():
        raise ValueError("write DEBUG, INFO, WARNING, ERROR or CRITICAL")
    return value.upper()


def _as_origins(value: object) -> object:
    if not isinstance(value, str):
        return value
    origins = tuple(filter(None, (part.strip().rstrip("/") for part in value.split(","))))
    if not all(re.fullmatch(r"https?://[A-Za-z0-9.\[\]:-]+", origin) for origin in origins):
        raise ValueError("write each as scheme://host[:port], comma separated; * is not taken")
    return origins


def _as_networks(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return tuple(ip_network(part.strip()) for part in value.split(",") if part.strip())
    except ValueError:
        raise ValueError("write addresses or networks, comma separated, for example 10.0.0.0/8") from None


def _as_pairs(value: object) -> object:
    if not isinstance(value, str):
        return value
    pairs: list[ApiPair] = []
    for item in filter(None, (part.strip() for part in value.split(","))):
        api_id, colon, api_hash = item.partition(":")
        if not colon or not api_id.strip().isdigit() or not re.fullmatch(r"[0-9a-fA-F]{32}", api_hash.strip()):
            raise ValueError("write each pair as id:hash, comma separated; a hash is 32 hexadecimal digits")
        pairs.append(ApiPair(int(api_id), SecretStr(api_hash.strip())))
    if len({pair.api_id for pair in pairs}) != len(pairs):
        raise ValueError("it has an api_id twice; name each pair once")
    return tuple(pairs)


def _as_data_centre(value: object) -> object:
    if not isinstance(value, str):
        return value
    if not value.strip():
        return None
    parts = [part.strip() for part in value.split(",")]
    if len(parts) != 3 or not parts[0].isdigit() or not parts[2].isdigit():
        raise ValueError("write it as dc_id,host,port, for example 2,127.0.0.1,4430")
    return DataCentre(int(parts[0]), parts[1], int(parts[2]))


Rate = Annotated[str, AfterValidator(_as_rate)]
LogLevel = Annotated[str, AfterValidator(_as_level)]
Origins = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_as_origins)]
Networks = Annotated[tuple[IPv4Network | IPv6Network, ...], NoDecode, BeforeValidator(_as_networks)]
ApiPairs = Annotated[tuple[ApiPair, ...], NoDecode, BeforeValidator(_as_pairs)]
OtherDataCentre = Annotated[DataCentre | None, NoDecode, BeforeValidator(_as_data_centre)]
