"""What the web tier, the app tier and the client must agree on."""
