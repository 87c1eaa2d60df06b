"""The command line: each module is one command, which parses, calls the engine and prints."""
