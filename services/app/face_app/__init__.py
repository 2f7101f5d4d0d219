"""The worker: takes jobs from the queue, recognises faces, answers."""
