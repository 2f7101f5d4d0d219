"""Many photos in one request: batches, imports and re-encodings."""
