"""What users own: rules for configurations, commands that create and delete, and queries."""
