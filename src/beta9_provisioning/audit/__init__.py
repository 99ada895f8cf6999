"""The audit log: who did what to which object, and what was refused; one chain for each organization."""
