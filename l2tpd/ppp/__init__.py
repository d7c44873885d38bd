"""PPP inside sessions: its protocols, who runs it, and what subscribers are given."""
