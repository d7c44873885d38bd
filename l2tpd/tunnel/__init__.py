"""The control connection: reliable delivery, state table, core and the tasks that drive them."""
