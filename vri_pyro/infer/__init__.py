"""The inference engine: the ELBO, the hypergradients, and the algorithms that train a classifier with them."""
