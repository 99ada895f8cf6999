"""Rules of the house that import-linter cannot see: words, and names of files."""

import re
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PRODUCT = ROOT / "src" / "beta9_provisioning"
SIMULATOR = ROOT / "simulator" / "src" / "beta9_simulator"
DOCUMENTS = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
PATH = re.compile(r"`(\w[\w.-]*/(?:[\w.-]+/)*(?:[\w.-]+\.(?:py|md|json|yaml|toml|sh|in|txt))?)`")
ROOMS = ("api", "environments", "operations", "worker", "engine")
CLOUDS_WORDS = re.compile(
    r"(?i)aws|amazon|boto|google|elasticache|cloudtrail|azure|_arn\b"
    r"|\b(?:arn|ebs|ec2|eks|gcp|gke|gp[23]|iam|nlb|rds|s3|sts)\b"
)
# Keys of Beta9's own configuration, whatever cloud it runs in.
BETA9S_KEYS = re.compile(r'"aws(?:S3Bucket|AccessKey|SecretKey)"|"registryStore": "s3"|"registries": \{"s3"')
# Names that several rooms use for the same thing, each for its own part.
SHARED_NAMES = {
    "__init__",
    "__main__",
    "cloud",  # what a cloud offers: the interface, and each cloud's own
    "environments",  # the API's routes and the command line's commands for the same noun
    "errors",  # what goes wrong in this room
    "ids",  # identifiers: their form, and those of environments
    "members",  # what may be done to them, and the API's routes
    "metrics",  # what this process counts
    "organizations",  # the same
    "rules",  # for configurations: this installation's, and each cloud's own
    "service",  # the API's routes and the command line's commands about the service itself
    "versions",  # of what was stored, and of what AWS offers
}


def sources(room: str) -> list[Path]:
    return [path for path in sorted((PRODUCT / room).rglob("*.py")) if "migrations" not in path.parts]


@pytest.mark.parametrize("room", ROOMS)
def test_no_room_names_a_cloud(room: str) -> None:
    named = [
        f"{path.relative_to(PRODUCT)}:{number}: {line.strip()}"
        for path in sources(room)
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if CLOUDS_WORDS.search(BETA9S_KEYS.sub("", line))
    ]
    assert named == []


def test_no_statement_takes_its_time_by_a_keyword() -> None:
    """Functions can be given another meaning by `search_path`, as the simulation does; keywords cannot."""
    keyword = re.compile(r"(?i)\b(current_(time|date|timestamp)|local(time|timestamp))\b")
    named = [
        f"{path.relative_to(PRODUCT)}: {line.strip()}"
        for path in sorted(PRODUCT.rglob("*.py"))
        for line in path.read_text(encoding="utf-8").splitlines()
        if keyword.search(line)
    ]
    assert named == []


def test_the_words_are_found_where_a_cloud_is_meant() -> None:
    text = "\n".join(path.read_text(encoding="utf-8") for path in sources("clouds/aws"))
    assert len(CLOUDS_WORDS.findall(text)) > 100


def test_files_of_one_name_mean_the_same() -> None:
    places = defaultdict(list)
    for path in PRODUCT.rglob("*.py"):
        if "migrations" not in path.parts:
            places[path.stem].append(str(path.relative_to(PRODUCT)))
    twice = {name: paths for name, paths in places.items() if len(paths) > 1}
    assert {name: paths for name, paths in twice.items() if name not in SHARED_NAMES} == {}
    assert set(twice) == SHARED_NAMES


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_paths_in_documents_exist(document: Path) -> None:
    named = PATH.findall(document.read_text(encoding="utf-8"))
    # A path may begin at the checkout, the product, one of its rooms, the simulator or the document.
    bases = [ROOT, PRODUCT, SIMULATOR, document.parent, *PRODUCT.iterdir()]
    missing = [path for path in named if not any((base / path).exists() for base in bases)]
    assert missing == []


def anchors(document: Path) -> set[str]:
    """Return what a page's headings are called in links, as GitHub calls them."""
    headings = re.findall(r"^#+ (.+)$", document.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    broken = []
    for path, anchor in re.findall(
        r"\]\((?!https?:)([^)#\s]*)#?([^)\s]*)\)", document.read_text(encoding="utf-8")
    ):
        target = document.parent / path if path else document
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(f"{path}#{anchor}")
    assert broken == []
