"""A run of `bridgelab train`: the search for a rate, training, its record."""
