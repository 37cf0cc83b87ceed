"""Acceptance: tests what only a real account can show, with one command.

CI runs the same code on a simulated account.

It creates, tags and deletes a throwaway cluster. Each check ends as PASS, FAIL, RECORDED or SKIPPED, with evidence. See
docs/develop/acceptance.md.
"""
