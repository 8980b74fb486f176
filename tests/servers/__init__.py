"""Real servers for tests: private, on 127.0.0.1, gone with the test session."""
