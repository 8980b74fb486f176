"""The imperative shell: one long-running role a module, and the command line."""
