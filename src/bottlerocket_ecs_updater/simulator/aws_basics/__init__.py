"""What all simulated services share: calls, errors, names, paging."""
