"""Backups of the database: `backup` writes one, `restore` reads it back."""
