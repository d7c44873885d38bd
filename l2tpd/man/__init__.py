"""The manual pages, in the Markdown that a repository shows, and their way to the form that man(1) reads."""
