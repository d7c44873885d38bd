"""Configuration: the model, loading it from TOML, resolving inheritance, comparing two of them."""
