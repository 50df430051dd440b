"""The query side: from committed events to views, and from views to answers."""
