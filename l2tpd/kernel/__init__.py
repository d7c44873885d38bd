"""The data plane: operations as values, the planes that carry them out, and the task that serialises them."""
