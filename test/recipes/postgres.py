"""Starts a PostgreSQL with pgvector in a folder, and prints its address. It ends when stdin does."""

import sys

import pgserver

server = pgserver.get_server(sys.argv[1])
print(server.get_uri(), flush=True)
sys.stdin.read()
server.cleanup()
