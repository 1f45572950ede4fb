"""Engines: where jobs are kept, behind one protocol of verbs. The one here is a directory."""
