"""The pure core: nothing here uses await, a clock, files, logging, gRPC or protobuf."""
