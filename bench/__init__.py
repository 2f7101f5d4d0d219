"""Reproducible measurements. Each prints a table and writes its rows to bench/out/."""
