"""What the platform stops: the verdict of a security manager on each host primitive."""
