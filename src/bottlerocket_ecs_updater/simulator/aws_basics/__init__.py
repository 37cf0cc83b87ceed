"""What every simulated service shares: calls, errors, names, pages."""
