"""Stand-ins for the cloud and the engine. The contract tests hold those of the cloud to what the real ones do."""
