"""``python -m beta9_simulator.cloud.provider``: the plugin that Terraform starts."""

from beta9_simulator.cloud.provider.server import main

main()
