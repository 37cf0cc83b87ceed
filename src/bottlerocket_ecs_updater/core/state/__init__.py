"""What a look at the cluster changes in what is known."""
