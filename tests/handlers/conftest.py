"""What tests of handlers share: a town of nodes in virtual time, and the outside that its effects reach."""

import pytest
from support.house import Town
from support.workflows import ALL, Outside


@pytest.fixture
def outside():
    return Outside()


@pytest.fixture
def town(outside):
    town = Town(ALL, outside.bodies)
    yield town
    town.close()


@pytest.fixture
def a(town):
    """One node."""
    return town.node("a.1")


@pytest.fixture
def b(town):
    """Another one, on the same store."""
    return town.node("b.1")
