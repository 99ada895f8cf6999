"""Amazon Web Services. `cloud` is what the registry knows; it loads the rest, and the SDK, when needed."""
