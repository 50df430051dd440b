"""Adapters: one technology per folder; none knows another."""
