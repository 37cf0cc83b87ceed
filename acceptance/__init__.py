"""Acceptance: what only a real account can show, as one command. The same code runs against a simulated account in CI.

A throwaway cluster is made, tagged and deleted; each check ends as PASS, FAIL, RECORDED or SKIPPED, with evidence. See
docs/develop/acceptance.md.
"""
