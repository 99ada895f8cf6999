"""`make docker-push`, with a genuine registry."""

import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.containers import API, WORKER, Container, command, docker, inspect, running
from tests.support.waiting import until

_CURL = """
import sys, urllib.request
print(urllib.request.urlopen("http://127.0.0.1:5000/v2/" + sys.argv[1]).read().decode())
"""


@pytest.fixture(scope="module")
def registry(servers_image: str) -> Iterator[Container]:
    """A registry in a container, of which a port of loopback leads to it."""
    with running(servers_image, "registry", options=("--publish", "127.0.0.1::5000")) as server:
        until(lambda: "repositories" in _ask(server, "_catalog"), "the registry")
        yield server


@pytest.fixture
def kept(images: str) -> Iterator[str]:
    """Both images get their names back at the end; gives what their build printed."""
    for image in (API, WORKER):
        docker("tag", image, image.replace("latest", "kept"))
    yield images
    for image in (API, WORKER):
        docker("tag", image.replace("latest", "kept"), image)
        docker("rmi", image.replace("latest", "kept"))


def _ask(registry: Container, path: str) -> str:
    return registry.exec("python3", "-c", _CURL, path, check=False)


def _address(registry: Container) -> str:
    return docker("port", registry.name, "5000") + "/beta9"


def _push(registry: Container, version: str = "v0.1.0") -> tuple[int, str]:
    done = command(
        "make", "docker-push", f"VERSION={version}", f"DOCKER_REGISTRY={_address(registry)}", check=False
    )
    return done.returncode, done.stdout + done.stderr


def _claim(image: str, folder: Path, *, about: str, label: str = "stand-in=false") -> None:
    """Give the name of an image of ours to one that holds nothing but what its parts say of themselves."""
    (folder / "about").write_text(f"{about}\n")
    with tarfile.open(folder / "image.tar", "w") as archive:
        archive.add(folder / "about", "opt/beta9/about/helm")
    docker("import", "--change", f"LABEL {label}", str(folder / "image.tar"), image)


@pytest.fixture
def genuine(kept: str, tmp_path: Path) -> None:
    """Images that claim to hold no stand-ins: what is pushed matters to nobody here."""
    for image in (API, WORKER):
        _claim(image, tmp_path, about="helm 4.1.4")


def test_both_images_are_pushed_under_the_guides_names(genuine: None, registry: Container) -> None:
    code, output = _push(registry)
    assert code == 0, output
    assert json.loads(_ask(registry, "_catalog")) == {
        "repositories": ["beta9/provisioning-api", "beta9/provisioning-worker"]
    }
    for name in ("api", "worker"):
        assert json.loads(_ask(registry, f"beta9/provisioning-{name}/tags/list"))["tags"] == ["v0.1.0"]


def test_an_image_with_the_label_is_refused_and_nothing_pushed(
    genuine: None, registry: Container, tmp_path: Path
) -> None:
    _claim(WORKER, tmp_path, about="helm 4.1.4", label="stand-in=true")
    code, output = _push(registry, "v0.2.0")
    assert code != 0
    assert "holds stand-ins (label stand-in=true)" in output
    assert "v0.2.0" not in _ask(registry, "beta9/provisioning-api/tags/list")


def test_an_image_whose_label_was_forgotten_is_refused(
    genuine: None, registry: Container, tmp_path: Path
) -> None:
    _claim(WORKER, tmp_path, about="stand-in: helm of the machine that built it")
    code, output = _push(registry, "v0.3.0")
    assert code != 0
    assert "stand-in: helm of the machine" in output
    assert "v0.3.0" not in _ask(registry, "beta9/provisioning-api/tags/list")


def test_what_was_built_here_is_refused_if_it_holds_stand_ins(kept: str, registry: Container) -> None:
    marks = {inspect("image", image)["Config"]["Labels"].get("stand-in") for image in (API, WORKER)}
    code, output = _push(registry, "v0.4.0")
    assert ("so it is for trying out only" in kept) == ("true" in marks)
    assert (code != 0) == ("true" in marks)
    assert ("holds stand-ins" in output) == ("true" in marks)


@pytest.mark.parametrize(
    ("given", "missing"), [("VERSION=v1", "DOCKER_REGISTRY"), ("DOCKER_REGISTRY=r.example.com", "VERSION")]
)
def test_without_version_or_registry_it_says_what_to_type(given: str, missing: str) -> None:
    done = command("make", "docker-push", given, check=False)
    assert done.returncode != 0
    assert f"{missing} is not set: make docker-push VERSION=" in done.stderr
