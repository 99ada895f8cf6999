"""``python -m beta9_provisioning.local.cloud.provider``: the plugin that Terraform starts."""

from beta9_provisioning.local.cloud.provider.server import main

main()
