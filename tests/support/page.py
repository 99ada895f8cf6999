"""The commands of the deployment page, with what each block says of who can run it."""

import re
from dataclasses import dataclass

from tests.support.documents import ROOT

PAGE = ROOT / "docs" / "deployment.md"
_BLOCK = re.compile(
    r"^```(?P<language>\S+)(?: (?P<where>[a-z]+)(?:: (?P<why>[^\n]+))?)?\n(?P<text>.*?)^```$", re.M | re.S
)


@dataclass(frozen=True)
class Block:
    """One block of commands.

    Attributes:
        where: `cluster`, `compose` or `elsewhere`.
        why: what a block that runs elsewhere needs, else empty.
        text: the commands.
    """

    where: str
    why: str
    text: str

    @property
    def commands(self) -> int:
        """How many commands it has; those that go on over lines count once."""
        return len([line for line in self.text.replace("\\\n", " ").splitlines() if line.strip()])


def blocks() -> list[Block]:
    """Return all blocks of the page, in order."""
    found = _BLOCK.finditer(PAGE.read_text())
    return [Block(block["where"] or "", block["why"] or "", block["text"]) for block in found]
