"""Ways in which the program was broken on purpose, and the tool that finds out which test notices."""
