"""A request and a store in, frames out: what every door of a server answers with. No gRPC in here."""
