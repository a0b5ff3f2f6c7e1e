"""Service plumbing without domain words: settings, logging, lifecycle, errors, health, database, outbox."""
