"""The service over HTTP: what it answers, and the guarded server that it runs on."""
