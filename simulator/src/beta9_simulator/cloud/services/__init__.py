"""The AWS services that the API door answers itself, from the store."""
