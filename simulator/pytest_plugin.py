"""A fixture for pytest: `pytest_plugins = ["simulator.pytest_plugin"]`, then take `wechat` in a test."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from simulator.credentials import Credentials
from simulator.faults import parse
from simulator.testing import running
from simulator.world import Fault, World


@dataclass(frozen=True, slots=True)
class Wechat:
    """A simulator that serves while the test runs: point the client at `base_url`, with the keys of the world."""

    base_url: str
    world: World

    def fault(self, call: str, answer: str, **scope: Any) -> Fault:
        """Asks for trouble, as `POST /_sim/faults` does; `fired` of what it gives tells how often it happened.

        Raises BadFault with the list of what exists.
        """
        fault = parse({"call": call, "answer": answer, **scope})
        self.world.faults.append(fault)
        return fault


@pytest.fixture(scope="session")
def wechat_credentials() -> Credentials:
    """The keys of all simulators of a session; making them takes a moment."""
    return Credentials.generate()


@pytest.fixture
def wechat(wechat_credentials: Credentials) -> Iterator[Wechat]:
    world = World(wechat_credentials)
    with running(world) as base_url:
        yield Wechat(base_url, world)
