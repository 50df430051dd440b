"""The demo's domain, air traffic: pure aggregates, which see nothing but `bus.core`."""
