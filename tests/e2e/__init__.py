"""The program as a process, against a simulated cluster over HTTP."""
