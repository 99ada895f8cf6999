"""The commands of a page of docs/, with what each block says of who can run it."""

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from tests.support.documents import ROOT

DEPLOYMENT = ROOT / "docs" / "deployment.md"
DISASTER_RECOVERY = ROOT / "docs" / "disaster-recovery.md"
OPERATIONS = ROOT / "docs" / "operations.md"
UPGRADING = ROOT / "docs" / "upgrading.md"
_BLOCK = re.compile(
    r"^```(?P<language>\S+)(?: (?P<where>[a-z]+)(?:: (?P<why>[^\n]+))?)?\n(?P<text>.*?)^```$", re.M | re.S
)
_HEADING = re.compile(r"^##{1,2} (.+)$", re.M)


@dataclass(frozen=True)
class Block:
    """One block of commands.

    Attributes:
        language: of its commands, such as `bash` or `promql`.
        where: who runs it, such as `cluster`, `compose`, or `elsewhere` for what no test can run.
        why: what a block that runs elsewhere needs, else empty.
        text: the commands.
    """

    language: str
    where: str
    why: str
    text: str

    @property
    def commands(self) -> int:
        """How many commands it has; those that go on over lines count once."""
        return len([line for line in self.text.replace("\\\n", " ").splitlines() if line.strip()])


def blocks(page: Path) -> list[Block]:
    """Return all blocks of a page, in order."""
    return _blocks(page.read_text())


def _blocks(text: str) -> list[Block]:
    found = _BLOCK.finditer(text)
    return [Block(b["language"], b["where"] or "", b["why"] or "", b["text"]) for b in found]


def sections(page: Path) -> dict[str, list[Block]]:
    """Return the blocks below each heading of the second and third level, in order."""
    _, *parts = _HEADING.split(page.read_text())
    return {title: _blocks(text) for title, text in zip(parts[::2], parts[1::2], strict=True)}


def script(page: Path, where: str) -> str:
    """Return the commands of all blocks that one runs, in order."""
    return "\n".join(block.text for block in blocks(page) if block.where == where)


def counts(page: Path) -> Counter[str]:
    """Return how many commands of a page each one runs; fails on a block that does not say who runs it."""
    found = blocks(page)
    assert page.read_text().count("```") == 2 * len(found), f"{page.name} has a block that cannot be read"
    result: Counter[str] = Counter()
    for block in found:
        assert block.where, block.text
        assert bool(block.why) == (block.where == "elsewhere"), block.text
        result[block.where] += block.commands
    return result


def prose(page: Path) -> str:
    """Return the text of a page as one line."""
    return " ".join(page.read_text().split())
