"""What functions stand on: HTTP, queues, the topic, tokens, secrets, logs and metrics."""
