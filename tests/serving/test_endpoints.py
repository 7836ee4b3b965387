from __future__ import annotations

import asyncio

import bentoml

from progrec.serving import endpoints


@bentoml.service
class Echo:
    def __init__(self) -> None:
        endpoints.keep(self, Echo.apis)

    @bentoml.api
    async def say(self, word: str, /) -> str:
        return f"{word}!"


def test_an_endpoint_is_made_once_and_is_the_services_own() -> None:
    one, other = Echo(), Echo()

    assert one.say is one.say
    assert one.say is not other.say
    assert asyncio.run(one.say.local("hello")) == "hello!"  # what BentoML's server calls


def test_bentoml_would_make_it_anew_each_time() -> None:
    """If this fails `endpoints.keep` is of no more use."""
    plain = Echo()
    del vars(plain)["say"]

    assert plain.say is not plain.say
