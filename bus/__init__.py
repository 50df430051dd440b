"""Doubledecker."""
