"""A made-up paper's state, a registry key that signed its receipt, and signed events about it."""

from collections.abc import Callable
from typing import Any

import pytest
from made_up_paper import made_up_paper

from sub8.record.events import Event, sign_event
from sub8.record.keys import PrivateKey


@pytest.fixture(scope="session")
def registry() -> PrivateKey:
    return PrivateKey.generate()


@pytest.fixture(scope="session")
def key() -> PrivateKey:
    return PrivateKey.generate()


@pytest.fixture(scope="session")
def make_state(registry: PrivateKey) -> Callable[[str], dict[str, Any]]:
    """``make_state(arxiv_id)``: a state as a registry publishes it."""

    return lambda source_id: made_up_paper(source_id, registry)


@pytest.fixture
def state(make_state: Callable[[str], dict[str, Any]]) -> dict[str, Any]:
    return make_state("2001.01234")


@pytest.fixture(scope="session")
def make_event(make_state: Callable[[str], dict[str, Any]]) -> Callable[..., Event]:
    """``make_event(key, claim number, figure)``: a mirror hint, the smallest of events, about
    ``state``'s paper.
    """
    own = make_state("2001.01234")["pith_number"]

    def make(
        signer: PrivateKey,
        claim: int = 0,
        figure: int = 0,
        subject: str = own,
        event_type: str = "mirror_hint",
    ) -> Event:
        payload = {"claim": {"number": claim}, "figure": figure, "note": "Jé*"}
        return sign_event(event_type, subject, payload, "2026-01-31T10:28:37Z", signer)

    return make
