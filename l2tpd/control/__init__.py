"""The control socket: JSON-RPC framing, the method table, the views that methods answer with, and the server."""
