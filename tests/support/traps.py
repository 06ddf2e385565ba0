"""Traps: they see to it that a node dies, at a certain moment of what it does."""

from collections.abc import Callable

from support.house import Node, Town

Trap = Callable[[Town, Node], None]
"""Set for a node when it begins."""


def dies_at_step(number: int) -> Trap:
    def trap(town: Town, node: Node) -> None:
        process, before = node.process, town.world.before_step

        def look() -> None:
            before()
            if process.steps >= number:
                node.kill()

        town.world.before_step = look

    return trap


def dies_before_call(number: int) -> Trap:
    def trap(town: Town, node: Node) -> None:
        node.line.before = lambda call: node.kill() if call == number else None

    return trap


def dies_after_call(number: int) -> Trap:
    def trap(town: Town, node: Node) -> None:
        node.line.after = lambda call: node.kill() if call == number else None

    return trap
