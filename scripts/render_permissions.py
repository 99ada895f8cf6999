"""Write what is derived from permissions.toml: policies, template, module, docs/permissions.md.

python -m scripts.render_permissions
"""

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from scripts.customer_account import cloudformation, page, terraform_module

from beta9_provisioning.clouds.aws import permissions

ROOT = Path(__file__).resolve().parent.parent
FOLDER = "iam/customer-account"
FILES: dict[str, Callable[[], str]] = {
    **{f"{FOLDER}/policies/{name}.json": partial(page.policy_file, name) for name in permissions.phases()},
    **{
        f"{FOLDER}/policies/{name}-bounded.json": partial(page.policy_file, name, page.BOUNDARY_OF_ROLES)
        for name in permissions.bounded_phases()
    },
    f"{FOLDER}/beta9-provisioner.yaml": cloudformation.template,
    f"{FOLDER}/main.tf": terraform_module.module,
    "docs/permissions.md": page.page,
}


def main() -> int:
    """Write the files."""
    for name, render in FILES.items():
        (ROOT / name).parent.mkdir(parents=True, exist_ok=True)
        (ROOT / name).write_text(render(), encoding="utf-8")
        print(f"wrote {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
