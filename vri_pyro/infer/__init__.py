"""The inference engine: the ELBO, the hypergradient, and the algorithms that train a classifier with them."""
