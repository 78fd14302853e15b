"""For those who watch: metrics and traces, made of what clients and servers tell their observers. Nothing here is needed.

clientlog.py       the log of a client; clientmetrics.py: its metrics
counts.py          what one server process counts of its calls; store.py, ingester.py: of its store and its ingester
timed.py           how long an operation of these takes
figures.py         counters that add up over processes
metrics.py         metrics for Prometheus; families.py: figures as Prometheus takes them; pageserver.py: serves them over HTTP
tracing.py         traces by OpenTelemetry
"""
