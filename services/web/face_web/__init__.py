"""The door: takes photos by HTTP, queues them, and answers with who is in them."""
