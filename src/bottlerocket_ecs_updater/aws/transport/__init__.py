"""Calls to AWS: sessions, pace, retries and errors."""
