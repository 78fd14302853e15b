"""Turns a request and a store into frames, for every dialect of the server. Does not use gRPC."""
