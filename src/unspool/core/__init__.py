"""The pure core: no await, clock, files, logging, gRPC or protobuf in here."""
