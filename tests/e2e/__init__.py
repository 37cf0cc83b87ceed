"""The program as a process, against the world on the wire."""
