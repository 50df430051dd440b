"""The command side: from an envelope to durable events and a receipt."""
