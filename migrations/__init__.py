"""The schema: numbered plain SQL files, forward only. `infrastructure.postgres.migrate` reads and applies them."""
