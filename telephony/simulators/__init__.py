"""Vendors without an account: what they send, signed as they sign it, and what they do with our answers."""
