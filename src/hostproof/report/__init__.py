"""Ledgers made readable: terminal, JSON, HTML, SARIF, JUnit."""
