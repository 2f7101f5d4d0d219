"""`make simulate`: scaling policies over the same loads in a discrete-event model of queue, workers and EC2."""
