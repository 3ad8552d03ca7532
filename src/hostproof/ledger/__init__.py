"""The room that joins: rows, closing rules, waivers, gate and comparison of ledgers."""
