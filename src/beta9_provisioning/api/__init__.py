"""The REST API: routes, error mapping, streams and metrics. It decides nothing and holds no SQL."""
