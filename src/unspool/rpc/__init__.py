"""The only room that knows gRPC."""
