"""The rows of the fault matrix, a module a group."""
