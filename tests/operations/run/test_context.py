"""What child processes get to see of the worker's environment."""

from pathlib import Path

from beta9_provisioning.operations.run.context import child_environment
from beta9_provisioning.settings import Settings


def test_children_see_the_cloud_but_not_the_database_or_the_queue(tmp_path: Path) -> None:
    source = {
        "PATH": "/bin",
        "CLOUD_KEY": "key",
        "CLOUD_URL_S": "http://s",
        "CLOUD_KEY_2": "not named",
        "https_proxy": "http://proxy",
        "SSL_CERT_FILE": "/etc/ca.pem",
        "DATABASE_URL": "postgresql://u:secret@h/d",
        "REDIS_URL": "redis://:secret@h",
        "ANYTHING_ELSE": "secret",
    }
    seen = child_environment(source, Settings(workdir_base=tmp_path), ("CLOUD_KEY", "CLOUD_URL_*"))
    passed = ("PATH", "CLOUD_KEY", "CLOUD_URL_S", "https_proxy", "SSL_CERT_FILE")
    assert seen == {name: source[name] for name in passed}


def test_the_provider_mirror_is_named(tmp_path: Path) -> None:
    config = tmp_path / "terraform.rc"
    settings = Settings(workdir_base=tmp_path, terraform_cli_config=config)
    assert child_environment({"TF_CLI_CONFIG_FILE": "/elsewhere"}, settings, ()) == {
        "TF_CLI_CONFIG_FILE": str(config)
    }
