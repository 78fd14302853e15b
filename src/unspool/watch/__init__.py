"""For those who watch: metrics and traces, made of what clients and servers tell their observers. Nothing here is needed."""
