"""A simulated Kubernetes API that genuine Helm and kubectl accept; one server hosts many clusters."""
