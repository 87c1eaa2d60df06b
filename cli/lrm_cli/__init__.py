"""The command line: `lrm`. One module a command; each parses, calls the engine and prints."""
