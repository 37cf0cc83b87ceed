"""How a look at the cluster updates what is known."""
