"""Log exports as files: the archive of raw bytes, and the reader of talk logs. No network in here."""
