"""The demo's read models: pure projections of the domain's events, and the queries that read them."""
