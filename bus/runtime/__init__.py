"""Actors, ignorant of aggregates: replies, the dispatcher, the feed, and the supervision of tasks."""
