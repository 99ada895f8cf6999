"""What a customer's administrator gets to make the role: rendered from the permissions, and compared by a test."""
