"""The custom scaling loop: how many workers there are, and why."""
