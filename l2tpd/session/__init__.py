"""Sessions: the call state tables of RFC 2661 7.4 and 7.5 and RFC 3931 7.3 and 7.4, and the task that binds one call to the data plane."""
